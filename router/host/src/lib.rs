//! The host as the engine sees it: time, randomness, files, blocking work, a local store.
//!
//! Owns: the traits that the engine takes at construction, their real forms ([`real`]) and
//! their simulated ones ([`sim`]). Does not own: what is kept in files (`vpool-format`),
//! RocksDB (`vpool-rocks`, the real [`LocalStore`]).
//!
//! Rule: the engine asks nothing else of the machine. Sleeping goes through `tokio::time`
//! and spawning through `tokio::spawn`; under a current-thread runtime with paused time
//! both are deterministic, and with the simulated forms below one seed plays one trace.

pub mod aligned;
pub mod behind;
pub mod blocking;
pub mod clock;
pub mod entropy;
pub mod files;
pub mod local_store;
pub mod real;
pub mod sim;

use std::sync::Arc;

pub use aligned::Aligned;
pub use blocking::Blocking;
pub use clock::Clock;
pub use entropy::Entropy;
pub use files::{File, Files, OpenMode};
pub use local_store::{Batch, Durability, LocalStore, Table, TableKind, Write};

/// All that the engine is given of a machine.
#[derive(Debug, Clone)]
pub struct Host {
    /// Wall time (labels only) and the clock that leases are measured on.
    pub clock: Arc<dyn Clock>,
    /// Random bytes fit for keys and salts.
    pub entropy: Arc<dyn Entropy>,
    /// The local file system.
    pub files: Arc<dyn Files>,
    /// Where work that blocks is run.
    pub blocking: Blocking,
}
