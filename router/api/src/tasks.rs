//! Long work, as the API shows it.
//!
//! Owns: the form of a task. Does not own: running and keeping them (`vpoold`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Problem;

/// Long work and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its number; a later task has a larger one.
    pub id: u64,
    /// What is done.
    pub kind: TaskKind,
    /// To what: `default:vm1`, or the name of a pool.
    pub object: String,
    /// How it stands.
    pub state: TaskState,
    /// How much of it is done, 0 to 100, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// The same in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_bytes: Option<u64>,
    /// All of it in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// How fast it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// How long it will take from now, if it goes on as it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
    /// When it was asked for (RFC 3339, UTC).
    pub created_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Whether it can be cancelled now.
    pub cancellable: bool,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// Brings all that was written to a disk into the store.
    DiskSync,
    /// The same for all disks of a pool.
    PoolSync,
    /// One that this version does not know.
    #[serde(other)]
    Unknown,
}

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// It has not begun.
    Waiting,
    /// It goes on.
    Running,
    /// It has done all that it should.
    Done,
    /// It ended with a problem.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// A state that this version does not know.
    #[serde(other)]
    Unknown,
}

impl TaskKind {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            TaskKind::DiskSync => "disk-sync",
            TaskKind::PoolSync => "pool-sync",
            TaskKind::Unknown => "unknown",
        }
    }
}

impl TaskState {
    /// All that this version knows.
    pub const ALL: [TaskState; 5] = [
        TaskState::Waiting,
        TaskState::Running,
        TaskState::Done,
        TaskState::Failed,
        TaskState::Cancelled,
    ];

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            TaskState::Waiting => "waiting",
            TaskState::Running => "running",
            TaskState::Done => "done",
            TaskState::Failed => "failed",
            TaskState::Cancelled => "cancelled",
            TaskState::Unknown => "unknown",
        }
    }

    /// Whether nothing changes any more.
    pub fn has_ended(self) -> bool {
        matches!(
            self,
            TaskState::Done | TaskState::Failed | TaskState::Cancelled
        )
    }
}

#[cfg(test)]
mod tests {
    //! Names on the wire, and that newer daemons are understood.

    use super::{Task, TaskKind, TaskState};

    #[test]
    fn names_are_those_of_the_wire() {
        for state in TaskState::ALL {
            assert_eq!(serde_json::to_value(state).expect("a name"), state.name());
        }
        for kind in [TaskKind::DiskSync, TaskKind::PoolSync] {
            assert_eq!(serde_json::to_value(kind).expect("a name"), kind.name());
        }
    }

    #[test]
    fn a_newer_daemon_is_understood() {
        let text = r#"{"id": 7, "kind": "disk-scrub", "object": "p:a", "state": "paused",
            "created_at": "2026-01-02T03:04:05Z", "cancellable": false, "mood": "fine"}"#;
        let task: Task = serde_json::from_str(text).expect("unknown names are taken");
        assert_eq!(
            (task.kind, task.state),
            (TaskKind::Unknown, TaskState::Unknown)
        );
    }
}
