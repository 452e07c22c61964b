//! The memory layer: values by address, equal contents once, bounded in bytes.
//!
//! Owns: [`Memory`]. Does not own: what is dropped first in a shard (`shard`), the SSD.
//!
//! An address lives in one shard, whose lock is all that a hit takes. Contents with an id are
//! held once, whatever the number of their addresses (`contents`); their bytes are counted once.
//! Lock order: shard, then contents.

mod budget;
mod contents;
mod ghost;
mod list;
mod shard;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use vpool_seal::ContentId;

use crate::ChunkKey;
use crate::limits::{ENTRY_OVERHEAD, SHARD_BYTES_MIN, SHARDS_MAX, VALUE_BYTES_MAX};
pub use budget::CacheMemory;
use contents::Contents;
use shard::{Shard, Value};

/// Values in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    shards: Box<[Mutex<Shard>]>,
    contents: Contents,
    used_bytes: AtomicUsize,
    /// Its part of the memory, if it was given one; 0: an equal part.
    percent: AtomicU8,
    budget: Arc<CacheMemory>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.budget.give_back(*self.used_bytes.get_mut());
    }
}

/// Figures of the memory layer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MemoryFigures {
    pub(crate) hits: u64,
    pub(crate) entries: usize,
    pub(crate) used_bytes: usize,
}

impl Memory {
    /// One layer of those that share the memory.
    pub(crate) fn new(budget: &Arc<CacheMemory>) -> Arc<Memory> {
        let capacity_bytes = budget.bytes_max();
        let shards = (capacity_bytes / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let shards = 1 << shards.ilog2();
        let share_bytes = capacity_bytes / shards;
        let memory = Arc::new(Memory {
            shards: (0..shards)
                .map(|_| Mutex::new(Shard::new(share_bytes)))
                .collect(),
            contents: Contents::default(),
            used_bytes: AtomicUsize::new(0),
            percent: AtomicU8::new(0),
            budget: budget.clone(),
        });
        budget.join(&memory);
        memory
    }

    /// Bytes that it may take while no other layer needs any.
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.budget.bytes_max()
    }

    /// Bytes that it takes.
    fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Gives it a part of the memory, or an equal one.
    pub(crate) fn set_share(&self, percent: Option<u8>) {
        self.percent.store(percent.unwrap_or(0), Ordering::Relaxed);
    }

    fn percent(&self) -> Option<usize> {
        match self.percent.load(Ordering::Relaxed) {
            0 => None,
            percent => Some(usize::from(percent)),
        }
    }

    /// The value of an address.
    pub(crate) fn get(&self, key: &ChunkKey) -> Option<Bytes> {
        self.shards[self.shard_of(key)].lock().get(key, 0).cloned()
    }

    /// Fills `buf` from byte `at` of the value, if that is here and long enough.
    pub(crate) fn read(&self, key: &ChunkKey, at: usize, buf: &mut [u8]) -> bool {
        let mut shard = self.shards[self.shard_of(key)].lock();
        let Some(bytes) = shard.get(key, at) else {
            return false;
        };
        let end = at.saturating_add(buf.len());
        let Some(part) = bytes.get(at..end) else {
            return false;
        };
        buf.copy_from_slice(part);
        true
    }

    /// Whether an address is here; does not count as a use.
    pub(crate) fn contains(&self, key: &ChunkKey) -> bool {
        self.shards[self.shard_of(key)].lock().contains(key)
    }

    /// Adds a value that owns its memory alone. One that is there already stays; one that is
    /// too long is not kept.
    pub(crate) fn insert(&self, key: ChunkKey, bytes: Bytes, content: Option<ContentId>) {
        let cost = bytes.len() + ENTRY_OVERHEAD;
        if bytes.len() > VALUE_BYTES_MAX || cost > self.budget.bytes_max() / 2 {
            return;
        }
        let home = self.shard_of(&key);
        {
            let mut shard = self.shards[home].lock();
            if shard.contains(&key) {
                return;
            }
            let (value, new_bytes) = self.contents.share(bytes, content);
            let new_bytes = new_bytes + ENTRY_OVERHEAD;
            self.used_bytes.fetch_add(new_bytes, Ordering::Relaxed);
            self.budget.take(new_bytes);
            shard.insert(key, value);
        }
        if self.budget.is_over() {
            match self.budget.who_gives_way(self) {
                None => self.shrink(home),
                Some(larger) => larger.shrink(home % larger.shards.len()),
            }
        }
    }

    /// Forgets an address.
    pub(crate) fn remove(&self, key: &ChunkKey) {
        let mut shard = self.shards[self.shard_of(key)].lock();
        if let Some(value) = shard.remove(key) {
            self.release(value);
        }
    }

    /// Forgets every address that fulfils `doomed`.
    pub(crate) fn remove_where(&self, doomed: impl Fn(&ChunkKey) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            for key in shard.keys_where(&doomed) {
                if let Some(value) = shard.remove(&key) {
                    self.release(value);
                }
            }
        }
    }

    pub(crate) fn figures(&self) -> MemoryFigures {
        let mut figures = MemoryFigures {
            used_bytes: self.used_bytes(),
            ..MemoryFigures::default()
        };
        for shard in &self.shards {
            let shard = shard.lock();
            figures.hits += shard.hits();
            figures.entries += shard.len();
        }
        figures
    }

    /// Evicts until the bound holds, from the shard that grew first.
    fn shrink(&self, home: usize) {
        let shards = self.shards.len();
        for turn in 0..shards {
            let index = (home + turn) % shards;
            while self.budget.is_over() {
                let Some(value) = self.shards[index].lock().evict() else {
                    break;
                };
                self.release(value);
            }
        }
    }

    fn release(&self, value: Value) {
        let freed = self.contents.release(value) + ENTRY_OVERHEAD;
        self.used_bytes.fetch_sub(freed, Ordering::Relaxed);
        self.budget.give_back(freed);
    }

    fn shard_of(&self, key: &ChunkKey) -> usize {
        // The middle bits: the table inside a shard uses both ends.
        let shards = u64::try_from(self.shards.len()).expect("at most 64");
        usize::try_from((key.hash64() >> 32) % shards).expect("below 64")
    }
}

#[cfg(test)]
mod tests;
