//! Every bound of the engine in one place, with the relations between them.

use std::time::Duration;

use vpool_format::journal::EXTENT_BYTES;

/// The block of map and journal, as an index type.
pub const BLOCK: usize = vpool_format::BLOCK_BYTES;

/// The same as a small number.
pub const BLOCK_U32: u32 = 4096;

/// Where the groups of an extent begin: behind the header and its copy. One rotten block does
/// not take an extent with it.
pub const FIRST_GROUP_BLOCK: u32 = 2;

/// Blocks in an extent, its header included (8 MiB). A daemon always uses this value: an
/// existing journal is read by it.
pub const EXTENT_BLOCKS: u32 = 2048;

/// The last blocks of an extent, kept for control records (frontier, flush mark).
pub const CONTROL_BLOCKS: u32 = 16;

/// The last ready extents of a pool, kept for control records.
pub const CONTROL_EXTENTS: usize = 1;

/// A journal without one ready extent may grow by so many beyond its share.
pub const EMERGENCY_EXTENTS: u32 = 8;

/// At least so many extents are kept ready: an eighth of the journal within these bounds.
pub const READY_EXTENTS_MIN: (usize, usize) = (3, 16);

/// At most so many extents are made ready ahead of need: a quarter within these bounds.
pub const READY_EXTENTS_MAX: (usize, usize) = (3, 64);

/// At most so many are kept ready while nobody writes (2 GiB): a burst then writes data only.
pub const READY_EXTENTS_AT_REST_MAX: usize = 256;

/// Nobody writes, if nothing was written for so long.
pub const REST_PAUSE: Duration = Duration::from_secs(1);

/// Who holds extents is asked for them at most this often, in ns.
pub const PRESSURE_NS: u64 = 100_000_000;

/// A disk that has shipped everything gives its last extent back after so long without a write.
pub const REST_AFTER: Duration = Duration::from_secs(30);

/// A write larger than this is logged piece by piece, as room comes.
pub const WRITE_WHOLE_BYTES: u64 = 1 << 20;

/// Extents zeroed under one sync.
pub const PREPARE_BATCH: usize = 4;

/// After extents were made ready while there were enough for now, nothing is made for so many
/// times as long as that took.
pub const PREPARE_PAUSES: u32 = 3;

/// Zeroes written in one call, which holds up writers of the journal's file for so long.
pub const ZERO_WRITE_BYTES: usize = 32 << 10;

/// Payload blocks in one group at most; the descriptor's room for checksums bounds it too.
pub const GROUP_PAYLOAD_BLOCKS: u32 = 256;

/// Segments of data in memory at most, from their cut until the store has them (some 200 MiB; twice
/// that of small records that wait for blocks of the store); several pools divide them.
pub const IMAGES_MAX: usize = 12;

/// A pool has at least so many of them.
pub const IMAGES_MIN: usize = 3;

/// What has been appended in one place is written out to the device from this size on.
pub const WRITEOUT_BYTES: u64 = 1 << 20;

/// Acknowledged and not synced at most, per journal; writers wait above it.
pub const UNSYNCED_BYTES_MAX: u64 = 256 << 20;

/// Above this a sync is started although nobody asks for one.
pub const UNSYNCED_BYTES_SYNC: u64 = 64 << 20;

/// A disk's largest size.
pub const DISK_BYTES_MAX: u64 = 64 << 40;

/// A disk's size is a multiple of this.
pub const SECTOR: u64 = 512;

/// Journal bytes packed into one segment (payload before compression).
pub const CUT_BYTES: u64 = 16 << 20;

/// Disk blocks in one data chunk (32 KiB).
pub const CHUNK_BLOCKS: u64 = 8;

/// What is at risk for so long is packed although a segment is not full.
pub const CUT_AGE: Duration = Duration::from_secs(60);

/// The same, when at least [`CUT_BYTES_AT_RISK`] is at risk.
pub const CUT_AGE_AT_RISK: Duration = Duration::from_secs(5);

/// Full segments are cut at once when nothing was written for so long.
pub const CUT_PAUSE: Duration = Duration::from_millis(50);

/// "Much is at risk", in bytes.
pub const CUT_BYTES_AT_RISK: u64 = 4 << 20;

/// The length of a point-in-time slot: a new sub-cut begins with each.
pub const SLOT_MS: u64 = 10_000;

/// Segments of one disk in flight; the end of a stream is looked for that far past a gap.
pub const UPLOAD_WINDOW: u64 = 16;

/// Index bytes replayed at open at most, before the map is merged and a checkpoint made.
pub const PENDING_BYTES_MAX: usize = 64 << 20;

/// Under memory pressure so much is merged, in bytes of updates.
pub const PENDING_BYTES_PRESSED: usize = 64 << 10;

/// What a range of the overlay takes in memory: 48 bytes in a B-tree that is two thirds full.
pub const OVERLAY_ENTRY_BYTES: usize = 72;

/// How much of a segment's end is read to find its index.
pub const TAIL_READ_BYTES: u64 = 128 << 10;

/// Epochs without a stream record that an adoption passes over.
pub const ABSENT_EPOCHS: u64 = 256;

/// A stream record is written at open when so many epochs have none.
pub const RECORD_EVERY: u64 = 200;

/// What does not verify is read so often before it is called corrupt.
pub const VERIFY_TRIES: u32 = 5;

/// And so long apart.
pub const VERIFY_PAUSE: Duration = Duration::from_millis(20);

/// An object that must be there and is not is asked for again after this time.
pub const MISSING_PAUSE: Duration = Duration::from_millis(500);

/// Pieces looked up at once for one request.
pub const PIECES_MAX: usize = 1 << 16;

/// After a flush with nothing behind it the mark is written within this time.
pub const MARK_DELAY: Duration = Duration::from_millis(500);

const _: () = assert!(GROUP_PAYLOAD_BLOCKS + 1 + CONTROL_BLOCKS < EXTENT_BLOCKS);
const _: () = assert!(UNSYNCED_BYTES_SYNC < UNSYNCED_BYTES_MAX);
const _: () = assert!(READY_EXTENTS_MIN.0 > CONTROL_EXTENTS);
const _: () = assert!(EXTENT_BLOCKS as u64 * BLOCK as u64 == EXTENT_BYTES);
const _: () = assert!(BLOCK_U32 as usize == BLOCK);

/// While a pool ships, its claim is looked at this often at the least.
pub const CLAIM_CHECK: Duration = Duration::from_secs(15);

/// A frontier that found no room in the journal is logged again after this time.
pub const FRONTIER_RETRY: Duration = Duration::from_millis(100);

/// Segments of map nodes of one merge in memory at most.
pub const NODE_FLIGHTS_MAX: usize = 4;

/// What is fetched ahead is fetched so many bytes at a time.
pub const FETCH_WINDOW_BYTES: u64 = 4 << 20;

/// Extents are looked for in so much of a disk first, then in twice as much each time.
pub const EXTENTS_WINDOW_BYTES_MIN: u64 = 1 << 20;

/// A client's wish to have a range fetched ahead is heard so far.
pub const PREFETCH_BYTES_MAX: u64 = 64 << 20;

/// A journal has at least so many extents, whatever it is set to.
pub const JOURNAL_EXTENTS_MIN: u64 = 8;

/// What a test may set smaller, so that a short run meets every boundary.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// [`EXTENT_BLOCKS`].
    pub extent_blocks: u32,
    /// [`CUT_BYTES`].
    pub cut_bytes: u64,
    /// [`CUT_AGE`].
    pub cut_age: Duration,
    /// [`CUT_AGE_AT_RISK`].
    pub cut_age_at_risk: Duration,
    /// [`PENDING_BYTES_MAX`].
    pub pending_bytes_max: usize,
    /// How long a store may answer 404 for an object that is there.
    pub store_lag: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            extent_blocks: EXTENT_BLOCKS,
            cut_bytes: CUT_BYTES,
            cut_age: CUT_AGE,
            cut_age_at_risk: CUT_AGE_AT_RISK,
            pending_bytes_max: PENDING_BYTES_MAX,
            store_lag: Duration::ZERO,
        }
    }
}
