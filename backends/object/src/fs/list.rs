//! Listing a tree of directories in the byte order of whole names.
//!
//! Directories that cannot hold what is asked for are not read; of one that can, a bounded
//! number of entries is held at a time, the smallest first.
//!
//! Owns: the walk. Does not own: the layout of names (beside this).

use std::collections::BinaryHeap;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::Root;
use super::directories::DIRECTORY;
use super::errors::failed;
use super::names::{Entry, may_hold};
use crate::error::Result;
use crate::key::Key;
use crate::limits::LIST_ENTRIES_MAX;
use crate::{Listed, Page};

impl Root {
    pub(super) fn list(&self, prefix: &str, after: Option<&Key>, count_max: usize) -> Result<Page> {
        // All that can match lies below the prefix's whole parts.
        let path = match prefix.rsplit_once('/') {
            None => "",
            Some((parts, _)) if Key::new(parts).is_ok() => parts,
            // No key starts so.
            Some(_) => return Ok(Page::default()),
        };
        let Some(directory) = self.open_directory(path)? else {
            return Ok(Page::default());
        };
        let mut walk = Walk {
            prefix,
            after: after.map(Key::as_str),
            wanted: count_max.saturating_add(1),
            found: Vec::new(),
        };
        let path = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        walk.directory(&directory, &path)?;
        let mut objects = walk.found;
        let more = objects.len() > count_max;
        objects.truncate(count_max);
        Ok(Page { objects, more })
    }
}

struct Walk<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    /// One more than asked for, to know whether more follows.
    wanted: usize,
    found: Vec<Listed>,
}

impl Walk<'_> {
    fn is_full(&self) -> bool {
        self.found.len() >= self.wanted
    }

    /// Walks a directory; `path` is empty or ends in a slash.
    fn directory(&mut self, directory: &OwnedFd, path: &str) -> Result<()> {
        let mut floor: Option<Entry> = None;
        while !self.is_full() {
            let missing = self.wanted - self.found.len();
            let count = missing.clamp(2, LIST_ENTRIES_MAX);
            let entries = self
                .smallest(directory, path, floor.as_ref(), count)
                .map_err(|errno| failed(format!("list {path:?}"), errno))?;
            let last = entries.len() < count;
            for entry in &entries {
                if self.is_full() {
                    return Ok(());
                }
                self.entry(directory, path, entry)?;
            }
            if last {
                return Ok(());
            }
            floor = entries.into_iter().next_back();
        }
        Ok(())
    }

    fn entry(&mut self, parent: &OwnedFd, path: &str, entry: &Entry) -> Result<()> {
        let name = format!("{path}{}", entry.name);
        let what = || format!("list {name}");
        if entry.is_directory() {
            let flags = DIRECTORY | OFlags::NOFOLLOW;
            return match openat(parent, entry.file_name(), flags, Mode::empty()) {
                Ok(directory) => self.directory(&directory, &name),
                // Removed since, or nothing of ours.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
                Err(errno) => Err(failed(what(), errno)),
            };
        }
        match statat(parent, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                // A path too long to be a key is nothing of ours; a length is not negative.
                if let (Ok(key), Ok(bytes)) = (Key::new(name), u64::try_from(stat.st_size)) {
                    self.found.push(Listed { key, bytes });
                }
                Ok(())
            }
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed(what(), errno)),
        }
    }

    /// The `count` smallest entries above `floor` that may matter, in order.
    fn smallest(
        &self,
        directory: &OwnedFd,
        path: &str,
        floor: Option<&Entry>,
        count: usize,
    ) -> std::result::Result<Vec<Entry>, Errno> {
        // The greatest on top, to be thrown out.
        let mut heap: BinaryHeap<Entry> = BinaryHeap::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let Ok(file) = entry.file_name().to_str() else {
                continue;
            };
            let ours = match entry.file_type() {
                FileType::RegularFile => Entry::of_file(file),
                FileType::Directory => Entry::of_directory(file),
                // Some file systems do not say: the name does, and it is checked later.
                FileType::Unknown => Entry::of_file(file).or_else(|| Entry::of_directory(file)),
                _ => None,
            };
            let Some(entry) = ours else {
                continue;
            };
            if floor.is_some_and(|floor| entry <= *floor) || !self.matters(path, &entry) {
                continue;
            }
            if heap.len() < count {
                heap.push(entry);
            } else if heap.peek().is_some_and(|greatest| entry < *greatest) {
                heap.pop();
                heap.push(entry);
            }
        }
        Ok(heap.into_sorted_vec())
    }

    fn matters(&self, path: &str, entry: &Entry) -> bool {
        let name = format!("{path}{}", entry.name);
        if entry.is_directory() {
            return may_hold(&name, self.prefix, self.after);
        }
        name.starts_with(self.prefix) && self.after.is_none_or(|after| name.as_str() > after)
    }
}
