//! Map nodes: decoded in memory, sealed in the local store, else from the object store.
//!
//! Owns: the three levels and their verification. All but the object store may vanish between
//! any two steps.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use vpool_cache::ChunkKey;
use vpool_format::StreamUid;
use vpool_format::map::{ChunkAddress, Hint, Node};
use vpool_host::{Batch, Durability, LocalStore};
use vpool_map::NodeSource;

use super::{Chunks, Lineage, local_key};
use crate::error::{Error, ErrorKind, Result};

/// The local store's table.
pub const TABLE: &str = "nodes";

/// Memory for decoded nodes, in equal parts for all pools.
#[derive(Debug)]
pub struct NodeMemory {
    bytes_max: u64,
    part_bytes: AtomicUsize,
    pools: Mutex<Vec<Weak<Mutex<Memory>>>>,
}

impl NodeMemory {
    /// About `bytes_max` for all pools.
    pub fn new(bytes_max: u64) -> Arc<NodeMemory> {
        Arc::new(NodeMemory {
            bytes_max,
            part_bytes: AtomicUsize::new(0),
            pools: Mutex::default(),
        })
    }

    /// One more pool: the others give up what is its part now.
    fn join(&self, pool: &Arc<Mutex<Memory>>) {
        let mut pools = self.pools.lock();
        pools.retain(|other| other.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
        let part = self.bytes_max / pools.len() as u64;
        let part = usize::try_from(part).unwrap_or(usize::MAX);
        self.part_bytes.store(part, Ordering::Relaxed);
        for pool in pools.iter().filter_map(Weak::upgrade) {
            pool.lock().shrink(part);
        }
    }

    fn part(&self) -> usize {
        self.part_bytes.load(Ordering::Relaxed)
    }
}

/// The nodes of a pool.
#[derive(Debug)]
pub struct Nodes {
    chunks: Arc<Chunks>,
    local: Arc<dyn LocalStore>,
    secrets: Arc<vpool_seal::PoolSecrets>,
    memory: Arc<Mutex<Memory>>,
    memory_of_all: Arc<NodeMemory>,
}

#[derive(Debug, Default)]
struct Memory {
    nodes: BTreeMap<ChunkKey, (Arc<Node>, bool)>,
    order: VecDeque<ChunkKey>,
    bytes: usize,
}

/// What a decoded node takes, roughly.
fn weight(node: &Node) -> usize {
    let entries = match node {
        Node::Leaf { runs, .. } => runs.len(),
        Node::Inner { children, .. } => children.len(),
    };
    160 + entries * 40
}

impl Memory {
    fn get(&mut self, key: &ChunkKey) -> Option<Arc<Node>> {
        let (node, used) = self.nodes.get_mut(key)?;
        *used = true;
        Some(node.clone())
    }

    /// Second chance: what was used since its last turn goes round once more.
    fn put(&mut self, key: ChunkKey, node: Arc<Node>, bytes_max: usize) {
        let bytes = weight(&node);
        if self.nodes.insert(key, (node, false)).is_none() {
            self.order.push_back(key);
            self.bytes += bytes;
        }
        self.shrink(bytes_max);
    }

    fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(oldest) = self.order.pop_front()
        {
            match self.nodes.get_mut(&oldest) {
                Some((_, used)) if *used => {
                    *used = false;
                    self.order.push_back(oldest);
                }
                _ => {
                    if let Some((node, _)) = self.nodes.remove(&oldest) {
                        self.bytes -= weight(&node);
                    }
                }
            }
        }
    }
}

impl Nodes {
    /// The nodes of a pool; its part of `memory_of_all` holds them decoded.
    pub fn new(
        chunks: Arc<Chunks>,
        local: Arc<dyn LocalStore>,
        secrets: Arc<vpool_seal::PoolSecrets>,
        memory_of_all: Arc<NodeMemory>,
    ) -> Self {
        let memory = Arc::default();
        memory_of_all.join(&memory);
        Nodes {
            chunks,
            local,
            secrets,
            memory,
            memory_of_all,
        }
    }

    /// Keeps a node that has just been made.
    pub fn keep(&self, lineage: &Lineage, uid: StreamUid, address: &ChunkAddress, encoded: &[u8]) {
        let key = ChunkKey {
            uid,
            segment: address.segment,
            slot: address.slot,
        };
        if let Ok(node) = Node::decode(encoded) {
            self.memory
                .lock()
                .put(key, Arc::new(node), self.memory_of_all.part());
        }
        self.keep_local(lineage, key, encoded);
    }

    /// In the local store a node is followed by a MAC that binds it to its address. Nodes hold
    /// addresses, no guest data.
    fn keep_local(&self, lineage: &Lineage, key: ChunkKey, encoded: &[u8]) {
        let name = local_name(key);
        let tag = self.secrets.mac(
            "local node",
            &[&lineage.keys.disk.0.to_le_bytes(), &name, encoded],
        );
        let mut value = encoded.to_vec();
        value.extend_from_slice(&tag);
        let mut batch = Batch::default();
        batch.put(TABLE, name, value);
        if let Err(error) = self.local.write(batch, Durability::Volatile) {
            tracing::debug!(%error, "a map node was not kept locally; the store has it");
        }
    }

    fn local(&self, lineage: &Lineage, key: ChunkKey) -> Option<Node> {
        let name = local_name(key);
        let value = self.local.get(TABLE, &name).ok().flatten()?;
        let (encoded, tag) = value.split_last_chunk::<16>()?;
        let parts: [&[u8]; 3] = [&lineage.keys.disk.0.to_le_bytes(), &name, encoded];
        if !self.secrets.verify("local node", &parts, tag) {
            return None;
        }
        Node::decode(encoded).ok()
    }
}

fn local_name(key: ChunkKey) -> Vec<u8> {
    let mut name = local_key(key.uid, key.segment);
    name.extend_from_slice(&key.slot.0.to_be_bytes());
    name
}

/// The nodes that one disk's map names.
#[derive(Debug, Clone)]
pub struct DiskNodes {
    /// The pool's.
    pub nodes: Arc<Nodes>,
    /// What the addresses lead to.
    pub lineage: Lineage,
}

impl NodeSource for DiskNodes {
    type Error = Error;

    fn node_now(&self, address: &ChunkAddress, _hint: &Hint) -> Option<Arc<Node>> {
        let key = self.lineage.key(address).ok()?;
        self.nodes.memory.lock().get(&key)
    }

    async fn node(
        &self,
        address: &ChunkAddress,
        hint: &Hint,
        level: u8,
        number: u64,
    ) -> Result<Arc<Node>> {
        let key = self.lineage.key(address)?;
        if let Some(node) = self.node_now(address, hint) {
            return Ok(node);
        }
        if let Some(node) = self.nodes.local(&self.lineage, key) {
            let node = Arc::new(node);
            self.nodes
                .memory
                .lock()
                .put(key, node.clone(), self.nodes.memory_of_all.part());
            return Ok(node);
        }
        let bytes = self
            .nodes
            .chunks
            .fetch_node(&self.lineage, address, hint)
            .await?;
        let node = Node::decode(&bytes).map_err(|error| {
            Error::new(
                ErrorKind::Corrupt,
                format!(
                    "disk {}: map node {number} of level {level} does not decode: {error}",
                    self.lineage.name
                ),
            )
        })?;
        let node = Arc::new(node);
        self.nodes.keep_local(&self.lineage, key, &bytes);
        self.nodes
            .memory
            .lock()
            .put(key, node.clone(), self.nodes.memory_of_all.part());
        Ok(node)
    }
}
