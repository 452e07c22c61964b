//! The SSD layer as readers and inserters see it.
//!
//! Owns: [`Ssd`]: lookups, verified reads within a deadline, the way in to the writer. Does not
//! own: filling and recycling zones (`writer`), finding old ones (`rebuild`).
//!
//! A hit: index → pin of the zone → one read → verification. A zone that is pinned is not begun
//! anew under the reader. Nothing here is ever an error to the caller: what cannot be read in
//! time or does not verify is a miss, and forgotten (P7).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use vpool_commit::{Lap, Pins, SlotPin};
use vpool_host::{File, Host};
use vpool_seal::{ContentId, DataKey, DiskKeys, PoolSecrets, TAG_BYTES};

use crate::ChunkKey;
use crate::index::{Index, Place};
use crate::key::MixBuilder;
use crate::limits::{BLOCK_BYTES, READS_MAX, VALUE_BYTES_MAX};
use crate::statistics::Counters;
use crate::zone::Layout;

/// What readers and the writer share.
#[derive(Debug)]
pub(crate) struct Ssd {
    pub(crate) host: Host,
    pub(crate) layout: Layout,
    pub(crate) path: PathBuf,
    pub(crate) read_deadline: Duration,
    pub(crate) index_entries_max: usize,
    pub(crate) state: Mutex<State>,
    pub(crate) pins: Arc<Pins>,
    reads: Arc<Semaphore>,
    /// Whether inserts are taken; not after a failed write.
    pub(crate) taking: AtomicBool,
    pub(crate) queued_bytes: AtomicUsize,
    /// Chunks that are on their way to the file and cannot be read from it yet. What has just
    /// been shipped is read from here: its store may be slow, or away.
    waiting: Mutex<HashMap<ChunkKey, (Bytes, ContentId), MixBuilder>>,
    pub(crate) counters: Counters,
}

/// What the lock protects. It is never held over I/O or an await.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) index: Index,
    /// The newest use of each zone.
    pub(crate) zones: Vec<ZoneState>,
    /// `None` before the file has been opened.
    pub(crate) file: Option<Arc<dyn File>>,
}

/// The newest use of a zone.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ZoneState {
    pub(crate) lap: Lap,
    pub(crate) order: u64,
    pub(crate) salt: [u8; 32],
}

/// A chunk that was found in the index, with its zone pinned.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) content: ContentId,
    pub(crate) place: Place,
    salt: [u8; 32],
    file: Arc<dyn File>,
    file_offset: u64,
    _pin: SlotPin,
}

/// Why a located chunk is a miss all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Miss {
    /// The file could not be read.
    Unreadable,
    /// What was read is not what was cached.
    Corrupt,
}

impl Ssd {
    pub(crate) fn new(pool: &Arc<PoolSecrets>, ssd: &crate::SsdConfig, host: Host) -> Ssd {
        let zones = ssd.zones();
        Ssd {
            host,
            layout: Layout {
                pool: pool.clone(),
                zone_bytes: ssd.zone_bytes,
            },
            path: ssd.path.clone(),
            read_deadline: ssd.read_deadline,
            index_entries_max: ssd.index_entries_max,
            state: Mutex::new(State {
                index: Index::default(),
                zones: vec![ZoneState::default(); zones],
                file: None,
            }),
            pins: Pins::new(zones, |_| {}),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            taking: AtomicBool::new(true),
            queued_bytes: AtomicUsize::new(0),
            waiting: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// Whether a chunk is worth queueing: of a length that the file takes, and not here yet.
    pub(crate) fn wants(&self, key: &ChunkKey, length: usize) -> bool {
        let fits = length > 0 && length <= VALUE_BYTES_MAX && length.is_multiple_of(BLOCK_BYTES);
        fits && self.state.lock().index.find(key).is_none()
    }

    /// A chunk is on its way to the file.
    pub(crate) fn wait(&self, key: ChunkKey, bytes: Bytes, content: ContentId) {
        self.waiting.lock().insert(key, (bytes, content));
    }

    /// A chunk has come into the file's index, or never will.
    pub(crate) fn arrived(&self, key: &ChunkKey) {
        self.waiting.lock().remove(key);
    }

    /// A chunk that is on its way to the file.
    pub(crate) fn waiting(&self, key: &ChunkKey) -> Option<(Bytes, ContentId)> {
        self.waiting.lock().get(key).cloned()
    }

    /// Reads a chunk, if it is here and comes within the deadline.
    pub(crate) async fn read(&self, key: &ChunkKey, keys: &DiskKeys) -> Option<(Bytes, ContentId)> {
        let located = Arc::new(self.locate(key, keys)?);
        let Ok(permit) = self.reads.clone().try_acquire_owned() else {
            self.counters.busy.add(1);
            return None;
        };
        let work = {
            let (located, keys) = (located.clone(), keys.clone());
            move || {
                let result = located.read(&keys);
                // Only now, also when nobody waits any more: a device that hangs holds it.
                drop(permit);
                result
            }
        };
        match tokio::time::timeout(self.read_deadline, self.host.blocking.run(work)).await {
            Ok(result) => self.settle(&located, result),
            Err(_) => {
                self.counters.late.add(1);
                None
            }
        }
    }

    /// Reads a chunk, if it is here and in the page cache.
    pub(crate) fn read_cached(
        &self,
        key: &ChunkKey,
        keys: &DiskKeys,
    ) -> Option<(Bytes, ContentId)> {
        let located = self.locate(key, keys)?;
        let mut stored = vec![0; located.stored_bytes()];
        let read = located
            .file
            .read_cached_at(&mut stored, located.file_offset);
        match read {
            Ok(false) => None,
            Ok(true) => self.settle(&located, located.verify(keys, stored)),
            Err(_) => self.settle(&located, Err(Miss::Unreadable)),
        }
    }

    /// Forgets all addresses of the streams that `doomed` names.
    pub(crate) fn remove_streams(&self, doomed: impl Fn(vpool_format::StreamUid) -> bool) {
        self.waiting.lock().retain(|key, _| !doomed(key.uid));
        self.state.lock().index.sweep(doomed);
    }

    /// Forgets an address.
    pub(crate) fn remove(&self, key: &ChunkKey) {
        self.arrived(key);
        self.state.lock().index.remove_address(key);
    }

    /// A chunk whose zone stays as it is while the answer lives.
    pub(crate) fn locate(&self, key: &ChunkKey, keys: &DiskKeys) -> Option<Located> {
        let state = self.state.lock();
        let (content, place) = state.index.find(key)?;
        // A key or none where there should be one: not this disk's content.
        if place.sealed != keys.sealed() {
            return None;
        }
        self.locate_place(&state, content, place)
    }

    /// The same for a content whose place is known.
    pub(crate) fn locate_place(
        &self,
        state: &State,
        content: ContentId,
        place: Place,
    ) -> Option<Located> {
        let file = state.file.clone()?;
        let slot = usize::try_from(place.zone).expect("32 bits fit");
        let zone = state.zones[slot];
        let start = u64::from(place.zone) * u64::from(self.layout.zone_bytes);
        Some(Located {
            content,
            place,
            salt: zone.salt,
            file,
            file_offset: start + u64::from(place.offset),
            _pin: self.pins.try_pin(slot, zone.lap)?,
        })
    }

    /// Notes what became of a read.
    fn settle(
        &self,
        located: &Located,
        result: Result<Vec<u8>, Miss>,
    ) -> Option<(Bytes, ContentId)> {
        let mut state = self.state.lock();
        match result {
            Ok(bytes) => {
                state.index.mark_read(&located.content);
                Some((Bytes::from(bytes), located.content))
            }
            Err(miss) => {
                state.index.drop_place(&located.content, located.place);
                match miss {
                    Miss::Corrupt => self.counters.corrupt.add(1),
                    Miss::Unreadable => self.counters.read_errors.add(1),
                }
                None
            }
        }
    }
}

impl Located {
    fn stored_bytes(&self) -> usize {
        self.place.plain_bytes() + if self.place.sealed { TAG_BYTES } else { 0 }
    }

    fn read(&self, keys: &DiskKeys) -> Result<Vec<u8>, Miss> {
        let mut stored = vec![0; self.stored_bytes()];
        self.file
            .read_at(&mut stored, self.file_offset)
            .map_err(|_| Miss::Unreadable)?;
        self.verify(keys, stored)
    }

    /// The plain bytes of what was stored, if they are what was cached.
    fn verify(&self, keys: &DiskKeys, stored: Vec<u8>) -> Result<Vec<u8>, Miss> {
        match &keys.data {
            Some(data) => self.unseal(data, stored),
            None if keys.content_id(&stored) == self.content => Ok(stored),
            None => Err(Miss::Corrupt),
        }
    }

    fn unseal(&self, data: &DataKey, mut stored: Vec<u8>) -> Result<Vec<u8>, Miss> {
        let bytes = self.place.plain_bytes();
        let tag = stored[bytes..].try_into().expect("a tag is behind");
        stored.truncate(bytes);
        let key = data.zone(&self.salt);
        key.open_entry(self.place.number(), &self.content, &mut stored, &tag)
            .map_err(|_| Miss::Corrupt)?;
        Ok(stored)
    }

    /// The same for the recycler, which knows the data key alone, or none for a clear disk.
    pub(crate) fn read_again(&self, data: Option<&DataKey>) -> Option<Vec<u8>> {
        let mut stored = vec![0; self.stored_bytes()];
        self.file.read_at(&mut stored, self.file_offset).ok()?;
        match data {
            Some(data) => self.unseal(data, stored).ok(),
            // Verified when it is read from where it goes.
            None => Some(stored),
        }
    }
}
