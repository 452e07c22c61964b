//! A segment: one immutable object of a vDisk's log.
//!
//! Owns: the bytes around and about the chunks. Does not own: the chunks (compressed and sealed
//! by `vpool-seal`), what is cut when (`vpool-engine`).
//!
//! ```text
//! header | chunks back to back | index pages | cut table | trailer
//!          ^                     ^             ^           ^
//!          header_bytes          index_offset  index_offset + index_bytes(slots)
//! ```
//!
//! The trailer has a fixed size and stands at the very end: one ranged read of the tail finds
//! everything. Index pages are sealed by their own keys and have computable places: all but
//! the last have [`PAGE_SEALED_BYTES`].

mod header;
mod index;
mod trailer;

#[cfg(test)]
mod tests;

pub use header::{SEGMENT_HEADER_BYTES_MAX, SegmentHeader};
pub use index::{
    Codec, Content, ENTRY_BYTES, IndexEntry, IndexPage, PAGE_ENTRIES, PAGE_PLAIN_BYTES_MAX,
    PAGE_SEALED_BYTES, STORED_BYTES_MAX, index_bytes, page_count, page_range,
};
pub use trailer::{CUT_BYTES, CUTS_MAX, SubCut, TRAILER_BYTES, Trailer};

/// The most blocks of a vDisk that one chunk holds.
pub const CHUNK_BLOCKS_MAX: usize = 8;

/// The most slots of a segment: the number of slots, and the slot after the last, fit 16 bits.
pub const SLOTS_MAX: u32 = u16::MAX as u32;

/// The most bytes of a segment's object; places in it fit 32 bits with room to spare.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
