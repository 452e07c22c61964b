//! Bringing what was written into the store, as tasks.
//!
//! Owns: what is synced, how far that is. Does not own: shipping (the engine), tasks (`tasks.rs`).
//!
//! What is asked for is what was acknowledged before; it is shipped in order, before anything newer. So
//! of what is not in the store now, as much as was written since is not counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use vpool_api::{DryRun, Problem, Task, TaskKind, names, size};
use vpool_engine::router::DiskStatus;

use super::{Daemon, of_engine};
use crate::tasks::{Progress, Tasks};

/// Between two looks at how far it is.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// What is synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Synced {
    /// One disk, with its pool.
    Disk(names::DiskPath),
    /// All disks of a pool.
    Pool(String),
}

/// What of it is not in the store, and all that was ever written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Backlog {
    unshipped_bytes: u64,
    written_bytes: u64,
}

impl Daemon {
    /// What is meant by a disk's name; an error where there is no such disk.
    pub(crate) fn synced_disk(&self, disk: &names::DiskPath) -> Result<Synced, Problem> {
        let disk = self.disk(disk)?;
        Ok(Synced::Disk(names::DiskPath {
            pool: Some(disk.pool),
            name: disk.name,
        }))
    }

    /// What is meant by a pool's name; an error where there is no such pool, or it is not open.
    pub(crate) fn synced_pool(&self, pool: &str) -> Result<Synced, Problem> {
        self.check_pool_open(pool)?;
        Ok(Synced::Pool(self.pool(pool)?.name))
    }

    /// What a sync would do.
    pub(crate) fn plan_sync(&self, what: &Synced) -> Result<DryRun, Problem> {
        let bytes = self.backlog(what)?.unshipped_bytes;
        let detail = format!("{} are to be shipped", size::format(bytes));
        Ok(DryRun::one("sync", what.with_noun(), detail))
    }

    /// Begins one.
    pub(crate) async fn begin_sync(
        self: &Arc<Self>,
        tasks: &Arc<Tasks>,
        what: Synced,
    ) -> Result<Task, Problem> {
        let (daemon, kind, object) = (self.clone(), what.kind(), what.to_string());
        let work = |progress| async move { daemon.sync(&what, &progress).await };
        tasks.start(kind, object, work).await
    }

    async fn sync(&self, what: &Synced, progress: &Progress) -> Result<(), Problem> {
        let begin = self.backlog(what)?;
        let total = begin.unshipped_bytes;
        progress.set(0, total);
        let mut work = std::pin::pin!(self.ship(what));
        let mut looks = tokio::time::interval(LOOK_PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut done = 0;
        loop {
            tokio::select! {
                biased;
                shipped = &mut work => {
                    shipped?;
                    progress.set(total, total);
                    return Ok(());
                }
                _ = looks.tick() => {
                    // Of a disk that fails or goes away, `ship` says so.
                    if let Ok(now) = self.backlog(what) {
                        done = shipped_bytes(begin, now).max(done);
                        progress.set(done, total);
                    }
                }
            }
        }
    }

    async fn ship(&self, what: &Synced) -> Result<(), Problem> {
        let shipped = match what {
            Synced::Disk(disk) => self.router.sync_disk(&disk.to_string()).await,
            Synced::Pool(pool) => self.router.sync_pool(pool).await,
        };
        shipped.map_err(|error| of_engine(&error))
    }

    fn backlog(&self, what: &Synced) -> Result<Backlog, Problem> {
        let disks: Vec<DiskStatus> = match what {
            Synced::Disk(disk) => self.router.disk(&disk.to_string()).map(|disk| vec![disk]),
            Synced::Pool(pool) => self.router.disks(Some(pool)),
        }
        .map_err(|error| of_engine(&error))?;
        let open = disks.iter().filter_map(|disk| disk.status);
        let zero = Backlog {
            unshipped_bytes: 0,
            written_bytes: 0,
        };
        Ok(open.fold(zero, |sum, status| Backlog {
            unshipped_bytes: sum.unshipped_bytes + status.unshipped_bytes,
            written_bytes: sum.written_bytes + status.written_bytes,
        }))
    }
}

/// Of the bytes that were not in the store at the begin, those that are now.
fn shipped_bytes(begin: Backlog, now: Backlog) -> u64 {
    let newer = now.written_bytes.saturating_sub(begin.written_bytes);
    let left = now.unshipped_bytes.saturating_sub(newer);
    begin.unshipped_bytes.saturating_sub(left)
}

impl Synced {
    fn kind(&self) -> TaskKind {
        match self {
            Synced::Disk(_) => TaskKind::DiskSync,
            Synced::Pool(_) => TaskKind::PoolSync,
        }
    }

    fn with_noun(&self) -> String {
        match self {
            Synced::Disk(disk) => format!("disk {disk}"),
            Synced::Pool(pool) => format!("pool {pool}"),
        }
    }
}

impl std::fmt::Display for Synced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Synced::Disk(disk) => disk.fmt(f),
            Synced::Pool(pool) => f.write_str(pool),
        }
    }
}

#[cfg(test)]
mod tests {
    //! How far a sync is, while more is written.

    use super::{Backlog, shipped_bytes};

    #[test]
    fn what_is_newer_does_not_count() {
        let backlog = |unshipped_bytes, written_bytes| Backlog {
            unshipped_bytes,
            written_bytes,
        };
        let begin = backlog(100, 1000);
        for (now, done) in [
            (backlog(100, 1000), 0),
            (backlog(60, 1000), 40),
            (backlog(90, 1030), 40),
            (backlog(130, 1030), 0),
            (backlog(500, 1030), 0),
            (backlog(0, 1000), 100),
            (backlog(20, 1030), 100),
        ] {
            assert_eq!(shipped_bytes(begin, now), done, "{now:?}");
        }
    }
}
