//! The journal: what is acknowledged and not yet in the object store.
//!
//! ```text
//! write ──> log (sequence, group) ──> file (page cache: acknowledged) ──> sync (durable)
//!                                       │
//!              recovery, packer <── scan ┘        frontier ──> trim ──> extents come back
//! ```
//!
//! Owns: extents, groups, group commit, what is torn and what is damage. Does not own: what the
//! records mean to a vDisk.

pub mod extents;
pub mod file;
pub mod leftover;
pub mod log;
pub mod scan;
pub mod shares;
pub mod state;

pub use file::{FoundExtent, Journal, SlotIndex};
pub use leftover::disks_in;
pub use log::{BlockAt, Change, ExtentSeal, Log, PlacedBlock, Span};
pub use shares::JournalShares;
pub use state::Loss;
