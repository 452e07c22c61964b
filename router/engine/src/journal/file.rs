//! The journal file of one pool on one SSD: extents given out and taken back, one sync for all.
//!
//! Owns: the file, the state of its extents, the group commit, the poison. Does not own:
//! what is in an extent ([`super::log`], [`super::scan`]).
//!
//! ```text
//! absent ──prepare: zero, sync──> ready ──take──> used ──retire──> ready (or absent)
//!                                                        waits for readers' pins
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use vpool_commit::Committer;
use vpool_format::PoolId;
use vpool_format::journal::ExtentHeader;
use vpool_host::{File, Host, OpenMode};

use super::shares::{JournalShares, ShareId};
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
fn read_header(blocks: &[u8; 2 * limits::BLOCK]) -> Option<ExtentHeader> {
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
    path: PathBuf,
    file: Arc<dyn File>,
    shares: Arc<JournalShares>,
    share: ShareId,
    extent_bytes: u64,
    state: Mutex<Extents>,
    pins: Box<[AtomicU32]>,
    has_retiring: AtomicBool,
    commit: Committer,
    poisoned: AtomicBool,
    poison: Mutex<Option<String>>,
    room: Notify,
    unsynced_bytes: AtomicU64,
    written_out: Mutex<Option<(u64, u64)>>,
    background_sync: AtomicBool,
    lossy: AtomicBool,
}

#[derive(Debug, Default)]
struct Extents {
    /// How many places the file has; those in no list are absent.
    places: u32,
    laps: Vec<u64>,
    ready: VecDeque<SlotIndex>,
    absent: Vec<SlotIndex>,
    retiring: Vec<SlotIndex>,
    preparing: bool,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("path", &self.path)
            .finish_non_exhaustive()
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
        if let Some(dir) = path.parent() {
            host.files
                .sync_dir(dir)
                .map_err(|e| fail("sync directory", &e))?;
        }
        let bytes = file.size().map_err(|e| fail("size", &e))?;
        let mut lossy = false;
        if let Err(error) = file.sync() {
            tracing::error!(journal = %path.display(), %error,
                "what the last process left could not be made durable; only what is on the device counts");
            lossy = true;
        }
        file.evict(0, bytes)
            .map_err(|e| fail("read past the page cache", &e))?;
        let places = u32::try_from(bytes / extent_bytes).unwrap_or(u32::MAX);
        let mut found = Vec::new();
        let mut state = Extents {
            places,
            laps: vec![0; places as usize],
            ..Extents::default()
        };
        let mut blocks = [0u8; 2 * limits::BLOCK];
        for slot in 0..places {
            file.read_at(&mut blocks, u64::from(slot) * extent_bytes)
                .map_err(|e| fail("read an extent's header", &e))?;
            match read_header(&blocks) {
                Some(header) if header.pool == pool => {
                    state.laps[slot as usize] = header.lap;
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
                // Zeroed and never used, or torn while it was taken: nothing durable is in it.
                None => state.ready.push_back(slot),
            }
        }
        let places_max = shares.extents_max().max(places) + limits::EMERGENCY_EXTENTS;
        let share = shares.join(places);
        let journal = Arc::new(Journal {
            host: host.clone(),
            pool,
            path,
            file,
            shares: shares.clone(),
            share,
            extent_bytes,
            state: Mutex::new(state),
            pins: (0..places_max).map(|_| AtomicU32::new(0)).collect(),
            has_retiring: AtomicBool::new(false),
            commit: Committer::new(),
            poisoned: AtomicBool::new(false),
            poison: Mutex::new(None),
            room: Notify::new(),
            unsynced_bytes: AtomicU64::new(0),
            written_out: Mutex::new(None),
            background_sync: AtomicBool::new(false),
            lossy: AtomicBool::new(lossy),
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

    /// Whether the last process's unsynced writes may be gone although it was only killed.
    pub fn is_lossy(&self) -> bool {
        self.lossy.load(Ordering::Relaxed)
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
    /// further write is taken until a restart has read the device (LESSONS: fsyncgate).
    pub fn poison(&self, why: impl fmt::Display) {
        let mut poison = self.poison.lock();
        if poison.is_none() {
            tracing::error!(journal = %self.path.display(), %why, "the journal takes no more writes");
            *poison = Some(why.to_string());
        }
        self.poisoned.store(true, Ordering::Release);
        drop(poison);
        self.room.notify_waiters();
    }

    /// Takes a ready extent and its next lap, if there is one. `control` may take the last ones,
    /// which are kept so that a frontier can always be written and space comes back.
    pub fn take(self: &Arc<Self>, control: bool) -> Option<Taken> {
        let mut state = self.state.lock();
        self.reap(&mut state);
        let reserve = if control { 0 } else { limits::CONTROL_EXTENTS };
        let reserved = state.ready.len() <= limits::CONTROL_EXTENTS;
        let taken = (state.ready.len() > reserve).then(|| {
            let slot = state.ready.pop_front().expect("longer than the reserve");
            state.laps[slot as usize] += 1;
            Taken {
                slot,
                lap: state.laps[slot as usize],
                reserved,
            }
        });
        drop(state);
        self.make_room();
        taken
    }

    /// Has more extents made ready if there should be.
    pub fn make_room(self: &Arc<Self>) {
        let mut state = self.state.lock();
        self.reap(&mut state);
        if state.ready.len() < self.ready_wanted(&state) && !state.preparing {
            state.preparing = true;
            let journal = self.clone();
            tokio::spawn(async move { journal.prepare().await });
        }
    }

    /// Takes an extent back. It is given out again once no reader holds it.
    pub fn retire(&self, slots: impl IntoIterator<Item = SlotIndex>) {
        let mut state = self.state.lock();
        state.retiring.extend(slots);
        // Said before the pins are looked at: whoever unpins after that look will see it.
        self.has_retiring.store(true, Ordering::SeqCst);
        self.reap(&mut state);
        drop(state);
        self.room.notify_waiters();
    }

    /// Keeps an extent from being used again while a reader is at it. Only for a caller that
    /// holds the lock under which the extent is known to be in use.
    pub fn pin(&self, slot: SlotIndex) {
        self.pins[slot as usize].fetch_add(1, Ordering::SeqCst);
    }

    /// Ends a [`pin`](Self::pin).
    pub fn unpin(&self, slot: SlotIndex) {
        let before = self.pins[slot as usize].fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0);
        if before == 1 && self.has_retiring.load(Ordering::SeqCst) {
            // A writer may be waiting for just this extent.
            self.reap(&mut self.state.lock());
            self.room.notify_waiters();
        }
    }

    fn reap(&self, state: &mut Extents) {
        let pins = &self.pins;
        let mut freed = Vec::new();
        state.retiring.retain(|slot| {
            let busy = pins[*slot as usize].load(Ordering::SeqCst) > 0;
            if !busy {
                freed.push(*slot);
            }
            busy
        });
        self.has_retiring
            .store(!state.retiring.is_empty(), Ordering::Release);
        state.ready.extend(freed);
    }

    /// Makes extents ready ahead of need: zeroes and syncs them, so that a later flush writes
    /// data only and no file system metadata.
    async fn prepare(self: Arc<Self>) {
        loop {
            let batch = self.choose_to_prepare();
            if batch.is_empty() {
                break;
            }
            let journal = self.clone();
            let slots = batch.clone();
            let zeroed = self.host.blocking.run(move || journal.zero(&slots)).await;
            // By the one sync that all share: a failed one poisons for everybody at once.
            let done = match zeroed {
                Ok(()) => self.sync().await,
                Err(error) => Err(io_error("make journal space ready", &error)),
            };
            match done {
                Ok(()) => {
                    self.state.lock().ready.extend(batch);
                    self.room.notify_waiters();
                }
                Err(error) => {
                    let count = u32::try_from(batch.len()).expect("a small batch");
                    self.state.lock().absent.extend(batch);
                    self.shares.give_back(self.share, count);
                    tracing::warn!(journal = %self.path.display(), %error,
                        "the journal cannot grow; writers wait for space in it");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    self.state.lock().preparing = false;
                    self.room.notify_waiters();
                    return;
                }
            }
        }
        self.state.lock().preparing = false;
    }

    /// How many extents should be ready: as many as are in use, within bounds.
    fn ready_wanted(&self, state: &Extents) -> usize {
        let used = state.places as usize - state.ready.len() - state.absent.len();
        let all = self.shares.extents_max() as usize;
        let (low, high) = (limits::READY_EXTENTS_MIN, limits::READY_EXTENTS_MAX);
        used.clamp(
            (all / 8).clamp(low.0, low.1),
            (all / 4).clamp(high.0, high.1),
        )
    }

    /// Whether a write of `bytes` finds room as a whole.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        let mut state = self.state.lock();
        self.reap(&mut state);
        let ready = state.ready.len().saturating_sub(limits::CONTROL_EXTENTS) as u64;
        // A part of each extent goes to descriptors and control records.
        ready * (self.extent_bytes - self.extent_bytes / 16) > bytes
    }

    fn choose_to_prepare(&self) -> Vec<SlotIndex> {
        let mut state = self.state.lock();
        self.reap(&mut state);
        let ahead = self.ready_wanted(&state);
        let mut batch = Vec::new();
        while state.ready.len() + batch.len() < ahead && batch.len() < limits::PREPARE_BATCH {
            // Without a single ready extent no frontier could be logged and no space come back: a
            // few may be made beyond the share, and only control records get the last one.
            let last_resort = state.ready.is_empty() && batch.is_empty();
            if !self.shares.take(self.share) {
                if !last_resort {
                    break;
                }
                self.shares.take_beyond(self.share);
            }
            match state.absent.pop() {
                Some(slot) => batch.push(slot),
                None if (state.places as usize) < self.pins.len() => {
                    batch.push(state.places);
                    state.places += 1;
                    state.laps.push(0);
                }
                None => {
                    self.shares.give_back(self.share, 1);
                    break;
                }
            }
        }
        batch
    }

    fn zero(&self, slots: &[SlotIndex]) -> io::Result<()> {
        let zeroes = vec![0u8; limits::ZERO_WRITE_BYTES];
        for slot in slots {
            let start = u64::from(*slot) * self.extent_bytes;
            let mut at = 0;
            while at < self.extent_bytes {
                let length = (self.extent_bytes - at).min(zeroes.len() as u64);
                let piece = &zeroes[..usize::try_from(length).expect("at most a buffer")];
                self.file.write_at(&[IoSlice::new(piece)], start + at)?;
                at += length;
            }
        }
        Ok(())
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
                self.poison(format_args!("sync failed: {error}"));
                Err(SyncFailed(error.to_string()))
            }
        }
    }

    /// Whether a write would find an extent and the unsynced bytes within their bound.
    pub fn has_room(&self) -> bool {
        if self.unsynced_bytes() > limits::UNSYNCED_BYTES_MAX {
            return false;
        }
        let mut state = self.state.lock();
        self.reap(&mut state);
        state.ready.len() > limits::CONTROL_EXTENTS
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
    pub fn room(&self) -> &Notify {
        &self.room
    }

    /// How full the journal is: extents in use, and the most there may be.
    pub fn usage(&self) -> (u32, u32) {
        let state = self.state.lock();
        let idle = state.ready.len() + state.absent.len();
        let idle = u32::try_from(idle).unwrap_or(u32::MAX);
        (state.places.saturating_sub(idle), self.shares.extents_max())
    }
}
