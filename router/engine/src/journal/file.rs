//! The journal file of one pool on one SSD: writes into it, one sync for all.
//!
//! Owns: the file, the group commit, the poison. Does not own: which extents there are
//! ([`super::extents`]), what is in one ([`super::log`], [`super::scan`]).

use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use vpool_commit::{Committer, Lap, Pins};
use vpool_format::PoolId;
use vpool_format::journal::{ExtentHeader, JournalHealth, is_ready_mark};
use vpool_host::{File, Host, OpenMode};

use super::extents::Extents;
use super::shares::{JournalShares, ShareId};
use super::state::{Loss, StateFile};
use crate::error::{Error, ErrorKind, Result, io as io_error};
use crate::limits::{self, Tuning};

/// An extent's place in the file, from 0.
pub type SlotIndex = u32;

/// An extent that recovery found in use.
#[derive(Debug, Clone)]
pub struct FoundExtent {
    /// Where it is.
    pub slot: SlotIndex,
    /// What its header says.
    pub header: ExtentHeader,
}

/// An extent taken by a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Where it is.
    pub slot: SlotIndex,
    /// How often this place has been used.
    pub lap: u64,
    /// It was one of the last: for control records only.
    pub reserved: bool,
}

/// The header of an extent, from whichever of its two copies is whole.
pub(super) fn read_header(blocks: &[u8; 2 * limits::BLOCK]) -> Option<ExtentHeader> {
    let (first, second) = blocks.split_at(limits::BLOCK);
    let copies = [ExtentHeader::decode(first), ExtentHeader::decode(second)];
    copies.into_iter().flatten().max_by_key(|header| header.lap)
}

/// Why the journal takes no more writes.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SyncFailed(String);

/// The journal of one pool.
pub struct Journal {
    host: Host,
    pool: PoolId,
    pub(super) path: PathBuf,
    file: Arc<dyn File>,
    state_file: Arc<StateFile>,
    loss: Option<Loss>,
    pub(super) shares: Arc<JournalShares>,
    pub(super) share: ShareId,
    pub(super) extent_bytes: u64,
    pub(super) state: Mutex<Extents>,
    pub(super) pins: Arc<Pins>,
    /// Retired extents whose last reader has gone since.
    pub(super) freed: Arc<Mutex<Vec<SlotIndex>>>,
    commit: Committer,
    poisoned: AtomicBool,
    poison: Mutex<Option<String>>,
    room: Arc<Notify>,
    pressure: Notify,
    /// Wakes who makes extents ready.
    pub(super) more: Notify,
    /// The pool is open: extents are made ready and lent from here on.
    pub(super) started: AtomicBool,
    pub(super) asking: AtomicBool,
    pub(super) asked_ns: AtomicU64,
    written_bytes: AtomicU64,
    unsynced_bytes: AtomicU64,
    written_out: Mutex<Option<(u64, u64)>>,
    background_sync: AtomicBool,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shares.leave(self.share);
    }
}

impl Journal {
    /// Opens the journal of a pool, or makes it, and makes what outlived the last process
    /// durable before anything of it is looked at. Returns the extents in use, in no order.
    /// Blocks: call it where that is allowed.
    pub fn open(
        host: &Host,
        pool: PoolId,
        path: PathBuf,
        shares: &Arc<JournalShares>,
        tuning: &Tuning,
    ) -> Result<(Arc<Journal>, Vec<FoundExtent>)> {
        let extent_bytes = u64::from(tuning.extent_blocks) * limits::BLOCK as u64;
        let fail = |what: &str, error: &io::Error| {
            io_error(format_args!("journal {}: {what}", path.display()), error)
        };
        let file = host
            .files
            .open(&path, OpenMode::Create)
            .map_err(|e| fail("open", &e))?;
        let bytes = file.size().map_err(|e| fail("size", &e))?;
        let (state_file, mut loss) = StateFile::open(host, pool, &path, bytes > 0)
            .map_err(|e| fail("read its state file", &e))?;
        if let Err(error) = file.sync() {
            tracing::error!(journal = %path.display(), %error,
                "what the last process left could not be made durable; only what is on the device counts");
            loss = Some(Loss::FailedSync);
            // At once: the kernel tells of it only once, and this opening may come to nothing.
            state_file
                .note(JournalHealth::Failed)
                .map_err(|e| fail("write its state file", &e))?;
        }
        if let Some(dir) = path.parent() {
            host.files
                .sync_dir(dir)
                .map_err(|e| fail("sync directory", &e))?;
        }
        file.evict(0, bytes)
            .map_err(|e| fail("read past the page cache", &e))?;
        let places = u32::try_from(bytes / extent_bytes).unwrap_or(u32::MAX);
        let mut found = Vec::new();
        let mut state = Extents {
            places,
            ..Extents::default()
        };
        let places_max = shares.extents_max().max(places) + limits::EMERGENCY_EXTENTS;
        let mut known = vec![(Lap(0), false); places_max as usize];
        let mut blocks = [0u8; 2 * limits::BLOCK];
        let mut absent = 0;
        for slot in 0..places {
            file.read_at(&mut blocks, u64::from(slot) * extent_bytes)
                .map_err(|e| fail("read an extent's header", &e))?;
            match read_header(&blocks) {
                Some(header) if header.pool == pool => {
                    known[slot as usize] = (Lap(header.lap), true);
                    found.push(FoundExtent { slot, header });
                }
                Some(header) => {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!(
                            "journal {} belongs to pool {}, not to pool {pool}: restore the right \
                             file, or move this one away",
                            path.display(),
                            header.pool
                        ),
                    ));
                }
                // Never used, or torn while it was taken: nothing durable is in it.
                None if is_ready_mark(&blocks[..limits::BLOCK]) => state.ready.push_back(slot),
                // Perhaps a hole: it is zeroed anew, so that no write in it finds the SSD full.
                None => {
                    state.absent.push(slot);
                    absent += 1;
                }
            }
        }
        let room = Arc::new(Notify::new());
        let freed: Arc<Mutex<Vec<SlotIndex>>> = Arc::default();
        let (their_room, their_freed) = (room.clone(), freed.clone());
        let pins = Pins::recovered(known, move |slot| {
            let slot = SlotIndex::try_from(slot).expect("as many places as fit the index");
            their_freed.lock().push(slot);
            // A writer may be waiting for just this extent.
            their_room.notify_waiters();
        });
        let share = shares.join(places - absent, &room);
        let journal = Arc::new_cyclic(|this| {
            shares.register(share, this.clone());
            Journal {
                host: host.clone(),
                pool,
                path,
                file,
                state_file: Arc::new(state_file),
                loss,
                shares: shares.clone(),
                share,
                extent_bytes,
                state: Mutex::new(state),
                pins,
                freed,
                commit: Committer::new(),
                poisoned: AtomicBool::new(false),
                poison: Mutex::new(None),
                room,
                pressure: Notify::new(),
                more: Notify::new(),
                started: AtomicBool::new(false),
                asking: AtomicBool::new(false),
                asked_ns: AtomicU64::new(0),
                written_bytes: AtomicU64::new(0),
                unsynced_bytes: AtomicU64::new(0),
                written_out: Mutex::new(None),
                background_sync: AtomicBool::new(false),
            }
        });
        Ok((journal, found))
    }

    /// The pool.
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// The host it is on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The file, for reading.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Why acknowledged writes of before this opening may be gone, if they may.
    pub fn loss(&self) -> Option<Loss> {
        self.loss
    }

    /// Notes that the journal is in use. To be called once what a [`loss`](Self::loss) owes is
    /// kept elsewhere: the note of it ends here. A device that cannot keep even that takes no
    /// writes; what is on it can be read. Blocks.
    pub fn begin(&self) {
        if let Err(error) = self.note(JournalHealth::Open) {
            self.poison(error);
        }
    }

    /// Notes that all that was acknowledged is durable, and nothing more comes. Blocks.
    pub fn close(&self) -> Result<()> {
        self.check_healthy()?;
        self.note(JournalHealth::Closed)
    }

    fn note(&self, health: JournalHealth) -> Result<()> {
        let noted = self.state_file.note(health);
        noted
            .and_then(|()| self.state_file.sync())
            .map_err(|error| {
                let what = format_args!("journal {}: write its state file", self.path.display());
                io_error(what, &error)
            })
    }

    /// Fails if the journal takes no more writes.
    pub fn check_healthy(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) {
            let why = self.poison.lock().clone().unwrap_or_default();
            return Err(Error::new(
                ErrorKind::Io,
                format!(
                    "journal {} takes no more writes ({why}): check the SSD, then restart vpoold, \
                     which recovers what is durable",
                    self.path.display()
                ),
            ));
        }
        Ok(())
    }

    /// After a failed write or sync nothing is known of what the page cache holds: no
    /// further write is taken until a restart has read the device (as after PostgreSQL's
    /// "fsyncgate": a second sync may succeed although the first has dropped the pages).
    fn poison(&self, why: impl fmt::Display) {
        let mut poison = self.poison.lock();
        if poison.is_none() {
            tracing::error!(journal = %self.path.display(), %why, "the journal takes no more writes");
            *poison = Some(why.to_string());
        }
        self.poisoned.store(true, Ordering::Release);
        drop(poison);
        self.room.notify_waiters();
    }

    /// Where a block of an extent is in the file, in bytes.
    pub fn offset(&self, slot: SlotIndex, block: u32) -> u64 {
        u64::from(slot) * self.extent_bytes + u64::from(block) * limits::BLOCK as u64
    }

    /// Blocks in an extent, its header included.
    pub fn extent_blocks(&self) -> u32 {
        u32::try_from(self.extent_bytes / limits::BLOCK as u64).expect("made from a u32")
    }

    /// Appends to an extent. The bytes outlive the process when it returns.
    pub fn write(&self, parts: &[IoSlice<'_>], slot: SlotIndex, block: u32) -> Result<()> {
        self.check_healthy()?;
        let offset = self.offset(slot, block);
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if let Err(error) = self.file.write_at(parts, offset) {
            self.poison(format_args!("write failed: {error}"));
            return self.check_healthy();
        }
        self.unsynced_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes written since the last sync began.
    pub fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes.load(Ordering::Acquire)
    }

    /// Starts writing to the device what piles up in one place, so that a later sync is short.
    /// Called after each append with the range of it.
    pub fn write_out(self: &Arc<Self>, offset: u64, bytes: u64) {
        let due = {
            let mut pending = self.written_out.lock();
            let merged = match *pending {
                Some((start, length)) if start + length == offset => (start, length + bytes),
                Some(other) => {
                    *pending = Some((offset, bytes));
                    self.spawn_writeout(other);
                    return;
                }
                None => (offset, bytes),
            };
            let due = merged.1 >= limits::WRITEOUT_BYTES;
            *pending = if due { None } else { Some(merged) };
            due.then_some(merged)
        };
        if let Some(range) = due {
            self.spawn_writeout(range);
        }
    }

    fn spawn_writeout(self: &Arc<Self>, (offset, bytes): (u64, u64)) {
        let journal = self.clone();
        tokio::spawn(async move {
            let file = journal.file.clone();
            let started = journal
                .host
                .blocking
                .run(move || file.start_writeout(offset, bytes))
                .await;
            if let Err(error) = started {
                tracing::debug!(%error, "starting the write-out failed; the next sync tells");
            }
        });
    }

    /// Returns when everything written before the call is durable.
    pub async fn sync(self: &Arc<Self>) -> Result<()> {
        self.check_healthy()?;
        let journal = self.clone();
        let synced = self
            .commit
            .commit(move || async move { journal.sync_once().await })
            .await;
        if synced.is_err() {
            self.check_healthy()?;
            return Err(Error::new(ErrorKind::Io, "the journal's sync failed"));
        }
        Ok(())
    }

    async fn sync_once(self: Arc<Self>) -> std::result::Result<(), SyncFailed> {
        // A round that was asked for before an earlier one failed: a second sync proves nothing.
        if self.poisoned.load(Ordering::Acquire) {
            return Err(SyncFailed("an earlier sync failed".to_owned()));
        }
        let file = self.file.clone();
        let pending = self.unsynced_bytes.load(Ordering::Acquire);
        if crate::planted::is("sync-skipped") {
            return Ok(());
        }
        match self.host.blocking.run(move || file.sync()).await {
            Ok(()) => {
                self.unsynced_bytes.fetch_sub(pending, Ordering::AcqRel);
                self.room.notify_waiters();
                Ok(())
            }
            Err(error) => {
                // Said first: who sees the poison may already restart us.
                self.note_failed().await;
                self.poison(format_args!("sync failed: {error}"));
                Err(SyncFailed(error.to_string()))
            }
        }
    }

    /// Notes that what was acknowledged may be gone. In the page cache the note outlives this
    /// process, even where the device takes nothing any more.
    async fn note_failed(&self) {
        let state = self.state_file.clone();
        let noted = self
            .host
            .blocking
            .run(move || {
                state
                    .note(JournalHealth::Failed)
                    .and_then(|()| state.sync())
            })
            .await;
        if let Err(error) = noted {
            tracing::error!(journal = %self.path.display(), %error,
                "the failed sync could not be noted durably");
        }
    }

    /// Whether the caller is to run the one background sync.
    pub fn begin_background_sync(&self) -> bool {
        !self.background_sync.swap(true, Ordering::AcqRel)
    }

    /// Ends it.
    pub fn end_background_sync(&self) {
        self.background_sync.store(false, Ordering::Release);
    }

    /// Notified when space or health may have changed.
    pub fn room(&self) -> &Arc<Notify> {
        &self.room
    }

    /// Gives it a part of the space by name, or an equal one.
    pub fn set_share(&self, percent: Option<u8>) {
        self.shares.set_percent(self.share, percent);
    }

    /// Notified when somebody finds no extent: who holds one that it can do without gives it back.
    pub fn pressure(&self) -> &Notify {
        &self.pressure
    }

    /// Bytes written since the journal was opened.
    pub(super) fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }
}
