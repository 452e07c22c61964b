//! Writing: into the log, into the index, acknowledged. Flushing: durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use vpool_block::{Accepted, Write};
use vpool_format::Seq;
use vpool_format::journal::RecordKind;

use super::VDisk;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::Change;
use crate::limits;

impl VDisk {
    /// Refuses a range that is not within the disk.
    pub(super) fn check_range(&self, offset: u64, length: u64) -> Result<()> {
        let size = self.size.load(Ordering::Acquire);
        match offset.checked_add(length) {
            Some(end) if end <= size => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "disk {}: {length} bytes at {offset} are beyond its end ({size} bytes)",
                    self.name()
                ),
            )),
        }
    }

    /// Accepts writes in order, as far as there is room.
    pub(super) fn accept(self: &Arc<Self>, writes: &[Write<'_>]) -> Accepted {
        let mut changes = Vec::with_capacity(writes.len());
        let mut refused = self.check().err();
        if refused.is_none() {
            for write in writes {
                let length = write.data.len() as u64;
                if let Err(error) = self.check_range(write.offset, length) {
                    refused = Some(error);
                    break;
                }
                // A large write that would stop half-way is refused here: it is logged piece by
                // piece by whoever waits for it, and no piece twice.
                if length > limits::WRITE_WHOLE_BYTES && !self.pool.journal().has_room_for(length) {
                    break;
                }
                changes.push(Change {
                    kind: RecordKind::Write,
                    offset: write.offset,
                    length,
                    payload: write.data,
                });
            }
        }
        match self.log_changes(&changes, 0) {
            Ok((logged, _)) if logged < changes.len() => Accepted {
                writes: logged,
                error: None,
            },
            Ok((logged, _)) if logged < writes.len() && refused.is_none() => {
                // Room for what was refused is being made while its sender waits.
                self.pool.journal().make_room();
                Accepted {
                    writes: logged,
                    error: None,
                }
            }
            Ok((logged, _)) => Accepted {
                writes: logged,
                error: refused.map(Into::into),
            },
            Err(error) => Accepted {
                writes: 0,
                error: Some(error.into()),
            },
        }
    }

    /// Logs changes as far as there is room: how many whole, and bytes of the next.
    pub(super) fn log_changes(
        self: &Arc<Self>,
        changes: &[Change<'_>],
        done_bytes: u64,
    ) -> Result<(usize, u64)> {
        // Nothing to log is no record.
        let empty = changes
            .iter()
            .take_while(|change| change.length == 0)
            .count();
        let changes = &changes[empty..];
        if changes.is_empty() {
            return Ok((empty, 0));
        }
        let stop = changes
            .iter()
            .position(|change| change.length == 0)
            .unwrap_or(changes.len());
        let journal = self.pool.journal();
        if journal.unsynced_bytes() > limits::UNSYNCED_BYTES_MAX {
            self.sync_in_background();
            return Ok((empty, done_bytes));
        }
        if self.dirty.refuses() {
            journal.ask_for_extents();
            return Ok((empty, done_bytes));
        }
        let mut placed = Vec::with_capacity(changes.len());
        let mut log = self.log.lock();
        let durable = self.durable();
        let appended = log.append(&changes[..stop], done_bytes, durable, &mut placed);
        if !placed.is_empty() {
            // Some group carries it.
            self.marked.fetch_max(durable.0, Ordering::AcqRel);
        }
        let (before, unpacked) = self
            .shipping
            .lock()
            .logged(&placed, self.pool.host().clock.boot_ns());
        if crate::planted::is("overlaps-out-of-order") {
            placed.reverse();
        }
        self.change_index(|index| index.logged(&placed));
        drop(log);
        let bytes: u64 = placed
            .iter()
            .filter(|p| p.at.is_some())
            .map(|p| p.length)
            .sum();
        self.counts
            .written_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        // With each segment that is full now, and with the first byte of one.
        let cut_bytes = self.pool.tuning().cut_bytes;
        if unpacked / cut_bytes > before / cut_bytes || before == 0 {
            self.wake.notify_one();
        }
        if journal.unsynced_bytes() > limits::UNSYNCED_BYTES_SYNC {
            self.sync_in_background();
        }
        let progress = appended?;
        if progress.changes == stop && stop < changes.len() {
            let (more, bytes) = self.log_changes(&changes[stop..], 0)?;
            return Ok((empty + stop + more, bytes));
        }
        Ok((empty + progress.changes, progress.bytes_of_next))
    }

    /// Logs one change, waiting for room.
    pub(crate) async fn log_all(self: &Arc<Self>, change: Change<'_>) -> Result<()> {
        let mut done = 0;
        loop {
            self.check()?;
            let room = self.pool.journal().room().notified();
            tokio::pin!(room);
            room.as_mut().enable();
            match self.log_changes(&[change], done)? {
                (1, _) => return Ok(()),
                (_, bytes) => done = bytes,
            }
            self.wake.notify_one();
            room.await;
        }
    }

    /// Returns when there may be room for a write, or why there never will be.
    pub(super) async fn wait_for_room(&self) -> Result<()> {
        let room = self.pool.journal().room().notified();
        tokio::pin!(room);
        room.as_mut().enable();
        self.check()?;
        self.pool.journal().check_healthy()?;
        if self.pool.journal().has_room() && !self.dirty.refuses() {
            return Ok(());
        }
        self.wake.notify_one();
        room.await;
        self.check()?;
        self.pool.journal().check_healthy()
    }

    /// Makes everything acknowledged before the call durable (P1).
    pub(crate) async fn make_durable(self: &Arc<Self>) -> Result<Seq> {
        self.check()?;
        let last = self.log.lock().last();
        if self.durable() >= last {
            self.pool.journal().check_healthy()?;
            return Ok(last);
        }
        self.pool.journal().sync().await?;
        self.durable.fetch_max(last.0, Ordering::AcqRel);
        // The shipper writes the mark if no group carries it soon.
        self.wake.notify_one();
        Ok(last)
    }

    fn sync_in_background(self: &Arc<Self>) {
        if self.pool.journal().begin_background_sync() {
            let disk = self.clone();
            tokio::spawn(async move {
                let journal = disk.pool.journal().clone();
                if let Err(error) = disk.make_durable().await {
                    tracing::debug!(disk = %disk.name(), %error, "background sync");
                }
                journal.end_background_sync();
            });
        }
    }
}
