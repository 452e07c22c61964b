//! What the cache has done, in figures.
//!
//! Owns: [`Statistics`], the counters behind it. Does not own: how they are exported.

use std::sync::atomic::{AtomicU64, Ordering};

/// A snapshot. Counts are since the cache was opened; each is exact, but they are not taken at
/// one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Values found in memory.
    pub memory_hits: u64,
    /// Chunks found on the SSD, verified.
    pub ssd_hits: u64,
    /// Chunks asked for and found nowhere (by `get`).
    pub misses: u64,
    /// Values in memory: addresses.
    pub memory_entries: usize,
    /// Bytes of memory in use by them, overheads counted in.
    pub memory_bytes: usize,
    /// Contents on the SSD.
    pub ssd_chunks: usize,
    /// Their bytes.
    pub ssd_bytes: u64,
    /// Addresses that point to them.
    pub ssd_addresses: usize,
    /// Chunks written to the SSD for the first time.
    pub inserted: u64,
    /// Chunks that were there already under another address.
    pub deduplicated: u64,
    /// Chunks written again because they were read before their zone was recycled.
    pub carried_over: u64,
    /// Inserts dropped because the queue was full or the SSD layer was off.
    pub dropped: u64,
    /// Chunks on the SSD that did not verify.
    pub corrupt: u64,
    /// Reads of the SSD that failed.
    pub read_errors: u64,
    /// Reads of the SSD that missed the deadline.
    pub late: u64,
    /// Reads not tried because too many were under way.
    pub busy: u64,
    /// Writes to the SSD that failed; each turns the SSD layer off for a while.
    pub write_errors: u64,
    /// Whether the SSD layer takes inserts.
    pub ssd_on: bool,
}

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of the SSD layer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) inserted: Counter,
    pub(crate) deduplicated: Counter,
    pub(crate) carried_over: Counter,
    pub(crate) dropped: Counter,
    pub(crate) corrupt: Counter,
    pub(crate) read_errors: Counter,
    pub(crate) late: Counter,
    pub(crate) busy: Counter,
    pub(crate) write_errors: Counter,
}

impl Counters {
    /// Adds them to a snapshot.
    pub(crate) fn fill(&self, statistics: &mut Statistics) {
        statistics.inserted = self.inserted.get();
        statistics.deduplicated = self.deduplicated.get();
        statistics.carried_over = self.carried_over.get();
        statistics.dropped = self.dropped.get();
        statistics.corrupt = self.corrupt.get();
        statistics.read_errors = self.read_errors.get();
        statistics.late = self.late.get();
        statistics.busy = self.busy.get();
        statistics.write_errors = self.write_errors.get();
    }
}
