//! Disks: made, opened, deleted, repaired, shipped on demand.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vpool_format::DiskId;
use vpool_format::bucket::DiskSettings;
use vpool_metadata::DiskEntry;
use vpool_seal::DataKey;

use super::pools::describe;
use super::{DiskStatus, OpenPool, Router, Slot};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::name;
use crate::vdisk::VDisk;
use crate::vdisk::open::{Opening, open};

impl Router {
    /// Makes a disk. It takes no space until it is written.
    pub async fn create_disk(
        self: &Arc<Self>,
        pool: Option<&str>,
        disk_name: &str,
        size: u64,
        encrypt: bool,
    ) -> Result<DiskEntry> {
        name::check("disk", disk_name)?;
        check_size(disk_name, size)?;
        let open = self.pool_or_only(pool)?;
        let _turn = self.pool_turn(&open).await?;
        self.names_are_told(&open).await?;
        let entropy = &self.parts.host.entropy;
        let id = DiskId(entropy.id());
        let wrapped_key = encrypt.then(|| {
            let mut fill = |bytes: &mut [u8]| entropy.fill(bytes);
            let key = DataKey::generate(&mut fill);
            open.pool.secrets().wrap(&key, id, &mut fill)
        });
        let mut entry = DiskEntry {
            id,
            pool: open.entry.id,
            name: disk_name.to_owned(),
            size,
            wrapped_key,
            descriptor: 0,
            described: false,
            settings: DiskSettings::default(),
            created_ms: self.parts.host.clock.wall_ms(),
            deleting: false,
        };
        self.parts.metadata.create_disk(entry.clone()).await.map_err(|error| match error {
            vpool_metadata::Error::Conflict(_) => Error::new(
                ErrorKind::Conflict,
                format!(
                    "pool {} has a disk {disk_name:?} already: choose another name, or delete it \
                     first",
                    open.entry.name
                ),
            ),
            other => other.into(),
        })?;
        let slot = Slot::new(entry.clone(), Vec::new());
        // Who attaches at once waits until the bucket knows the disk.
        let _opened = slot.opened.lock().await;
        open.disks.write().insert(id, slot.clone());
        self.see_to(&open, id);
        let told = self.tell_bucket(&open, &slot).await;
        if told.is_err() {
            // The descriptor may be there all the same: only with a tombstone is it forgotten.
            entry.deleting = true;
            entry.descriptor = 2;
            // The name is free for another try.
            entry.name = name::with_suffix(&entry.name, &format!(" ({})", entry.id));
            let disk = entry.name.clone();
            slot.deleted.store(true, Ordering::Release);
            let noted = self.note(&open, &slot, entry).await.map_err(Error::from);
            let deleted = match noted {
                Ok(()) => self.finish_delete(&open, &slot).await,
                Err(error) => Err(error),
            };
            if let Err(later) = deleted {
                tracing::warn!(disk, error = %later,
                    "what was begun of the disk is removed when the store answers");
            }
        }
        told
    }

    /// All disks, of one pool or of all, by pool and name.
    pub fn disks(&self, pool: Option<&str>) -> Result<Vec<DiskStatus>> {
        let pools: Vec<Arc<OpenPool>> = match pool {
            Some(pool) => vec![self.pool_named(pool)?],
            None => self.pools.read().values().cloned().collect(),
        };
        let mut found = Vec::new();
        for open in pools {
            for slot in open.disks.read().values() {
                found.push(status(&open, slot));
            }
        }
        found.sort_by(|a, b| (&a.pool, &a.entry.name).cmp(&(&b.pool, &b.entry.name)));
        Ok(found)
    }

    /// One disk, by `[POOL:]NAME`.
    pub fn disk(&self, full: &str) -> Result<DiskStatus> {
        let (open, slot) = self.find(full)?;
        Ok(status(&open, &slot))
    }

    /// The same by what the metadata calls it; `None` once it is deleted.
    pub fn disk_of(&self, entry: &DiskEntry) -> Option<DiskStatus> {
        let open = self.pools.read().get(&entry.pool).cloned()?;
        let slot = open.disks.read().get(&entry.id).cloned()?;
        Some(status(&open, &slot))
    }

    /// Opens a disk if it is not open.
    pub(super) async fn opened(
        &self,
        pool: &Arc<OpenPool>,
        slot: &Arc<Slot>,
        accept_loss: bool,
    ) -> Result<Arc<VDisk>> {
        let mut opened = slot.opened.lock().await;
        if slot.deleted.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("disk {} was deleted", slot.entry.lock().name),
            ));
        }
        if let Some(disk) = opened.as_ref() {
            return Ok(disk.clone());
        }
        self.check_not_closing()?;
        // The bucket must know the disk before its data (P4).
        let entry = self.describe_change(pool, slot).await?;
        let extents = slot.extents.lock().clone();
        let opening = Opening {
            pool: &pool.pool,
            entry: &entry,
            extents: &extents,
            accept_loss,
        };
        match open(opening).await {
            Ok(disk) => {
                slot.extents.lock().clear();
                *slot.error.lock() = None;
                *slot.seen.lock() = Some(disk.clone());
                *opened = Some(disk.clone());
                Ok(disk)
            }
            Err(error) => {
                *slot.error.lock() = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Opens a disk that has something in the journal, however long the store is away.
    pub(super) async fn open_until_done(&self, pool: &Arc<OpenPool>, slot: &Arc<Slot>) {
        let mut pause = Duration::from_secs(1);
        loop {
            match self.opened(pool, slot, false).await {
                Ok(_) => return,
                // Deleted, or only refused to all while its pool may be forgotten.
                Err(_) if slot.entry.lock().deleting || self.check_open(pool).is_err() => return,
                Err(error)
                    if error.kind() == ErrorKind::Unavailable
                        || slot.deleted.load(Ordering::Acquire) =>
                {
                    tracing::warn!(%error, "a disk with data in the journal cannot be opened yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
                Err(error) => {
                    tracing::error!(%error, "a disk with data in the journal cannot be opened");
                    return;
                }
            }
        }
    }

    /// Deletes a disk that nobody is attached to. A tombstone in the bucket says so.
    pub async fn delete_disk(self: &Arc<Self>, full: &str) -> Result<()> {
        let turn = self.disk_turn(|router| router.find(full)).await?;
        let (open, slot) = (&turn.open, &turn.slot);
        let mut opened = slot.opened.lock().await;
        slot.refuse_attached("delete")?;
        // The intent is kept first: whatever is interrupted from here on is taken up again, with
        // the same tombstone, by the next try or the next start.
        let mut entry = slot.entry.lock().clone();
        if !entry.deleting {
            if entry.descriptor > 0 {
                // Numbers have no gap, but for the first.
                entry = self.describe_change(open, slot).await?;
            }
            entry.deleting = true;
            // The first number may be taken by a creation that was interrupted.
            entry.descriptor = entry.descriptor.max(1) + 1;
            let noted = self.note(open, slot, entry).await;
            if slot.entry.lock().deleting {
                slot.deleted.store(true, Ordering::Release);
            }
            noted?;
        }
        slot.close_deleted(&mut opened);
        self.finish_delete(open, slot).await
    }

    /// Writes the tombstone of a disk that is being deleted, and forgets the disk. The caller holds
    /// `Slot::opened`.
    pub(super) async fn finish_delete(&self, open: &OpenPool, slot: &Slot) -> Result<()> {
        self.end_doubt(slot).await?;
        let entry = slot.entry.lock().clone();
        open.pool.check_claim().await?;
        let place = describe(&open.entry.location);
        self.bucket(open.pool.store(), &place)
            .put_descriptor(open.pool.secrets(), &entry, true)
            .await?;
        self.parts.metadata.delete_disk(entry.id).await?;
        let found = std::mem::take(&mut *slot.extents.lock());
        open.pool
            .journal()
            .retire(found.into_iter().map(|extent| extent.slot));
        open.disks.write().remove(&entry.id);
        open.unfinished.done(entry.id);
        Ok(())
    }

    /// Returns when all that was written to the disk before is in the store.
    pub async fn sync_disk(&self, full: &str) -> Result<()> {
        let (open, slot) = self.find(full)?;
        if slot.opened.lock().await.is_none() && slot.extents.lock().is_empty() {
            return Ok(());
        }
        self.opened(&open, &slot, false)
            .await?
            .sync_to_store()
            .await?;
        Ok(())
    }

    /// The same for all disks of a pool.
    pub async fn sync_pool(&self, pool: &str) -> Result<()> {
        let open = self.pool_named(pool)?;
        let slots: Vec<Arc<Slot>> = open.disks.read().values().cloned().collect();
        let syncs = slots.iter().map(|slot| {
            let name = format!("{}:{}", open.entry.name, slot.entry.lock().name);
            async move { self.sync_disk(&name).await }
        });
        futures::future::join_all(syncs).await.into_iter().collect()
    }

    /// Opens a damaged disk as it was before the first flushed record that is lost.
    pub async fn repair_disk(&self, full: &str, accept_loss: bool) -> Result<()> {
        let (open, slot) = self.find(full)?;
        if !accept_loss {
            let disk = self.opened(&open, &slot, false).await;
            return disk.map(|_| ());
        }
        self.opened(&open, &slot, true).await.map(|_| ())
    }
}

fn status(open: &OpenPool, slot: &Slot) -> DiskStatus {
    let disk = slot.seen.lock().clone();
    let failed = disk.as_ref().and_then(|disk| disk.failure());
    DiskStatus {
        entry: slot.entry.lock().clone(),
        pool: open.entry.name.clone(),
        open: disk.is_some(),
        attached: slot.attachments.count(),
        clients: slot.attachments.clients(),
        status: disk.map(|disk| disk.status()),
        error: failed
            .or_else(|| slot.error.lock().clone())
            .map(|error| error.to_string()),
    }
}

impl Slot {
    /// Nobody writes to it any more, and nothing of it is kept.
    pub(super) fn close_deleted(&self, opened: &mut Option<Arc<VDisk>>) {
        self.deleted.store(true, Ordering::Release);
        if let Some(disk) = opened.take() {
            disk.abandon();
            disk.give_back_journal();
        }
        *self.seen.lock() = None;
    }
}

pub(super) fn check_size(disk: &str, size: u64) -> Result<()> {
    let problem = if size == 0 {
        "is 0"
    } else if size > limits::DISK_BYTES_MAX {
        "is over 64 TiB"
    } else if !size.is_multiple_of(limits::SECTOR) {
        "is no multiple of 512 bytes"
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::Invalid,
        format!("disk {disk:?}: its size of {size} bytes {problem}: give 512 bytes to 64 TiB"),
    ))
}
