//! Putting and deleting files so that a crash at any point leaves whole objects or none.
//!
//! A put is, in this order: (1) the directory's name is durable, (2) the body is written
//! to a temporary file and synced, (3) the file gets the object's name, unless something
//! has it, (4) the directory is synced. A crash before (3) leaves a temporary file that
//! no listing shows; after (3) the name stands for a body that was durable before; after
//! (4) the name is durable too, and only then the put is answered. No step writes to a
//! file that has the object's name.
//!
//! Owns: those steps. Does not own: reading.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, linkat, openat, renameat_with, unlinkat};
use rustix::io::Errno;

use super::direct;
use super::directories::{DIRECTORY, sync};
use super::errors::{failed, failed_io};
use super::names::{Place, split};
use super::{Root, no_location};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::limits::{COMPARE_BYTES, DIRECTORY_RACES_MAX};

/// What a put found under the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// Nothing, and wrote it.
    Created,
    /// The same bytes.
    Same,
    /// Other bytes, and left them.
    Other,
}

/// Whether something happened to a directory that looking it up again may mend.
fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::STALE)
}

fn write_body(file: &File, body: &[u8]) -> io::Result<()> {
    let mut file = file;
    let written = match body.len() {
        direct::BYTES_MIN.. => direct::write(file, body)?,
        _ => 0,
    };
    file.write_all(&body[written..])
}

impl Root {
    pub(super) fn put(&self, key: &Key, body: &[u8]) -> Result<Put> {
        let place = Place::of(key);
        let what = |step: &str| format!("put {key}: {step}");
        let mut temporary = None;
        for _ in 0..DIRECTORY_RACES_MAX {
            let directory = match self.directories.durable(place.directory) {
                Err(errno) if is_gone(errno) => {
                    self.check_alive()?;
                    self.directories.forget(place.directory);
                    continue;
                }
                other => other.map_err(|errno| failed(what("create its directory"), errno))?,
            };
            // Asked first, because a put that is repeated needs no space.
            if let Some(found) = self.compare(key, &directory, &place, body)? {
                return Ok(found);
            }
            let temporary = match &mut temporary {
                Some(written) => written,
                none => none.insert(self.write_temporary(key, body)?),
            };
            match temporary.publish(&directory, &place.file) {
                Ok(()) => {}
                // Somebody was first: see what it is.
                Err(Errno::EXIST) => continue,
                // The directory is gone, or (a network's repeat) it has worked already.
                Err(errno) if is_gone(errno) => {
                    self.directories.forget(place.directory);
                    continue;
                }
                Err(errno) => return Err(failed(what("give it its name"), errno)),
            }
            self.sync_directory(&place, &directory, || what("make its name durable"))?;
            return Ok(Put::Created);
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            what("others remove the directory, or the temporary file, again and again"),
        ))
    }

    /// Compares what has the name, if anything has. The same bytes are durable when this
    /// returns, whoever wrote them.
    fn compare(
        &self,
        key: &Key,
        directory: &OwnedFd,
        place: &Place<'_>,
        body: &[u8],
    ) -> Result<Option<Put>> {
        let what = |step: &str| format!("put {key}: {step}");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match openat(directory, &place.file, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(errno) if is_gone(errno) => return Ok(None),
            Err(errno) => return Err(failed(what("look for it"), errno)),
        };
        let same = is_same(&file, body).map_err(|error| failed_io(what("compare it"), error))?;
        if !same {
            return Ok(Some(Put::Other));
        }
        file.sync_data()
            .map_err(|error| failed_io(what("make it durable"), error))?;
        self.sync_directory(place, directory, || what("make its name durable"))?;
        Ok(Some(Put::Same))
    }

    fn sync_directory(
        &self,
        place: &Place<'_>,
        directory: &OwnedFd,
        what: impl Fn() -> String,
    ) -> Result<()> {
        sync(directory).map_err(|errno| {
            self.directories.forget(place.directory);
            failed(what(), errno)
        })
    }

    /// A temporary file that holds `body` durably.
    fn write_temporary(&self, key: &Key, body: &[u8]) -> Result<Temporary<'_>> {
        let what = |step: &str| format!("put {key}: {step}");
        let (temporary, file) = self.create_temporary().map_err(|errno| match errno {
            Errno::NOENT | Errno::STALE => no_location(&self.path, "it is no vPool location now"),
            errno => failed(what("create a file"), errno),
        })?;
        let written = write_body(&file, body).and_then(|()| file.sync_data());
        written.map_err(|error| failed_io(what("write it"), error))?;
        Ok(temporary)
    }

    /// An empty temporary file with a name of its own.
    pub(super) fn create_temporary(&self) -> std::result::Result<(Temporary<'_>, File), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}.{}.{number}", self.owner, std::process::id());
            match openat(&self.temporary, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => {
                    let temporary = Temporary {
                        root: self,
                        name,
                        present: true,
                    };
                    return Ok((temporary, File::from(file)));
                }
                // A process with our number left it behind.
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Deletes objects: one result for each, in order. What it answers is durable.
    pub(super) fn delete(&self, keys: &[Key]) -> Vec<Result<()>> {
        let mut results: Vec<Result<()>> = keys.iter().map(|_| Ok(())).collect();
        let mut by_directory: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, key) in keys.iter().enumerate() {
            by_directory
                .entry(Place::of(key).directory)
                .or_default()
                .push(i);
        }
        for (path, indices) in by_directory {
            let directory = match self.open_directory(path) {
                Ok(Some(directory)) => directory,
                Ok(None) => continue,
                Err(error) => {
                    for i in indices {
                        results[i] = Err(error.repeat());
                    }
                    continue;
                }
            };
            let mut removed = Vec::new();
            for i in indices {
                match unlinkat(&directory, Place::of(&keys[i]).file, AtFlags::empty()) {
                    Ok(()) => removed.push(i),
                    Err(errno) if is_gone(errno) => {}
                    Err(errno) => results[i] = Err(failed(format!("delete {}", keys[i]), errno)),
                }
            }
            if removed.is_empty() {
                continue;
            }
            if let Err(errno) = sync(&directory) {
                for i in removed {
                    let what = format!("delete {}: make it durable", keys[i]);
                    results[i] = Err(failed(what, errno));
                }
            }
            self.remove_empty(path);
        }
        results
    }

    /// The directory at `path` for reading, if there is one.
    pub(super) fn open_directory(&self, path: &str) -> Result<Option<OwnedFd>> {
        let relative = if path.is_empty() { "." } else { path };
        match openat(&*self.root, relative, DIRECTORY, Mode::empty()) {
            Ok(directory) => {
                self.check_alive()?;
                Ok(Some(directory))
            }
            Err(errno) if is_gone(errno) => {
                self.check_alive()?;
                Ok(None)
            }
            Err(errno) => Err(failed(format!("open the directory {path:?}"), errno)),
        }
    }

    /// Removes a directory and its parents as far as they are empty. A put that is about
    /// to use one of them notices and creates it again.
    fn remove_empty(&self, path: &str) {
        let mut path = path;
        while !path.is_empty() {
            match unlinkat(&*self.root, path, AtFlags::REMOVEDIR) {
                Ok(()) => self.directories.forget(path),
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => return,
                Err(errno) => {
                    tracing::debug!(path, %errno, "an empty directory could not be removed");
                    return;
                }
            }
            path = split(path).0;
        }
    }
}

/// Whether a file holds exactly `body`.
fn is_same(mut file: &File, body: &[u8]) -> std::io::Result<bool> {
    if file.metadata()?.len() != body.len() as u64 {
        return Ok(false);
    }
    let mut buffer = vec![0; COMPARE_BYTES.min(body.len())];
    for part in body.chunks(COMPARE_BYTES) {
        let buffer = &mut buffer[..part.len()];
        file.read_exact(buffer)?;
        if buffer != part {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A temporary file, removed when it is dropped, unless it became an object.
#[derive(Debug)]
pub(super) struct Temporary<'a> {
    root: &'a Root,
    name: String,
    present: bool,
}

impl Temporary<'_> {
    /// Gives the file its name in `directory`, if nothing has it.
    fn publish(&mut self, directory: &OwnedFd, file: &str) -> std::result::Result<(), Errno> {
        let from = &self.root.temporary;
        match renameat_with(from, &self.name, directory, file, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.present = false;
                Ok(())
            }
            // Not on this file system (NFS).
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link_new(directory, file),
            Err(errno) => Err(errno),
        }
    }

    /// Gives the file a second name, if nothing has it; the first goes with `self`.
    pub(super) fn link_new(
        &self,
        directory: &OwnedFd,
        file: &str,
    ) -> std::result::Result<(), Errno> {
        let flags = AtFlags::empty();
        linkat(&self.root.temporary, &self.name, directory, file, flags)
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.present {
            return;
        }
        match unlinkat(&self.root.temporary, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                tracing::warn!(name = self.name, %errno, "a temporary file stays until the sweep");
            }
        }
    }
}
