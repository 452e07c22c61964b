//! The keys of one disk: from them come the keys of its parts, pages, extents and zones.
//!
//! Owns: [`DataKey`], [`DiskKeys`]. Does not own: the ciphers (`chunk`, `page`, `extent`), which
//! disks are encrypted.

use std::fmt;
use std::sync::Arc;

use vpool_format::{DiskId, PoolId};

use crate::aead::Aead;
use crate::chunk::PartKey;
use crate::clear::keyed;
use crate::extent::{ExtentKey, ZoneKey};
use crate::page::PageKey;
use crate::pool::PoolSecrets;
use crate::secret::Secret;
use crate::wrap::KeyId;
use crate::{ContentId, Fill};

/// The key of an encrypted disk's (or VM's) data, wrapped by the pool's key.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey {
    key: Secret,
    contents: Secret,
    id: KeyId,
}

impl DataKey {
    /// A fresh one.
    pub fn generate(fill: &mut Fill<'_>) -> DataKey {
        DataKey::from_secret(Secret::generate(fill))
    }

    /// Names the key without telling anything about it.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key of the entries that disks of this data key have in one zone of the SSD cache, by
    /// the zone's salt.
    pub fn zone(&self, zone_salt: &[u8; 32]) -> ZoneKey {
        ZoneKey::new(Aead::derive(&self.key, zone_salt, "vpool v1 cache zone"))
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.key
    }

    pub(crate) fn from_secret(key: Secret) -> DataKey {
        DataKey {
            contents: key.derive("vpool v1 sealed content id"),
            id: KeyId::of(&key),
            key,
        }
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

/// What seals and opens the data of one disk. Cheap to clone. A clone of a disk reads its
/// parent's chunks with the parent's `DiskKeys`.
#[derive(Debug, Clone)]
pub struct DiskKeys {
    /// The pool's secrets.
    pub pool: Arc<PoolSecrets>,
    /// The disk's data key; `None` for a clear disk.
    pub data: Option<Arc<DataKey>>,
    /// The disk that the data is of.
    pub disk: DiskId,
}

impl DiskKeys {
    /// The pool.
    pub fn pool_id(&self) -> PoolId {
        self.pool.pool()
    }

    /// Whether the disk is encrypted.
    pub fn sealed(&self) -> bool {
        self.data.is_some()
    }

    /// The key of one part of a segment: seals or opens its chunks. A part that is being made
    /// needs a salt fresh from the random source.
    pub fn part(&self, part_salt: &[u8; 32]) -> PartKey {
        match self.aead(part_salt, "vpool v1 part") {
            Some(key) => PartKey::sealed(key),
            None => PartKey::clear(self.pool.clone()),
        }
    }

    /// The key of the index pages of one object, by its own salt.
    pub fn pages(&self, object_salt: &[u8; 32]) -> PageKey {
        match self.aead(object_salt, "vpool v1 pages") {
            Some(key) => PageKey::sealed(key),
            None => PageKey::clear(self.pool.clone(), *object_salt),
        }
    }

    /// The key of one use of a journal extent; `None` for clear disks, whose journal blocks are
    /// as they are and checksummed by the journal.
    pub fn extent(&self, extent_salt: &[u8; 32]) -> Option<ExtentKey> {
        let key = self.aead(extent_salt, "vpool v1 extent")?;
        Some(ExtentKey::new(key, self.pool_id(), self.disk))
    }

    /// The content id of a chunk's bytes before compression. Clear disks of a pool share a
    /// domain, and so do the disks of one data key.
    pub fn content_id(&self, plain: &[u8]) -> ContentId {
        let key = match &self.data {
            Some(data) => &data.contents,
            None => &self.pool.contents,
        };
        let hash = keyed(key, plain);
        *hash.first_chunk().expect("a hash has 32 bytes")
    }

    fn aead(&self, salt: &[u8; 32], purpose: &'static str) -> Option<Aead> {
        let data = self.data.as_ref()?;
        Some(Aead::derive(&data.key, salt, purpose))
    }
}
