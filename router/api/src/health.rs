//! What `/healthz` answers.
//!
//! Owns: the form. Does not own: what is looked at (`vpoold`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the daemon serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// The worst of the reasons.
    pub status: HealthStatus,
    /// What is wrong.
    pub reasons: Vec<HealthReason>,
}

/// How well the daemon serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Everything does.
    Ok,
    /// Something does not; a restart would not help.
    Degraded,
    /// Writes are refused until it is started anew.
    Failing,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthReason {
    /// What, in a form that does not change: `journal_failed`, `pool_closed`, `store_down`,
    /// `store_trouble`, `disk_failed`, `shutting_down`.
    pub code: String,
    /// With which pool or disk.
    pub object: String,
    /// What that means and what to do.
    pub detail: String,
}
