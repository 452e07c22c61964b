//! Nodes in memory, for tests and simulations.
//!
//! Owns: [`MemoryNodes`], a source and a sink that count what passes. Does not own: anything a
//! router uses on its own behalf; nothing is evicted, sealed or shipped here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use vpool_format::map::{ChunkAddress, Hint, Node};
use vpool_format::segment::Codec;
use vpool_format::{FormatError, SegmentNo, Slot, StreamNo};

use crate::node::{NodeSink, NodeSource};

/// What was asked of a [`MemoryNodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Nodes read by [`NodeSource::node`].
    pub read: u64,
    /// Most reads at a time.
    pub reading_max: usize,
    /// Nodes put.
    pub put: u64,
    /// Their encoded bytes.
    pub put_bytes: u64,
}

/// Why a node cannot be had from memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// No node was put there.
    #[error("no node at {0:?}")]
    NotFound(ChunkAddress),
    /// What was put there is no node.
    #[error("decode a node")]
    Format(#[from] FormatError),
}

/// Encoded nodes by address.
#[derive(Debug, Default)]
pub struct MemoryNodes {
    nodes: Mutex<BTreeMap<Key, Arc<[u8]>>>,
    /// Nodes that [`NodeSource::node_now`] finds.
    warm: Mutex<BTreeMap<Key, Arc<Node>>>,
    reading: AtomicUsize,
    reading_max: AtomicUsize,
    read: AtomicU64,
}

/// Segment and slot; there is one stream.
type Key = (u64, u16);

fn key(address: &ChunkAddress) -> Key {
    (address.segment.0, address.slot.0)
}

/// The map behind a lock; no code that can panic runs while it is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemoryNodes {
    /// No nodes.
    pub fn new() -> MemoryNodes {
        MemoryNodes::default()
    }

    /// What was asked since the last call (puts are counted by the sink).
    pub fn take_counts(&self) -> Counts {
        Counts {
            read: self.read.swap(0, Ordering::Relaxed),
            reading_max: self.reading_max.swap(0, Ordering::Relaxed),
            ..Counts::default()
        }
    }

    /// How many nodes are held.
    pub fn len(&self) -> usize {
        lock(&self.nodes).len()
    }

    /// Whether no node is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets go of a node. Returns whether it was there.
    pub fn remove(&self, address: &ChunkAddress) -> bool {
        lock(&self.warm).remove(&key(address));
        lock(&self.nodes).remove(&key(address)).is_some()
    }

    /// Puts other bytes in the place of a node's.
    pub fn damage(&self, address: &ChunkAddress, encoded: &[u8]) {
        lock(&self.warm).remove(&key(address));
        lock(&self.nodes).insert(key(address), encoded.into());
    }

    /// Makes [`NodeSource::node_now`] find all nodes held.
    ///
    /// # Errors
    /// One of them does not decode.
    pub fn warm_up(&self) -> Result<(), MemoryError> {
        let mut warm = BTreeMap::new();
        for (key, encoded) in lock(&self.nodes).iter() {
            warm.insert(*key, Arc::new(Node::decode(encoded)?));
        }
        *lock(&self.warm) = warm;
        Ok(())
    }

    /// Makes [`NodeSource::node_now`] find none.
    pub fn cool_down(&self) {
        lock(&self.warm).clear();
    }

    /// A sink into these nodes: segments of at most `segment_nodes` nodes, numbered from
    /// `first` on, each of one level.
    pub fn sink(&self, first: SegmentNo, segment_nodes: u16) -> MemorySink<'_> {
        MemorySink {
            into: self,
            segment: first.0,
            segment_nodes,
            waiting: Vec::new(),
            counts: Counts::default(),
        }
    }
}

impl NodeSource for MemoryNodes {
    type Error = MemoryError;

    fn node_now(&self, address: &ChunkAddress, _: &Hint) -> Option<Arc<Node>> {
        lock(&self.warm).get(&key(address)).cloned()
    }

    async fn node(
        &self,
        address: &ChunkAddress,
        _: &Hint,
        _: u8,
        _: u64,
    ) -> Result<Arc<Node>, MemoryError> {
        let reading = self.reading.fetch_add(1, Ordering::Relaxed) + 1;
        self.reading_max.fetch_max(reading, Ordering::Relaxed);
        self.read.fetch_add(1, Ordering::Relaxed);
        // Some reads take longer than others, so that answers come out of order.
        Turns(address.slot.0 % 5).await;
        self.reading.fetch_sub(1, Ordering::Relaxed);
        let held = lock(&self.nodes).get(&key(address)).cloned();
        let encoded = held.ok_or(MemoryError::NotFound(*address))?;
        Ok(Arc::new(Node::decode(&encoded)?))
    }
}

/// Lets others run so many times.
struct Turns(u16);

impl Future for Turns {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Takes the nodes of one merge; see [`MemoryNodes::sink`].
#[derive(Debug)]
pub struct MemorySink<'a> {
    into: &'a MemoryNodes,
    segment: u64,
    segment_nodes: u16,
    waiting: Vec<Vec<u8>>,
    counts: Counts,
}

impl MemorySink<'_> {
    /// What was put.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The segment that the next level would begin with.
    pub fn next_segment(&self) -> SegmentNo {
        SegmentNo(self.segment)
    }
}

impl NodeSink for MemorySink<'_> {
    type Error = Infallible;

    async fn put(&mut self, _: u8, _: u64, encoded: Vec<u8>) -> Result<(), Infallible> {
        self.counts.put += 1;
        self.counts.put_bytes += encoded.len() as u64;
        self.waiting.push(encoded);
        Turns(1).await;
        Ok(())
    }

    async fn finish_level(&mut self) -> Result<Vec<(ChunkAddress, Hint)>, Infallible> {
        let mut places = Vec::with_capacity(self.waiting.len());
        let mut slot = 0;
        let mut nodes = lock(&self.into.nodes);
        for encoded in self.waiting.drain(..) {
            if slot == self.segment_nodes {
                self.segment += 1;
                slot = 0;
            }
            let address = ChunkAddress {
                stream: StreamNo(1),
                segment: SegmentNo(self.segment),
                slot: Slot(slot),
            };
            let stored_bytes = u32::try_from(encoded.len()).expect("a node is small");
            let hint = Hint {
                offset: 0,
                stored_bytes,
                codec: Codec::Raw,
            };
            nodes.insert(key(&address), encoded.into());
            places.push((address, hint));
            slot += 1;
        }
        self.segment += 1;
        Ok(places)
    }
}
