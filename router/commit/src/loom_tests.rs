//! Every interleaving of a few threads over the group commit and the pins.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;

use crate::{Failed, GroupCommit, Lap, Pins, Progress, Retired, Round};

/// A log with what is written, what is durable and whether a sync runs.
#[derive(Default)]
struct Log {
    group: GroupCommit,
    written: AtomicU64,
    durable: AtomicU64,
    syncing: AtomicU64,
    syncs: AtomicU64,
    gate: Mutex<()>,
    ended: Condvar,
}

impl Log {
    /// One append and commit as a waiter does it; `good` says how sync number n ends.
    fn append(&self, good: fn(u64) -> bool) -> bool {
        let mine = self.written.fetch_add(1, SeqCst) + 1;
        let ticket = self.group.ticket();
        loop {
            // Under the gate no end of a round is missed between looking and waiting.
            let gate = self.gate.lock().unwrap();
            match self.group.poll(ticket) {
                Progress::Durable => {
                    assert!(self.durable.load(SeqCst) >= mine, "acknowledged too early");
                    return true;
                }
                Progress::Failed(_) => return false,
                Progress::Waiting => {}
            }
            match self.group.begin() {
                Some(round) => {
                    drop(gate);
                    self.lead(round, good);
                }
                None => drop(self.ended.wait(gate).unwrap()),
            }
        }
    }

    fn lead(&self, round: Round, good: fn(u64) -> bool) {
        assert_eq!(self.syncing.fetch_add(1, SeqCst), 0, "two syncs at once");
        let covers = self.written.load(SeqCst);
        let number = self.syncs.fetch_add(1, SeqCst) + 1;
        let result = if good(number) {
            self.durable.store(covers, SeqCst);
            Ok(())
        } else {
            Err(Failed::new("EIO"))
        };
        self.syncing.fetch_sub(1, SeqCst);
        self.group.finish(round, result);
        drop(self.gate.lock().unwrap());
        self.ended.notify_all();
    }
}

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

#[test]
fn a_commit_covers_what_came_before_it() {
    model(|| {
        let log = Arc::new(Log::default());
        let others: Vec<_> = (0..2)
            .map(|_| {
                let log = Arc::clone(&log);
                thread::spawn(move || assert!(log.append(|_| true)))
            })
            .collect();
        assert!(log.append(|_| true));
        for other in others {
            other.join().unwrap();
        }
        assert!(log.syncs.load(SeqCst) <= 3);
        assert_eq!(log.durable.load(SeqCst), 3);
    });
}

#[test]
fn nothing_is_durable_after_a_failure() {
    model(|| {
        let log = Arc::new(Log::default());
        let first_fails = |number| number > 1;
        let other = {
            let log = Arc::clone(&log);
            thread::spawn(move || log.append(first_fails))
        };
        assert!(!log.append(first_fails));
        assert!(!other.join().unwrap());
        assert_eq!(log.syncs.load(SeqCst), 1, "nothing ran after the failure");
        assert!(log.group.failure().is_some());
    });
}

/// A slot's content, checked by loom for reads and writes at the same time.
struct Cell(UnsafeCell<u64>);

// SAFETY: that accesses do not overlap is what the test is to prove; loom reports any that do.
unsafe impl Sync for Cell {}

#[test]
fn a_pinned_slot_is_not_written() {
    model(|| {
        let freed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&freed);
        let pins = Pins::new(1, move |_| {
            counter.fetch_add(1, SeqCst);
        });
        let cell = Arc::new(Cell(UnsafeCell::new(0)));
        let first = pins.open(0).unwrap();
        // SAFETY: nobody else is running yet.
        cell.0.with_mut(|value| unsafe { *value = 1 });
        drop(first);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (pins, cell) = (Arc::clone(&pins), Arc::clone(&cell));
                thread::spawn(move || {
                    if let Some(pin) = pins.try_pin(0, Lap(1)) {
                        // SAFETY: the pin keeps writers out.
                        cell.0.with(|value| assert_eq!(unsafe { *value }, 1));
                        drop(pin);
                    }
                })
            })
            .collect();
        let free = match pins.retire(0, Lap(1)).unwrap() {
            Retired::Free => true,
            Retired::Pinned => freed.load(SeqCst) == 1,
        };
        match pins.open(0) {
            Some(second) => {
                assert_eq!(second.lap(), Lap(2));
                // SAFETY: the slot was free, no pin of lap 1 can come any more.
                cell.0.with_mut(|value| unsafe { *value = 2 });
            }
            None => assert!(!free, "free, but cannot be opened"),
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn the_end_of_the_last_pin_is_told_once() {
    model(|| {
        let freed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&freed);
        let pins = Pins::new(1, move |_| {
            counter.fetch_add(1, SeqCst);
        });
        drop(pins.open(0).unwrap());
        let reader = {
            let pins = Arc::clone(&pins);
            thread::spawn(move || drop(pins.try_pin(0, Lap(1))))
        };
        let retired = pins.retire(0, Lap(1)).unwrap();
        reader.join().unwrap();
        let told = freed.load(SeqCst);
        assert_eq!(told, usize::from(retired == Retired::Pinned));
        assert!(pins.is_free(0));
    });
}

#[test]
fn a_slot_is_opened_by_one() {
    model(|| {
        let pins = Pins::new(1, |_| {});
        let opens = |pins: &Arc<Pins>| match pins.open(0) {
            Some(pin) => {
                std::mem::forget(pin);
                1
            }
            None => 0,
        };
        let other = {
            let pins = Arc::clone(&pins);
            thread::spawn(move || opens(&pins))
        };
        let mine = opens(&pins);
        assert_eq!(mine + other.join().unwrap(), 1);
    });
}
