//! The real host: Linux clocks, the kernel's random numbers, files by positioned calls.
//!
//! Owns: [`Host::real`], [`RealClock`], [`OsEntropy`], [`RealFiles`]. Does not own: what a
//! caller does about an error. Errors are the kernel's own (`raw_os_error` is kept): the
//! caller knows what the file was for, and adds it.

use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::time::{ClockId, Timespec};

use crate::behind::Behind;
use crate::{Aligned, Blocking, Clock, Entropy, File, Files, Host, OpenMode};

/// Buffers in one `pwritev`: IOV_MAX of Linux.
const PARTS_MAX: usize = 1024;
/// Bytes of one write past the page cache, and what its place, length and memory are a multiple of.
const DIRECT_BYTES: usize = 1 << 20;
const DIRECT_ALIGN: usize = 4096;

impl Host {
    /// The machine that this process runs on; blocking work goes to the runtime's threads
    /// and to a few of its own.
    pub fn real() -> Host {
        Host {
            clock: Arc::new(RealClock),
            entropy: Arc::new(OsEntropy),
            files: Arc::new(RealFiles),
            blocking: Blocking::Threads(Arc::new(Behind::start())),
        }
    }
}

/// CLOCK_REALTIME and CLOCK_BOOTTIME.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealClock;

impl Clock for RealClock {
    fn wall_ms(&self) -> u64 {
        ns_since_zero(rustix::time::clock_gettime(ClockId::Realtime)) / 1_000_000
    }

    fn boot_ns(&self) -> u64 {
        ns_since_zero(rustix::time::clock_gettime(ClockId::Boottime))
    }

    fn boot_id(&self) -> u128 {
        let told = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let hex = told.map(|text| text.trim().replace('-', ""));
        hex.and_then(|hex| u128::from_str_radix(&hex, 16).ok())
            .unwrap_or_else(|| {
                let any: &dyn Entropy = &OsEntropy;
                any.id()
            })
    }
}

/// Nanoseconds; a time before zero (a wall clock before 1970) counts as zero.
fn ns_since_zero(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let ns = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(ns)
}

/// The kernel's random number generator (getrandom).
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("getrandom cannot fail on Linux 3.17 and later");
    }
}

/// The local file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFiles;

impl Files for RealFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).mode(0o600);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::Create => options.write(true).create(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        Ok(Arc::new(RealFile(options.open(path)?, OnceLock::new())))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        // An earlier run may have died between mkdir and sync, so that what exists need not
        // be durable: every parent is synced, also of what was there.
        let mut made = PathBuf::new();
        for part in path.components() {
            let parent = made.clone();
            made.push(part);
            if !matches!(part, Component::Normal(_)) {
                continue;
            }
            let new = match fs::create_dir(&made) {
                Ok(()) => true,
                Err(error) if made.is_dir() => {
                    tracing::trace!(path = %made.display(), %error, "directory exists");
                    false
                }
                Err(error) => return Err(error),
            };
            match self.sync_dir(&parent) {
                // A parent that we may not even read was not made by us.
                Err(error) if !new && error.kind() == io::ErrorKind::PermissionDenied => {}
                result => result?,
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        fs::File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        // flock belongs to the open file, not to the process: a second daemon and a second
        // opening in this one are both refused, and the kernel ends it with the process.
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// An open file of [`RealFiles`].
#[derive(Debug)]
struct RealFile(fs::File, OnceLock<Option<fs::File>>);

impl RealFile {
    /// The same file, opened for writes past the page cache; `None` where there is no such thing.
    fn direct(&self) -> Option<&fs::File> {
        let open = || {
            let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
            let mut options = fs::OpenOptions::new();
            options.write(true).custom_flags(libc::O_DIRECT);
            options.open(path).ok()
        };
        self.1.get_or_init(open).as_ref()
    }
}

/// Writes whole blocks at a block's boundary past the page cache; `false` if the file system
/// refuses that, with nothing written.
fn write_direct(file: &fs::File, bytes: &[u8], offset: u64) -> io::Result<bool> {
    let mut copy = Aligned::default();
    for (number, piece) in bytes.chunks(DIRECT_BYTES).enumerate() {
        let aligned = if piece.as_ptr().addr().is_multiple_of(DIRECT_ALIGN) {
            piece
        } else {
            if copy.is_empty() {
                copy = Aligned::with_capacity(DIRECT_BYTES);
            }
            copy.clear();
            copy.extend_from_slice(piece);
            &copy
        };
        match file.write_all_at(aligned, position(offset, number * DIRECT_BYTES)?) {
            Ok(()) => {}
            Err(error) if number == 0 && error.raw_os_error() == Some(libc::EINVAL) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

impl File for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn write_at(&self, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for parts in parts.chunks(PARTS_MAX) {
            at = write_all(&self.0, parts, at)?;
        }
        Ok(())
    }

    fn write_past_cache_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let whole = bytes.len() - bytes.len() % DIRECT_ALIGN;
        let aligned = whole > 0 && offset.is_multiple_of(DIRECT_ALIGN as u64);
        let mut done = 0;
        if let Some(direct) = self.direct().filter(|_| aligned)
            && write_direct(direct, &bytes[..whole], offset)?
        {
            done = whole;
        }
        match bytes.len() - done {
            0 => Ok(()),
            _ => self.write_at(&[io::IoSlice::new(&bytes[done..])], position(offset, done)?),
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn read_cached_at(&self, buf: &mut [u8], offset: u64) -> io::Result<bool> {
        // To preadv2 an offset of -1 means "where the file stands", which is nowhere here.
        i64::try_from(offset).map_err(|_| io::Error::from(Errno::INVAL))?;
        let mut done = 0;
        while done < buf.len() {
            let at = position(offset, done)?;
            let mut rest = [io::IoSliceMut::new(&mut buf[done..])];
            match rustix::io::preadv2(&self.0, &mut rest, at, ReadWriteFlags::NOWAIT) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => done += bytes,
                Err(Errno::INTR) => {}
                // Not in memory, or a file system or kernel that cannot tell.
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn start_writeout(&self, offset: u64, length: u64) -> io::Result<()> {
        // To the kernel a length of 0 means "to the end".
        if length == 0 {
            return Ok(());
        }
        let offset = i64::try_from(offset).map_err(|_| io::Error::from(Errno::INVAL))?;
        let length = i64::try_from(length).map_err(|_| io::Error::from(Errno::INVAL))?;
        // SAFETY: the descriptor is open for as long as `self` lives, and the call takes no
        // pointers.
        let result = unsafe {
            libc::sync_file_range(
                self.0.as_raw_fd(),
                offset,
                length,
                libc::SYNC_FILE_RANGE_WRITE,
            )
        };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // A hint that this file system or kernel has no use for.
            Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::ESPIPE) => Ok(()),
            _ => Err(error),
        }
    }

    fn evict(&self, offset: u64, length: u64) -> io::Result<()> {
        match NonZeroU64::new(length) {
            Some(length) => Ok(rustix::fs::fadvise(
                &self.0,
                offset,
                Some(length),
                Advice::DontNeed,
            )?),
            // To the kernel a length of 0 means "to the end".
            None => Ok(()),
        }
    }

    fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        loop {
            match rustix::fs::fallocate(&self.0, flags, offset, length) {
                Err(Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }
}

/// Writes all of at most [`PARTS_MAX`] parts at `offset`; answers the position after them.
fn write_all(file: &fs::File, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<u64> {
    // Nearly always one call does it; only what it leaves over needs slices of its own.
    let total = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut done = write_some(file, parts, offset, total)?;
    while done < total {
        let mut rest = parts.to_vec();
        let mut rest = rest.as_mut_slice();
        io::IoSlice::advance_slices(&mut rest, done);
        done += write_some(file, rest, position(offset, done)?, total - done)?;
    }
    position(offset, total)
}

/// One `pwritev`, repeated while interrupted; at least one byte of `expected`, if that is not 0.
fn write_some(
    file: &fs::File,
    parts: &[io::IoSlice<'_>],
    offset: u64,
    expected: usize,
) -> io::Result<usize> {
    if expected == 0 {
        return Ok(0);
    }
    loop {
        match rustix::io::pwritev(file, parts, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => return Ok(bytes),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// `offset + bytes`, refused beyond what a file can hold.
fn position(offset: u64, bytes: usize) -> io::Result<u64> {
    u64::try_from(bytes)
        .ok()
        .and_then(|bytes| offset.checked_add(bytes))
        .filter(|end| i64::try_from(*end).is_ok())
        .ok_or_else(|| Errno::FBIG.into())
}

#[cfg(test)]
mod tests;
