//! The simulated host: one seed, one world.
//!
//! Owns: [`SimHost`], which holds what outlives a process (the disk, the stores, the clocks)
//! and gives each incarnation of the process its [`Host`]. Does not own: the runtime. Run it
//! on a current-thread runtime with paused time, and nothing depends on anything but the
//! seed and what is asked of it; [`SimHost::trace`] proves it.
//!
//! A process dies in two ways. [`SimHost::kill`]: what it had written stays in the page
//! cache, its locks go. [`SimHost::crash`]: the machine loses power, and of what was not
//! synced any part may be lost, down to single sectors, names and sizes. In both cases all
//! that the old incarnation was given answers only errors from then on: a task of it that
//! still runs can do no more harm than a dead process.

mod clock;
mod dice;
mod disk;
mod entropy;
mod fault;
mod files;
mod inode;
mod names;
mod store;
mod trace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use clock::SimClock;
pub use dice::Dice;
pub use disk::SimDisk;
pub use entropy::SimEntropy;
pub use fault::{Call, Fault};
pub use inode::PowerCut;
pub use store::SimStore;
pub use trace::Trace;

use crate::{Blocking, Host, LocalStore, Table};

/// A simulated machine.
#[derive(Debug)]
pub struct SimHost {
    seed: u64,
    clock: Arc<SimClock>,
    entropy: Arc<SimEntropy>,
    disk: SimDisk,
    stores: Mutex<BTreeMap<String, SimStore>>,
    delays: Arc<Mutex<Dice>>,
    trace: Trace,
}

impl SimHost {
    /// A machine with an empty disk. All its randomness comes from `seed`.
    pub fn new(seed: u64) -> SimHost {
        let trace = Trace::default();
        SimHost {
            seed,
            clock: Arc::new(SimClock::new()),
            entropy: Arc::new(SimEntropy::new(Dice::new(seed, "entropy"), trace.clone())),
            disk: SimDisk::new(Dice::new(seed, "disk"), trace.clone()),
            stores: Mutex::default(),
            delays: Arc::new(Mutex::new(Dice::new(seed, "delays"))),
            trace,
        }
    }

    /// What a process that starts now is given.
    pub fn host(&self) -> Host {
        let delays = Arc::clone(&self.delays);
        Host {
            clock: Arc::clone(&self.clock) as Arc<dyn crate::Clock>,
            entropy: Arc::clone(&self.entropy) as Arc<dyn crate::Entropy>,
            files: self.disk.files(),
            blocking: Blocking::Simulated(Arc::new(move || delay(&mut delays.lock()))),
        }
    }

    /// The local store `name` as a process that starts now opens it; made empty at first.
    pub fn store(&self, name: &str, tables: &[Table]) -> Arc<dyn LocalStore> {
        let mut stores = self.stores.lock();
        let store = stores.entry(name.to_owned()).or_insert_with(|| {
            let dice = Dice::new(self.seed, &format!("store {name}"));
            SimStore::new(dice, self.trace.clone())
        });
        store.open(tables)
    }

    /// The world's side of a store that [`store`](Self::store) has made: to wipe or damage it.
    pub fn store_world(&self, name: &str) -> Option<SimStore> {
        self.stores.lock().get(name).cloned()
    }

    /// The clocks, to make them jump.
    pub fn clock(&self) -> &SimClock {
        &self.clock
    }

    /// The disk, to inject faults and look at.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// The process dies. All that the page cache has of its writes survives.
    pub fn kill(&self) {
        self.disk.kill();
        for store in self.stores.lock().values() {
            store.kill();
        }
    }

    /// The power goes: as [`kill`](Self::kill), and what was not synced survives in part.
    pub fn crash(&self) {
        self.crash_with(PowerCut::Random);
    }

    /// The power goes, with a given fate for what was not synced.
    pub fn crash_with(&self, cut: PowerCut) {
        self.disk.crash(cut);
        self.clock.reboot();
        for store in self.stores.lock().values() {
            store.kill();
        }
    }

    /// A hash of every call so far with its arguments, in order: equal for equal runs.
    pub fn trace(&self) -> u64 {
        self.trace.value()
    }
}

/// How long blocking work takes: mostly short, now and then very long.
fn delay(dice: &mut Dice) -> Duration {
    let us = match dice.below(100) {
        0..60 => 0,
        60..90 => dice.below(2_000),
        90..99 => dice.below(20_000),
        _ => dice.below(500_000),
    };
    Duration::from_micros(us)
}

#[cfg(test)]
mod tests;
