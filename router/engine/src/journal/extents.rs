//! The extents of a journal file: made ready, given out, taken back, lent.
//!
//! Owns: which state each place of the file is in, and the readers' pins. Does not own: what is in
//! an extent ([`super::log`], [`super::scan`]), how much SSD space a pool may have
//! ([`super::shares`]).
//!
//! ```text
//! absent ──prepare: zero, sync──> ready ──take──> used ──retire──> ready
//!    ^                              │                     waits for readers' pins
//!    └──────release: punch hole─────┘ (borrowed, and another pool wants it)
//! ```

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use vpool_commit::{Retired, SlotPin};

use super::file::{Journal, SlotIndex, Taken};
use vpool_format::journal::READY_MARK;

use crate::error::{Result, io as io_error};
use crate::limits;

#[derive(Debug, Default)]
pub(super) struct Extents {
    /// How many places the file has; those in no list are absent.
    pub(super) places: u32,
    pub(super) ready: VecDeque<SlotIndex>,
    pub(super) absent: Vec<SlotIndex>,
    /// On their way from ready to absent.
    pub(super) leaving: u32,
    pub(super) preparing: bool,
    pub(super) look_again: bool,
}

/// What [`Journal::prepare`] does next.
enum Next {
    /// These, and whether there is time.
    Make(Vec<SlotIndex>, bool),
    /// For somebody who needs more, or for a quiet time.
    Wait,
    Nothing,
    /// Somebody has found no room since the last look.
    Again,
}

impl Extents {
    fn used(&self) -> usize {
        let idle = self.ready.len() + self.absent.len() + self.leaving as usize;
        self.places as usize - idle
    }
}

impl Journal {
    /// Takes a ready extent and its next lap, if there is one. `control` may take the last ones,
    /// which are kept so that a frontier can always be written and space comes back.
    pub fn take(self: &Arc<Self>, control: bool) -> Option<Taken> {
        let mut state = self.state.lock();
        self.reap(&mut state);
        let reserve = if control { 0 } else { limits::CONTROL_EXTENTS };
        let reserved = state.ready.len() <= limits::CONTROL_EXTENTS;
        let taken = (state.ready.len() > reserve).then(|| {
            let slot = state.ready.pop_front().expect("longer than the reserve");
            let opened = self.pins.open(slot as usize);
            let pin = opened.expect("nobody reads what is ready, and nobody else takes it");
            Taken {
                slot,
                lap: pin.lap().0,
                reserved,
            }
        });
        drop(state);
        self.make_room();
        if taken.is_none() {
            self.ask_for_extents();
        }
        taken
    }

    /// Asks the disks that hold extents, or memory, to ship and to give back what they do not need.
    /// Many writers may find no room at once: who asks too soon is heard a little later.
    pub fn ask_for_extents(self: &Arc<Self>) {
        if self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let asked = self.asked_ns.load(Ordering::Acquire);
        let now = self.host().clock.boot_ns();
        let wait = (asked + limits::PRESSURE_NS).saturating_sub(now);
        let journal = self.clone();
        let ask = move || {
            let now = journal.host().clock.boot_ns();
            journal.asked_ns.store(now, Ordering::Release);
            // First: who finds no room from here on asks anew.
            journal.asking.store(false, Ordering::Release);
            journal.pressure().notify_waiters();
        };
        if wait == 0 || asked == 0 {
            return ask();
        }
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_nanos(wait)).await;
            ask();
        });
    }

    /// The pool is open: extents are made ready and lent from here on. (Not before: an opening
    /// that fails leaves nobody behind who writes into the file.)
    pub fn start(self: &Arc<Self>) {
        self.started.store(true, Ordering::Release);
        self.make_room();
    }

    /// Has more extents made ready if there should be, and lent ones given back if another pool
    /// wants them.
    pub fn make_room(self: &Arc<Self>) {
        if !self.started.load(Ordering::Acquire) {
            return;
        }
        self.lend_back();
        let mut state = self.state.lock();
        self.reap(&mut state);
        let short = state.ready.len() < self.ready_wanted(&state);
        let idle = state.ready.len() < self.ready_at_rest();
        let prepare = (short || idle) && !state.preparing;
        // Whoever makes extents ready may just have found nothing to do: it is to look again.
        state.look_again = short && state.preparing;
        state.preparing |= prepare;
        drop(state);
        if prepare {
            let journal = self.clone();
            tokio::spawn(async move { journal.prepare().await });
        } else if short {
            self.more.notify_one();
        }
    }

    /// Gives back what was borrowed and is not in use, if another pool wants it.
    pub(super) fn lend_back(self: &Arc<Self>) {
        let leaving = self.choose_to_release(&mut self.state.lock());
        if !leaving.is_empty() {
            let journal = self.clone();
            tokio::spawn(async move { journal.release(leaving).await });
        }
    }

    /// Takes extents back. Each is given out again once no reader holds it.
    pub fn retire(self: &Arc<Self>, slots: impl IntoIterator<Item = SlotIndex>) {
        let mut state = self.state.lock();
        for slot in slots {
            let retired = self.pins.retire_live(slot as usize);
            debug_assert!(retired.is_some(), "an extent is given back once");
            if retired == Some(Retired::Free) {
                state.ready.push_back(slot);
            }
        }
        self.reap(&mut state);
        drop(state);
        self.room().notify_waiters();
        if self.started.load(Ordering::Acquire) {
            self.lend_back();
        }
    }

    /// What was borrowed and is not in use, if another pool wants it.
    fn choose_to_release(&self, state: &mut Extents) -> Vec<SlotIndex> {
        let mut leaving = Vec::new();
        while leaving.len() < limits::PREPARE_BATCH
            && state.ready.len() > limits::READY_EXTENTS_MIN.0
            && self.shares.others_want(self.share)
            && self.shares.is_borrowing(self.share, leaving.len())
        {
            leaving.extend(state.ready.pop_back());
        }
        state.leaving += u32::try_from(leaving.len()).expect("a small batch");
        leaving
    }

    /// Gives lent extents back, with their space.
    async fn release(self: Arc<Self>, slots: Vec<SlotIndex>) {
        let (journal, batch) = (self.clone(), slots.clone());
        let punched = self
            .host()
            .blocking
            .run(move || {
                batch.iter().try_for_each(|slot| {
                    let start = journal.offset(*slot, 0);
                    journal.file().punch_hole(start, journal.extent_bytes)
                })
            })
            .await;
        if let Err(error) = punched {
            tracing::debug!(journal = %self.path.display(), %error,
                "the file system keeps the space of journal extents that were given back");
        }
        let count = u32::try_from(slots.len()).expect("a small batch");
        {
            let mut state = self.state.lock();
            state.leaving -= count;
            state.absent.extend(slots);
        }
        self.shares.give_back(self.share, count);
    }

    /// Keeps an extent from being used again while a reader is at it. Only for a caller that
    /// holds the lock under which the extent is known to be in use; `None` if its disk is gone.
    pub fn pin(&self, slot: SlotIndex) -> Option<SlotPin> {
        self.pins.pin_live(slot as usize)
    }

    /// What readers have let go of since is ready.
    fn reap(&self, state: &mut Extents) {
        state.ready.extend(self.freed.lock().drain(..));
    }

    /// Makes extents ready ahead of need: zeroes and syncs them, so that a later flush writes
    /// data only and no file system metadata.
    async fn prepare(self: Arc<Self>) {
        let mut written = (self.written_bytes(), Instant::now());
        loop {
            let now = self.written_bytes();
            if written.0 != now {
                written = (now, Instant::now());
            }
            let idle = written.1.elapsed() >= limits::REST_PAUSE;
            let next = self.next_to_prepare(idle);
            // Outside our own locks: the others' are taken in there.
            self.shares.poke_borrowers(self.share);
            let (batch, paced) = match next {
                Next::Make(batch, paced) => (batch, paced),
                Next::Nothing => return,
                Next::Again => continue,
                Next::Wait => {
                    tokio::select! {
                        biased;
                        () = self.more.notified() => {}
                        () = tokio::time::sleep(limits::REST_PAUSE) => {}
                    }
                    continue;
                }
            };
            let begun = Instant::now();
            match self.make(&batch).await {
                Ok(()) => {
                    self.state.lock().ready.extend(batch);
                    self.room().notify_waiters();
                    if paced {
                        self.breathe(limits::PREPARE_PAUSES * begun.elapsed()).await;
                    }
                }
                Err(error) => {
                    let count = u32::try_from(batch.len()).expect("a small batch");
                    self.state.lock().absent.extend(batch);
                    self.shares.give_back(self.share, count);
                    tracing::warn!(journal = %self.path.display(), %error,
                        "the journal cannot grow; writers wait for space in it");
                    // The SSD is full: what others have borrowed would help.
                    self.shares.want(self.share);
                    self.shares.poke_borrowers(self.share);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    self.state.lock().preparing = false;
                    self.room().notify_waiters();
                    return;
                }
            }
        }
    }

    /// Leaves the SSD to those who write and sync meanwhile, unless they are about to find no
    /// extent.
    async fn breathe(&self, time: Duration) {
        let end = tokio::time::sleep(time);
        tokio::pin!(end);
        loop {
            tokio::select! {
                biased;
                () = &mut end => return,
                () = self.more.notified() => {}
            }
            if self.is_short(&self.state.lock()) {
                return;
            }
        }
    }

    async fn make(self: &Arc<Self>, batch: &[SlotIndex]) -> Result<()> {
        let fail = |error| io_error("make journal space ready", &error);
        let blocking = &self.host().blocking;
        let (journal, slots) = (self.clone(), batch.to_vec());
        let zero = move || journal.zero(&slots);
        blocking.run(zero).await.map_err(fail)?;
        // By the one sync that all share: a failed one poisons for everybody at once.
        self.sync().await?;
        let (journal, slots) = (self.clone(), batch.to_vec());
        let mark = move || journal.mark_ready(&slots);
        blocking.run(mark).await.map_err(fail)
    }

    /// What is to be made ready next. `idle`: nobody has written of late, so more are made for
    /// the next burst.
    fn next_to_prepare(&self, idle: bool) -> Next {
        let mut state = self.state.lock();
        self.reap(&mut state);
        let wanted = self.ready_wanted(&state);
        let paced = !idle && !self.is_short(&state);
        let most = if paced { 1 } else { limits::PREPARE_BATCH };
        let mut batch = self.choose_to_prepare(&mut state, wanted, most);
        if batch.is_empty() && state.ready.len() < self.ready_at_rest() {
            if !idle {
                return Next::Wait;
            }
            batch = self.choose_to_prepare(&mut state, self.ready_at_rest(), most);
        }
        if batch.is_empty() {
            if std::mem::take(&mut state.look_again) {
                return Next::Again;
            }
            // Under the lock under which nothing was found to do: who needs more starts anew.
            state.preparing = false;
            return Next::Nothing;
        }
        Next::Make(batch, paced)
    }

    /// How many extents should be ready: as many as are in use, within bounds.
    fn ready_wanted(&self, state: &Extents) -> usize {
        let high = limits::READY_EXTENTS_MAX;
        let most = (self.shares.extents_max() as usize / 4).clamp(high.0, high.1);
        state.used().clamp(self.ready_least(), most)
    }

    fn ready_least(&self) -> usize {
        let low = limits::READY_EXTENTS_MIN;
        (self.shares.extents_max() as usize / 8).clamp(low.0, low.1)
    }

    /// Whether so few are ready that writers may soon wait for more.
    fn is_short(&self, state: &Extents) -> bool {
        state.ready.len() < self.ready_least()
    }

    /// How many are made ready while nobody writes.
    fn ready_at_rest(&self) -> usize {
        (self.shares.extents_max() as usize / 4).clamp(
            limits::READY_EXTENTS_MAX.0,
            limits::READY_EXTENTS_AT_REST_MAX,
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

    fn choose_to_prepare(&self, state: &mut Extents, ahead: usize, most: usize) -> Vec<SlotIndex> {
        let mut batch = Vec::new();
        while state.ready.len() + batch.len() < ahead && batch.len() < most {
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
                None if (state.places as usize) < self.pins.count() => {
                    batch.push(state.places);
                    state.places += 1;
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
                self.file().write_at(&[IoSlice::new(piece)], start + at)?;
                at += length;
            }
        }
        Ok(())
    }

    /// Only what is known to be zeroed and synced is marked: a restart zeroes no marked one anew.
    fn mark_ready(&self, slots: &[SlotIndex]) -> io::Result<()> {
        for slot in slots {
            let start = u64::from(*slot) * self.extent_bytes;
            self.file().write_at(&[IoSlice::new(&READY_MARK)], start)?;
        }
        Ok(())
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

    /// Whether half of what is guaranteed to the pool is in use: a quarter of the journal, for
    /// the only pool.
    pub fn is_filling(&self) -> bool {
        let used = self.state.lock().used();
        2 * used >= self.shares.guaranteed(self.share) as usize
    }

    /// How full the journal is: extents in use, and the most there may be.
    pub fn usage(&self) -> (u32, u32) {
        let state = self.state.lock();
        let used = u32::try_from(state.used()).unwrap_or(u32::MAX);
        (used, self.shares.extents_max())
    }
}
