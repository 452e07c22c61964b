//! The packer: from journal records to sealed segments.
//!
//! ```text
//! journal ──groups──> cut (newest bytes of each block, per time slot) ──seal──> segment
//! ```
//!
//! Owns: what goes into a segment and in which order. Does not own: when to cut and how it is
//! shipped (`vdisk::ship`). All of it is synchronous.

pub mod cut;
pub mod read;
pub mod segment;

pub use cut::{Cut, CutBuilder, PartialBlock};
pub use read::{Cursor, ReadCut, read_cut};
pub use segment::{IndexedChunk, SealedSegment, SegmentPlan, seal_cut, seal_nodes};
