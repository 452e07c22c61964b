//! The disk: what outlives the process. Inodes, names, locks, faults, and how a process ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::fault::{Call, Fault, Faults};
use super::files::SimFiles;
use super::inode::{Fate, Inode, PowerCut};
use super::names::{InodeId, Names};
use super::{Dice, Trace};
use crate::Files;

/// A simulated disk with a file system on it. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    pub(super) world: Arc<Mutex<World>>,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimDisk")
    }
}

impl SimDisk {
    /// An empty disk without a limit. Its fortunes come from `dice`, every call is noted in
    /// `trace`.
    pub fn new(dice: Dice, trace: Trace) -> SimDisk {
        SimDisk {
            world: Arc::new(Mutex::new(World::new(dice, trace))),
        }
    }

    /// The files as a process that starts now sees them.
    pub fn files(&self) -> Arc<dyn Files> {
        let incarnation = self.world.lock().incarnation;
        Arc::new(SimFiles::new(Arc::clone(&self.world), incarnation))
    }

    /// The process dies: what it wrote stays, its locks go, its files answer only errors.
    pub fn kill(&self) {
        let mut world = self.world.lock();
        world.end("kill");
        world.sweep();
    }

    /// The power goes: as [`kill`](Self::kill); what was not synced has the given fate.
    pub fn crash(&self, cut: PowerCut) {
        let mut world = self.world.lock();
        world.end("crash");
        world.power_cut(cut);
        world.sweep();
    }

    /// Adds a fault. Faults outlast kills and crashes, until their count is used up.
    pub fn inject(&self, fault: Fault) {
        self.world.lock().faults.add(fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.world.lock().faults.clear();
    }

    /// Limits the disk to so many bytes, or not at all. What is there already stays.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world.lock().capacity = bytes;
    }

    /// Bytes that the files take.
    pub fn used_bytes(&self) -> u64 {
        self.world.lock().used_bytes()
    }

    /// Flips `bits` random bits of a file, on the device, within `range`; readers see them
    /// when the pages are not (or no longer) dirty in the cache. Answers which bytes.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for an empty range.
    pub fn flip_bits(&self, path: &Path, range: Range<u64>, bits: u32) -> io::Result<Vec<u64>> {
        if range.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut world = self.world.lock();
        let id = world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let World { dice, inodes, .. } = &mut *world;
        let inode = inodes.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = Vec::new();
        for bit in 0..bits {
            let at = range.start + dice.below(range.end - range.start);
            inode.flip(at, bit + u32::try_from(dice.below(8)).unwrap_or(0));
            bytes.push(at);
        }
        world.note("flip", path, &bytes, &[]);
        Ok(bytes)
    }

    /// Empties the page cache of all that is clean, as memory pressure does.
    pub fn drop_caches(&self) {
        for inode in self.world.lock().inodes.values_mut() {
            inode.evict(0, u64::MAX);
        }
    }

    /// The bytes of a file as programs see them.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut world = self.world.lock();
        let id = world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let inode = world.inodes.get_mut(&id).ok_or(io::ErrorKind::NotFound)?;
        let size = usize::try_from(inode.size()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; size];
        inode.read(&mut bytes, 0);
        Ok(bytes)
    }
}

/// All state of a disk, under one lock.
pub(super) struct World {
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) names: Names,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) faults: Faults,
    pub(super) dice: Dice,
    pub(super) incarnation: u64,
    /// How often each file is open in this incarnation.
    open: BTreeMap<InodeId, u64>,
    next_inode: InodeId,
    capacity: Option<u64>,
    trace: Trace,
}

impl World {
    fn new(dice: Dice, trace: Trace) -> World {
        World {
            inodes: BTreeMap::new(),
            names: Names::default(),
            locks: BTreeSet::new(),
            faults: Faults::default(),
            dice,
            incarnation: 1,
            open: BTreeMap::new(),
            next_inode: 1,
            capacity: None,
            trace,
        }
    }

    pub(super) fn note(&self, what: &str, path: &Path, numbers: &[u64], bytes: &[u8]) {
        self.trace
            .note(what, path.as_os_str().as_encoded_bytes(), numbers, bytes);
    }

    /// The fault that strikes this call, as an error.
    pub(super) fn strike(&mut self, call: Call, path: &Path, range: Range<u64>) -> io::Result<()> {
        match self.faults.strike(call, &path.to_string_lossy(), range) {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }

    /// The file at a path.
    pub(super) fn inode_at(&self, path: &Path) -> io::Result<InodeId> {
        self.names
            .get(path)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    pub(super) fn create(&mut self, path: &Path) -> InodeId {
        let id = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(id, Inode::default());
        self.names.create(path, id);
        id
    }

    pub(super) fn opened(&mut self, id: InodeId) {
        *self.open.entry(id).or_default() += 1;
    }

    pub(super) fn closed(&mut self, id: InodeId) {
        if let Some(count) = self.open.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&id);
                if !self.names.is_linked(id) {
                    self.sweep();
                }
            }
        }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let linked = self.names.linked();
        self.inodes
            .iter()
            .filter(|(id, _)| self.open.contains_key(id) || linked.contains(id))
            .map(|(_, inode)| inode.used_bytes())
            .sum()
    }

    /// `None` without a limit.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        self.capacity
            .map(|capacity| capacity.saturating_sub(self.used_bytes()))
    }

    /// Forgets files that nothing can lead to any more.
    pub(super) fn sweep(&mut self) {
        let reachable = self.names.reachable();
        let open = &self.open;
        self.inodes
            .retain(|id, _| reachable.contains(id) || open.contains_key(id));
    }

    fn end(&mut self, how: &str) {
        self.note(how, Path::new(""), &[self.incarnation], &[]);
        self.incarnation += 1;
        self.locks.clear();
        self.open.clear();
    }

    fn power_cut(&mut self, cut: PowerCut) {
        let fate = Fate::draw(cut, &mut self.dice);
        for inode in self.inodes.values_mut() {
            inode.power_cut(fate, &mut self.dice);
        }
        let dice = &mut self.dice;
        self.names.power_cut(|| fate.keeps(dice));
    }
}
