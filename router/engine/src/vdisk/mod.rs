//! A vDisk that is open: the log, the index, and the tasks that ship it.
//!
//! ```text
//! write: device ─> write ─> journal::log ─> index            acknowledged
//!        flush  ─> journal::file::sync ──> durable           flushed
//!        ship   ─> packer ─> store ─> index, frontier, trim  shipped
//!        merge  ─> map nodes ─> store ─> checkpoint          merged
//! read:  device ─> read ─> index ─> journal | chunks ─> store
//! ```
//!
//! Frontiers, each at most the next (P1, P3):
//! `trimmed ≤ frontier (in the journal) ≤ shipped ≤ packed ≤ durable ≤ last`
//!
//! Locks, always taken in this order: log, shipping, index.

pub mod close;
pub mod device;
pub mod index;
pub mod merge;
pub mod open;
mod owed;
mod place;
pub mod read;
pub mod recovery;
pub mod ship;
pub mod shipping;
pub mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use vpool_format::{Base, Epoch, Seq, StreamNo, StreamUid};
use vpool_metadata::DiskEntry;

use crate::chunks::Lineage;
use crate::chunks::nodes::DiskNodes;
use crate::dirty::DiskDirty;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::Log;
use crate::name::Label;
use crate::pool::Pool;

use index::Index;
use shipping::Shipping;

/// An open vDisk.
#[derive(Debug)]
pub struct VDisk {
    pool: Arc<Pool>,
    entry: DiskEntry,
    uid: StreamUid,
    epoch: Epoch,
    stream: StreamNo,
    base: Arc<Base>,
    lineage: Lineage,
    nodes: DiskNodes,
    size: AtomicU64,
    /// Blocks that the map holds.
    mapped_blocks: std::sync::atomic::AtomicI64,
    log: Mutex<Log>,
    shipping: Mutex<Shipping>,
    index: Mutex<Index>,
    /// The log is durable up to here.
    durable: AtomicU64,
    /// The newest mark that a group carries.
    marked: AtomicU64,
    /// Wakes the shipper.
    wake: Notify,
    /// Wakes who waits for the shipper.
    progress: Notify,
    /// Whether the stream's record is in the store.
    recorded: tokio::sync::Mutex<bool>,
    closing: AtomicBool,
    closed: AtomicBool,
    /// Why the disk serves no more, if it does not.
    failed: Mutex<Option<Error>>,
    has_failed: AtomicBool,
    /// What is wrong although the disk serves.
    trouble: Mutex<Option<Error>>,
    sequential: Mutex<read::Sequential>,
    /// The machines whose next flush fails: acknowledged writes of theirs may be lost.
    owed: Mutex<owed::Owed>,
    /// What the index takes in memory.
    dirty: DiskDirty,
    counts: Counts,
}

/// What a disk has done since it was opened.
#[derive(Debug, Default)]
pub struct Counts {
    /// Bytes written by clients.
    pub written_bytes: AtomicU64,
    /// Bytes read by clients.
    pub read_bytes: AtomicU64,
    /// Bytes of data segments put.
    pub shipped_bytes: AtomicU64,
    /// Segments put.
    pub segments: AtomicU64,
    /// Bytes of map nodes put.
    pub map_bytes: AtomicU64,
}

/// How a disk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The newest sequence.
    pub last: Seq,
    /// Durable up to here.
    pub durable: Seq,
    /// In the store up to here.
    pub shipped: Seq,
    /// Journal bytes not in the store.
    pub unshipped_bytes: u64,
    /// Bytes of updates that wait to be merged into the map.
    pub pending_bytes: u64,
    /// The newest checkpoint of this opening.
    pub checkpoint: u64,
    /// Bytes written by clients since the opening.
    pub written_bytes: u64,
    /// Bytes put as data segments since the opening.
    pub shipped_data_bytes: u64,
    /// Bytes put as map nodes since the opening.
    pub map_bytes: u64,
}

impl VDisk {
    /// The disk's entry as it was when it was opened.
    pub fn entry(&self) -> &DiskEntry {
        &self.entry
    }

    /// The name for errors: pool and disk.
    pub fn name(&self) -> &Label {
        &self.lineage.name
    }

    /// The size that clients have, in bytes.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Gives clients another size.
    pub(crate) fn set_size(&self, bytes: u64) {
        self.size.store(bytes, Ordering::Release);
    }

    /// The pool.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The epoch of this opening.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How the disk stands.
    pub fn status(&self) -> Status {
        let last = self.log.lock().last();
        let shipping = self.shipping.lock();
        let pending = self.index.lock().active_bytes();
        Status {
            last,
            durable: self.durable(),
            shipped: shipping.shipped().1,
            unshipped_bytes: shipping.unshipped_bytes(),
            pending_bytes: pending as u64,
            checkpoint: shipping.checkpoint(),
            written_bytes: self.counts.written_bytes.load(Ordering::Relaxed),
            shipped_data_bytes: self.counts.shipped_bytes.load(Ordering::Relaxed),
            map_bytes: self.counts.map_bytes.load(Ordering::Relaxed),
        }
    }

    /// The log is durable up to here.
    fn durable(&self) -> Seq {
        Seq(self.durable.load(Ordering::Acquire))
    }

    /// Changes the index, and notes what it takes in memory then.
    fn change_index(&self, change: impl FnOnce(&mut Index)) {
        let mut index = self.index.lock();
        change(&mut index);
        // A disk that has failed keeps no other waiting.
        let failed = self.has_failed.load(Ordering::Acquire);
        self.dirty
            .set(if failed { 0 } else { index.memory_bytes() });
    }

    /// Returns what `look` finds, as soon as there is something. The disk's task, which makes it
    /// come about, is woken.
    async fn until<T>(&self, look: impl Fn(&VDisk) -> Option<T>) -> Result<T> {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            self.check_failed()?;
            if let Some(found) = look(self) {
                return Ok(found);
            }
            self.wake.notify_one();
            progress.await;
        }
    }

    fn check_failed(&self) -> Result<()> {
        self.failed.lock().clone().map_or(Ok(()), Err)
    }

    /// Refuses what may not be served any more.
    fn check(&self) -> Result<()> {
        if self.has_failed.load(Ordering::Acquire)
            && let Some(error) = self.failed.lock().clone()
        {
            return Err(error);
        }
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::ShuttingDown,
                format!("disk {} is being closed", self.name()),
            ));
        }
        Ok(())
    }

    /// Why the disk serves no more, if it does not.
    pub fn failure(&self) -> Option<Error> {
        let failed = self.failed.lock().clone();
        failed.or_else(|| self.trouble.lock().clone())
    }

    /// Gives back the journal space of a disk that is gone.
    pub fn give_back_journal(&self) {
        let freed = self.log.lock().abandon();
        self.pool.journal().retire(freed);
    }

    /// Runs one of the disk's tasks. If it dies, the disk says so and stops: it never hangs in
    /// silence.
    fn watch(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let (disk, task) = (self.clone(), tokio::spawn(task));
        tokio::spawn(async move {
            if let Err(died) = task.await
                && died.is_panic()
            {
                disk.fail(Error::new(
                    ErrorKind::Io,
                    format!(
                        "disk {}: an internal error stopped it: restart vpoold",
                        disk.name()
                    ),
                ));
            }
        });
    }

    /// Shows a trouble that does not stop the disk, until it has passed.
    fn show_trouble(&self, trouble: Option<Error>) {
        *self.trouble.lock() = trouble;
    }

    /// Stops serving, for a reason that only a new opening can mend.
    fn fail(&self, error: Error) {
        tracing::error!(disk = %self.name(), %error, "the disk stops serving");
        self.stop_serving(error);
    }

    /// Every request is an error from now on.
    fn stop_serving(&self, error: Error) {
        self.failed.lock().get_or_insert(error);
        self.has_failed.store(true, Ordering::Release);
        // What it holds stays as it is, for requests under way; it keeps no other disk waiting.
        self.change_index(|_| {});
        self.wake.notify_one();
        self.progress.notify_waiters();
        self.pool.journal().room().notify_waiters();
    }
}
