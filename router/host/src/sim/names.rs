//! The directory tree in two layers: what programs see, and what a power cut leaves.
//!
//! Owns: names, and which changes of them are not durable yet. Does not own: the files.
//! Directories themselves are durable when made (`create_dir_all` says so).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(super) type InodeId = u64;

/// A change of names that no `sync_dir` has covered.
#[derive(Debug, Clone)]
enum Change {
    Create(PathBuf, InodeId),
    Rename(PathBuf, PathBuf, InodeId),
    Remove(PathBuf, InodeId),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, InodeId>) {
        match self {
            Change::Create(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Change::Rename(from, to, inode) => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            Change::Remove(path, inode) => {
                if names.get(path) == Some(inode) {
                    names.remove(path);
                }
            }
        }
    }

    fn inode(&self) -> InodeId {
        match self {
            Change::Create(_, inode) | Change::Rename(_, _, inode) | Change::Remove(_, inode) => {
                *inode
            }
        }
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let (first, second) = match self {
            Change::Create(path, _) | Change::Remove(path, _) => (path, None),
            Change::Rename(from, to, _) => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }
}

/// The names of a simulated disk.
#[derive(Debug, Default)]
pub(super) struct Names {
    now: BTreeMap<PathBuf, InodeId>,
    durable: BTreeMap<PathBuf, InodeId>,
    pending: Vec<Change>,
    dirs: BTreeSet<PathBuf>,
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<InodeId> {
        self.now.get(path).copied()
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        path.parent().is_none() || path.as_os_str().is_empty() || self.dirs.contains(path)
    }

    pub(super) fn add_dirs(&mut self, path: &Path) {
        self.dirs.extend(path.ancestors().map(Path::to_path_buf));
    }

    /// Files and directories directly in a directory, sorted.
    pub(super) fn list(&self, dir: &Path) -> Vec<PathBuf> {
        let entries: BTreeSet<_> = self
            .now
            .keys()
            .chain(&self.dirs)
            .filter(|path| path.parent() == Some(dir))
            .cloned()
            .collect();
        entries.into_iter().collect()
    }

    pub(super) fn create(&mut self, path: &Path, inode: InodeId) {
        self.change(Change::Create(path.to_path_buf(), inode));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, inode: InodeId) {
        if from != to {
            self.change(Change::Rename(from.to_path_buf(), to.to_path_buf(), inode));
        }
    }

    pub(super) fn remove(&mut self, path: &Path, inode: InodeId) {
        self.change(Change::Remove(path.to_path_buf(), inode));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    /// Makes durable what changed in a directory, and the earlier changes that this rests on:
    /// those of the same files and names.
    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let mut inodes = BTreeSet::new();
        let mut paths = BTreeSet::new();
        let mut covered = vec![false; self.pending.len()];
        for (covered, change) in covered.iter_mut().zip(&self.pending).rev() {
            *covered = inodes.contains(&change.inode())
                || change
                    .paths()
                    .any(|path| path.parent() == Some(dir) || paths.contains(path));
            if *covered {
                inodes.insert(change.inode());
                paths.extend(change.paths().cloned());
            }
        }
        let mut covered = covered.into_iter();
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let now = covered.next().expect("one for each change");
            if now {
                change.apply(durable);
            }
            !now
        });
    }

    /// Decides the changes that are not durable, each for itself.
    pub(super) fn power_cut(&mut self, mut keeps: impl FnMut() -> bool) {
        for change in self.pending.drain(..) {
            if keeps() {
                change.apply(&mut self.durable);
            }
        }
        self.now = self.durable.clone();
    }

    /// Whether a program can reach the file by a name.
    pub(super) fn is_linked(&self, inode: InodeId) -> bool {
        self.now.values().any(|of| *of == inode)
    }

    /// All files that programs can reach by a name.
    pub(super) fn linked(&self) -> BTreeSet<InodeId> {
        self.now.values().copied().collect()
    }

    /// All files that a name leads to, or might lead to after a power cut.
    pub(super) fn reachable(&self) -> BTreeSet<InodeId> {
        self.now
            .values()
            .chain(self.durable.values())
            .copied()
            .chain(self.pending.iter().map(Change::inode))
            .collect()
    }
}
