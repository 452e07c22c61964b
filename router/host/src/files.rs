//! Files: what the engine asks of the local file system, and what it may rely on.
//!
//! A successful write is in memory that outlives the process (the page cache), and no
//! more. [`File::sync`] makes it durable. A rename, a creation or a removal is durable
//! after [`Files::sync_dir`] on the directory. After a failed sync nothing is known about
//! any byte written since the last good one, and a later good sync does not change that.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; must exist.
    Read,
    /// For reading and writing; must exist.
    Write,
    /// For reading and writing; created empty where absent.
    Create,
    /// For reading and writing; must not exist.
    CreateNew,
}

/// The local file system.
pub trait Files: Send + Sync + fmt::Debug {
    /// Opens a file. New files are readable by their owner only (0600).
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Creates a directory and its parents, and makes them durable. Existing is fine.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, replacing what is at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The paths in a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Makes creations, renames and removals in the directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock of a file (created where absent), held until the answer is
    /// dropped; `WouldBlock` if somebody else holds it. A killed process holds none.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;

    /// Bytes free for this user on the file system that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. Calls on one file may run at the same time.
pub trait File: Send + Sync + fmt::Debug {
    /// The length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Cuts or extends (with zeroes that may take no space) to `bytes`.
    fn set_size(&self, bytes: u64) -> io::Result<()>;

    /// Writes all of `parts`, one after the other, at `offset`.
    fn write_at(&self, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// As [`write_at`](Self::write_at), for bytes that are not soon read back: past the page
    /// cache, as far as the file system can and place and length allow it.
    fn write_past_cache_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(&[io::IoSlice::new(bytes)], offset)
    }

    /// Fills `buf` from `offset`; `UnexpectedEof` where the file ends before.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// As [`read_at`](Self::read_at) if that needs no device; `false` if it would.
    fn read_cached_at(&self, buf: &mut [u8], offset: u64) -> io::Result<bool>;

    /// Makes everything written before the call durable (fdatasync).
    fn sync(&self) -> io::Result<()>;

    /// Starts writing the range to the device without waiting for it. A hint.
    fn start_writeout(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Forgets clean cached pages of the range, so that the next read sees the device.
    fn evict(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Gives the space of the range back; it reads as zeroes.
    fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()>;
}
