//! What `vpoold` and `vpool` say to each other: the bodies of the API, the rules for names
//! and sizes that both check.
//!
//! Owns: the JSON types under `/api/v1`, [`Problem`], [`names`], [`size`], [`time`], [`attach`]. Does
//! not own: serving them (`vpoold`), asking for them (`vpool-cli`), any I/O. Which request takes and
//! answers what is said by the OpenAPI document beside `vpoold`, made from its routes.
//!
//! Requests with fields that are not known are refused; answers may grow fields and values, so a
//! command works with a newer daemon. DISK in a path is `[POOL:]NAME`, percent-encoded as one
//! part. Every error is a [`Problem`].

pub mod attach;
mod checks;
mod disks;
mod events;
mod health;
pub mod limits;
mod lists;
pub mod names;
mod pools;
mod problem;
pub mod size;
mod statistics;
mod tasks;
pub mod time;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use checks::{Check, CheckState};
pub use disks::{
    Connection, CreateDisk, Disk, DiskLog, RenameDisk, RepairDisk, ResizeDisk, Resized, SetDisk,
};
pub use events::{Event, EventKind};
pub use health::{Health, HealthReason, HealthStatus};
pub use lists::{Change, DryRun, List};
pub use pools::{
    AdoptPool, Adopted, CreatePool, Finding, Location, Pool, ProbeReport, SetPool, StoreCounts,
    StoreState, SwiftAuth, SwiftInterface,
};
pub use problem::{Code, Problem};
pub use statistics::{DiskStatistics, Latency, bound_seconds};
pub use tasks::{Task, TaskKind, TaskState};

/// Which daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// `vpoold`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The newest version of the API that it speaks.
    pub api: u32,
    /// Its process id.
    pub pid: u32,
    /// Its data directory.
    pub data_dir: String,
    /// `HOST:PORT` of the API on TCP; `None` where it does not listen there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_tcp: Option<String>,
}
