//! What the metadata knows of a pool's disks and the bucket does not know yet.
//!
//! Owns: which disks these are, and that it is brought to an end: by the next change of the pool,
//! by the next opening of the disk, else by a task that goes on until the store has taken it. Does
//! not own: the descriptors (`changes.rs`, `disks.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vpool_format::DiskId;

use super::{OpenPool, Router, Slot};
use crate::error::{Error, ErrorKind, Result};

/// Disks that are looked after together.
const DISKS_AT_ONCE: usize = 16;

/// Between two tries of the task.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The disks of a pool of which the bucket does not know the newest.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    disks: BTreeSet<DiskId>,
    /// Whether a task sees to it.
    seen_to: bool,
}

impl Unfinished {
    pub(super) fn add(&self, disk: DiskId) {
        self.0.lock().disks.insert(disk);
    }

    pub(super) fn done(&self, disk: DiskId) {
        self.0.lock().disks.remove(&disk);
    }

    fn disks(&self) -> Vec<DiskId> {
        self.0.lock().disks.iter().copied().collect()
    }

    /// Whether a task is wanted, which then must begin.
    fn begin(&self) -> bool {
        let mut state = self.0.lock();
        !state.disks.is_empty() && !std::mem::replace(&mut state.seen_to, true)
    }

    /// Whether the task has nothing more to do; then it must end.
    fn end_if_empty(&self) -> bool {
        let mut state = self.0.lock();
        state.seen_to = !state.disks.is_empty();
        !state.seen_to
    }

    fn end(&self) {
        self.0.lock().seen_to = false;
    }
}

impl Router {
    /// Takes up a disk whose newest is noted in the metadata and not in the bucket: whoever noted it
    /// may be interrupted, and a task sees to it when its turn ends.
    pub(super) fn see_to(self: &Arc<Self>, open: &Arc<OpenPool>, disk: DiskId) {
        open.unfinished.add(disk);
        self.see_to_all(open);
    }

    /// The same for all that were added.
    pub(super) fn see_to_all(self: &Arc<Self>, open: &Arc<OpenPool>) {
        if open.unfinished.begin() {
            let (router, open) = (self.clone(), open.clone());
            tokio::spawn(async move { router.finish_until_done(&open).await });
        }
    }

    async fn finish_until_done(self: &Arc<Self>, open: &Arc<OpenPool>) {
        let mut closing = self.closing.subscribe();
        let mut pause = PAUSE;
        loop {
            // Dropped in the middle it has the same bytes to write again.
            let tried = tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return,
                tried = self.try_to_finish(open) => tried,
            };
            match tried {
                Ok(()) if open.unfinished.end_if_empty() => return,
                Ok(()) => continue,
                Err(_) if self.check_open(open).is_err() => return open.unfinished.end(),
                // A place that is not there, or is full, may be otherwise later.
                Err(error) if !matches!(error.kind(), ErrorKind::Fenced | ErrorKind::Conflict) => {
                    tracing::warn!(pool = %open.entry.name, %error,
                        "changes of disks are not in the bucket yet; it is tried again");
                }
                Err(error) => {
                    tracing::error!(pool = %open.entry.name, %error,
                        "changes of disks cannot be brought to the bucket; it is tried again with \
                         the next change, or at the next start");
                    return open.unfinished.end();
                }
            }
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }

    async fn try_to_finish(self: &Arc<Self>, open: &Arc<OpenPool>) -> Result<()> {
        let _turn = self.pool_turn(open).await?;
        self.finish_all(open).await
    }

    /// Brings to the bucket all that it does not know yet of the pool's disks. The caller has the
    /// pool's turn.
    pub(super) async fn finish_all(self: &Arc<Self>, open: &Arc<OpenPool>) -> Result<()> {
        let mut slots = Vec::new();
        for id in open.unfinished.disks() {
            let slot = open.disks.read().get(&id).cloned();
            match slot {
                Some(slot) => slots.push(slot),
                None => open.unfinished.done(id),
            }
        }
        let mut failed: Option<Error> = None;
        for some in slots.chunks(DISKS_AT_ONCE) {
            let all = some.iter().map(|slot| self.finish(open, slot));
            for finished in futures::future::join_all(all).await {
                if let Err(error) = finished {
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn finish(self: &Arc<Self>, open: &Arc<OpenPool>, slot: &Arc<Slot>) -> Result<()> {
        // One descriptor of a disk at a time.
        let mut opened = slot.opened.lock().await;
        let deleting = slot.entry.lock().deleting;
        if deleting {
            slot.close_deleted(&mut opened);
            return self.finish_delete(open, slot).await;
        }
        self.describe_change(open, slot).await.map(|_| ())
    }
}
