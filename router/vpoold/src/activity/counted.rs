//! Disks that count what is asked of them.
//!
//! Owns: which request counts as what. Does not own: answering any (the engine).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use vpool_block::{
    Accepted, Attached, BlockDevice, BlockError, ExportName, Exports, Extent, Limits, Write,
};
use vpool_engine::router::Router;
use vpool_engine::vdisk::device::Device;

use super::{Activity, Counters, Times, add};

/// The router's disks, counted.
#[derive(Debug)]
pub(crate) struct CountedExports {
    router: Arc<Router>,
    activity: Arc<Activity>,
}

impl CountedExports {
    /// Those of `router`, counted into `activity`.
    pub(crate) fn new(router: Arc<Router>, activity: Arc<Activity>) -> CountedExports {
        CountedExports { router, activity }
    }
}

#[async_trait]
impl Exports for CountedExports {
    async fn list(&self) -> Vec<ExportName> {
        self.router.list().await
    }

    async fn attach(&self, name: &str, remote: Option<&str>) -> Result<Attached, BlockError> {
        let device = self.router.device_for(name, remote).await?;
        let entry = device.disk().entry();
        let counters = self.activity.of(entry.id, entry.pool);
        Ok(Arc::new(Counted {
            device,
            counters,
            waited_ns: AtomicU64::new(0),
        }))
    }
}

/// One attachment.
struct Counted {
    device: Device,
    counters: Arc<Counters>,
    /// What the next write has waited for room.
    waited_ns: AtomicU64,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.device.fmt(f)
    }
}

impl Counted {
    /// Counts one request that was answered, or failed.
    fn ended(&self, times: &Times, begun: Instant, failed: bool) {
        if failed {
            add(&self.counters.errors, 1);
        } else {
            times.note(1, begun.elapsed());
        }
    }

    fn cleared(&self, failed: bool) {
        let counters = &self.counters;
        let counter = if failed {
            &counters.errors
        } else {
            &counters.discards
        };
        add(counter, 1);
    }
}

#[async_trait]
impl BlockDevice for Counted {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn limits(&self) -> Limits {
        self.device.limits()
    }

    fn write_now(&self, writes: &[Write<'_>]) -> Accepted {
        let begun = Instant::now();
        let accepted = self.device.write_now(writes);
        if accepted.writes > 0 {
            let bytes: usize = writes[..accepted.writes]
                .iter()
                .map(|write| write.data.len())
                .sum();
            let time = begun.elapsed();
            let waited = Duration::from_nanos(self.waited_ns.swap(0, Ordering::Relaxed));
            let counters = &self.counters;
            counters.writes.note(1, time + waited);
            counters.writes.note(accepted.writes as u64 - 1, time);
            add(&counters.written_bytes, bytes as u64);
        }
        if accepted.error.is_some() {
            add(&self.counters.errors, 1);
        }
        accepted
    }

    async fn writable(&self) -> Result<(), BlockError> {
        let begun = Instant::now();
        let waited = self.device.writable().await;
        let ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.waited_ns.fetch_max(ns, Ordering::Relaxed);
        if waited.is_err() {
            add(&self.counters.errors, 1);
        }
        waited
    }

    fn read_now(&self, offset: u64, buf: &mut [u8]) -> Option<Result<(), BlockError>> {
        let begun = Instant::now();
        let read = self.device.read_now(offset, buf)?;
        self.ended(&self.counters.reads, begun, read.is_err());
        if read.is_ok() {
            add(&self.counters.read_bytes, buf.len() as u64);
            add(&self.counters.hits, 1);
        }
        Some(read)
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let begun = Instant::now();
        let read = self.device.read(offset, buf).await;
        self.ended(&self.counters.reads, begun, read.is_err());
        if read.is_ok() {
            add(&self.counters.read_bytes, buf.len() as u64);
        }
        read
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        let discarded = self.device.discard(offset, length).await;
        self.cleared(discarded.is_err());
        discarded
    }

    async fn write_zeroes(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        let zeroed = self.device.write_zeroes(offset, length).await;
        self.cleared(zeroed.is_err());
        zeroed
    }

    async fn flush(&self) -> Result<(), BlockError> {
        let begun = Instant::now();
        let flushed = self.device.flush().await;
        self.ended(&self.counters.flushes, begun, flushed.is_err());
        flushed
    }

    fn left(&self) {
        self.device.left();
    }

    async fn prefetch(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.device.prefetch(offset, length).await
    }

    async fn extents(
        &self,
        offset: u64,
        length: u64,
        count_max: usize,
    ) -> Result<Vec<Extent>, BlockError> {
        self.device.extents(offset, length, count_max).await
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), BlockError> {
        let begun = Instant::now();
        let written = self.device.write(offset, data).await;
        self.ended(&self.counters.writes, begun, written.is_err());
        if written.is_ok() {
            add(&self.counters.written_bytes, data.len() as u64);
        }
        written
    }
}
