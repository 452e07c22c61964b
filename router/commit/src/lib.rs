//! Group commit (many waiters, one sync) and slot pins (a slot is not used again under a reader).
//!
//! Owns: [`GroupCommit`], the state of group commit without tasks or I/O; `Committer`
//! (feature `tokio`), its asynchronous form; [`Pins`]. Does not own: what a sync is
//! (`vpool-engine`), what is in a slot.
//!
//! Both are small and alone in this crate so that loom can walk through every interleaving
//! of them: `router/commit/loom.sh`.

mod group;
mod pins;
mod sync;
#[cfg(all(feature = "tokio", not(loom)))]
mod task;

pub use group::{Failed, GroupCommit, Progress, Round, Ticket};
pub use pins::{Lap, Pins, Retired, SlotPin};
#[cfg(all(feature = "tokio", not(loom)))]
pub use task::Committer;

#[cfg(loom)]
#[cfg(test)]
mod loom_tests;
