//! What clients did with a disk, in counters.
//!
//! Owns: the form, and what can be computed from two of them. Does not own: counting (`vpoold`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::{LATENCY_BUCKETS, LATENCY_US_FIRST};

/// Counters of one disk since the daemon started: all grow, but for the backlog.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiskStatistics {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// Its pool's name.
    pub pool: String,
    /// Its name in the pool.
    pub name: String,
    /// Clients that are attached now.
    pub attached: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Writes that were acknowledged.
    pub writes: u64,
    /// Flushes that were answered.
    pub flushes: u64,
    /// Trims and writes of zeroes that were acknowledged.
    pub discards: u64,
    /// Requests of any kind that failed.
    pub errors: u64,
    /// Bytes of the reads.
    pub read_bytes: u64,
    /// Bytes of the writes.
    pub written_bytes: u64,
    /// Reads that were answered from memory, without waiting.
    pub cache_hits: u64,
    /// Reads that waited for the SSD or the store.
    pub cache_misses: u64,
    /// Bytes acknowledged that are not in the store yet, now.
    pub backlog_bytes: u64,
    /// How long reads took.
    pub read_latency: Latency,
    /// How long writes took, the wait for room included.
    pub write_latency: Latency,
    /// How long flushes took.
    pub flush_latency: Latency,
}

/// How long requests took, from their arrival at the disk to its answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// The sum of all times.
    pub total_seconds: f64,
    /// Requests by their times: bucket `i` counts those that took less than `16 << i`
    /// microseconds and no less than the one before; the last one all that took longer.
    pub buckets: Vec<u64>,
}

impl Latency {
    /// How many requests there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What came since an earlier look. One that was larger is of an earlier life of the daemon:
    /// then everything is new.
    #[must_use]
    pub fn since(&self, earlier: &Latency) -> Latency {
        let grown = self
            .buckets
            .iter()
            .zip(&earlier.buckets)
            .map(|(now, then)| now.checked_sub(*then))
            .collect::<Option<Vec<u64>>>();
        match grown {
            Some(buckets) if buckets.len() == self.buckets.len() => Latency {
                total_seconds: (self.total_seconds - earlier.total_seconds).max(0.0),
                buckets,
            },
            _ => self.clone(),
        }
    }

    /// The time in seconds that `percent` of the requests did not exceed, as the upper bound of
    /// their bucket; `None` without requests.
    pub fn percentile_seconds(&self, percent: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = percent / 100.0 * count as f64;
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|bucket| {
            seen += bucket;
            seen as f64 >= wanted
        });
        Some(bound_seconds(
            bucket.unwrap_or(self.buckets.len().saturating_sub(1)),
        ))
    }
}

/// The upper bound of a bucket; that of the last one, which has none, is twice the one before.
pub fn bound_seconds(bucket: usize) -> f64 {
    let shift = bucket.min(LATENCY_BUCKETS - 1);
    (LATENCY_US_FIRST << shift) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    //! Percentiles and differences.

    use super::Latency;

    fn latency(buckets: &[u64]) -> Latency {
        Latency {
            total_seconds: 1.0,
            buckets: buckets.to_vec(),
        }
    }

    #[test]
    fn percentiles_are_bounds_of_buckets() {
        assert_eq!(latency(&[0, 0]).percentile_seconds(99.0), None);
        let seen = latency(&[98, 1, 1]);
        assert_eq!(seen.percentile_seconds(50.0), Some(16e-6));
        assert_eq!(seen.percentile_seconds(99.0), Some(32e-6));
        assert_eq!(seen.percentile_seconds(100.0), Some(64e-6));
    }

    #[test]
    fn what_came_since() {
        let now = latency(&[5, 3]);
        assert_eq!(now.since(&latency(&[2, 3])).buckets, [3, 0]);
        // An earlier life had counted further.
        assert_eq!(now.since(&latency(&[2, 4])).buckets, [5, 3]);
        assert_eq!(now.since(&Latency::default()).buckets, [5, 3]);
    }
}
