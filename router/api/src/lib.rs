//! What `vpoold` and `vpool` say to each other: the bodies of the API, the rules for names
//! and sizes that both check.
//!
//! Owns: the JSON types under `/api/v1`, [`Problem`], [`names`], [`size`], [`attach`]. Does not own:
//! serving them (`vpoold`), asking for them (`vpool-cli`), any I/O.
//!
//! | request | body | answer |
//! | --- | --- | --- |
//! | `GET /healthz` | | `ok` |
//! | `GET /api/v1/version` | | [`Version`] |
//! | `GET /api/v1/pools` | | list of [`Pool`] |
//! | `POST /api/v1/pools` | [`CreatePool`] | [`Pool`] |
//! | `GET /api/v1/pools/POOL` | | [`Pool`] |
//! | `POST /api/v1/pools/POOL/sync` | | nothing |
//! | `POST /api/v1/adoptions` | [`AdoptPool`] | [`Adopted`] |
//! | `GET /api/v1/disks[?pool=POOL]` | | list of [`Disk`] |
//! | `POST /api/v1/disks` | [`CreateDisk`] | [`Disk`] |
//! | `GET /api/v1/disks/DISK` | | [`Disk`] |
//! | `DELETE /api/v1/disks/DISK` | | nothing |
//! | `POST /api/v1/disks/DISK/sync` | | nothing |
//! | `POST /api/v1/disks/DISK/repair` | [`RepairDisk`] | [`Disk`] |
//! | `GET /api/v1/disks/DISK/connection` | | [`Connection`] |
//!
//! DISK is `[POOL:]NAME`, percent-encoded as one part of the path. Every error is a
//! [`Problem`].

pub mod attach;
mod disks;
pub mod limits;
pub mod names;
mod pools;
mod problem;
pub mod size;

use serde::{Deserialize, Serialize};

pub use disks::{Connection, CreateDisk, Disk, DiskLog, RepairDisk};
pub use pools::{
    AdoptPool, Adopted, CreatePool, Location, Pool, StoreCounts, StoreState, SwiftAuth,
    SwiftInterface,
};
pub use problem::{Code, Problem};

/// Which daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}
