//! Forgetting a pool with its disks, whatever its store says; and what pools that are gone have left.
//!
//! Owns: which of its disks have writes in the journal alone, so that nobody gives them up unasked;
//! removing journal and cache. Does not own: the objects: they stay, and adopting brings back what
//! was shipped.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vpool_format::PoolId;
use vpool_metadata::{Error as MetadataError, PoolEntry};

use super::{OpenPool, Router, Slot};
use crate::error::{Error, ErrorKind, Result};
use crate::journal;

/// Lets clients in again.
fn take_back(slots: &[Arc<Slot>]) {
    for slot in slots {
        let deleting = slot.entry.lock().deleting;
        slot.deleted.store(deleting, Ordering::Release);
    }
}

impl Router {
    /// Forgets a pool, open or not, with all its disks. Refused while somebody uses one of them, and
    /// without `accept_loss` where the journal may hold what the store does not.
    pub async fn forget_pool(&self, entry: &PoolEntry, accept_loss: bool) -> Result<()> {
        let _turn = self.turn().await?;
        let open = self.pools.read().get(&entry.id).cloned();
        let _pool_turn = match &open {
            Some(open) => Some(self.pool_turn(open).await?),
            None => None,
        };
        let slots: Vec<Arc<Slot>> = match &open {
            Some(open) => open.disks.read().values().cloned().collect(),
            None => Vec::new(),
        };
        // Nobody comes in from here on, so nothing is written after the look.
        for slot in &slots {
            slot.deleted.store(true, Ordering::Release);
        }
        let unused = self.check_forgettable(entry, &slots, accept_loss).await;
        let forgotten = match unused {
            Ok(()) => self.parts.metadata.forget_pool(entry.id).await,
            Err(error) => {
                take_back(&slots);
                return Err(error);
            }
        };
        match forgotten {
            // It is, by an earlier try.
            Ok(()) | Err(MetadataError::NotFound(_)) => {}
            Err(error @ MetadataError::Conflict(_)) => {
                take_back(&slots);
                return Err(error.into());
            }
            // It may be forgotten yet, with all that anybody would write from here on: so nobody
            // comes in until it is known.
            Err(error) => {
                return Err(Error::from(error).during(format_args!(
                    "pool {}: whether it is forgotten is not known, and nobody may use its disks \
                     until it is: repeat this, or restart vpoold",
                    entry.name
                )));
            }
        }
        if let Some(open) = open {
            self.abandon(&open, &slots).await;
        }
        self.sweep(entry.id).await;
        Ok(())
    }

    async fn check_forgettable(
        &self,
        entry: &PoolEntry,
        slots: &[Arc<Slot>],
        accept_loss: bool,
    ) -> Result<()> {
        slots
            .iter()
            .try_for_each(|slot| slot.refuse_attached("forget"))?;
        let unshipped = self.unshipped(entry).await?;
        if !unshipped.is_empty() && !accept_loss {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "pool {}: the journal may hold writes that are not in the store, of {}: bring \
                     the store back, so that they are shipped, or accept their loss",
                    entry.name,
                    unshipped.join(", ")
                ),
            ));
        }
        Ok(())
    }

    async fn abandon(&self, open: &OpenPool, slots: &[Arc<Slot>]) {
        self.pools.write().remove(&open.entry.id);
        for slot in slots {
            if let Some(disk) = slot.opened.lock().await.take() {
                disk.abandon();
            }
            *slot.seen.lock() = None;
        }
        if let Err(error) = super::close_pool(open, Duration::ZERO).await {
            tracing::warn!(pool = %open.entry.name, %error, "the pool that was forgotten did not close");
        }
    }

    /// The names of a pool's disks, whether it is open or not.
    pub async fn known_disks(&self, pool: PoolId) -> Result<Vec<String>> {
        let disks = self.parts.metadata.disks(pool).await?;
        Ok(disks.into_iter().map(|disk| disk.name).collect())
    }

    /// The disks of a pool of whose writes some may be in the journal alone.
    pub async fn unshipped(&self, entry: &PoolEntry) -> Result<Vec<String>> {
        let open = self.pools.read().get(&entry.id).cloned();
        let mut found = Vec::new();
        if let Some(open) = open {
            let slots: Vec<Arc<Slot>> = open.disks.read().values().cloned().collect();
            for slot in slots {
                let opened = slot.opened.lock().await;
                let holds = match opened.as_ref() {
                    Some(disk) => disk.status().unshipped_bytes > 0,
                    None => !slot.extents.lock().is_empty(),
                };
                let disk = slot.entry.lock();
                if holds && !disk.deleting {
                    found.push(disk.name.clone());
                }
            }
            return Ok(found);
        }
        let (path, tuning) = (self.journal_path(entry.id), self.parts.tuning.clone());
        let (host, pool) = (self.parts.host.clone(), entry.id);
        let blocking = &self.parts.host.blocking;
        let named = blocking.run(move || journal::disks_in(&host, pool, &path, &tuning));
        let named: BTreeSet<_> = named.await?.into_iter().collect();
        for disk in self.parts.metadata.disks(entry.id).await? {
            let streams = self.parts.metadata.streams(disk.id).await?;
            // Closed in order: all of it is in the store.
            let closed = streams.closed.is_some() && streams.base.is_some();
            if named.contains(&disk.id) && !closed && !disk.deleting {
                found.push(disk.name);
            }
        }
        Ok(found)
    }

    pub(super) fn journal_path(&self, pool: PoolId) -> PathBuf {
        let directory = self.parts.data_dir.join("journal");
        directory.join(format!("{pool}.journal"))
    }

    /// Removes the journal and cache of a pool that the metadata says was removed; nothing of any
    /// other. What cannot be removed now is at the next start, and nothing is begun in it before.
    pub(super) async fn sweep(&self, pool: PoolId) {
        let swept = async {
            if !self.parts.metadata.left().await?.contains(&pool) {
                return Ok(());
            }
            let (id, data_dir) = (pool.to_string(), self.parts.data_dir.clone());
            let files = self.parts.host.files.clone();
            let remove = move || -> std::io::Result<()> {
                for directory in ["journal", "cache"].map(|name| data_dir.join(name)) {
                    for path in files.list(&directory)? {
                        let name = path.file_name().and_then(|name| name.to_str());
                        if name.is_some_and(|name| name.starts_with(&id)) {
                            files.remove(&path)?;
                        }
                    }
                    files.sync_dir(&directory)?;
                }
                Ok(())
            };
            let removed = self.parts.host.blocking.run(remove).await;
            removed.map_err(|error| crate::error::io(format_args!("remove its files"), &error))?;
            Ok(self.parts.metadata.swept(pool).await?)
        };
        let swept: Result<()> = swept.await;
        if let Err(error) = swept {
            tracing::warn!(%pool, %error,
                "the journal or cache of a pool that was removed is still on the SSD");
        }
    }
}
