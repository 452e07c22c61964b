//! The bytes that the memory layers of all pools share.
//!
//! Owns: [`CacheMemory`], which layer gives way. Does not own: what it drops first (`shard`).
//!
//! A layer takes what no other uses. When there is no more, the one that asks gives way itself if
//! it has more than its part, else the one that is furthest above its own does: a pool that is read
//! little leaves its part to others, and has it back as soon as it is read. A part is what was given
//! to the layer, or an equal part of the rest.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Memory;

/// Memory for the chunks of several caches.
#[derive(Debug)]
pub struct CacheMemory {
    bytes_max: usize,
    used_bytes: AtomicUsize,
    layers: Mutex<Vec<Weak<Memory>>>,
}

impl CacheMemory {
    /// At most `bytes_max` for all of them, overheads counted in.
    pub fn new(bytes_max: usize) -> Arc<CacheMemory> {
        Arc::new(CacheMemory {
            bytes_max,
            used_bytes: AtomicUsize::new(0),
            layers: Mutex::default(),
        })
    }

    /// What all of them may take.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn is_over(&self) -> bool {
        self.used_bytes.load(Ordering::Relaxed) > self.bytes_max
    }

    pub(super) fn take(&self, bytes: usize) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn join(&self, layer: &Arc<Memory>) {
        let mut layers = self.layers.lock();
        layers.retain(|other| other.strong_count() > 0);
        layers.push(Arc::downgrade(layer));
    }

    /// Which layer is to give way to `asking`: `None` for itself.
    pub(super) fn who_gives_way(&self, asking: &Memory) -> Option<Arc<Memory>> {
        let layers = self.layers.lock();
        let there: Vec<Arc<Memory>> = layers.iter().filter_map(Weak::upgrade).collect();
        let given: usize = there.iter().filter_map(|layer| layer.percent()).sum();
        let others = there.iter().filter(|layer| layer.percent().is_none());
        let of =
            |percent: usize| self.bytes_max / 100 * percent + self.bytes_max % 100 * percent / 100;
        let equal = of(100_usize.saturating_sub(given)) / others.count().max(1);
        let above = |layer: &Memory| {
            let part = layer.percent().map_or(equal, of);
            layer.used_bytes().saturating_sub(part)
        };
        if above(asking) > 0 {
            return None;
        }
        let most = there.iter().max_by_key(|layer| above(layer));
        most.filter(|layer| above(layer) > 0).cloned()
    }
}
