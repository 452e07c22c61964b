//! Changes of a disk that exists: its name, its size, its settings.
//!
//! Owns: their order between metadata, log and bucket. Does not own: making and deleting disks
//! (`disks.rs`).
//!
//! ```text
//! metadata (intent, not described) ─▶ descriptor in the bucket ─▶ metadata (described)
//! ```
//! What is interrupted between is completed as soon as the store takes it (`unfinished.rs`), with
//! the same bytes under the same number (P3). A disk is larger for its clients only
//! when the bucket knows, so that what they write out there is never out of reach (P4); it is
//! smaller as soon as the metadata says so. What a disk grows by is discarded first, and
//! that is in the store where the disk was cut before: nothing that was cut off comes back, not on
//! another host either.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vpool_format::Seq;
use vpool_format::bucket::DESCRIPTION_BYTES_MAX;
use vpool_format::journal::RecordKind;
use vpool_metadata::DiskEntry;

use super::disks::check_size;
use super::pools::describe;
use super::{OpenPool, Router, Slot};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::Change;
use crate::limits::BLOCK;
use crate::name;
use crate::vdisk::VDisk;

/// How long a change waits for room in the journal.
const ROOM_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a disk that was cut may ship before it grows.
const SHIP_TIME_MAX: Duration = Duration::from_secs(60);

/// What [`Router::set_disk`] changes; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskChange {
    /// A line for people.
    pub description: Option<String>,
    /// Whether clients may not write.
    pub read_only: Option<bool>,
}

/// A disk with its new size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    /// The disk.
    pub entry: DiskEntry,
    /// The clients that know the old size until they connect again, in words.
    pub clients: Vec<String>,
}

impl Router {
    /// Gives a disk that nobody is attached to another name in its pool.
    pub async fn rename_disk(self: &Arc<Self>, full: &str, to: &str) -> Result<DiskEntry> {
        name::check("disk", to)?;
        let find = |router: &Router| {
            router.find(full).or_else(|error| {
                // Repeated, after the bucket could not be told: it has the new name here already.
                let (pool, _) = name::split(full);
                let renamed = pool.map_or(to.to_owned(), |pool| format!("{pool}:{to}"));
                let found = router.find(&renamed).ok();
                found
                    .filter(|(_, slot)| !slot.entry.lock().described)
                    .ok_or(error)
            })
        };
        let turn = self.disk_turn(find).await?;
        let (open, slot) = (&turn.open, &turn.slot);
        self.names_are_told(open).await?;
        let opened = slot.opened.lock().await;
        // Not left to the metadata, which may not come to an answer: a name means one disk here.
        let taken = |other: &Arc<Slot>| !Arc::ptr_eq(other, slot) && other.entry.lock().name == to;
        if open.disks.read().values().any(taken) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "pool {} has a disk {to:?} already: choose another name",
                    open.entry.name
                ),
            ));
        }
        if slot.entry.lock().name != to {
            // Clients that connect again ask for the old name.
            slot.refuse_attached("rename")?;
        }
        self.note_change(open, slot, |entry| to.clone_into(&mut entry.name))
            .await?;
        if let Some(disk) = opened.as_ref() {
            disk.name().rename(&open.entry.name, to);
        }
        self.describe_change(open, slot).await
    }

    /// Changes a disk's settings.
    pub async fn set_disk(self: &Arc<Self>, full: &str, change: &DiskChange) -> Result<DiskEntry> {
        if let Some(text) = &change.description {
            check_description(full, text)?;
        }
        let turn = self.disk_turn(|router| router.find(full)).await?;
        let (open, slot) = (&turn.open, &turn.slot);
        let _opened = slot.opened.lock().await;
        let read_only = slot.entry.lock().settings.read_only;
        if change.read_only.is_some_and(|wanted| wanted != read_only) {
            // Clients are told when they connect, and believe it until they leave.
            slot.refuse_attached("change whether it is read-only")?;
        }
        self.note_change(open, slot, |entry| {
            let settings = &mut entry.settings;
            if let Some(text) = &change.description {
                settings.description.clone_from(text);
            }
            settings.read_only = change.read_only.unwrap_or(settings.read_only);
        })
        .await?;
        self.describe_change(open, slot).await
    }

    /// Makes a disk larger, or with `shrink` smaller if nobody is attached to it.
    pub async fn resize_disk(
        self: &Arc<Self>,
        full: &str,
        size: u64,
        shrink: bool,
    ) -> Result<Resized> {
        check_size(full, size)?;
        let turn = self.disk_turn(|router| router.find(full)).await?;
        let (open, slot) = (&turn.open, &turn.slot);
        let disk = self.opened(open, slot, false).await?;
        let _opened = slot.opened.lock().await;
        let old = slot.entry.lock().size;
        if size < old {
            if !shrink {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "disk {full} has {old} bytes: to cut it to {size}, and lose what is \
                         beyond, ask for shrinking"
                    ),
                ));
            }
            slot.refuse_attached("shrink")?;
            let last = disk.make_durable().await?;
            let noted = self
                .note_change(open, slot, |entry| {
                    entry.size = size;
                    entry.settings.cut_after = last;
                })
                .await;
            let now = slot.entry.lock().size;
            disk.set_size(now.min(disk.size()));
            noted?;
            let entry = self.describe_change(open, slot).await?;
            if let Err(error) = clear(&disk, size, old).await {
                // What is out of reach stays so: growing clears it once more.
                tracing::warn!(disk = full, %error, "space beyond the new end is not free yet");
            }
            return Ok(Resized {
                entry,
                clients: Vec::new(),
            });
        }
        // From what clients see on: an earlier attempt may have come half-way.
        if size > disk.size() {
            clear(&disk, disk.size(), size.next_multiple_of(BLOCK as u64)).await?;
        }
        if size > old {
            if slot.entry.lock().settings.cut_after > Seq(0) {
                // Else a host that finds the new size in the bucket finds what was cut off there.
                ship(&disk).await?;
            }
            self.note_change(open, slot, |entry| {
                entry.size = size;
                entry.settings.cut_after = Seq(0);
            })
            .await?;
        }
        let before = disk.size();
        let entry = self.describe_change(open, slot).await?;
        let clients = match before == size {
            true => Vec::new(),
            false => slot.attachments.clients(),
        };
        Ok(Resized { entry, clients })
    }

    /// Makes a change durable in the metadata, under the next descriptor number. The change
    /// before must be in the bucket, so that the numbers have no gap.
    async fn note_change(
        self: &Arc<Self>,
        open: &Arc<OpenPool>,
        slot: &Slot,
        change: impl FnOnce(&mut DiskEntry),
    ) -> Result<()> {
        if slot.deleted.load(Ordering::Acquire) {
            let name = slot.entry.lock().name.clone();
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("disk {name} was deleted"),
            ));
        }
        let before = self.describe_change(open, slot).await?;
        let mut entry = before.clone();
        change(&mut entry);
        if entry == before {
            return Ok(());
        }
        entry.descriptor += 1;
        entry.described = false;
        self.note(open, slot, entry)
            .await
            .map_err(|error| match error {
                vpool_metadata::Error::Conflict(why) => Error::new(
                    ErrorKind::Conflict,
                    format!("disk {}: {why}: choose another name", before.name),
                ),
                other => other.into(),
            })
    }

    /// Notes in the metadata what the bucket is to be told.
    pub(super) async fn note(
        self: &Arc<Self>,
        open: &Arc<OpenPool>,
        slot: &Slot,
        entry: DiskEntry,
    ) -> vpool_metadata::Result<()> {
        use vpool_metadata::Error::{Conflict, NotFound};
        let noted = self.parts.metadata.update_disk(entry.clone()).await;
        if !matches!(noted, Err(Conflict(_) | NotFound(_))) {
            // It may be noted even so: what is served from here on is what a restart may find.
            let id = entry.id;
            *slot.entry.lock() = entry;
            slot.in_doubt.store(noted.is_err(), Ordering::Release);
            self.see_to(open, id);
        }
        noted
    }

    /// Notes again what may not be noted: the bucket never knows of a change that the metadata may
    /// forget, whose number another change would get (P3).
    pub(super) async fn end_doubt(&self, slot: &Slot) -> Result<()> {
        if slot.in_doubt.load(Ordering::Acquire) {
            let entry = slot.entry.lock().clone();
            let (pool, disk) = (entry.pool, entry.id);
            let noted = self.parts.metadata.update_disk(entry).await;
            if let Err(vpool_metadata::Error::Conflict(why)) = noted {
                // It never was, nor will be: what holds is what the metadata has.
                let disks = self.parts.metadata.disks(pool).await?;
                if let Some(noted) = disks.into_iter().find(|noted| noted.id == disk) {
                    *slot.entry.lock() = noted;
                    slot.in_doubt.store(false, Ordering::Release);
                }
                return Err(Error::new(ErrorKind::Conflict, why));
            }
            noted?;
            slot.in_doubt.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// No name is given to a disk while the bucket may know another disk by it. The caller has the
    /// pool's turn.
    pub(super) async fn names_are_told(self: &Arc<Self>, open: &Arc<OpenPool>) -> Result<()> {
        self.finish_all(open).await.map_err(|error| {
            error.during(format_args!(
                "pool {}: what was changed before comes first",
                open.entry.name
            ))
        })
    }

    /// Writes what was noted to the bucket, if it is not there yet; from then on it holds. The caller
    /// holds `Slot::opened`.
    pub(super) async fn describe_change(&self, open: &OpenPool, slot: &Slot) -> Result<DiskEntry> {
        let told = self.tell_bucket(open, slot).await;
        told.map_err(|error| {
            error.during(format_args!(
                "disk {}: what was changed is noted here, and holds once the bucket knows it, which is \
                 told as soon as the store answers",
                slot.entry.lock().name
            ))
        })
    }

    /// The same, whatever it is that the bucket does not know.
    pub(super) async fn tell_bucket(&self, open: &OpenPool, slot: &Slot) -> Result<DiskEntry> {
        let mut entry = slot.entry.lock().clone();
        if entry.described {
            open.unfinished.done(entry.id);
            return Ok(entry);
        }
        self.end_doubt(slot).await?;
        // Whoever has adopted the pool writes these numbers now.
        open.pool.check_claim().await?;
        let place = describe(&open.entry.location);
        entry.descriptor = entry.descriptor.max(1);
        self.bucket(open.pool.store(), &place)
            .put_descriptor(open.pool.secrets(), &entry, false)
            .await?;
        entry.described = true;
        self.parts.metadata.update_disk(entry.clone()).await?;
        *slot.entry.lock() = entry.clone();
        open.unfinished.done(entry.id);
        if let Some(disk) = slot.seen.lock().as_ref() {
            disk.set_size(entry.size);
        }
        Ok(entry)
    }
}

impl Slot {
    /// Refuses what may only be done while nobody is attached.
    pub(super) fn refuse_attached(&self, what: &str) -> Result<()> {
        match self.attachments.count() {
            0 => Ok(()),
            clients => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "disk {} is in use by {clients} client(s): disconnect them first ({what})",
                    self.entry.lock().name
                ),
            )),
        }
    }
}

/// Discards what is between two ends of a disk, durably.
async fn clear(disk: &Arc<VDisk>, from: u64, to: u64) -> Result<()> {
    // Where nothing was ever logged there is nothing.
    if from < to && disk.make_durable().await? > Seq(0) {
        let discard = disk.log_all(Change {
            kind: RecordKind::Discard,
            offset: from,
            length: to - from,
            payload: &[],
        });
        let logged = tokio::time::timeout(ROOM_TIME_MAX, discard).await;
        logged.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "disk {}: the journal is full, and its store does not take what is in it: \
                     nothing was changed; try again when it does",
                    disk.name()
                ),
            ))
        })?;
    }
    disk.make_durable().await.map(|_| ())
}

/// Brings all of the disk's log into the store.
async fn ship(disk: &Arc<VDisk>) -> Result<()> {
    match tokio::time::timeout(SHIP_TIME_MAX, disk.sync_to_store()).await {
        Ok(shipped) => shipped.map(|_| ()),
        Err(_) => Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "disk {}: it was cut once, and grows only when its log is in the store, which takes \
                 too long: nothing was changed; try again after `vpool disk sync`",
                disk.name()
            ),
        )),
    }
}

fn check_description(disk: &str, text: &str) -> Result<()> {
    let problem = if text.len() > DESCRIPTION_BYTES_MAX {
        format!("is longer than {DESCRIPTION_BYTES_MAX} bytes")
    } else if text.chars().any(char::is_control) {
        "holds a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::Invalid,
        format!("disk {disk}: the description {problem}"),
    ))
}
