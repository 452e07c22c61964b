//! Slots that readers pin while they read, so that a recycler does not write under them.
//!
//! Owns: for each slot its lap, whether it is live, and how many readers are in it. Does not
//! own: what is in a slot (extents of the journal, zones of the cache), nor the choice of
//! what to recycle.
//!
//! ```text
//!   free ── open ──► live ── retire ──► retired ── last pin goes ──► free
//!         (lap + 1)     └──────── if nobody has it pinned ────────────┘
//! ```
//!
//! One word for each slot: lap (40 bits), live (1 bit), pins (23 bits), so that each step is
//! one atomic step. A pin names the lap that the reader knows: a slot that was recycled since
//! is refused, never read as what it was. All that was done under any pin of a lap happened
//! before the next `open` of the slot answers.

use std::fmt;
use std::sync::Arc;

use crate::sync::{AtomicU64, Ordering};

const PINS_MAX: u64 = (1 << 23) - 1;
const LIVE: u64 = 1 << 23;
const LAP_SHIFT: u32 = 24;
const LAP_MAX: u64 = (1 << 40) - 1;

/// Which use of a slot is meant: the first is 1, and no number comes twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lap(pub u64);

/// What a slot is after [`Pins::retire`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// Free: nobody has it pinned.
    Free,
    /// Pins are left; the last of them calls the hook.
    Pinned,
}

/// The state of a fixed number of slots, shared by readers and the recycler. Calls with a
/// slot beyond that number panic.
pub struct Pins {
    slots: Box<[AtomicU64]>,
    on_free: Box<dyn Fn(usize) + Send + Sync>,
}

impl Pins {
    /// `count` free slots that were never used. When the last pin of a retired slot goes,
    /// `on_free` is called with the slot by the thread that dropped it, to wake the recycler.
    pub fn new(count: usize, on_free: impl Fn(usize) + Send + Sync + 'static) -> Arc<Pins> {
        Pins::recovered((0..count).map(|_| (Lap(0), false)), on_free)
    }

    /// As [`new`](Self::new), with the newest lap of each slot that is known from before, and
    /// whether it is live.
    pub fn recovered(
        slots: impl IntoIterator<Item = (Lap, bool)>,
        on_free: impl Fn(usize) + Send + Sync + 'static,
    ) -> Arc<Pins> {
        let word = |(lap, live): (Lap, bool)| {
            assert!(lap.0 <= LAP_MAX, "a lap has 40 bits");
            AtomicU64::new(lap.0 << LAP_SHIFT | if live { LIVE } else { 0 })
        };
        Arc::new(Pins {
            slots: slots.into_iter().map(word).collect(),
            on_free: Box::new(on_free),
        })
    }

    /// The number of slots.
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// Makes a free slot live for its next lap. `None` if it is live or pinned, or another
    /// caller came first. The answer is the first pin, for the one who is to fill the slot;
    /// readers can pin once they have been told the lap.
    pub fn open(self: &Arc<Self>, slot: usize) -> Option<SlotPin> {
        let word = &self.slots[slot];
        let old = word.load(Ordering::Relaxed);
        if old & (LIVE | PINS_MAX) != 0 {
            return None;
        }
        let lap = (old >> LAP_SHIFT) + 1;
        assert!(lap <= LAP_MAX, "2^40 laps are more than any device bears");
        // Acquire: what readers of the last lap did is over before anything is written.
        word.compare_exchange(
            old,
            lap << LAP_SHIFT | LIVE | 1,
            Ordering::Acquire,
            Ordering::Relaxed,
        )
        .ok()
        .map(|_| self.pin(slot, Lap(lap)))
    }

    /// Keeps a slot from being opened anew until the answer is dropped. `None` if that lap
    /// has been retired (or never was): what the reader looks for is elsewhere now.
    pub fn try_pin(self: &Arc<Self>, slot: usize, lap: Lap) -> Option<SlotPin> {
        self.pin_if(slot, |now| now == lap)
    }

    /// The same for whatever lap is live: for a reader that knows in another way that it is the
    /// right one, such as a lock under which nobody retires.
    pub fn pin_live(self: &Arc<Self>, slot: usize) -> Option<SlotPin> {
        self.pin_if(slot, |_| true)
    }

    fn pin_if(self: &Arc<Self>, slot: usize, wanted: impl Fn(Lap) -> bool) -> Option<SlotPin> {
        let word = &self.slots[slot];
        let mut old = word.load(Ordering::Relaxed);
        loop {
            let lap = Lap(old >> LAP_SHIFT);
            if !wanted(lap) || old & LIVE == 0 {
                return None;
            }
            assert!(
                old & PINS_MAX < PINS_MAX,
                "readers in flight are bounded far below"
            );
            match word.compare_exchange_weak(old, old + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(self.pin(slot, lap)),
                Err(now) => old = now,
            }
        }
    }

    /// Ends a lap: no new pins; free when the last one goes. `None` if that lap is not live.
    pub fn retire(&self, slot: usize, lap: Lap) -> Option<Retired> {
        let word = &self.slots[slot];
        let mut old = word.load(Ordering::Relaxed);
        loop {
            if old >> LAP_SHIFT != lap.0 || old & LIVE == 0 {
                return None;
            }
            // Release: what the retirer did (such as moving readers elsewhere) is seen by the
            // next opener too.
            let new = old & !LIVE;
            match word.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if old & PINS_MAX == 0 => return Some(Retired::Free),
                Ok(_) => return Some(Retired::Pinned),
                Err(now) => old = now,
            }
        }
    }

    /// Ends whatever lap is live: for the one who owns the slot.
    pub fn retire_live(&self, slot: usize) -> Option<Retired> {
        let lap = Lap(self.slots[slot].load(Ordering::Relaxed) >> LAP_SHIFT);
        self.retire(slot, lap)
    }

    /// Whether a slot could be opened now.
    pub fn is_free(&self, slot: usize) -> bool {
        self.slots[slot].load(Ordering::Acquire) & (LIVE | PINS_MAX) == 0
    }

    /// How many pins a slot has at this moment.
    pub fn pins(&self, slot: usize) -> u64 {
        self.slots[slot].load(Ordering::Acquire) & PINS_MAX
    }

    fn pin(self: &Arc<Self>, slot: usize, lap: Lap) -> SlotPin {
        SlotPin {
            pins: Arc::clone(self),
            slot,
            lap,
        }
    }
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pins")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

/// A slot that will not be used for anything else before this is dropped.
#[must_use = "a pin lasts only as long as it is kept"]
pub struct SlotPin {
    pins: Arc<Pins>,
    slot: usize,
    lap: Lap,
}

impl SlotPin {
    /// The slot.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// The lap that is pinned.
    pub fn lap(&self) -> Lap {
        self.lap
    }
}

impl Drop for SlotPin {
    fn drop(&mut self) {
        // Release: what was done under this pin comes before the next open. The count cannot
        // reach the other bits: there is one for each SlotPin.
        let old = self.pins.slots[self.slot].fetch_sub(1, Ordering::AcqRel);
        debug_assert!(old & PINS_MAX > 0, "each pin is counted once");
        if old & (LIVE | PINS_MAX) == 1 {
            (self.pins.on_free)(self.slot);
        }
    }
}

impl fmt::Debug for SlotPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotPin({} lap {})", self.slot, self.lap.0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::{LAP_MAX, Lap, Pins, Retired};

    #[test]
    fn a_slot_goes_round() {
        let freed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&freed);
        let pins = Pins::new(2, move |slot| {
            assert_eq!(slot, 1);
            counter.fetch_add(1, SeqCst);
        });
        assert!(pins.try_pin(1, Lap(0)).is_none(), "never opened");
        assert!(pins.pin_live(1).is_none(), "not even whatever is there");
        let writer = pins.open(1).unwrap();
        assert_eq!((writer.slot(), writer.lap()), (1, Lap(1)));
        assert!(pins.open(1).is_none(), "live");
        let reader = pins.try_pin(1, Lap(1)).unwrap();
        assert!(pins.try_pin(1, Lap(2)).is_none());
        assert_eq!(pins.pins(1), 2);
        assert_eq!(pins.pin_live(1).map(|pin| pin.lap()), Some(Lap(1)));
        drop(writer);
        assert_eq!(pins.retire(1, Lap(2)), None);
        assert_eq!(pins.retire(1, Lap(1)), Some(Retired::Pinned));
        assert_eq!(pins.retire(1, Lap(1)), None, "once");
        assert!(pins.try_pin(1, Lap(1)).is_none(), "retired");
        assert!(pins.open(1).is_none(), "still pinned");
        drop(reader);
        assert_eq!(pins.retire_live(1), None, "it is not live");
        assert_eq!(freed.load(SeqCst), 1);
        assert!(pins.is_free(1));
        let writer = pins.open(1).unwrap();
        assert_eq!(writer.lap(), Lap(2));
        assert!(pins.try_pin(1, Lap(1)).is_none(), "an older lap");
        drop(writer);
        assert_eq!(freed.load(SeqCst), 1, "live: not free");
        assert_eq!(pins.retire_live(1), Some(Retired::Free));
        assert_eq!(freed.load(SeqCst), 1, "the retirer knows");
    }

    #[test]
    fn laps_go_on_after_recovery() {
        let pins = Pins::recovered([(Lap(7), true), (Lap(9), false)], |_| {});
        drop(pins.try_pin(0, Lap(7)).unwrap());
        assert!(pins.try_pin(1, Lap(9)).is_none());
        assert_eq!(pins.open(1).unwrap().lap(), Lap(10));
        assert_eq!(pins.retire(0, Lap(7)), Some(Retired::Free));
        assert_eq!(pins.open(0).unwrap().lap(), Lap(8));
        let last = Pins::recovered([(Lap(LAP_MAX - 1), false)], |_| {});
        assert_eq!(last.open(0).unwrap().lap(), Lap(LAP_MAX));
    }

    #[test]
    fn threads_never_read_what_is_rewritten() {
        // The slot holds the lap in both halves; a reader under a pin must see its own lap.
        let pins = Pins::new(1, |_| {});
        let value = AtomicUsize::new(0);
        let newest = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while newest.load(SeqCst) < 2000 {
                        let lap = newest.load(SeqCst);
                        if let Some(pin) = pins.try_pin(0, Lap(lap as u64)) {
                            assert_eq!(value.load(SeqCst), lap);
                            drop(pin);
                        }
                    }
                });
            }
            scope.spawn(|| {
                while newest.load(SeqCst) < 2000 {
                    if let Some(writer) = pins.open(0) {
                        let lap = usize::try_from(writer.lap().0).unwrap();
                        value.store(lap, SeqCst);
                        newest.store(lap, SeqCst);
                        drop(writer);
                        std::thread::yield_now();
                        pins.retire(0, Lap(lap as u64)).unwrap();
                    }
                }
            });
        });
    }
}
