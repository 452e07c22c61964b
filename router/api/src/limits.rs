//! The bounds of the API.

/// The longest body of a request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// The longest answer that a client takes, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// The longest name of a pool or disk, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;

/// A disk's size is a multiple of this many bytes.
pub const SECTOR_BYTES: u64 = 512;

/// The largest disk: 64 TiB.
pub const DISK_BYTES_MAX: u64 = 64 << 40;

/// Items of one page of a list, where nothing else is asked for.
pub const PAGE_ITEMS: usize = 100;

/// Items of one page of a list at most.
pub const PAGE_ITEMS_MAX: usize = 1000;

/// The longest time that a question for a task waits for its end, in seconds.
pub const TASK_WAIT_SECONDS_MAX: u64 = 30;

/// The longest `Idempotency-Key`, in characters.
pub const KEY_CHARS_MAX: usize = 64;

/// Buckets of a [`Latency`](crate::Latency): bucket `i` counts requests that took less than
/// `LATENCY_US_FIRST << i` microseconds and no less than the one before; the last one all that
/// took longer: from 16 us to 4 s, and beyond.
pub const LATENCY_BUCKETS: usize = 20;

/// The upper bound of the first bucket in microseconds.
pub const LATENCY_US_FIRST: u64 = 16;

const _: () = assert!(PAGE_ITEMS <= PAGE_ITEMS_MAX);
const _: () = assert!(DISK_BYTES_MAX.is_multiple_of(SECTOR_BYTES));
const _: () = assert!(NAME_BYTES_MAX < REQUEST_BYTES_MAX);
