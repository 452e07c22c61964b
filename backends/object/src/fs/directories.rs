//! Directories that are known to be durable, held open.
//!
//! A directory's own name is durable once its parent was synced; until this process has
//! done that itself it does not know, whoever created the directory. What it knows it
//! knows of the directory and not of its path: another host may remove an empty directory
//! and create it anew without having synced it yet. So the open directory is what is
//! remembered; creating a name in one that was removed fails, and the path is looked up
//! again.
//!
//! Owns: that knowledge. Does not own: the files in the directories.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::names::split;
use crate::limits::OPEN_DIRECTORIES_MAX;

/// How a directory is opened.
pub(super) const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// The durable directories below a root.
#[derive(Debug)]
pub(super) struct Directories {
    root: Arc<OwnedFd>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_path: BTreeMap<String, Held>,
    /// Grows with each use, to find what was used longest ago.
    uses: u64,
}

#[derive(Debug)]
struct Held {
    directory: Arc<OwnedFd>,
    used: u64,
}

impl Directories {
    pub(super) fn new(root: Arc<OwnedFd>) -> Self {
        Directories {
            root,
            open: Mutex::default(),
        }
    }

    /// The directory at `path` below the root, created where absent, its name and those
    /// of its parents durable. `NOENT` and `STALE`: others removed one on the way; then
    /// [`forget`](Self::forget) it and try again.
    pub(super) fn durable(&self, path: &str) -> Result<Arc<OwnedFd>, Errno> {
        if path.is_empty() {
            return Ok(self.root.clone());
        }
        if let Some(directory) = self.open.lock().find(path) {
            return Ok(directory);
        }
        let (parent, name) = split(path);
        let parent = self.durable(parent)?;
        match mkdirat(&*parent, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let directory = Arc::new(openat(&*parent, name, DIRECTORY, Mode::empty())?);
        sync(&parent)?;
        self.open.lock().hold(path, directory.clone());
        Ok(directory)
    }

    /// Forgets a directory and its parents.
    pub(super) fn forget(&self, path: &str) {
        let mut open = self.open.lock();
        let mut path = path;
        while !path.is_empty() {
            open.by_path.remove(path);
            path = split(path).0;
        }
    }
}

impl Open {
    fn find(&mut self, path: &str) -> Option<Arc<OwnedFd>> {
        self.uses += 1;
        let held = self.by_path.get_mut(path)?;
        held.used = self.uses;
        Some(held.directory.clone())
    }

    fn hold(&mut self, path: &str, directory: Arc<OwnedFd>) {
        if self.by_path.len() >= OPEN_DIRECTORIES_MAX {
            let oldest = self.by_path.iter().min_by_key(|(_, held)| held.used);
            if let Some(path) = oldest.map(|(path, _)| path.clone()) {
                self.by_path.remove(&path);
            }
        }
        self.uses += 1;
        let held = Held {
            directory,
            used: self.uses,
        };
        self.by_path.insert(path.to_owned(), held);
    }
}

/// Makes a directory's entries durable. Where the file system does not know that request
/// (EINVAL) its entries are as durable as it can make them.
pub(super) fn sync(directory: &OwnedFd) -> Result<(), Errno> {
    match rustix::fs::fsync(directory) {
        Err(Errno::INVAL) => Ok(()),
        result => result,
    }
}
