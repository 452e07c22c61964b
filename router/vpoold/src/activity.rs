//! What clients do with the disks, counted between the doors and the engine.
//!
//! ```text
//! NBD ─▶ Counted (one an attachment) ─▶ the engine's device
//!           └─▶ Counters (one a disk) ─▶ statistics, metrics
//! ```
//!
//! Owns: the counters, since the daemon started. Does not own: what is shown of them.
//!
//! They order nothing, so relaxed is enough. What a disk that is deleted did stays in the sum of
//! its pool: sums never shrink.

mod counted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use vpool_api::Latency;
use vpool_api::limits::{LATENCY_BUCKETS, LATENCY_US_FIRST};
use vpool_format::{DiskId, PoolId};

pub(crate) use counted::CountedExports;

/// The counters of all disks that clients came to.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    disks: Mutex<BTreeMap<DiskId, Disk>>,
    /// Of disks that are gone.
    gone: Mutex<BTreeMap<PoolId, Counts>>,
}

#[derive(Debug)]
struct Disk {
    pool: PoolId,
    counters: Arc<Counters>,
}

/// One disk's.
#[derive(Debug, Default)]
struct Counters {
    reads: Times,
    writes: Times,
    flushes: Times,
    discards: AtomicU64,
    errors: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    hits: AtomicU64,
}

/// How many there were and how long they took.
#[derive(Debug, Default)]
struct Times {
    ns: AtomicU64,
    buckets: [AtomicU64; LATENCY_BUCKETS],
}

/// What was counted, of one disk or of many.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) reads: Latency,
    pub(crate) writes: Latency,
    pub(crate) flushes: Latency,
    pub(crate) discards: u64,
    pub(crate) errors: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    /// Reads that waited for nothing.
    pub(crate) hits: u64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Times {
    /// So many took so long, each.
    fn note(&self, count: u64, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        add(&self.ns, ns.saturating_mul(count));
        add(&self.buckets[bucket_of(ns / 1000)], count);
    }

    fn latency(&self) -> Latency {
        Latency {
            total_seconds: read(&self.ns) as f64 / 1e9,
            buckets: self.buckets.iter().map(read).collect(),
        }
    }
}

fn bucket_of(us: u64) -> usize {
    let doublings = (us / LATENCY_US_FIRST)
        .checked_ilog2()
        .map_or(0, |log| log + 1);
    usize::try_from(doublings).map_or(LATENCY_BUCKETS - 1, |i| i.min(LATENCY_BUCKETS - 1))
}

impl Counters {
    fn counts(&self) -> Counts {
        Counts {
            reads: self.reads.latency(),
            writes: self.writes.latency(),
            flushes: self.flushes.latency(),
            discards: read(&self.discards),
            errors: read(&self.errors),
            read_bytes: read(&self.read_bytes),
            written_bytes: read(&self.written_bytes),
            hits: read(&self.hits),
        }
    }
}

impl Counts {
    /// Adds those of another disk.
    pub(crate) fn add(&mut self, other: &Counts) {
        sum(&mut self.reads, &other.reads);
        sum(&mut self.writes, &other.writes);
        sum(&mut self.flushes, &other.flushes);
        self.discards += other.discards;
        self.errors += other.errors;
        self.read_bytes += other.read_bytes;
        self.written_bytes += other.written_bytes;
        self.hits += other.hits;
    }
}

fn sum(into: &mut Latency, other: &Latency) {
    into.total_seconds += other.total_seconds;
    into.buckets.resize(LATENCY_BUCKETS, 0);
    for (bucket, more) in into.buckets.iter_mut().zip(&other.buckets) {
        *bucket += more;
    }
}

impl Activity {
    /// The counters of a disk that a client comes to.
    fn of(&self, id: DiskId, pool: PoolId) -> Arc<Counters> {
        let mut disks = self.disks.lock();
        let disk = disks.entry(id).or_insert_with(|| Disk {
            pool,
            counters: Arc::default(),
        });
        disk.counters.clone()
    }

    /// What was counted of a disk.
    pub(crate) fn counts(&self, id: DiskId) -> Counts {
        let disks = self.disks.lock();
        let counts = disks.get(&id).map(|disk| disk.counters.counts());
        drop(disks);
        let mut all = Counts::default();
        all.add(&counts.unwrap_or_default());
        all
    }

    /// What was counted in each pool, with the disks that are gone.
    pub(crate) fn pools(&self) -> BTreeMap<PoolId, Counts> {
        let disks = self.disks.lock();
        let mut pools = self.gone.lock().clone();
        for disk in disks.values() {
            let counts = disk.counters.counts();
            pools.entry(disk.pool).or_default().add(&counts);
        }
        pools
    }

    /// Forgets disks that are not there any more, but for the sums of their pools.
    pub(crate) fn keep(&self, there: &BTreeSet<DiskId>) {
        let mut disks = self.disks.lock();
        let mut gone = self.gone.lock();
        disks.retain(|id, disk| {
            // One that a client still holds counts on.
            if there.contains(id) || Arc::strong_count(&disk.counters) > 1 {
                return true;
            }
            let counts = disk.counters.counts();
            gone.entry(disk.pool).or_default().add(&counts);
            false
        });
    }
}

#[cfg(test)]
mod tests {
    //! Buckets and sums.

    use super::{Activity, bucket_of};
    use std::collections::BTreeSet;
    use std::time::Duration;
    use vpool_api::bound_seconds;
    use vpool_api::limits::LATENCY_BUCKETS;
    use vpool_format::{DiskId, PoolId};

    #[test]
    fn buckets_are_those_of_the_api() {
        for (us, bucket) in [(0, 0), (15, 0), (16, 1), (31, 1), (32, 2), (u64::MAX, 19)] {
            assert_eq!(bucket_of(us), bucket, "{us} us");
        }
        for bucket in 0..LATENCY_BUCKETS - 1 {
            let bound = Duration::from_secs_f64(bound_seconds(bucket)).as_micros();
            let bound = u64::try_from(bound).expect("seconds");
            assert_eq!(bucket_of(bound - 1), bucket);
            assert_eq!(bucket_of(bound), bucket + 1);
        }
    }

    #[test]
    fn sums_never_shrink() {
        let activity = Activity::default();
        let (pool, first, second) = (PoolId(1), DiskId(1), DiskId(2));
        for id in [first, second] {
            let counters = activity.of(id, pool);
            counters.reads.note(3, Duration::from_micros(20));
            super::add(&counters.read_bytes, 4096);
        }
        let sum = activity.pools();
        assert_eq!(sum[&pool].reads.count(), 6);
        assert_eq!(sum[&pool].read_bytes, 8192);
        let held = activity.of(second, pool);
        activity.keep(&BTreeSet::new());
        assert_eq!(activity.pools(), sum);
        assert_eq!(activity.counts(first).reads.count(), 0);
        assert_eq!(activity.counts(second).reads.count(), 3);
        held.writes.note(1, Duration::ZERO);
        drop(held);
        activity.keep(&BTreeSet::new());
        assert_eq!(activity.pools()[&pool].writes.count(), 1);
        assert_eq!(activity.pools()[&pool].reads.count(), 6);
    }
}
