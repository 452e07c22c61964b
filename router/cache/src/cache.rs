//! The two layers together.
//!
//! Owns: [`ChunkCache`], its configuration. Does not own: either layer.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use vpool_format::StreamUid;
use vpool_host::Host;
use vpool_seal::{ContentId, DiskKeys, PoolSecrets};

use crate::ChunkKey;
use crate::limits::{
    QUEUE_BYTES_MAX, QUEUE_CHUNKS_MAX, VALUE_BYTES_MAX, ZONE_BYTES, ZONE_BYTES_MAX, ZONE_BYTES_MIN,
    ZONES_MAX, ZONES_MIN,
};
use crate::memory::{CacheMemory, Memory};
use crate::ssd::Ssd;
use crate::statistics::{Counter, Statistics};
use crate::writer::{Chunk, Message, Writer};

/// What was fetched and not read yet is in the small queue, a tenth of the memory (`memory::shard`).
const AHEAD_PART: usize = 12;

/// What a cache is given.
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// The pool whose chunks it holds.
    pub pool: Arc<PoolSecrets>,
    /// Memory for values, which it may share with other caches.
    pub memory: Arc<CacheMemory>,
    /// The SSD layer; `None` for memory alone.
    pub ssd: Option<SsdConfig>,
}

/// The SSD layer.
#[derive(Debug, Clone)]
pub struct SsdConfig {
    /// The file; it and its directory are made where absent. One per pool and SSD.
    pub path: PathBuf,
    /// Its length, rounded down to whole zones. Below four zones the layer is off.
    pub bytes: u64,
    /// A read that takes longer is a miss.
    pub read_deadline: Duration,
    /// Most addresses and contents in the index, which takes about 60 bytes of memory for each
    /// chunk with one address. Beyond, the oldest zones go.
    pub index_entries_max: usize,
    /// Bytes of a zone; see `limits`. A file written with another value is empty.
    pub zone_bytes: u32,
}

impl SsdConfig {
    /// `bytes` in a file, with the usual limits: 50 ms, an index that fits chunks of 8 KiB.
    pub fn new(path: impl Into<PathBuf>, bytes: u64) -> SsdConfig {
        SsdConfig {
            path: path.into(),
            bytes,
            read_deadline: Duration::from_millis(50),
            index_entries_max: usize::try_from(2 * bytes / 8192).unwrap_or(usize::MAX),
            zone_bytes: ZONE_BYTES,
        }
    }

    /// How many zones there are.
    pub(crate) fn zones(&self) -> usize {
        let zones = (self.bytes / u64::from(self.zone_bytes)).min(u64::from(ZONES_MAX));
        usize::try_from(zones).expect("at most 2^24")
    }

    fn usable(&self) -> bool {
        let bytes = (ZONE_BYTES_MIN..=ZONE_BYTES_MAX).contains(&self.zone_bytes);
        let enough = u64::from(ZONES_MIN) * u64::from(self.zone_bytes) <= self.bytes;
        bytes && self.zone_bytes.is_multiple_of(4096) && enough
    }
}

/// Where an insert goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    /// To memory and SSD: what has been read.
    Both,
    /// To the SSD alone: what has just been shipped and need not push out what is read.
    Ssd,
}

/// The chunk cache of a pool.
pub struct ChunkCache {
    memory: Arc<Memory>,
    ssd: Option<Arc<Ssd>>,
    queue: Option<mpsc::Sender<Message>>,
    ssd_hits: Counter,
    misses: Counter,
}

impl ChunkCache {
    /// Opens the cache; what an earlier run left on the SSD is found in the background. Must be
    /// called on the runtime that is to do the work.
    pub fn open(host: Host, config: &CacheConfig) -> ChunkCache {
        let mut cache = ChunkCache {
            memory: Memory::new(&config.memory),
            ssd: None,
            queue: None,
            ssd_hits: Counter::default(),
            misses: Counter::default(),
        };
        if let Some(ssd_config) = config.ssd.as_ref().filter(|ssd| ssd.usable()) {
            let ssd = Arc::new(Ssd::new(&config.pool, ssd_config, host));
            let (sender, receiver) = mpsc::channel(QUEUE_CHUNKS_MAX);
            tokio::spawn(Writer::new(ssd.clone(), receiver).run());
            cache.ssd = Some(ssd);
            cache.queue = Some(sender);
        }
        cache
    }

    /// How many bytes may be fetched ahead of their readers, and still be there when they come.
    pub fn ahead_bytes_max(&self) -> usize {
        self.memory.capacity_bytes() / AHEAD_PART
    }

    /// Gives it so many percent of the memory that several caches share, or an equal part.
    pub fn set_share(&self, percent: Option<u8>) {
        self.memory.set_share(percent);
    }

    /// A value in memory.
    pub fn get_now(&self, key: &ChunkKey) -> Option<Bytes> {
        self.memory.get(key)
    }

    /// Fills `buf` from byte `at` of a value in memory, without allocating; `false` if the value
    /// is not there or ends before.
    pub fn read_now(&self, key: &ChunkKey, at: usize, buf: &mut [u8]) -> bool {
        self.memory.read(key, at, buf)
    }

    /// A chunk in memory, or on the SSD as far as no device is needed (verified). `keys` are
    /// those of the disk that wrote it.
    pub fn read_cached_now(&self, key: &ChunkKey, keys: &DiskKeys) -> Option<Bytes> {
        if let Some(bytes) = self.memory.get(key) {
            return Some(bytes);
        }
        let ssd = self.ssd.as_ref()?;
        let found = ssd.waiting(key).or_else(|| ssd.read_cached(key, keys));
        found.map(|(bytes, content)| self.promote(key, bytes, content))
    }

    /// A chunk in memory or on the SSD, verified, within the deadline; `None` is a miss,
    /// whatever the reason. `keys` are those of the disk that wrote it.
    pub async fn get(&self, key: &ChunkKey, keys: &DiskKeys) -> Option<Bytes> {
        if let Some(bytes) = self.memory.get(key) {
            return Some(bytes);
        }
        if let Some(ssd) = &self.ssd {
            let found = match ssd.waiting(key) {
                Some(found) => Some(found),
                None => ssd.read(key, keys).await,
            };
            if let Some((bytes, content)) = found {
                return Some(self.promote(key, bytes, content));
            }
        }
        self.misses.add(1);
        None
    }

    /// Keeps a chunk: its bytes before compression, at most 64 KiB (for the SSD a multiple of
    /// 4 KiB), and their content id by `keys`, those of the disk that wrote it. Never waits.
    /// Equal ids are taken for equal bytes from here on: the caller has made this one from these
    /// bytes. The bytes are alone in their allocation, which lives as long as they are kept.
    pub fn insert(
        &self,
        key: ChunkKey,
        bytes: Bytes,
        content: ContentId,
        keys: &DiskKeys,
        layers: Layers,
    ) {
        self.insert_with(key, bytes.len(), || bytes, content, keys, layers);
    }

    /// The same for bytes that are part of something larger: copied, if they are kept.
    pub fn insert_copy(
        &self,
        key: ChunkKey,
        bytes: &[u8],
        content: ContentId,
        keys: &DiskKeys,
        layers: Layers,
    ) {
        let copy = || Bytes::copy_from_slice(bytes);
        self.insert_with(key, bytes.len(), copy, content, keys, layers);
    }

    fn insert_with(
        &self,
        key: ChunkKey,
        length: usize,
        bytes: impl FnOnce() -> Bytes,
        content: ContentId,
        keys: &DiskKeys,
        layers: Layers,
    ) {
        if length > VALUE_BYTES_MAX {
            return;
        }
        let in_memory = layers == Layers::Both && !self.memory.contains(&key);
        let ssd = self.ssd.as_ref().filter(|ssd| ssd.wants(&key, length));
        if !in_memory && ssd.is_none() {
            return;
        }
        let bytes = bytes();
        if in_memory {
            self.memory.insert(key, bytes.clone(), Some(content));
        }
        if let Some(ssd) = ssd {
            let keys = keys.clone();
            self.enqueue(
                ssd,
                Chunk {
                    key,
                    bytes,
                    content,
                    keys,
                },
            );
        }
    }

    /// Keeps a map node, or anything else of at most 64 KiB, in memory alone.
    pub fn insert_node(&self, key: ChunkKey, bytes: &[u8]) {
        if bytes.len() <= VALUE_BYTES_MAX && !self.memory.contains(&key) {
            self.memory.insert(key, Bytes::copy_from_slice(bytes), None);
        }
    }

    /// Forgets an address in both layers.
    pub fn remove(&self, key: &ChunkKey) {
        self.memory.remove(key);
        if let Some(ssd) = &self.ssd {
            ssd.remove(key);
        }
    }

    /// Forgets all addresses of a stream in both layers. Looks at every address. What still
    /// waits to be written may come back.
    pub fn invalidate_stream(&self, uid: StreamUid) {
        self.memory.remove_where(|key| key.uid == uid);
        if let Some(ssd) = &self.ssd {
            ssd.remove_streams(|other| other == uid);
        }
    }

    /// Writes out what was inserted before, with a footer, so that a restart finds it.
    pub async fn close(&self) {
        let (sender, done) = oneshot::channel();
        if let Some(queue) = &self.queue
            && queue.send(Message::Finish(sender)).await.is_ok()
            && done.await.is_err()
        {
            tracing::debug!("the cache's writer ended before it was closed");
        }
    }

    /// What has happened so far.
    pub fn statistics(&self) -> Statistics {
        let memory = self.memory.figures();
        let mut statistics = Statistics {
            memory_hits: memory.hits,
            memory_entries: memory.entries,
            memory_bytes: memory.used_bytes,
            ssd_hits: self.ssd_hits.get(),
            misses: self.misses.get(),
            ..Statistics::default()
        };
        if let Some(ssd) = &self.ssd {
            ssd.counters.fill(&mut statistics);
            let state = ssd.state.lock();
            (statistics.ssd_chunks, statistics.ssd_bytes) = state.index.placed();
            statistics.ssd_addresses = state.index.addresses();
            statistics.ssd_on = ssd.taking.load(Ordering::Relaxed);
        }
        statistics
    }

    #[cfg(test)]
    pub(crate) fn ssd_layer(&self) -> Option<&Ssd> {
        self.ssd.as_deref()
    }

    /// An SSD hit: it is in memory from now on.
    fn promote(&self, key: &ChunkKey, bytes: Bytes, content: ContentId) -> Bytes {
        self.ssd_hits.add(1);
        self.memory.insert(*key, bytes.clone(), Some(content));
        bytes
    }

    fn enqueue(&self, ssd: &Ssd, chunk: Chunk) {
        let Some(queue) = &self.queue else {
            return;
        };
        let length = chunk.bytes.len();
        let queued = ssd.queued_bytes.fetch_add(length, Ordering::Relaxed);
        let room = ssd.taking.load(Ordering::Relaxed) && queued + length <= QUEUE_BYTES_MAX;
        let key = chunk.key;
        // Before the writer can say that it has arrived.
        ssd.wait(key, chunk.bytes.clone(), chunk.content);
        if !room || queue.try_send(Message::Chunk(chunk)).is_err() {
            ssd.arrived(&key);
            ssd.queued_bytes.fetch_sub(length, Ordering::Relaxed);
            ssd.counters.dropped.add(1);
        }
    }
}

impl fmt::Debug for ChunkCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkCache")
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}
