//! Sealing blocks in place on the SSD: journal extents and cache zones of encrypted disks.
//!
//! Owns: [`ExtentKey`], [`ZoneKey`]. Does not own: where tags are kept, nor the salts. Both keys
//! are made anew from a fresh salt at each use of the extent or zone.

use std::fmt;

use vpool_format::{DiskId, PoolId};

use crate::TAG_BYTES;
use crate::aead::Aead;
use crate::error::Damaged;

const VERSION: u16 = 1;

/// Seals and opens the payload blocks of one use of a journal extent.
pub struct ExtentKey {
    key: Box<Aead>,
    /// Version, pool, disk. The extent's salt is in the key.
    aad: [u8; 34],
}

impl ExtentKey {
    pub(crate) fn new(key: Aead, pool: PoolId, disk: DiskId) -> ExtentKey {
        let mut aad = [0; 34];
        aad[..2].copy_from_slice(&VERSION.to_le_bytes());
        aad[2..18].copy_from_slice(&pool.0.to_le_bytes());
        aad[18..].copy_from_slice(&disk.0.to_le_bytes());
        ExtentKey {
            key: Box::new(key),
            aad,
        }
    }

    /// Encrypts the block at `index` (its place in the extent, in blocks) and answers its tag.
    ///
    /// # Panics
    /// If this key has sealed the place before: a nonce may not repeat.
    pub fn seal_block(&self, index: u32, bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        self.key.seal(index, &self.aad, bytes)
    }

    /// Verifies and decrypts the block at `index`. On an error `bytes` is all zero and means
    /// nothing.
    pub fn open_block(
        &self,
        index: u32,
        bytes: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Damaged> {
        self.key.open(index, &self.aad, bytes, tag, "journal block")
    }
}

impl fmt::Debug for ExtentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExtentKey")
    }
}

/// Seals and opens the entries that disks of one data key have in one zone of the SSD cache.
pub struct ZoneKey(Box<Aead>);

impl ZoneKey {
    pub(crate) fn new(key: Aead) -> ZoneKey {
        ZoneKey(Box::new(key))
    }

    /// Encrypts the entry with a number in the zone, bound to `aad`, and answers its tag.
    ///
    /// # Panics
    /// If this key has sealed the number before: a nonce may not repeat.
    pub fn seal_entry(&self, number: u32, aad: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        self.0.seal(number, aad, bytes)
    }

    /// Verifies and decrypts an entry. On an error `bytes` is all zero and means nothing.
    pub fn open_entry(
        &self,
        number: u32,
        aad: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Damaged> {
        self.0.open(number, aad, bytes, tag, "cache entry")
    }
}

impl fmt::Debug for ZoneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ZoneKey")
    }
}
