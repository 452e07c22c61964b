//! Closing a vDisk: what was accepted is durable, shipped if there is time, and recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vpool_format::SealedEnd;
use vpool_format::journal::RecordKind;

use super::VDisk;
use crate::error::{Error, Result};

/// How a disk was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// All of it is in the store; the journal holds nothing of it.
    Shipped,
    /// The journal holds a durable tail, shipped after the next opening.
    InJournal,
}

impl VDisk {
    /// Stops taking requests, ships for at most `limit`, and ends the disk's task.
    pub async fn close(self: &Arc<Self>, limit: Duration) -> Result<Closed> {
        self.closing.store(true, Ordering::Release);
        self.pool.journal().room().notify_waiters();
        let closed = match tokio::time::timeout(limit, self.ship_all()).await {
            Ok(Ok(end)) => {
                self.stop();
                self.pool.metadata().close(self.entry.id, end).await?;
                let freed = self.log.lock().close();
                self.pool.journal().retire(freed);
                Ok(Closed::Shipped)
            }
            Ok(Err(error)) if self.has_failed.load(Ordering::Acquire) => Err(error),
            Ok(Err(_)) | Err(_) => self.keep_in_journal().await.map(|()| Closed::InJournal),
        };
        self.stop();
        closed
    }

    fn stop(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
        self.progress.notify_waiters();
    }

    /// Ends the disk's tasks without shipping: it is being deleted, or its pool is gone.
    pub fn abandon(&self) {
        self.closing.store(true, Ordering::Release);
        self.stop_serving(Error::new(
            crate::error::ErrorKind::ShuttingDown,
            format!("disk {} is closed", self.name()),
        ));
        self.stop();
    }

    async fn ship_all(self: &Arc<Self>) -> Result<SealedEnd> {
        self.ship_to_store().await?;
        if !self.index.lock().is_merged() {
            self.shipping.lock().ask_for_merge();
        }
        self.until(|disk| {
            // Under the log's lock: no write slips in between the look and the end of the log.
            let mut log = disk.log.lock();
            let settled = disk.shipping.lock().settled();
            let merged = disk.index.lock().is_merged();
            if let Some((segment, seq, checkpoint)) = settled.filter(|_| merged) {
                log.shut();
                return Some(SealedEnd {
                    uid: disk.uid,
                    epoch: disk.epoch,
                    segment,
                    seq,
                    checkpoint,
                });
            }
            None
        })
        .await
    }

    /// Makes the tail durable, with a mark behind it that tells damage from a torn tail.
    async fn keep_in_journal(self: &Arc<Self>) -> Result<()> {
        let last = {
            let mut log = self.log.lock();
            log.shut();
            log.last()
        };
        self.pool.journal().sync().await?;
        self.durable.fetch_max(last.0, Ordering::AcqRel);
        let marked = self
            .log
            .lock()
            .append_control(RecordKind::FlushMark, &[], last)?;
        if marked {
            self.pool.journal().sync().await?;
        }
        Ok(())
    }
}
