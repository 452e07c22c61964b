//! Counts of what goes to a store and how long it takes.
//!
//! Owns: the counters and their snapshot. Does not own: how they are exposed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::ObjectStore;
use crate::around::{Answer, Call, delete_many_as_one, object_store_around};
use crate::error::{ErrorKind, Result};
use crate::operation::Operation;

/// The histogram's buckets: bucket `i` counts requests that took less than
/// `LATENCY_US_FIRST << i` microseconds and no less than the one before; the last one all
/// that took longer. From 0.25 ms to 64 s, and beyond.
pub const LATENCY_BUCKETS: usize = 20;

/// The upper bound of the first bucket in microseconds.
pub const LATENCY_US_FIRST: u64 = 250;

/// The upper bound of a bucket; `None` for the last.
pub fn latency_bound(bucket: usize) -> Option<Duration> {
    (bucket + 1 < LATENCY_BUCKETS).then(|| Duration::from_micros(LATENCY_US_FIRST << bucket))
}

/// One operation's counters. Each is exact; together they may be of slightly different
/// moments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationMetrics {
    /// The operation.
    pub operation: Operation,
    /// Requests begun.
    pub requests: u64,
    /// Requests that have neither ended nor been dropped.
    pub in_flight: u64,
    /// Requests that the caller dropped before they ended.
    pub cancelled: u64,
    /// Failed requests, by the place of their kind in [`ERROR_KINDS`].
    pub errors: [u64; ERROR_KINDS.len()],
    /// Bytes of bodies sent in requests that succeeded.
    pub sent_bytes: u64,
    /// Bytes of bodies received.
    pub received_bytes: u64,
    /// Requests that ended, by how long they took.
    pub latency: [u64; LATENCY_BUCKETS],
    /// The sum of those times.
    pub latency_total: Duration,
}

impl OperationMetrics {
    /// All failed requests.
    pub fn error_count(&self) -> u64 {
        self.errors.iter().sum()
    }

    /// Failed requests of one kind.
    pub fn errors_of(&self, kind: ErrorKind) -> u64 {
        self.errors[kind_index(kind)]
    }
}

/// The kinds of errors, in the order in which they are counted.
pub const ERROR_KINDS: [ErrorKind; 9] = [
    ErrorKind::Invalid,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::Denied,
    ErrorKind::NoLocation,
    ErrorKind::Unavailable,
    ErrorKind::Throttled,
    ErrorKind::Damaged,
    ErrorKind::NoSpace,
];

const fn kind_index(kind: ErrorKind) -> usize {
    match kind {
        ErrorKind::Invalid => 0,
        ErrorKind::NotFound => 1,
        ErrorKind::Conflict => 2,
        ErrorKind::Denied => 3,
        ErrorKind::NoLocation => 4,
        ErrorKind::Unavailable => 5,
        ErrorKind::Throttled => 6,
        ErrorKind::Damaged => 7,
        ErrorKind::NoSpace => 8,
    }
}

/// The counters of all operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// One for each operation, in the order of [`Operation::ALL`].
    pub operations: [OperationMetrics; Operation::COUNT],
}

impl MetricsSnapshot {
    /// The counters of one operation.
    pub fn of(&self, operation: Operation) -> &OperationMetrics {
        &self.operations[operation.index()]
    }

    /// All requests begun.
    pub fn requests(&self) -> u64 {
        self.operations.iter().map(|one| one.requests).sum()
    }
}

/// The decorator. A `delete_many` counts as one request, failed if all of it failed.
#[derive(Debug)]
pub struct MetricsStore {
    inner: Arc<dyn ObjectStore>,
    counters: [Counters; Operation::COUNT],
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    ended: AtomicU64,
    cancelled: AtomicU64,
    errors: [AtomicU64; ERROR_KINDS.len()],
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    latency: [AtomicU64; LATENCY_BUCKETS],
    latency_us: AtomicU64,
}

/// Counts a request as cancelled unless it is told how it ended.
struct Running<'a> {
    counters: &'a Counters,
    ended: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            add(&self.counters.cancelled, 1);
        }
    }
}

/// The counters order nothing, so relaxed is enough.
fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn bucket_of(latency_us: u64) -> usize {
    let doublings = (latency_us / LATENCY_US_FIRST)
        .checked_ilog2()
        .map_or(0, |log| log + 1);
    usize::try_from(doublings).map_or(LATENCY_BUCKETS - 1, |i| i.min(LATENCY_BUCKETS - 1))
}

impl MetricsStore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        MetricsStore {
            inner,
            counters: Default::default(),
        }
    }

    /// The counters as they are now.
    pub fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            operations: Operation::ALL.map(|operation| {
                let counters = &self.counters[operation.index()];
                // Read first: what ends later is begun already, so in_flight is never negative.
                let done = read(&counters.ended) + read(&counters.cancelled);
                let requests = read(&counters.requests);
                OperationMetrics {
                    operation,
                    requests,
                    in_flight: requests.saturating_sub(done),
                    cancelled: read(&counters.cancelled),
                    errors: std::array::from_fn(|i| read(&counters.errors[i])),
                    sent_bytes: read(&counters.sent_bytes),
                    received_bytes: read(&counters.received_bytes),
                    latency: std::array::from_fn(|i| read(&counters.latency[i])),
                    latency_total: Duration::from_micros(read(&counters.latency_us)),
                }
            }),
        }
    }

    async fn around<'a, T: Answer>(
        &self,
        call: Call<'_>,
        run: impl Fn() -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        let counters = &self.counters[call.operation.index()];
        add(&counters.requests, 1);
        let mut running = Running {
            counters,
            ended: false,
        };
        let begin = Instant::now();
        let result = run().await;
        running.ended = true;
        add(&counters.ended, 1);
        let us = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        add(&counters.latency[bucket_of(us)], 1);
        add(&counters.latency_us, us);
        match &result {
            Ok(answer) => {
                add(&counters.sent_bytes, call.sent_bytes);
                add(&counters.received_bytes, answer.body_bytes());
            }
            Err(error) => add(&counters.errors[kind_index(error.kind())], 1),
        }
        result
    }

    delete_many_as_one!();
}

object_store_around!(MetricsStore);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_bounds_agree() {
        for us in [
            0,
            1,
            249,
            250,
            499,
            500,
            999,
            1000,
            63_999_999,
            64_000_000,
            u64::MAX,
        ] {
            let bucket = bucket_of(us);
            let latency = Duration::from_micros(us);
            assert!(
                latency_bound(bucket).is_none_or(|bound| latency < bound),
                "{us}"
            );
            let above = bucket == 0 || latency_bound(bucket - 1).is_some_and(|b| latency >= b);
            assert!(above, "{us}");
        }
    }

    #[test]
    fn kinds_are_counted_in_their_place() {
        for (i, kind) in ERROR_KINDS.into_iter().enumerate() {
            assert_eq!(kind_index(kind), i);
        }
    }
}
