//! The bounds of the cache, in one place.
//!
//! Owns: every constant that limits something. Does not own: what a pool configures
//! (`CacheConfig`).

use std::time::Duration;

use vpool_seal::TAG_BYTES;

/// Longest value that is kept in memory, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// What one entry in memory costs beyond its bytes: tables, lists, allocation.
pub(crate) const ENTRY_OVERHEAD: usize = 192;
/// Most shards of the memory layer, and how much each must at least hold to be worth one.
pub(crate) const SHARDS_MAX: usize = 64;
pub(crate) const SHARD_BYTES_MIN: usize = 4 << 20;

/// The unit in which chunks are measured on the SSD.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Bytes of a zone unless configured otherwise, and the range that may be configured.
pub const ZONE_BYTES: u32 = 4 << 20;
/// Smallest zone.
pub const ZONE_BYTES_MIN: u32 = 128 << 10;
/// Largest zone: a place counts units of 16 bytes in 18 bits.
pub const ZONE_BYTES_MAX: u32 = 4 << 20;
/// Most zones of a file: a place has 24 bits for them.
pub(crate) const ZONES_MAX: u32 = 1 << 24;
/// Fewest zones with which the SSD layer is of any use.
pub(crate) const ZONES_MIN: u32 = 4;
/// Most addresses that one zone records. Half of them may be carried over from a recycled
/// zone, so that recycling always makes room for new ones.
pub(crate) const ADDRESSES_MAX: usize = 2048;
/// A zone is written in pieces of at least this many bytes, but for the last.
pub(crate) const WRITE_BYTES: usize = 1 << 20;

/// The most that one chunk takes in a zone, and then some for its entry.
pub(crate) const LARGEST_BYTES: usize = VALUE_BYTES_MAX + 4 * TAG_BYTES;
/// What has waited so long for more is written and can be read.
pub(crate) const WRITE_IDLE: Duration = Duration::from_secs(1);
/// Chunks and bytes that may wait to be written; more are dropped.
pub(crate) const QUEUE_CHUNKS_MAX: usize = 4096;
/// Bytes of the same.
pub(crate) const QUEUE_BYTES_MAX: usize = 32 << 20;
/// Reads of the SSD in flight; further ones are misses. A device that hangs costs no more
/// than so many threads and buffers.
pub(crate) const READS_MAX: usize = 64;
/// How long the SSD layer takes nothing after a failed write.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(30);
/// After the file system was full: how many zones are recycled before the file grows again.
pub(crate) const FULL_ZONES: usize = 256;

const _: () = assert!(ZONE_BYTES_MAX as u64 <= 16 << 18);
const _: () = assert!(VALUE_BYTES_MAX <= 16 * BLOCK_BYTES);
const _: () = assert!(ZONE_BYTES_MIN <= ZONE_BYTES && ZONE_BYTES <= ZONE_BYTES_MAX);
// A zone of the smallest size holds a header, a footer and at least one of the largest values.
const _: () = assert!(ZONE_BYTES_MIN as usize > 2 * BLOCK_BYTES + VALUE_BYTES_MAX + 8192);
