//! Every bound of this crate.

/// The longest prefix within a bucket or container, in bytes.
pub const PREFIX_BYTES_MAX: usize = 200;

/// A file of secrets is not longer.
pub const SECRET_BYTES_MAX: u64 = 64 << 10;

/// A file of CA certificates is not longer.
pub const CA_BYTES_MAX: u64 = 4 << 20;

/// How much of a server's own message goes into an error, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 300;
