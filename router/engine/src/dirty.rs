//! The host-wide bound on memory for what is not in the map yet: overlays and pending layers (P6).
//!
//! Owns: the accounting, who may log more. Does not own: making it less (shipping, merging).
//!
//! As with the journal's space every pool has a guaranteed part and borrows the rest: a pool whose
//! store is dead fills its part, and no other pool notices (P8).

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::shares::guaranteed;

/// Of all the memory every pool has one in so many, whatever others are given by name.
const LEAST_PART: u64 = 32;

/// The memory of all pools.
#[derive(Debug)]
pub struct DirtyMemory {
    bytes_max: u64,
    pools: Mutex<Vec<Weak<PoolPart>>>,
}

#[derive(Debug)]
struct PoolPart {
    used: AtomicU64,
    /// Given by name; 0: an equal part.
    percent: AtomicU8,
    /// Somebody was refused.
    wants: AtomicBool,
    room: Arc<Notify>,
}

/// One pool's part.
#[derive(Debug, Clone)]
pub struct PoolDirty {
    memory: Arc<DirtyMemory>,
    part: Arc<PoolPart>,
}

/// What one disk takes of its pool's part; nothing once it is dropped.
#[derive(Debug)]
pub struct DiskDirty {
    pool: PoolDirty,
    bytes: AtomicU64,
}

impl DirtyMemory {
    /// At most about `bytes_max` for all pools.
    pub fn new(bytes_max: u64) -> Arc<Self> {
        Arc::new(DirtyMemory {
            bytes_max,
            pools: Mutex::default(),
        })
    }

    /// Adds a pool; `room` is notified when a refused writer may try again.
    pub fn join(self: &Arc<Self>, room: Arc<Notify>) -> PoolDirty {
        let part = Arc::new(PoolPart {
            used: AtomicU64::new(0),
            percent: AtomicU8::new(0),
            wants: AtomicBool::new(false),
            room,
        });
        let mut pools = self.pools.lock();
        pools.retain(|part| part.strong_count() > 0);
        pools.push(Arc::downgrade(&part));
        drop(pools);
        PoolDirty {
            memory: self.clone(),
            part,
        }
    }

    /// Has those look again who were refused.
    fn wake(&self) {
        for part in self.pools.lock().iter().filter_map(Weak::upgrade) {
            if part.wants.swap(false, Ordering::SeqCst) {
                part.room.notify_waiters();
            }
        }
    }
}

impl PoolDirty {
    /// How many bytes the pool may use now: its guarantee, or what no other needs.
    fn allowed(&self) -> u64 {
        let pools = self.memory.pools.lock();
        let there: Vec<Arc<PoolPart>> = pools.iter().filter_map(Weak::upgrade).collect();
        drop(pools);
        let percent = |part: &Arc<PoolPart>| match part.percent.load(Ordering::Relaxed) {
            0 => None,
            percent => Some(percent),
        };
        let percents: Vec<Option<u8>> = there.iter().map(percent).collect();
        let parts = guaranteed(
            self.memory.bytes_max,
            &percents,
            self.memory.bytes_max / LEAST_PART,
        );
        let (mut own, mut reserved) = (0, 0);
        for (part, guaranteed) in there.iter().zip(parts) {
            match Arc::ptr_eq(part, &self.part) {
                true => own = guaranteed,
                false => reserved += part.used.load(Ordering::Relaxed).max(guaranteed),
            }
        }
        own.max(self.memory.bytes_max.saturating_sub(reserved))
    }

    /// Gives the pool a part by name, or an equal one.
    pub fn set_share(&self, percent: Option<u8>) {
        let percent = percent.unwrap_or(0);
        self.part.percent.store(percent, Ordering::SeqCst);
        self.memory.wake();
    }

    /// Whether nothing more may be logged until something has been shipped or merged.
    pub fn is_full(&self) -> bool {
        self.part.used.load(Ordering::SeqCst) >= self.allowed()
    }

    /// Whether it is time to merge even little.
    pub fn is_pressed(&self) -> bool {
        self.part.used.load(Ordering::Relaxed) >= self.allowed() / 2
    }

    /// Whether a writer has to wait. If so, the room's notification is on its way when it need
    /// not any more, for who listened to it before asking.
    pub fn refuses(&self) -> bool {
        if !self.is_full() {
            return false;
        }
        // Said first, then looked again: who gives back in between has seen one or the other.
        self.part.wants.store(true, Ordering::SeqCst);
        self.is_full()
    }

    /// The part of a disk that takes nothing yet.
    pub fn disk(&self) -> DiskDirty {
        DiskDirty {
            pool: self.clone(),
            bytes: AtomicU64::new(0),
        }
    }
}

impl DiskDirty {
    /// Whether a writer of this disk has to wait: as [`PoolDirty::refuses`], and one disk that
    /// cannot ship does not take all.
    pub fn refuses(&self) -> bool {
        let is_large = || self.bytes.load(Ordering::SeqCst) >= self.pool.allowed() / 4 * 3;
        if self.pool.refuses() {
            return true;
        }
        if !is_large() {
            return false;
        }
        self.pool.part.wants.store(true, Ordering::SeqCst);
        is_large()
    }

    /// The disk takes `bytes` now. To be called under the lock under which they were counted.
    pub fn set(&self, bytes: u64) {
        let used = &self.pool.part.used;
        let before = self.bytes.swap(bytes, Ordering::SeqCst);
        if bytes >= before {
            used.fetch_add(bytes - before, Ordering::SeqCst);
            return;
        }
        used.fetch_sub(before - bytes, Ordering::SeqCst);
        // What one pool gives back another may borrow.
        self.pool.memory.wake();
    }
}

impl Drop for DiskDirty {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_borrows_the_rest_but_no_guarantee() {
        let memory = DirtyMemory::new(1000);
        let (a, b) = (memory.join(Arc::default()), memory.join(Arc::default()));
        let (one, two) = (a.disk(), a.disk());
        one.set(700);
        assert!(!a.is_full() && a.is_pressed());
        two.set(50);
        assert!(a.is_full(), "the last quarter is b's");
        let other = b.disk();
        other.set(249);
        assert!(!b.is_full(), "whatever a has taken");
        other.set(251);
        assert!(b.is_full());
        drop(one);
        assert!(!a.is_full() && !b.is_full());
        two.set(0);
        assert!(!a.is_pressed());
    }

    #[test]
    fn what_is_given_by_name_is_there_in_any_case() {
        let memory = DirtyMemory::new(1000);
        let (a, b) = (memory.join(Arc::default()), memory.join(Arc::default()));
        a.set_share(Some(80));
        let (one, other) = (a.disk(), b.disk());
        other.set(200);
        assert!(b.is_full(), "all else is a's");
        one.set(799);
        assert!(!a.is_full());
        one.set(800);
        assert!(a.is_full());
        other.set(0);
        assert!(!a.is_full(), "it borrows what is left");
        one.set(0);
        a.set_share(None);
        other.set(749);
        assert!(!b.is_full(), "in equal parts again");
    }
}
