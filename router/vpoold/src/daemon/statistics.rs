//! What clients did with the disks, as the API shows it.
//!
//! Owns: putting counters beside names. Does not own: counting (`activity.rs`).

use std::collections::{BTreeMap, BTreeSet};

use vpool_api::{DiskStatistics, Problem, names};
use vpool_engine::router::{DiskStatus, PoolStatus};
use vpool_format::PoolId;
use vpool_object::metrics::MetricsSnapshot;

use super::{Daemon, of_engine};
use crate::activity::Counts;

/// What is known of one pool in figures.
#[derive(Debug)]
pub(crate) struct PoolFigures {
    /// How it stands.
    pub(crate) pool: PoolStatus,
    /// What clients did.
    pub(crate) counts: Counts,
    /// What was asked of its store, whether it is up, and requests sent again.
    pub(crate) store: Option<(MetricsSnapshot, bool, u64)>,
}

impl Daemon {
    /// Of one disk.
    pub(crate) fn disk_statistics(
        &self,
        disk: &names::DiskPath,
    ) -> Result<DiskStatistics, Problem> {
        self.check_pool_of(disk)?;
        let disk = self
            .router
            .disk(&disk.to_string())
            .map_err(|error| of_engine(&error))?;
        Ok(self.statistics_of(&disk))
    }

    /// Of all disks.
    pub(crate) fn all_disk_statistics(&self) -> Result<Vec<DiskStatistics>, Problem> {
        let disks = self.router.disks(None).map_err(|error| of_engine(&error))?;
        Ok(disks.iter().map(|disk| self.statistics_of(disk)).collect())
    }

    /// Of the open pools.
    pub(crate) fn pool_figures(&self) -> Vec<PoolFigures> {
        let mut counts: BTreeMap<PoolId, Counts> = self.activity.pools();
        let stores = self.stores.lock();
        let figures = |pool: PoolStatus| {
            let id = pool.entry.id;
            // Sums have all their buckets, also before the first client comes.
            let mut sum = Counts::default();
            sum.add(&counts.remove(&id).unwrap_or_default());
            PoolFigures {
                counts: sum,
                store: stores.get(&id).map(crate::stores::Store::figures),
                pool,
            }
        };
        self.router.pools().into_iter().map(figures).collect()
    }

    /// Forgets the counters of disks that are gone.
    pub(crate) fn forget_activity(&self) {
        // A pool that is not open now may come back with its disks.
        if !self.closed.lock().is_empty() {
            return;
        }
        if let Ok(disks) = self.router.disks(None) {
            let there: BTreeSet<_> = disks.iter().map(|disk| disk.entry.id).collect();
            self.activity.keep(&there);
        }
    }

    fn statistics_of(&self, disk: &DiskStatus) -> DiskStatistics {
        let counts = self.activity.counts(disk.entry.id);
        let reads = counts.reads.count();
        DiskStatistics {
            id: disk.entry.id.to_string(),
            pool: disk.pool.clone(),
            name: disk.entry.name.clone(),
            attached: disk.attached as u64,
            reads,
            writes: counts.writes.count(),
            flushes: counts.flushes.count(),
            discards: counts.discards,
            errors: counts.errors,
            read_bytes: counts.read_bytes,
            written_bytes: counts.written_bytes,
            cache_hits: counts.hits,
            cache_misses: reads.saturating_sub(counts.hits),
            backlog_bytes: disk.status.map_or(0, |status| status.unshipped_bytes),
            read_latency: counts.reads,
            write_latency: counts.writes,
            flush_latency: counts.flushes,
        }
    }
}
