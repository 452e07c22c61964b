//! What the bucket says of itself: the claim on it, its pool, its vDisks, their streams.
//!
//! Owns: the bytes of those numbered records (P4: the bucket is enough). Does not own: keys,
//! who may write a record and when, and what is inside a pool's settings.
//!
//! Stream records and descriptors end in a MAC of the pool's key. Claims and pool records
//! carry the wrapped key themselves: they can be read by their checksum alone, and their MAC
//! is verified once the key is unwrapped.

mod claim;
mod descriptor;
mod pool_record;
mod settings;
mod stream_record;

#[cfg(test)]
mod tests;

use crate::error::{Result, ensure};

pub use crate::checkpoint::SETTINGS_BYTES_MAX;
pub use claim::Claim;
pub use descriptor::Descriptor;
pub use pool_record::PoolRecord;
pub use settings::{DESCRIPTION_BYTES_MAX, DiskSettings};
pub use stream_record::StreamRecord;

/// The longest name of a pool or vDisk, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;

/// The longest wrapped key, in bytes.
pub const WRAPPED_KEY_BYTES_MAX: usize = 4096;

/// The longest base of a stream record allows for this many bytes of record.
pub const STREAM_RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;

fn check_name(name: &str, what: &'static str) -> Result<()> {
    ensure((1..=NAME_BYTES_MAX).contains(&name.len()), what)
}
