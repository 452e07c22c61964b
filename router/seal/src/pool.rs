//! The pool key and what is derived from it once: MAC, tag and content keys.
//!
//! Owns: [`PoolKey`], [`PoolSecrets`]. Does not own: the grid key that wraps the pool key
//! (`grid_key`), the data keys that it wraps (`disk`).

use std::fmt;
use std::sync::Arc;

use vpool_format::{DiskId, PoolId};

use crate::disk::DataKey;
use crate::error::UnwrapError;
use crate::secret::{Secret, equal};
use crate::wrap::{self, KeyId, Kind};

/// The key of a pool: wrapped by the grid key, and stored nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct PoolKey(Secret);

impl PoolKey {
    /// A fresh one.
    pub fn generate(fill: &mut crate::Fill<'_>) -> PoolKey {
        PoolKey(Secret::generate(fill))
    }

    /// Tells whether a key is the right one before anything is read or written with it: kept
    /// in the pool's claim. Gives nothing of the key away.
    pub fn check_value(&self) -> [u8; 16] {
        let derived = self.0.derive("vpool v1 pool key check value");
        *derived.expose().first_chunk().expect("a key has 32 bytes")
    }

    /// Whether this is the key that `check_value` was taken of, in constant time.
    pub fn fits(&self, check_value: &[u8; 16]) -> bool {
        equal(&self.check_value(), check_value)
    }

    /// What the pool's routers work with.
    pub fn secrets(&self, pool: PoolId) -> Arc<PoolSecrets> {
        Arc::new(PoolSecrets {
            pool,
            records: self.0.derive("vpool v1 record mac"),
            tags: self.0.derive("vpool v1 clear tag"),
            contents: self.0.derive("vpool v1 clear content id"),
            wrapping: self.0.derive("vpool v1 data key wrapping"),
        })
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }

    pub(crate) fn from_secret(secret: Secret) -> PoolKey {
        PoolKey(secret)
    }
}

impl fmt::Debug for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolKey({})", KeyId::of(&self.0))
    }
}

/// The keys derived from a pool key, each for one purpose.
pub struct PoolSecrets {
    pool: PoolId,
    records: Secret,
    /// Of clear chunks and pages.
    pub(crate) tags: Secret,
    /// Of clear disks' content ids.
    pub(crate) contents: Secret,
    wrapping: Secret,
}

impl PoolSecrets {
    /// The pool.
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// The MAC of a record, header or trailer: keyed BLAKE3 over a domain (a constant that no
    /// other kind of record uses), the pool's id and the parts, each with its length.
    pub fn mac(&self, domain: &str, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(self.records.expose());
        let pool = self.pool.0.to_le_bytes();
        for part in [domain.as_bytes(), &pool].iter().chain(parts) {
            let length = u64::try_from(part.len()).expect("a length fits 64 bits");
            hasher.update(&length.to_le_bytes());
            hasher.update(part);
        }
        let hash = hasher.finalize();
        *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
    }

    /// Whether `mac` is the one of [`mac`](Self::mac), in constant time.
    pub fn verify(&self, domain: &str, parts: &[&[u8]], mac: &[u8; 16]) -> bool {
        equal(&self.mac(domain, parts), mac)
    }

    /// Wraps a disk's (or VM's) data key, bound to the disk.
    pub fn wrap(&self, key: &DataKey, disk: DiskId, fill: &mut crate::Fill<'_>) -> Vec<u8> {
        wrap::wrap(Kind::Data, &self.wrapping, disk.0, key.secret(), fill)
    }

    /// The data key of `disk` in `wrapped`.
    pub fn unwrap(&self, wrapped: &[u8], disk: DiskId) -> Result<DataKey, UnwrapError> {
        wrap::unwrap(Kind::Data, &self.wrapping, disk.0, wrapped).map(DataKey::from_secret)
    }
}

impl fmt::Debug for PoolSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolSecrets({})", self.pool)
    }
}
