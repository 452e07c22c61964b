//! Tags of what is not encrypted: keyed BLAKE3 over associated data and bytes.
//!
//! Owns: how the tag of a clear chunk or page is made. Does not own: the associated data.
//!
//! tag = keyed(tag key, associated data, keyed(content key, bytes)), cut to 16 bytes. The inner
//! hash of an uncompressed chunk begins with its content id, so that the bytes are hashed once.

use crate::pool::PoolSecrets;
use crate::secret::{Secret, equal};
use crate::{ContentId, TAG_BYTES};

/// Keyed BLAKE3.
pub(crate) fn keyed(key: &Secret, bytes: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key.expose(), bytes).as_bytes()
}

/// The inner hash of stored bytes; it begins with their content id.
pub(crate) struct Inner([u8; 32]);

impl Inner {
    pub(crate) fn of(pool: &PoolSecrets, stored: &[u8]) -> Inner {
        Inner(keyed(&pool.contents, stored))
    }

    pub(crate) fn content_id(&self) -> ContentId {
        *self.0.first_chunk().expect("a hash has 32 bytes")
    }

    /// The tag, bound to `aad`, which has a fixed length per kind.
    pub(crate) fn tag(&self, pool: &PoolSecrets, aad: &[&[u8]]) -> [u8; TAG_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(pool.tags.expose());
        for aad in aad {
            hasher.update(aad);
        }
        hasher.update(&self.0);
        let hash = hasher.finalize();
        *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
    }

    /// Whether `tag` is that tag, in constant time.
    pub(crate) fn fits(&self, pool: &PoolSecrets, aad: &[&[u8]], tag: &[u8]) -> bool {
        equal(&self.tag(pool, aad), tag)
    }
}
