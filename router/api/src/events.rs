//! What the stream of events carries.
//!
//! Owns: the form of an event. Does not own: when there is one, and the stream (`vpoold`).
//!
//! On the wire (`text/event-stream`) `id:` is [`Event::id`], `event:` is [`EventKind::name`] and
//! `data:` is the event as JSON. Who connects is told the number of the newest event first, by an
//! `id:` without data; who comes back with `Last-Event-ID` gets what came since, or
//! [`EventKind::Reset`] where that is not there any more, and then what is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Task;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number; a later event has a larger one, also after a restart.
    pub id: u64,
    /// When it happened (RFC 3339, UTC).
    pub at: String,
    /// What happened.
    pub kind: EventKind,
    /// To what: `default:vm1`, or the name of a pool; empty for a reset.
    pub object: String,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The task, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A pool was made or adopted.
    PoolCreated,
    /// A pool was opened, or is something else than before.
    PoolChanged,
    /// A pool is gone.
    PoolDeleted,
    /// A disk was made, or came with a pool.
    DiskCreated,
    /// A disk is something else than before.
    DiskChanged,
    /// A disk is gone.
    DiskDeleted,
    /// A task began or ended.
    Task,
    /// A pool's store does not answer.
    StoreDown,
    /// It does again.
    StoreUp,
    /// Something is wrong with a pool or a disk.
    Trouble,
    /// It is not any more.
    TroubleOver,
    /// Events are missing here: look at everything anew.
    Reset,
    /// One that this version does not know.
    #[serde(other)]
    Unknown,
}

impl EventKind {
    /// The name in JSON and on the stream.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::PoolCreated => "pool-created",
            EventKind::PoolChanged => "pool-changed",
            EventKind::PoolDeleted => "pool-deleted",
            EventKind::DiskCreated => "disk-created",
            EventKind::DiskChanged => "disk-changed",
            EventKind::DiskDeleted => "disk-deleted",
            EventKind::Task => "task",
            EventKind::StoreDown => "store-down",
            EventKind::StoreUp => "store-up",
            EventKind::Trouble => "trouble",
            EventKind::TroubleOver => "trouble-over",
            EventKind::Reset => "reset",
            EventKind::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    //! Names on the wire.

    use super::EventKind;

    #[test]
    fn names_are_those_of_the_wire() {
        for kind in [
            EventKind::PoolCreated,
            EventKind::PoolChanged,
            EventKind::PoolDeleted,
            EventKind::DiskCreated,
            EventKind::DiskChanged,
            EventKind::DiskDeleted,
            EventKind::Task,
            EventKind::StoreDown,
            EventKind::StoreUp,
            EventKind::Trouble,
            EventKind::TroubleOver,
            EventKind::Reset,
        ] {
            assert_eq!(serde_json::to_value(kind).expect("a name"), kind.name());
        }
        let kind: EventKind = serde_json::from_str("\"disk-cloned\"").expect("any name");
        assert_eq!(kind, EventKind::Unknown);
    }
}
