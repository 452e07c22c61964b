//! The state machine of the metadata: what each command does, or why it is refused.
//!
//! Owns: the rules. Does not own: storing and replicating what they decide: [`State::decide`]
//! is pure and answers with the [`Change`]s that make the command true; who has made them
//! durable gives them to [`State::commit`].
//!
//! Rules that hold at all times ([`State::check`]):
//! - names of pools are unique in the grid, names of disks in their pool;
//! - a disk's epochs are given out once each, ascending, each to a uid of its own (P2), in each
//!   generation of its pool;
//! - an end that has been sealed is never sealed otherwise (P1);
//! - every command may come twice: the second time it changes nothing and answers the same.

mod streams;

use std::collections::{BTreeMap, BTreeSet};

use vpool_format::{Base, DiskId, Epoch, GridId, PoolId, SealedEnd, StreamUid};

use crate::{AdoptedDisk, DiskEntry, Error, PoolEntry, Result, Streams};

/// One thing to be agreed on. See [`Metadata`](crate::Metadata) for what each is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Adds a pool.
    CreatePool(PoolEntry),
    /// Replaces a pool's entry.
    UpdatePool(PoolEntry),
    /// Removes a pool without disks.
    DeletePool(PoolId),
    /// Removes a pool with its disks and their streams.
    ForgetPool(PoolId),
    /// Records that a host has nothing more of a pool that was removed.
    Swept(PoolId),
    /// Adds a disk.
    CreateDisk(DiskEntry),
    /// Replaces a disk's entry.
    UpdateDisk(DiskEntry),
    /// Adds a pool with the disks that its bucket knows of.
    AdoptPool(PoolEntry, Vec<AdoptedDisk>),
    /// Removes a disk and its streams.
    DeleteDisk(DiskId),
    /// Makes `uid` the current stream of a disk, if `from` is still the newest epoch.
    Bump(DiskId, Epoch, StreamUid),
    /// Records where the current stream of a disk ended.
    Close(DiskId, SealedEnd),
    /// Records how far the open stream of a disk is out of the journal.
    Rest(DiskId, SealedEnd),
    /// Records that a machine has attached a disk.
    Attached(DiskId, String),
    /// Records to whom a loss is owed; the flag: also to this host.
    Owe(DiskId, bool),
    /// Records that a machine has been told of a loss.
    Told(DiskId, String),
    /// Records that the stream record of the epoch is in the bucket.
    Recorded(DiskId, Epoch),
    /// Fixes what the current stream of a disk starts from.
    Seal(DiskId, Epoch, Base),
}

/// What a command that was not refused answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is so.
    Done,
    /// The epoch given out.
    Epoch(Epoch),
}

/// One value that is different after a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A pool is this.
    Pool(PoolEntry),
    /// A disk is this.
    Disk(DiskEntry),
    /// A disk's streams are these.
    Streams(DiskId, Streams),
    /// A disk is no more, nor are its streams.
    Gone(DiskId),
    /// A pool is no more.
    PoolGone(PoolId),
    /// Of a pool that is no more a host may still have files.
    Left(PoolId),
    /// It has none any more.
    Swept(PoolId),
}

/// All that has been agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    grid: GridId,
    pools: BTreeMap<PoolId, PoolEntry>,
    disks: BTreeMap<DiskId, DiskEntry>,
    streams: BTreeMap<DiskId, Streams>,
    /// By name, for uniqueness and for listing in order.
    pool_names: BTreeMap<String, PoolId>,
    disk_names: BTreeMap<(PoolId, String), DiskId>,
    left: BTreeSet<PoolId>,
}

impl State {
    /// A grid of nothing.
    pub fn new(grid: GridId) -> State {
        State {
            grid,
            pools: BTreeMap::new(),
            disks: BTreeMap::new(),
            streams: BTreeMap::new(),
            pool_names: BTreeMap::new(),
            disk_names: BTreeMap::new(),
            left: BTreeSet::new(),
        }
    }

    /// The grid's id.
    pub fn grid(&self) -> GridId {
        self.grid
    }

    /// Pools that were removed, and of which a host may still have something.
    pub fn left(&self) -> impl Iterator<Item = PoolId> {
        self.left.iter().copied()
    }

    /// All pools, by name.
    pub fn pools(&self) -> impl Iterator<Item = &PoolEntry> {
        self.pool_names.values().filter_map(|id| self.pools.get(id))
    }

    /// The disks of a pool, by name.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such pool.
    pub fn disks(&self, pool: PoolId) -> Result<impl Iterator<Item = &DiskEntry>> {
        self.known_pool(pool)?;
        Ok(self
            .disk_names
            .range((pool, String::new())..)
            .take_while(move |((of, _), _)| *of == pool)
            .filter_map(|(_, id)| self.disks.get(id)))
    }

    /// What is agreed on about a disk's streams.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such disk.
    pub fn streams(&self, disk: DiskId) -> Result<Streams> {
        self.known_disk(disk)?;
        Ok(self.streams.get(&disk).cloned().unwrap_or_default())
    }

    /// What a command answers, and the changes that make it true (none if it is already).
    /// Nothing has changed yet.
    ///
    /// # Errors
    /// [`Error::NotFound`] and [`Error::Conflict`]: the command is refused.
    pub fn decide(&self, command: &Command) -> Result<(Outcome, Vec<Change>)> {
        let mut outcome = Outcome::Done;
        let change = match command {
            Command::CreatePool(pool) => self.create_pool(pool)?,
            Command::UpdatePool(pool) => self.update_pool(pool)?,
            Command::DeletePool(pool) => {
                return Ok((Outcome::Done, self.delete_pool(*pool)?));
            }
            Command::ForgetPool(pool) => {
                return Ok((Outcome::Done, self.forget_pool(*pool)));
            }
            Command::Swept(pool) => self.left.contains(pool).then_some(Change::Swept(*pool)),
            Command::CreateDisk(disk) => self.create_disk(disk)?,
            Command::AdoptPool(pool, disks) => {
                return Ok((Outcome::Done, self.adopt_pool(pool, disks)?));
            }
            Command::UpdateDisk(disk) => self.update_disk(disk)?,
            Command::DeleteDisk(disk) => {
                self.disks.contains_key(disk).then_some(Change::Gone(*disk))
            }
            Command::Bump(disk, from, uid) => {
                let now = self.streams(*disk)?;
                let (epoch, then) = streams::bump(&now, *from, *uid)?;
                outcome = Outcome::Epoch(epoch);
                then.map(|then| Change::Streams(*disk, then))
            }
            Command::Close(disk, end) => {
                streams::close(&self.streams(*disk)?, end)?.map(|then| Change::Streams(*disk, then))
            }
            Command::Rest(disk, end) => {
                streams::rest(&self.streams(*disk)?, end)?.map(|then| Change::Streams(*disk, then))
            }
            Command::Attached(disk, machine) => streams::attached(&self.streams(*disk)?, machine)?
                .map(|then| Change::Streams(*disk, then)),
            Command::Owe(disk, here) => {
                streams::owe(&self.streams(*disk)?, *here).map(|then| Change::Streams(*disk, then))
            }
            Command::Told(disk, machine) => streams::told(&self.streams(*disk)?, machine)
                .map(|then| Change::Streams(*disk, then)),
            Command::Recorded(disk, epoch) => streams::recorded(&self.streams(*disk)?, *epoch)?
                .map(|then| Change::Streams(*disk, then)),
            Command::Seal(disk, epoch, base) => streams::seal(&self.streams(*disk)?, *epoch, base)?
                .map(|then| Change::Streams(*disk, then)),
        };
        Ok((outcome, change.into_iter().collect()))
    }

    /// Takes over changes that [`decide`](Self::decide) gave (or that were stored by it), in
    /// order.
    pub fn commit(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            match change {
                Change::Pool(pool) => {
                    if let Some(old) = self.pools.get(&pool.id) {
                        self.pool_names.remove(&old.name);
                    }
                    self.pool_names.insert(pool.name.clone(), pool.id);
                    self.pools.insert(pool.id, pool);
                }
                Change::Disk(disk) => {
                    self.forget_name(disk.id);
                    self.disk_names
                        .insert((disk.pool, disk.name.clone()), disk.id);
                    self.disks.insert(disk.id, disk);
                }
                Change::Streams(disk, streams) => {
                    self.streams.insert(disk, streams);
                }
                Change::Gone(disk) => {
                    self.forget_name(disk);
                    self.disks.remove(&disk);
                    self.streams.remove(&disk);
                }
                Change::Left(pool) => {
                    self.left.insert(pool);
                }
                Change::Swept(pool) => {
                    self.left.remove(&pool);
                }
                Change::PoolGone(pool) => {
                    if let Some(old) = self.pools.remove(&pool) {
                        self.pool_names.remove(&old.name);
                    }
                }
            }
        }
    }

    /// [`decide`](Self::decide) and [`commit`](Self::commit) in one, for who keeps the state
    /// in memory alone.
    ///
    /// # Errors
    /// As [`decide`](Self::decide); then nothing has changed.
    pub fn apply(&mut self, command: &Command) -> Result<Outcome> {
        let (outcome, changes) = self.decide(command)?;
        self.commit(changes);
        debug_assert!(self.check().is_ok(), "{:?}", self.check());
        Ok(outcome)
    }

    /// Whether everything holds that must hold at all times.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming what does not.
    pub fn check(&self) -> Result<()> {
        let holds = |holds: bool, what: &dyn Fn() -> String| match holds {
            true => Ok(()),
            false => Err(Error::Damaged(what())),
        };
        holds(self.pool_names.len() == self.pools.len(), &|| {
            "two pools have one name".to_owned()
        })?;
        holds(self.disk_names.len() == self.disks.len(), &|| {
            "two disks of a pool have one name".to_owned()
        })?;
        for disk in self.disks.values() {
            holds(self.pools.contains_key(&disk.pool), &|| {
                format!("disk {} is on a pool that does not exist", disk.id)
            })?;
        }
        for (disk, streams) in &self.streams {
            holds(self.disks.contains_key(disk), &|| {
                format!("there are streams of disk {disk}, which does not exist")
            })?;
            streams::check(streams)
                .map_err(|what| Error::Damaged(format!("disk {disk}: {what}")))?;
        }
        Ok(())
    }

    fn forget_name(&mut self, disk: DiskId) {
        if let Some(old) = self.disks.get(&disk) {
            self.disk_names.remove(&(old.pool, old.name.clone()));
        }
    }

    fn known_pool(&self, id: PoolId) -> Result<&PoolEntry> {
        self.pools
            .get(&id)
            .ok_or_else(|| Error::NotFound(format!("there is no pool {id}")))
    }

    fn known_disk(&self, id: DiskId) -> Result<&DiskEntry> {
        self.disks
            .get(&id)
            .ok_or_else(|| Error::NotFound(format!("there is no disk {id}")))
    }

    fn create_pool(&self, pool: &PoolEntry) -> Result<Option<Change>> {
        match self.pools.get(&pool.id) {
            Some(old) if old == pool => Ok(None),
            Some(_) => conflict(format!("pool {} exists and is another", pool.id)),
            None if self.left.contains(&pool.id) => {
                conflict(format!("what is left of pool {} is not swept yet", pool.id))
            }
            None => self.put_pool(pool),
        }
    }

    fn update_pool(&self, pool: &PoolEntry) -> Result<Option<Change>> {
        let old = self.known_pool(pool.id)?;
        if pool.generation < old.generation {
            return conflict(format!(
                "pool {}: its generation is {}, and does not go back to {}",
                pool.id, old.generation, pool.generation
            ));
        }
        if old == pool {
            return Ok(None);
        }
        self.put_pool(pool)
    }

    fn put_pool(&self, pool: &PoolEntry) -> Result<Option<Change>> {
        match self.pool_names.get(&pool.name) {
            Some(id) if *id != pool.id => {
                conflict(format!("there is a pool named {:?} already", pool.name))
            }
            _ => Ok(Some(Change::Pool(pool.clone()))),
        }
    }

    fn delete_pool(&self, id: PoolId) -> Result<Vec<Change>> {
        let Some(pool) = self.pools.get(&id) else {
            return Ok(Vec::new());
        };
        match self.disks.values().filter(|disk| disk.pool == id).count() {
            0 => Ok(self.forget_pool(id)),
            disks => conflict(format!("pool {:?} has {disks} disk(s)", pool.name)),
        }
    }

    /// What a host still has of it is known by its id until that is swept.
    fn forget_pool(&self, id: PoolId) -> Vec<Change> {
        if !self.pools.contains_key(&id) {
            return Vec::new();
        }
        let disks = self.disks.values().filter(|disk| disk.pool == id);
        let mut changes: Vec<Change> = disks.map(|disk| Change::Gone(disk.id)).collect();
        changes.extend([Change::Left(id), Change::PoolGone(id)]);
        changes
    }

    fn create_disk(&self, disk: &DiskEntry) -> Result<Option<Change>> {
        match self.disks.get(&disk.id) {
            Some(old) if old == disk => Ok(None),
            Some(_) => conflict(format!("disk {} exists and is another", disk.id)),
            None => self.put_disk(disk),
        }
    }

    /// Each disk is judged after those before it: no two may have one name.
    /// A newer generation of a pool that is there takes its place: what the bucket has goes.
    fn adopt_pool(&self, pool: &PoolEntry, disks: &[AdoptedDisk]) -> Result<Vec<Change>> {
        let mut then = self.clone();
        let mut changes = Vec::new();
        match self.pools.get(&pool.id) {
            Some(old) if old.generation < pool.generation => {
                let of_old = self.disks.values().filter(|disk| disk.pool == pool.id);
                changes.extend(of_old.map(|disk| Change::Gone(disk.id)));
                changes.extend(self.update_pool(pool)?);
            }
            _ => changes.extend(self.create_pool(pool)?),
        }
        then.commit(changes.iter().cloned());
        for disk in disks {
            if disk.entry.pool != pool.id {
                return conflict(format!("disk {} is of another pool", disk.entry.id));
            }
            let more = then.adopt_disk(&disk.entry, disk.newest.as_ref())?;
            then.commit(more.iter().cloned());
            changes.extend(more);
        }
        Ok(changes)
    }

    fn adopt_disk(
        &self,
        disk: &DiskEntry,
        newest: Option<&(Epoch, StreamUid, Base)>,
    ) -> Result<Vec<Change>> {
        let streams = newest.map(streams::adopted).unwrap_or_default();
        let Some(created) = self.create_disk(disk)? else {
            // It came before; streams that were opened since go on from what it adopted.
            let now = self.streams(disk.id)?;
            if newest.is_none() || now == streams || now.previous.as_ref() == newest {
                return Ok(Vec::new());
            }
            return conflict(format!("disk {} exists, with other streams", disk.id));
        };
        streams::check(&streams)
            .map_err(|what| Error::Conflict(format!("disk {}: {what}", disk.id)))?;
        Ok(vec![created, Change::Streams(disk.id, streams)])
    }

    fn update_disk(&self, disk: &DiskEntry) -> Result<Option<Change>> {
        let old = self.known_disk(disk.id)?;
        if old == disk {
            return Ok(None);
        }
        if disk.pool != old.pool {
            return conflict(format!("disk {} is on pool {}", disk.id, old.pool));
        }
        if disk.descriptor < old.descriptor {
            return conflict(format!(
                "disk {}: its newest descriptor is {}, and does not go back to {}",
                disk.id, old.descriptor, disk.descriptor
            ));
        }
        self.put_disk(disk)
    }

    fn put_disk(&self, disk: &DiskEntry) -> Result<Option<Change>> {
        let pool = self.known_pool(disk.pool)?;
        match self.disk_names.get(&(disk.pool, disk.name.clone())) {
            Some(id) if *id != disk.id => conflict(format!(
                "there is a disk named {:?} on pool {:?} already",
                disk.name, pool.name
            )),
            _ => Ok(Some(Change::Disk(disk.clone()))),
        }
    }
}

fn conflict<T>(what: String) -> Result<T> {
    Err(Error::Conflict(what))
}

#[cfg(test)]
pub(crate) mod tests;
