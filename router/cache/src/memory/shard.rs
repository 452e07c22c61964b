//! One shard of the memory layer: which values stay, by S3-FIFO.
//!
//! Owns: [`Shard`]. Does not own: its lock, the bound over all shards.
//!
//! S3-FIFO (Yang et al., SOSP 2023): a small queue that most values leave again without ever
//! getting further, so that a scan washes nothing out; a main queue that goes round while its
//! values are used; and the fingerprints of what was dropped, to take it up in the main queue
//! when it comes back.
//!
//! A guest that reads a chunk block after block, upwards, uses it once: only a read at or below
//! the place of the last one counts as a further use.

use std::collections::HashMap;

use bytes::Bytes;
use vpool_seal::ContentId;

use super::ghost::Ghost;
use super::list::{Linked, Links, List, at};
use crate::ChunkKey;
use crate::key::MixBuilder;
use crate::limits::ENTRY_OVERHEAD;

/// The small queue's part of a shard: one in this many bytes.
const SMALL_PART: usize = 10;
/// Uses are counted up to this many.
const USES_MAX: u8 = 3;
/// A value used more often than this in the small queue moves to the main queue.
const SMALL_USES: u8 = 1;

/// A value, and whether its bytes are shared with other addresses.
#[derive(Debug, Default)]
pub(super) struct Value {
    pub(super) bytes: Bytes,
    pub(super) shared: Option<ContentId>,
}

#[derive(Debug)]
struct Entry {
    key: ChunkKey,
    value: Value,
    uses: u8,
    main: bool,
    /// Where the last read was.
    last_at: usize,
    links: Links,
}

impl Linked for Entry {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Entry {
    fn cost(&self) -> usize {
        self.value.bytes.len() + ENTRY_OVERHEAD
    }
}

/// Values by address, in two queues.
#[derive(Debug)]
pub(super) struct Shard {
    table: HashMap<ChunkKey, u32, MixBuilder>,
    slab: Vec<Entry>,
    free: Vec<u32>,
    small: List,
    main: List,
    ghost: Ghost,
    hits: u64,
}

impl Shard {
    pub(super) fn new(share_bytes: usize) -> Shard {
        Shard {
            table: HashMap::default(),
            slab: Vec::new(),
            free: Vec::new(),
            small: List::default(),
            main: List::default(),
            // As many as there would be values of 8 KiB.
            ghost: Ghost::new(share_bytes / 8192),
            hits: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits
    }

    pub(super) fn contains(&self, key: &ChunkKey) -> bool {
        self.table.contains_key(key)
    }

    /// The value, read at byte `read_at`.
    pub(super) fn get(&mut self, key: &ChunkKey, read_at: usize) -> Option<&Bytes> {
        let entry = &mut self.slab[at(*self.table.get(key)?)];
        if read_at <= entry.last_at {
            entry.uses = (entry.uses + 1).min(USES_MAX);
        }
        entry.last_at = read_at;
        self.hits += 1;
        Some(&entry.value.bytes)
    }

    /// Adds a value whose address is not here.
    pub(super) fn insert(&mut self, key: ChunkKey, value: Value) {
        let main = self.ghost.take(key.hash64());
        let entry = Entry {
            key,
            value,
            uses: 0,
            main,
            last_at: usize::MAX,
            links: Links::default(),
        };
        let cost = entry.cost();
        let index = match self.free.pop() {
            Some(index) => {
                self.slab[at(index)] = entry;
                index
            }
            None => {
                self.slab.push(entry);
                u32::try_from(self.slab.len() - 1).expect("memory ends long before 2^32 entries")
            }
        };
        let list = if main {
            &mut self.main
        } else {
            &mut self.small
        };
        list.push(&mut self.slab, index, cost);
        self.table.insert(key, index);
    }

    pub(super) fn remove(&mut self, key: &ChunkKey) -> Option<Value> {
        let index = *self.table.get(key)?;
        Some(self.take(index))
    }

    /// The addresses that fulfil `wanted`, in the order of their places in the slab. One may
    /// come twice: places that are free keep the address that they had.
    pub(super) fn keys_where(&self, wanted: &impl Fn(&ChunkKey) -> bool) -> Vec<ChunkKey> {
        let live = |entry: &&Entry| self.table.contains_key(&entry.key) && wanted(&entry.key);
        self.slab
            .iter()
            .filter(live)
            .map(|entry| entry.key)
            .collect()
    }

    /// Drops the value that is the least worth keeping; `None` if there is none.
    pub(super) fn evict(&mut self) -> Option<Value> {
        // Each turn drops a value, or lowers its uses, or moves it out of the small queue.
        loop {
            // Of what is here: how much may be here changes with what other pools need.
            let small_bytes_max = (self.small.bytes + self.main.bytes) / SMALL_PART;
            let from_small = self.small.bytes > small_bytes_max || self.main.bytes == 0;
            let queue = if from_small { &self.small } else { &self.main };
            let index = queue.oldest()?;
            let entry = &mut self.slab[at(index)];
            let cost = entry.cost();
            if from_small {
                if entry.uses <= SMALL_USES {
                    let hash = entry.key.hash64();
                    self.ghost.add(hash);
                    return Some(self.take(index));
                }
                entry.uses = 0;
                entry.main = true;
                self.small.unlink(&mut self.slab, index, cost);
            } else {
                if entry.uses == 0 {
                    return Some(self.take(index));
                }
                entry.uses -= 1;
                self.main.unlink(&mut self.slab, index, cost);
            }
            self.main.push(&mut self.slab, index, cost);
        }
    }

    fn take(&mut self, index: u32) -> Value {
        let entry = &mut self.slab[at(index)];
        let (key, cost, main) = (entry.key, entry.cost(), entry.main);
        let list = if main {
            &mut self.main
        } else {
            &mut self.small
        };
        list.unlink(&mut self.slab, index, cost);
        self.table.remove(&key);
        self.free.push(index);
        std::mem::take(&mut self.slab[at(index)].value)
    }
}
