//! The bounds of the API.

/// The longest body of a request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// The longest answer that a client takes, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 64 << 20;

/// The longest name of a pool or disk, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;

/// A disk's size is a multiple of this many bytes.
pub const SECTOR_BYTES: u64 = 512;

/// The largest disk: 64 TiB.
pub const DISK_BYTES_MAX: u64 = 64 << 40;

const _: () = assert!(DISK_BYTES_MAX.is_multiple_of(SECTOR_BYTES));
const _: () = assert!(NAME_BYTES_MAX < REQUEST_BYTES_MAX);
