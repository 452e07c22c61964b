//! Chunks by address: from the cache, else from the store, verified, once for all who ask.
//!
//! Owns: single flight, joining neighbours into one ranged GET, verification and what is done
//! when it fails. Does not own: the cache (`vpool-cache`), which chunks are wanted
//! (`vdisk::read`).

pub mod nodes;
pub mod salts;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use vpool_cache::{ChunkCache, ChunkKey, Layers};
use vpool_format::checkpoint::StreamEntry;
use vpool_format::map::{ChunkAddress, Hint};
use vpool_format::names::Name;
use vpool_format::segment::{Codec, Content};
use vpool_format::{DiskId, StreamUid};
use vpool_map::Chunk;
use vpool_object::{Key, ObjectStore};
use vpool_seal::{ChunkContext, ContentId, Decompressor, DiskKeys, TAG_BYTES};

use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::name::Label;
use salts::Salts;

/// What the addresses in one disk's map lead to: its streams by number, and its keys.
#[derive(Debug, Clone)]
pub struct Lineage {
    /// The disk's name, for errors.
    pub name: Label,
    /// The streams, ascending by number.
    pub streams: Arc<[StreamEntry]>,
    /// The keys.
    pub keys: Arc<DiskKeys>,
}

impl Lineage {
    /// The stream that an address names.
    pub fn stream(&self, address: &ChunkAddress) -> Result<&StreamEntry> {
        self.streams
            .binary_search_by_key(&address.stream, |entry| entry.number)
            .map(|index| &self.streams[index])
            .map_err(|_| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "disk {}: its map names stream {}, which its checkpoint does not know",
                        self.name, address.stream
                    ),
                )
            })
    }

    fn key(&self, address: &ChunkAddress) -> Result<ChunkKey> {
        let stream = self.stream(address)?;
        Ok(ChunkKey {
            uid: stream.uid,
            segment: address.segment,
            slot: address.slot,
        })
    }

    fn object(&self, address: &ChunkAddress) -> Result<Key> {
        let stream = self.stream(address)?;
        object_key(&Name::Segment {
            disk: stream.disk,
            epoch: stream.epoch,
            uid: stream.uid,
            segment: address.segment,
        })
    }
}

/// The key of a named object.
pub fn object_key(name: &Name) -> Result<Key> {
    Ok(Key::new(name.to_string())?)
}

type Answer = Option<Result<Bytes>>;

/// The chunks of one pool.
#[derive(Debug)]
pub struct Chunks {
    store: Arc<dyn ObjectStore>,
    cache: Arc<ChunkCache>,
    salts: Salts,
    lag: Duration,
    flights: Mutex<BTreeMap<ChunkKey, watch::Receiver<Answer>>>,
    gets: AtomicU64,
    damaged: AtomicU64,
}

/// One chunk that is to be fetched.
struct Wanted {
    key: ChunkKey,
    address: ChunkAddress,
    hint: Hint,
    content: Content,
    raw_bytes: u32,
    answer: watch::Sender<Answer>,
}

/// What a tag adds to a stored chunk.
const TAG_BYTES_U32: u32 = 16;
const _: () = assert!(TAG_BYTES_U32 as usize == TAG_BYTES);

/// Chunks this close in one object are fetched by one GET.
const JOIN_GAP_BYTES: u64 = 64 << 10;
/// And at most so much by one.
const JOIN_BYTES_MAX: u64 = 4 << 20;
/// How long a read waits for a store that does not answer before it fails.
const READ_DEADLINE: Duration = Duration::from_secs(120);

impl Chunks {
    /// The chunks of a pool.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        cache: Arc<ChunkCache>,
        salts: Salts,
        lag: Duration,
    ) -> Self {
        Chunks {
            store,
            cache,
            salts,
            lag,
            flights: Mutex::default(),
            gets: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
        }
    }

    /// The cache.
    pub fn cache(&self) -> &Arc<ChunkCache> {
        &self.cache
    }

    /// The salts of encrypted parts.
    pub fn salts(&self) -> &Salts {
        &self.salts
    }

    /// Ranged GETs made for chunks, and chunks that failed verification.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.gets.load(Ordering::Relaxed),
            self.damaged.load(Ordering::Relaxed),
        )
    }

    /// Copies bytes of a chunk from byte `at` of it, if that needs no device.
    pub fn read_now(&self, lineage: &Lineage, chunk: &Chunk, at: u32, buf: &mut [u8]) -> bool {
        let Ok(key) = lineage.key(&chunk.address) else {
            return false;
        };
        if self.cache.read_now(&key, at as usize, buf) {
            return true;
        }
        let Some(bytes) = self.cache.read_cached_now(&key, &lineage.keys) else {
            return false;
        };
        let Some(part) = bytes.get(at as usize..at as usize + buf.len()) else {
            return false;
        };
        buf.copy_from_slice(part);
        true
    }

    /// The plain bytes of chunks, in the order asked for.
    pub async fn fetch(
        self: &Arc<Self>,
        lineage: &Lineage,
        chunks: &[Chunk],
    ) -> Result<Vec<Bytes>> {
        let mut cached = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let key = lineage.key(&chunk.address)?;
            cached.push((key, self.cache.get(&key, &lineage.keys).await));
        }
        // From here to the start of the flights nothing is awaited: a flight that is joined by
        // others is always flown, whatever becomes of this caller.
        let mut answers = Vec::with_capacity(chunks.len());
        let mut missing = Vec::new();
        for (chunk, (key, bytes)) in chunks.iter().zip(cached) {
            if let Some(bytes) = bytes {
                answers.push(Err(bytes));
                continue;
            }
            let raw_bytes = u32::from(chunk.chunk_blocks) * limits::BLOCK_U32;
            let (receiver, wanted) =
                self.join(key, chunk.address, chunk.hint, Content::Data, raw_bytes);
            missing.extend(wanted);
            answers.push(Ok((key, receiver)));
        }
        self.start(lineage, missing);
        let mut fetched = Vec::with_capacity(answers.len());
        for answer in answers {
            fetched.push(match answer {
                Err(bytes) => bytes,
                Ok((key, receiver)) => self.wait(key, receiver).await?,
            });
        }
        Ok(fetched)
    }

    /// The bytes of a map node, from the store.
    pub async fn fetch_node(
        self: &Arc<Self>,
        lineage: &Lineage,
        address: &ChunkAddress,
        hint: &Hint,
    ) -> Result<Bytes> {
        let key = lineage.key(address)?;
        let raw_bytes = hint.stored_bytes.saturating_sub(TAG_BYTES_U32);
        let (receiver, wanted) = self.join(key, *address, *hint, Content::MapNode, raw_bytes);
        self.start(lineage, wanted.into_iter().collect());
        self.wait(key, receiver).await
    }

    /// Joins the flight of a chunk, or opens one.
    fn join(
        &self,
        key: ChunkKey,
        address: ChunkAddress,
        hint: Hint,
        content: Content,
        raw_bytes: u32,
    ) -> (watch::Receiver<Answer>, Option<Wanted>) {
        let mut flights = self.flights.lock();
        if let Some(receiver) = flights.get(&key) {
            return (receiver.clone(), None);
        }
        let (answer, receiver) = watch::channel(None);
        flights.insert(key, receiver.clone());
        (
            receiver,
            Some(Wanted {
                key,
                address,
                hint,
                content,
                raw_bytes,
                answer,
            }),
        )
    }

    async fn wait(&self, key: ChunkKey, mut receiver: watch::Receiver<Answer>) -> Result<Bytes> {
        if let Ok(answer) = receiver.wait_for(Option::is_some).await {
            return answer.clone().expect("it was waited for");
        }
        // The task that flew it died. The next reader starts a new flight.
        let mut flights = self.flights.lock();
        if flights
            .get(&key)
            .is_some_and(|flight| flight.same_channel(&receiver))
        {
            flights.remove(&key);
        }
        let what = format!(
            "the fetch of chunk {} of stream {} was cut off",
            key.slot, key.uid
        );
        Err(Error::new(ErrorKind::Unavailable, what))
    }

    /// Fetches what is wanted in tasks of its own: who asked may go away, others may wait.
    fn start(self: &Arc<Self>, lineage: &Lineage, mut wanted: Vec<Wanted>) {
        wanted.sort_by_key(|wanted| {
            (
                wanted.address.stream,
                wanted.address.segment,
                wanted.hint.offset,
            )
        });
        let mut group: Vec<Wanted> = Vec::new();
        let mut groups = Vec::new();
        for next in wanted {
            let joins = group
                .first()
                .zip(group.last())
                .is_some_and(|(first, last)| {
                    let end = u64::from(last.hint.offset) + u64::from(last.hint.stored_bytes);
                    let next_end = u64::from(next.hint.offset) + u64::from(next.hint.stored_bytes);
                    (first.address.stream, first.address.segment)
                        == (next.address.stream, next.address.segment)
                        && u64::from(next.hint.offset) <= end + JOIN_GAP_BYTES
                        && next_end - u64::from(first.hint.offset) <= JOIN_BYTES_MAX
                });
            if !joins && !group.is_empty() {
                groups.push(std::mem::take(&mut group));
            }
            group.push(next);
        }
        if !group.is_empty() {
            groups.push(group);
        }
        for group in groups {
            let (chunks, lineage) = (self.clone(), lineage.clone());
            tokio::spawn(async move {
                let answers = chunks.fetch_group(&lineage, &group).await;
                let mut flights = chunks.flights.lock();
                for (wanted, answer) in group.iter().zip(answers) {
                    flights.remove(&wanted.key);
                    wanted.answer.send_replace(Some(answer));
                }
            });
        }
    }

    /// One GET for neighbours in one object. What does not verify is fetched again: it may have
    /// been damaged on its way.
    async fn fetch_group(&self, lineage: &Lineage, group: &[Wanted]) -> Vec<Result<Bytes>> {
        let mut tries = 1;
        loop {
            let fetched = self.get_group(lineage, group).await;
            let answers: Vec<Result<Bytes>> = match fetched {
                Err(error) => group.iter().map(|_| Err(error.clone())).collect(),
                Ok((salt, bytes)) => {
                    let start = u64::from(group[0].hint.offset);
                    group
                        .iter()
                        .map(|wanted| {
                            let from = u64::from(wanted.hint.offset) - start;
                            let from = usize::try_from(from).expect("within a bounded range");
                            let stored = &bytes[from..from + wanted.hint.stored_bytes as usize];
                            self.open(lineage, wanted, &salt, stored)
                        })
                        .collect()
                }
            };
            let corrupt = answers
                .iter()
                .any(|answer| matches!(answer, Err(e) if e.kind() == ErrorKind::Corrupt));
            if corrupt && tries < limits::VERIFY_TRIES {
                tries += 1;
                self.salts.forget(lineage, &group[0].address);
                tokio::time::sleep(self.lag.max(limits::VERIFY_PAUSE)).await;
                continue;
            }
            return answers;
        }
    }

    async fn get_group(&self, lineage: &Lineage, group: &[Wanted]) -> Result<([u8; 32], Bytes)> {
        let first = &group[0];
        let object = lineage.object(&first.address)?;
        let salt = match lineage.keys.sealed() {
            true => self.salts.get(&self.store, lineage, &first.address).await?,
            false => [0; 32],
        };
        let last = group.last().expect("a group is not empty");
        let end = u64::from(last.hint.offset) + u64::from(last.hint.stored_bytes);
        let range = u64::from(first.hint.offset)..end;
        self.gets.fetch_add(1, Ordering::Relaxed);
        let bytes = with_patience(READ_DEADLINE, || {
            self.store.get_range(&object, range.clone())
        })
        .await
        .map_err(|error| read_error(lineage, &object, &error))?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "disk {}: {object} answered {} bytes for {range:?}",
                    lineage.name,
                    bytes.len()
                ),
            ));
        }
        Ok((salt, bytes))
    }

    fn open(
        &self,
        lineage: &Lineage,
        wanted: &Wanted,
        salt: &[u8; 32],
        stored: &[u8],
    ) -> Result<Bytes> {
        let plain = open_chunk(
            lineage,
            wanted.key,
            wanted.content,
            wanted.hint.codec,
            wanted.raw_bytes,
            salt,
            stored,
        );
        let Some((plain, id)) = plain else {
            self.damaged.fetch_add(1, Ordering::Relaxed);
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "disk {}: chunk {} of object {} is not what was written: restore the object, \
                     or roll the disk back",
                    lineage.name,
                    wanted.key.slot,
                    lineage.object(&wanted.address)?
                ),
            ));
        };
        let plain = Bytes::from(plain);
        if wanted.content == Content::Data {
            let id = id.unwrap_or_else(|| lineage.keys.content_id(&plain));
            self.cache
                .insert(wanted.key, plain.clone(), id, &lineage.keys, Layers::Both);
        }
        Ok(plain)
    }
}

thread_local! {
    // Its tables cost more to make than a chunk to unpack.
    static DECOMPRESSOR: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// Verifies and unpacks a chunk as it is stored; `None` if it is not what was sealed. With its
/// content id where that is free.
pub fn open_chunk(
    lineage: &Lineage,
    key: ChunkKey,
    content: Content,
    codec: Codec,
    raw_bytes: u32,
    salt: &[u8; 32],
    stored: &[u8],
) -> Option<(Vec<u8>, Option<ContentId>)> {
    let disk: DiskId = lineage
        .streams
        .iter()
        .find(|entry| entry.uid == key.uid)
        .map(|entry| entry.disk)?;
    let context = ChunkContext {
        pool: lineage.keys.pool_id(),
        disk,
        uid: key.uid,
        segment: key.segment,
        slot: key.slot,
        content,
        codec,
        raw_bytes,
    };
    let mut packed = Vec::with_capacity(stored.len());
    let part = lineage.keys.part(salt);
    let id = part.open(&context, stored, &mut packed).ok()?;
    match codec {
        Codec::Raw => (packed.len() == raw_bytes as usize).then_some((packed, id)),
        Codec::Zstd => {
            let mut plain = Vec::with_capacity(raw_bytes as usize);
            DECOMPRESSOR
                .with_borrow_mut(|it| it.decompress(&packed, raw_bytes, &mut plain))
                .ok()?;
            Some((plain, None))
        }
    }
}

/// Repeats what fails for a reason that may pass, with growing pauses, until the deadline.
pub async fn with_patience<T, F, Fut>(
    deadline: Duration,
    mut operation: F,
) -> vpool_object::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = vpool_object::Result<T>>,
{
    let start = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(50);
    loop {
        match operation().await {
            Err(error) if error.is_transient() && start.elapsed() < deadline => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            other => return other,
        }
    }
}

/// What a failed read of an object means for the disk.
pub fn read_error(lineage: &Lineage, object: &Key, error: &vpool_object::Error) -> Error {
    use vpool_object::ErrorKind as Store;
    let kind = match error.kind() {
        Store::NotFound | Store::Invalid | Store::Damaged | Store::Conflict => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    let remedy = match kind {
        ErrorKind::Corrupt => "it must be there: restore it, or roll the disk back",
        _ => "check the object store",
    };
    Error::new(
        kind,
        format!("disk {}: read {object}: {error}; {remedy}", lineage.name),
    )
}

/// What single keys of the local store begin with.
pub fn local_key(uid: StreamUid, segment: vpool_format::SegmentNo) -> Vec<u8> {
    let mut key = Vec::with_capacity(26);
    key.extend_from_slice(&uid.0.to_be_bytes());
    key.extend_from_slice(&segment.0.to_be_bytes());
    key
}
