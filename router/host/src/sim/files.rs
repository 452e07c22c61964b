//! The simulated file system as one incarnation of the process sees it.
//!
//! Owns: the calls of [`Files`] and [`File`], their checks and faults. Does not own: bytes
//! and names (`inode`, `names`). After the incarnation has ended every call is an error and
//! changes nothing.

use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use super::disk::World;
use super::fault::Call;
use super::inode::{Inode, PAGE};
use super::names::InodeId;
use crate::{File, Files, OpenMode};

const ALL: std::ops::Range<u64> = 0..u64::MAX;

/// The files of one incarnation.
#[derive(Clone)]
pub(super) struct SimFiles {
    world: Arc<Mutex<World>>,
    incarnation: u64,
}

impl fmt::Debug for SimFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFiles({})", self.incarnation)
    }
}

impl SimFiles {
    pub(super) fn new(world: Arc<Mutex<World>>, incarnation: u64) -> SimFiles {
        SimFiles { world, incarnation }
    }

    /// The world, if this incarnation is still the living one.
    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.world.lock();
        if world.incarnation == self.incarnation {
            Ok(world)
        } else {
            Err(io::Error::other("the process that this belongs to is dead"))
        }
    }
}

impl Files for SimFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let path = plain(path)?;
        let mut world = self.world()?;
        world.note("open", &path, &[mode as u64], &[]);
        world.strike(Call::Open, &path, ALL)?;
        in_a_dir(&world, &path)?;
        let inode = match (world.names.get(&path), mode) {
            (Some(_), OpenMode::CreateNew) => return Err(errno(libc::EEXIST)),
            (Some(inode), _) => inode,
            (None, OpenMode::Read | OpenMode::Write) => return Err(errno(libc::ENOENT)),
            (None, OpenMode::Create | OpenMode::CreateNew) => world.create(&path),
        };
        world.opened(inode);
        Ok(Arc::new(SimFile {
            files: self.clone(),
            inode,
            path,
            writable: mode != OpenMode::Read,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = plain(path)?;
        let mut world = self.world()?;
        world.note("create_dir_all", &path, &[], &[]);
        if path.ancestors().any(|part| world.names.get(part).is_some()) {
            return Err(errno(libc::ENOTDIR));
        }
        world.names.add_dirs(&path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (plain(from)?, plain(to)?);
        let mut world = self.world()?;
        world.note("rename", &from, &[], to.as_os_str().as_encoded_bytes());
        world.strike(Call::Rename, &from, ALL)?;
        in_a_dir(&world, &to)?;
        let inode = world.inode_at(&from)?;
        world.names.rename(&from, &to, inode);
        world.sweep();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = plain(path)?;
        let mut world = self.world()?;
        world.note("remove", &path, &[], &[]);
        world.strike(Call::Remove, &path, ALL)?;
        let inode = world.inode_at(&path)?;
        world.names.remove(&path, inode);
        world.sweep();
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let path = plain(path)?;
        let world = self.world()?;
        world.note("list", &path, &[], &[]);
        if !world.names.is_dir(&path) {
            return Err(errno(libc::ENOENT));
        }
        Ok(world.names.list(&path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = plain(path)?;
        let mut world = self.world()?;
        world.note("sync_dir", &path, &[], &[]);
        world.strike(Call::SyncDir, &path, ALL)?;
        if !world.names.is_dir(&path) {
            return Err(errno(libc::ENOENT));
        }
        world.names.sync_dir(&path);
        world.sweep();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let path = plain(path)?;
        let mut world = self.world()?;
        world.note("lock", &path, &[], &[]);
        in_a_dir(&world, &path)?;
        if world.names.get(&path).is_none() {
            world.create(&path);
        }
        if !world.locks.insert(path.clone()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock {
            files: self.clone(),
            path,
        }))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let path = plain(path)?;
        let world = self.world()?;
        world.note("free_bytes", &path, &[], &[]);
        Ok(world.free_bytes().unwrap_or(1 << 50))
    }
}

/// A held lock.
struct Lock {
    files: SimFiles,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // After the end of the incarnation its locks are gone, and may be another's.
        if let Ok(mut world) = self.files.world() {
            world.locks.remove(&self.path);
        }
    }
}

/// An open file.
struct SimFile {
    files: SimFiles,
    inode: InodeId,
    path: PathBuf,
    writable: bool,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({})", self.path.display())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Ok(mut world) = self.files.world() {
            world.closed(self.inode);
        }
    }
}

impl SimFile {
    /// The living world, after the call has been noted.
    fn call(&self, what: &str, numbers: &[u64]) -> io::Result<MutexGuard<'_, World>> {
        let world = self.files.world()?;
        world.note(what, &self.path, numbers, &[]);
        Ok(world)
    }

    /// As [`call`](Self::call), on a file open for writing.
    fn call_to_write(&self, what: &str, numbers: &[u64]) -> io::Result<MutexGuard<'_, World>> {
        match (self.writable, what) {
            (true, _) => self.call(what, numbers),
            (false, "set_size") => Err(errno(libc::EINVAL)),
            (false, _) => Err(errno(libc::EBADF)),
        }
    }

    fn inode<'a>(&self, world: MutexGuard<'a, World>) -> MappedMutexGuard<'a, Inode> {
        MutexGuard::map(world, |world| {
            world
                .inodes
                .get_mut(&self.inode)
                .expect("an open file of the living incarnation is kept")
        })
    }

    /// Reads the range into `buf`, all of which lies below the size.
    fn read(&self, world: MutexGuard<'_, World>, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut world = world;
        let end = offset.saturating_add(buf.len() as u64);
        world.strike(Call::Read, &self.path, offset..end)?;
        let mut inode = self.inode(world);
        if end > inode.size() && !buf.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        inode.read(buf, offset);
        Ok(())
    }
}

impl File for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.inode(self.call("size", &[])?).size())
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        let mut world = self.call_to_write("set_size", &[bytes])?;
        world.strike(Call::SetSize, &self.path, ALL)?;
        self.inode(world).set_size(bytes);
        Ok(())
    }

    fn write_at(&self, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
        let bytes = parts.concat();
        let mut world = self.call_to_write("write", &[offset])?;
        world.note("bytes", &self.path, &[], &bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len() as u64;
        let end = offset
            .checked_add(length)
            .filter(|end| i64::try_from(*end).is_ok())
            .ok_or_else(|| errno(libc::EFBIG))?;
        let needed = world.inodes[&self.inode].needed_bytes(offset, length);
        let fits = needed == 0 || world.free_bytes().is_none_or(|free| needed <= free);
        let struck = match world.strike(Call::Write, &self.path, offset..end) {
            Ok(()) if fits => Ok(()),
            Ok(()) => Err(errno(libc::ENOSPC)),
            Err(error) => Err(error),
        };
        let bytes = match struck {
            Ok(()) => &bytes[..],
            // A write that fails may have done its first pages.
            Err(_) => {
                let pages = world.dice.below(bytes.len().div_ceil(PAGE) as u64);
                let done = usize::try_from(pages).expect("below a length") * PAGE;
                let room = world.free_bytes().unwrap_or(u64::MAX);
                let done = if needed > room { 0 } else { done };
                &bytes[..done]
            }
        };
        if !bytes.is_empty() {
            self.inode(world).write(offset, bytes);
        }
        struck
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let world = self.call("read", &[offset, buf.len() as u64])?;
        self.read(world, buf, offset)
    }

    fn read_cached_at(&self, buf: &mut [u8], offset: u64) -> io::Result<bool> {
        let world = self.call("read_cached", &[offset, buf.len() as u64])?;
        let inode = &world.inodes[&self.inode];
        let end = offset.saturating_add(buf.len() as u64);
        if end <= inode.size() && !inode.is_cached(offset, buf.len() as u64) {
            return Ok(false);
        }
        self.read(world, buf, offset)?;
        Ok(true)
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.call("sync", &[])?;
        let struck = world.strike(Call::Sync, &self.path, ALL);
        let World { inodes, dice, .. } = &mut *world;
        let inode = inodes
            .get_mut(&self.inode)
            .expect("an open file of the living incarnation is kept");
        match struck {
            Ok(()) => inode.sync(),
            Err(_) => inode.fail_sync(dice),
        }
        struck
    }

    fn start_writeout(&self, offset: u64, length: u64) -> io::Result<()> {
        // What it starts may be done or not when the power goes, as without it.
        self.call("start_writeout", &[offset, length]).map(drop)
    }

    fn evict(&self, offset: u64, length: u64) -> io::Result<()> {
        let world = self.call("evict", &[offset, length])?;
        self.inode(world).evict(offset, length);
        Ok(())
    }

    fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut world = self.call_to_write("punch_hole", &[offset, length])?;
        let end = offset.saturating_add(length);
        world.strike(Call::PunchHole, &self.path, offset..end)?;
        let mut inode = self.inode(world);
        let length = end.min(inode.size()).saturating_sub(offset);
        if length > 0 {
            inode.punch(offset, length);
        }
        Ok(())
    }
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// The path without `.`; `..` is refused, since nothing in a simulation needs it.
fn plain(path: &Path) -> io::Result<PathBuf> {
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(errno(libc::EINVAL));
    }
    Ok(path.components().collect())
}

/// Fails unless the directory of `path` exists and `path` is not itself one.
fn in_a_dir(world: &World, path: &Path) -> io::Result<()> {
    let parent = path.parent().ok_or_else(|| errno(libc::EISDIR))?;
    if !world.names.is_dir(parent) {
        return Err(errno(libc::ENOENT));
    }
    if world.names.is_dir(path) {
        return Err(errno(libc::EISDIR));
    }
    Ok(())
}
