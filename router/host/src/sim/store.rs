//! The local store in memory: the twin of RocksDB, with its ways of losing things.
//!
//! Synced batches survive everything. Volatile ones are only in memory until a flush that
//! nobody asked for: when the process dies, killed or with its host, a random suffix of them
//! is gone, while synced ones that came later are there. Tables that are caches may lose any
//! key ([`SimStore::forget`]), damaged values are made with [`SimStore::damage`].

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{Dice, Trace};
use crate::{Batch, Durability, LocalStore, Table, TableKind, Write};

/// Batches kept undecided, before they are flushed.
const LOG_MAX: usize = 1024;

type Tables = BTreeMap<&'static str, BTreeMap<Vec<u8>, Vec<u8>>>;

/// The world's side of a simulated store. Clones are the same store.
#[derive(Clone)]
pub struct SimStore {
    world: Arc<Mutex<World>>,
}

struct World {
    /// What the process sees.
    now: Tables,
    /// What is on the disk for certain.
    durable: Tables,
    /// What came after that, in order.
    log: Vec<(Batch, Durability)>,
    failing: Option<io::ErrorKind>,
    incarnation: u64,
    dice: Dice,
    trace: Trace,
}

impl fmt::Debug for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimStore")
    }
}

impl SimStore {
    /// An empty store. What it loses comes from `dice`, every call is noted in `trace`.
    pub fn new(dice: Dice, trace: Trace) -> SimStore {
        SimStore {
            world: Arc::new(Mutex::new(World {
                now: Tables::new(),
                durable: Tables::new(),
                log: Vec::new(),
                failing: None,
                incarnation: 1,
                dice,
                trace,
            })),
        }
    }

    /// The store as a process that starts now opens it, with these tables.
    pub fn open(&self, tables: &[Table]) -> Arc<dyn LocalStore> {
        let mut world = self.world.lock();
        for table in tables {
            world.now.entry(table.name).or_default();
        }
        Arc::new(Open {
            world: Arc::clone(&self.world),
            incarnation: world.incarnation,
            tables: tables.iter().map(|table| table.name).collect(),
        })
    }

    /// The process dies: a suffix of the volatile batches is lost, open handles are dead.
    pub fn kill(&self) {
        let mut world = self.world.lock();
        world.incarnation += 1;
        let bound = world.log.len() as u64 + 1;
        let kept = world.dice.below(bound);
        world.flush(kept);
        world.now = world.durable.clone();
        world.trace.note("store kill", &[], &[kept], &[]);
    }

    /// All is gone, as when a cache directory was deleted. Open handles see an empty store.
    pub fn wipe(&self) {
        let mut world = self.world.lock();
        world.log.clear();
        world.durable.clear();
        for table in world.now.values_mut() {
            table.clear();
        }
        world.trace.note("store wipe", &[], &[], &[]);
    }

    /// Loses each key of the cache tables among `tables` with a chance of `percent`.
    pub fn forget(&self, tables: &[Table], percent: u64) {
        let mut world = self.world.lock();
        world.flush(u64::MAX);
        let World { now, dice, .. } = &mut *world;
        for table in tables {
            if matches!(table.kind, TableKind::Cache { .. })
                && let Some(pairs) = now.get_mut(table.name)
            {
                pairs.retain(|_, _| !dice.chance(percent));
            }
        }
        world.durable = world.now.clone();
        world.trace.note("store forget", &[], &[percent], &[]);
    }

    /// Flips a random bit of a value. Answers whether there was a value that has any.
    pub fn damage(&self, table: &'static str, key: &[u8]) -> bool {
        let mut world = self.world.lock();
        world.flush(u64::MAX);
        let World { now, dice, .. } = &mut *world;
        let value = now.get_mut(table).and_then(|pairs| pairs.get_mut(key));
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return false;
        };
        let at = dice.below(value.len() as u64);
        let at = usize::try_from(at).expect("below a length");
        value[at] ^= 1 << dice.below(8);
        world.durable = world.now.clone();
        world.trace.note("store damage", key, &[], &[]);
        true
    }

    /// Makes all writes fail from now on, with nothing done, or (`None`) no more.
    pub fn fail_writes(&self, with: Option<io::ErrorKind>) {
        self.world.lock().failing = with;
    }
}

impl World {
    /// Moves the log to the disk: all synced batches, and the volatile ones among the first
    /// `kept`.
    fn flush(&mut self, kept: u64) {
        for ((batch, durability), index) in self.log.drain(..).zip(0..) {
            if durability == Durability::Synced || index < kept {
                apply(&mut self.durable, batch);
            }
        }
    }

    fn note(&self, what: &str, table: &str, key: &[u8], value: &[u8]) {
        self.trace.note(what, table.as_bytes(), &[], key);
        self.trace.note("value", &[], &[], value);
    }
}

fn apply(tables: &mut Tables, batch: Batch) {
    for write in batch.writes {
        match write {
            Write::Put(table, key, value) => {
                tables.entry(table).or_default().insert(key, value);
            }
            Write::Delete(table, key) => {
                tables.entry(table).or_default().remove(&key);
            }
        }
    }
}

/// A store as one incarnation has it open.
struct Open {
    world: Arc<Mutex<World>>,
    incarnation: u64,
    tables: Vec<&'static str>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimStore({})", self.incarnation)
    }
}

impl Open {
    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.world.lock();
        if world.incarnation == self.incarnation {
            Ok(world)
        } else {
            Err(io::Error::other("the process that this belongs to is dead"))
        }
    }

    fn known(&self, table: &'static str) -> io::Result<()> {
        if self.tables.contains(&table) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the store was opened without a table {table:?}"),
        ))
    }
}

impl LocalStore for Open {
    fn get(&self, table: &'static str, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.known(table)?;
        let world = self.world()?;
        world.note("get", table, key, &[]);
        Ok(world
            .now
            .get(table)
            .and_then(|pairs| pairs.get(key).cloned()))
    }

    fn write(&self, batch: Batch, durability: Durability) -> io::Result<()> {
        let mut world = self.world()?;
        for write in &batch.writes {
            match write {
                Write::Put(table, key, value) => {
                    self.known(table)?;
                    world.note("put", table, key, value);
                }
                Write::Delete(table, key) => {
                    self.known(table)?;
                    world.note("delete", table, key, &[]);
                }
            }
        }
        if let Some(kind) = world.failing {
            return Err(kind.into());
        }
        world.log.push((batch.clone(), durability));
        apply(&mut world.now, batch);
        if world.log.len() >= LOG_MAX {
            world.flush(u64::MAX);
        }
        Ok(())
    }

    fn scan(
        &self,
        table: &'static str,
        prefix: &[u8],
        from: Option<&[u8]>,
        count_max: usize,
    ) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.known(table)?;
        let world = self.world()?;
        world.note("scan", table, prefix, from.unwrap_or_default());
        let first = from.unwrap_or_default().max(prefix);
        let pairs =
            world.now.get(table).into_iter().flat_map(|pairs| {
                pairs.range::<[u8], _>((Bound::Included(first), Bound::Unbounded))
            });
        Ok(pairs
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(count_max)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}
