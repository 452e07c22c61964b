//! Keys, and the sealing of chunks, index pages and journal blocks.
//!
//! Owns: the keys from the grid key down to the key of one part, the bytes that bind a sealed
//! thing to its place, and compression. Does not own: where keys are kept, the layout of
//! segments and journals (`vpool-format`), any file or object.
//!
//! ```text
//! GridKey ──wraps──▶ PoolKey ──derives──▶ PoolSecrets ──wraps──▶ DataKey (one per disk or VM)
//!                                              │                    │
//!                  records' MAC, clear tags,   │                    │ HKDF-SHA256 with a fresh
//!                  content ids of clear disks ◀┘                    ▼ random salt each
//!                                             PartKey   PageKey   ExtentKey   ZoneKey
//!                                   nonce =   slot      page      block       entry
//! ```
//!
//! Rule: each key at the bottom seals one part, one object's pages, one use of a journal extent
//! or one cache zone, and its nonce is the place in it. So no (key, nonce) can repeat, not after
//! a crash, a rollback, a clone, a cloned machine or a restored backup (DESIGN §3 Keys). A key
//! asserts that it never seals the same place twice.
//!
//! Disks that are not encrypted are *clear*: what is sealed there is legible and ends in a keyed
//! tag over the same associated data, so that damage is noticed just as well (P7).

mod aead;
#[cfg(any(test, feature = "audit"))]
pub mod audit;
mod chunk;
mod clear;
mod compress;
mod context;
mod disk;
mod error;
mod extent;
mod grid_key;
mod page;
mod pool;
mod secret;
mod wrap;

pub use chunk::PartKey;
pub use compress::{Backoff, Compressor, Decompressor};
pub use context::{ChunkContext, PageContext};
pub use disk::{DataKey, DiskKeys};
pub use error::{Damaged, KeyTextError, UnwrapError};
pub use extent::{ExtentKey, ZoneKey};
pub use grid_key::GridKey;
pub use page::PageKey;
pub use pool::{PoolKey, PoolSecrets};
pub use wrap::{KeyId, WRAPPED_KEY_BYTES};

/// Bytes that sealing adds to a chunk or an index page, encrypted or clear.
pub const TAG_BYTES: usize = 16;

/// A keyed hash of a chunk's content before compression: equal only for equal content of the
/// same key domain, and meaningless to who has not the key.
pub type ContentId = [u8; 16];

/// Fills its argument with random bytes fit for keys, such as `Entropy::fill` of the host.
pub type Fill<'a> = dyn FnMut(&mut [u8]) + 'a;

/// The longest content of a chunk before compression that anything here opens, in bytes: a
/// bound on what a damaged length can cost.
pub const RAW_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
