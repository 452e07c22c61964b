//! The packer: from journal records to sealed segments.
//!
//! ```text
//! journal ──groups──> cut (newest bytes of each block, per time slot) ──seal──> segment
//! ```
//!
//! Owns: what goes into a segment and in which order. Does not own: when to cut and how it is
//! shipped (`vdisk::ship`). Everything here is synchronous and without I/O.

pub mod cut;
pub mod segment;

pub use cut::{Cut, CutBuilder, PartialBlock};
pub use segment::{IndexedChunk, SealedSegment, SegmentPlan, seal_cut, seal_nodes};
