//! The salts of encrypted parts: found in a segment's trailer, remembered here and locally.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vpool_format::map::ChunkAddress;
use vpool_format::{SegmentNo, StreamUid};
use vpool_host::{Batch, Durability, LocalStore};
use vpool_object::ObjectStore;

use super::{Lineage, local_key};
use crate::error::Result;
use crate::replay;

/// The local store's table.
pub const TABLE: &str = "salts";

/// Salts in memory at most (about 64 bytes each); beyond, the oldest streams' go first.
const COUNT_MAX: usize = 1 << 16;

/// The salts of a pool.
#[derive(Debug)]
pub struct Salts {
    local: Arc<dyn LocalStore>,
    known: Mutex<BTreeMap<(StreamUid, SegmentNo), [u8; 32]>>,
}

impl Salts {
    /// Over a local store that may lose all of them.
    pub fn new(local: Arc<dyn LocalStore>) -> Self {
        Salts {
            local,
            known: Mutex::default(),
        }
    }

    /// Remembers the salt of a part.
    pub fn put(&self, uid: StreamUid, segment: SegmentNo, salt: [u8; 32]) {
        let mut known = self.known.lock();
        if known.len() >= COUNT_MAX {
            known.pop_first();
        }
        known.insert((uid, segment), salt);
        drop(known);
        let mut batch = Batch::default();
        batch.put(TABLE, local_key(uid, segment), salt.to_vec());
        if let Err(error) = self.local.write(batch, Durability::Volatile) {
            tracing::debug!(%error, "a salt was not kept locally; the store has it");
        }
    }

    /// Forgets a salt that did not open what it should.
    pub fn forget(&self, lineage: &Lineage, address: &ChunkAddress) {
        let Ok(stream) = lineage.stream(address) else {
            return;
        };
        self.known.lock().remove(&(stream.uid, address.segment));
        let mut batch = Batch::default();
        batch.delete(TABLE, local_key(stream.uid, address.segment));
        if let Err(error) = self.local.write(batch, Durability::Volatile) {
            tracing::debug!(%error, "a salt was not forgotten locally");
        }
    }

    /// The salt of the part that holds `address`.
    pub async fn get(
        &self,
        store: &Arc<dyn ObjectStore>,
        lineage: &Lineage,
        address: &ChunkAddress,
    ) -> Result<[u8; 32]> {
        let stream = *lineage.stream(address)?;
        let key = (stream.uid, address.segment);
        if let Some(salt) = self.known.lock().get(&key) {
            return Ok(*salt);
        }
        let kept = self
            .local
            .get(TABLE, &local_key(key.0, key.1))
            .ok()
            .flatten();
        if let Some(salt) = kept.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            let mut known = self.known.lock();
            if known.len() >= COUNT_MAX {
                known.pop_first();
            }
            known.insert(key, salt);
            return Ok(salt);
        }
        let index = replay::read_index(store, lineage, &stream, address.segment).await?;
        self.put(key.0, key.1, index.trailer.part_salt);
        Ok(index.trailer.part_salt)
    }
}
