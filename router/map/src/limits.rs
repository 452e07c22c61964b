//! The bounds of this crate and what ties them together.

use vpool_format::map::{BLOCKS_MAX, FANOUT, LEAF_BLOCKS, LEVEL_MAX};
use vpool_format::segment::CHUNK_BLOCKS_MAX;

/// log2 of the fan-out: each level of the tree takes so many bits of the block number.
pub const LEVEL_BITS: u32 = 7;

/// Nodes that one lookup fetches at a time.
pub const LOOKUP_READS: usize = 16;

/// Nodes that one merge fetches at a time.
pub const MERGE_READS: usize = 32;

/// Nodes of a level that a merge works on at a time: while these are put, as many are read
/// ahead. Twice this many decoded nodes (5 KiB each at most) is what a merge holds of a level.
pub const MERGE_WINDOW: usize = 128;

/// Bytes of inner nodes that a merge keeps between finding what it touches and writing it
/// anew; inner nodes beyond that are read a second time.
pub const MERGE_KEPT_BYTES: usize = 32 << 20;

/// Updates per page of a [`crate::Pending`]. Measured at 3 million random updates: 64 against
/// 128 saves a fifth of an insert; 32 saves nothing more and takes 6 bytes more an update.
pub(crate) const PAGE_ENTRIES: usize = 64;

/// By how many updates a page grows: the slack that random inserts leave in memory.
pub(crate) const PAGE_STEP: usize = 8;

const _: () = assert!(1 << LEVEL_BITS == LEAF_BLOCKS && LEAF_BLOCKS == FANOUT);
const _: () = assert!(1 << (LEVEL_BITS * (LEVEL_MAX as u32 + 1)) >= BLOCKS_MAX);
// A page's keys give 4 bits to a run's blocks and its place in the chunk, and 56 to its start.
const _: () = assert!(CHUNK_BLOCKS_MAX < 16 && BLOCKS_MAX < 1 << 56);
const _: () = assert!(MERGE_READS <= MERGE_WINDOW && PAGE_ENTRIES.is_multiple_of(PAGE_STEP));
