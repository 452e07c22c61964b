//! Formats that outlive the process: journal, segment, map, checkpoint, records.
//!
//! Owns: every byte that vPool leaves on an SSD or in an object, as plain types and
//! `&[u8]` ⇄ types without I/O. Does not own: encryption and compression of chunks
//! (`vpool-seal`), files (`vpool-engine`), objects (`vpool-object`).
//!
//! All formats: little-endian, field by field, magic, version, length, checksum; a table
//! of fields above each; a golden file per version under `golden/` decodes for ever.
//!
//! Decoders take any bytes: they never panic and never allocate more than the input
//! justifies. Encoders assert what their callers must hold; where a bound concerns what a
//! user chose, a `check` method lets the caller ask first.

#![forbid(unsafe_code)]

pub mod ids;

mod checksum;
mod cursor;
mod envelope;
mod error;
#[cfg(feature = "planted")]
mod planted;

pub mod journal;
pub mod record;

pub mod segment;

pub mod map;

pub mod checkpoint;

pub mod bucket;

pub mod names;

pub use checksum::crc32c;
pub use envelope::{MAC_BYTES, Mac};
pub use error::{FormatError, FormatErrorKind, Result};
pub use ids::{
    BranchId, DiskId, Epoch, Generation, GridId, PoolId, SegmentNo, Seq, Slot, StreamNo, StreamUid,
};
pub use record::{Base, SealedEnd, Tail};

/// The unit in which a vDisk is mapped and the journal is laid out, in bytes.
pub const BLOCK_BYTES: usize = 4096;
