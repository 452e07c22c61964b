//! A store in a directory: a local disk, or a NAS mount that several hosts share.
//!
//! Durable and crash-safe (the steps of a put are in `fs/write.rs`). An open store holds its root directory
//! open: if a NAS is unmounted, what then lies under the path is never taken for the
//! store. Hosts that share it over NFS should mount it with `lookupcache=positive`, so
//! that no host remembers that a name was absent.
//!
//! Owns: the files below its root whose names it understands; all others it leaves alone.
//! Does not own: how many requests run at a time ([`limit`](crate::limit)): each occupies
//! one blocking thread of the runtime.

mod direct;
mod directories;
mod errors;
mod list;
mod names;
mod write;

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;

use crate::conditional::{Conditional, Etag, EtagForm, Outcome};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::{ObjectStore, Page, Tail, around, ranges};
use directories::{DIRECTORY, Directories};
use errors::{failed, failed_io};
use names::{TEMPORARY, path_of};
use write::Put;

/// How a directory store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// Who writes here: 1 to 64 bytes of `[a-z0-9-]`, the same after a restart, different
    /// on each host. Only leftovers of this owner are swept.
    pub owner: String,
    /// Leftover temporary files of this owner that nobody wrote to for so long (by the
    /// file system's own clock) are removed when the store is opened.
    pub sweep_age: Duration,
}

impl DirectoryOptions {
    /// The usual options for this owner.
    pub fn new(owner: impl Into<String>) -> Self {
        DirectoryOptions {
            owner: owner.into(),
            sweep_age: Duration::from_secs(3600),
        }
    }
}

/// The store.
pub struct DirectoryStore {
    root: Arc<Root>,
}

/// What the blocking work needs.
#[derive(Debug)]
struct Root {
    /// For messages.
    path: PathBuf,
    root: Arc<OwnedFd>,
    temporary: OwnedFd,
    owner: String,
    /// Numbers the temporary files of this process.
    temporaries: AtomicU64,
    directories: Directories,
}

impl DirectoryStore {
    /// Makes an existing directory a vPool location and opens it. A directory that is one
    /// already is only opened. [`ErrorKind::NoLocation`] where there is no directory: it is
    /// not created, since it may be a mount point's parent.
    pub async fn create(path: impl Into<PathBuf>, options: DirectoryOptions) -> Result<Self> {
        let path = path.into();
        blocking(move || Root::open(path, &options, true))
            .await
            .map(Self::of)
    }

    /// Opens a vPool location. [`ErrorKind::NoLocation`] where the directory is missing or
    /// was never made one, as below a mount point whose file system is not mounted.
    pub async fn open(path: impl Into<PathBuf>, options: DirectoryOptions) -> Result<Self> {
        let path = path.into();
        blocking(move || Root::open(path, &options, false))
            .await
            .map(Self::of)
    }

    fn of(root: Root) -> Self {
        DirectoryStore {
            root: Arc::new(root),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Root) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let root = self.root.clone();
        blocking(move || work(&root)).await
    }
}

impl fmt::Debug for DirectoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectoryStore({})", self.root.path.display())
    }
}

/// Runs work on a blocking thread. A panic in it goes on in the caller. If the caller is
/// dropped the work goes on: a put that was given up may still happen.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => {
                let context = "the runtime is being shut down";
                Err(Error::new(ErrorKind::Unavailable, context).with_source(error))
            }
        },
    }
}

impl Root {
    fn open(path: PathBuf, options: &DirectoryOptions, create: bool) -> Result<Root> {
        check_owner(&options.owner)?;
        let root = match openat(CWD, &path, DIRECTORY, Mode::empty()) {
            Ok(root) => Arc::new(root),
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(no_location(&path, "no directory")),
            Err(errno) => return Err(failed(format!("open {}", path.display()), errno)),
        };
        if create {
            match mkdirat(&*root, TEMPORARY, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed(format!("create in {}", path.display()), errno)),
            }
            directories::sync(&root)
                .map_err(|errno| failed(format!("sync {}", path.display()), errno))?;
        }
        let temporary = match openat(&*root, TEMPORARY, DIRECTORY, Mode::empty()) {
            Ok(temporary) => temporary,
            Err(Errno::NOENT) => {
                let why = "no vPool location (is its file system mounted?)";
                return Err(no_location(&path, why));
            }
            Err(errno) => return Err(failed(format!("open {}", path.display()), errno)),
        };
        let root = Root {
            path,
            directories: Directories::new(root.clone()),
            root,
            temporary,
            owner: options.owner.clone(),
            temporaries: AtomicU64::new(0),
        };
        // A store that cannot be written to can still be read.
        if let Err(errno) = root.sweep(options.sweep_age) {
            tracing::warn!(root = %root.path.display(), %errno, "leftovers were not swept");
        }
        Ok(root)
    }

    /// Removes old temporary files of this owner.
    fn sweep(&self, age: Duration) -> std::result::Result<(), Errno> {
        let (_probe, file) = self.create_temporary()?;
        let now = i128::from(fstat(&file)?.st_mtime);
        let prefix = format!("{}.", self.owner);
        for entry in Dir::read_from(&self.temporary)? {
            let entry = entry?;
            let name = entry.file_name();
            if !name.to_bytes().starts_with(prefix.as_bytes()) {
                continue;
            }
            let stat = match statat(&self.temporary, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            if now - i128::from(stat.st_mtime) <= i128::from(age.as_secs()) {
                continue;
            }
            match unlinkat(&self.temporary, name, AtFlags::empty()) {
                Ok(()) => tracing::info!(?name, "swept a leftover temporary file"),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// That something is absent means nothing if the root itself is gone.
    fn check_alive(&self) -> Result<()> {
        match fstat(&*self.root) {
            Ok(stat) if stat.st_nlink > 0 => Ok(()),
            Ok(_) | Err(Errno::STALE) => Err(no_location(&self.path, "the directory is gone")),
            Err(errno) => Err(failed(format!("look at {}", self.path.display()), errno)),
        }
    }

    /// An object's file and its length.
    fn open_object(&self, operation: &str, key: &Key) -> Result<(File, u64)> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match openat(&*self.root, path_of(key), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                self.check_alive()?;
                let context = format!("{operation} {key}: no such object");
                return Err(Error::new(ErrorKind::NotFound, context));
            }
            Err(errno) => return Err(failed(format!("{operation} {key}"), errno)),
        };
        let metadata = file
            .metadata()
            .map_err(|error| failed_io(format!("{operation} {key}"), error))?;
        Ok((file, metadata.len()))
    }
}

fn check_owner(owner: &str) -> Result<()> {
    let bytes_ok = owner
        .bytes()
        .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if bytes_ok && (1..=64).contains(&owner.len()) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!("{owner:?} is no name of an owner"),
    ))
}

fn no_location(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::NoLocation, format!("{}: {why}", path.display()))
}

/// Exactly the bytes of `range`, which lies within the file as it was when it was opened.
fn read(key: &Key, file: &File, range: Range<u64>) -> Result<Bytes> {
    let what = || format!("get {key}");
    let length = range.end - range.start;
    let capacity = usize::try_from(length)
        .map_err(|error| Error::new(ErrorKind::Invalid, what()).with_source(error))?;
    let direct = match capacity {
        direct::BYTES_MIN.. => direct::read(file, &range),
        _ => Ok(None),
    };
    let body = match direct.map_err(|error| failed_io(what(), error))? {
        Some(body) => body,
        None => read_cached(file, range.start, length).map_err(|error| failed_io(what(), error))?,
    };
    if body.len() != capacity {
        let context = format!("get {key}: {} bytes where {length} should be", body.len());
        return Err(Error::new(ErrorKind::Damaged, context));
    }
    Ok(body)
}

fn read_cached(mut file: &File, start: u64, length: u64) -> std::io::Result<Bytes> {
    if start > 0 {
        file.seek(SeekFrom::Start(start))?;
    }
    let mut body = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(length).read_to_end(&mut body)?;
    Ok(Bytes::from(body))
}

#[async_trait]
impl ObjectStore for DirectoryStore {
    async fn put(&self, key: &Key, body: Bytes) -> Result<()> {
        let key = key.clone();
        self.run(move |root| match root.put(&key, &body)? {
            Put::Created | Put::Same => Ok(()),
            Put::Other => Err(Error::new(
                ErrorKind::Conflict,
                format!("put {key}: the name holds other bytes"),
            )),
        })
        .await
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let key = key.clone();
        self.run(move |root| {
            let (file, length) = root.open_object("get", &key)?;
            read(&key, &file, 0..length)
        })
        .await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        let key = key.clone();
        self.run(move |root| {
            let (file, length) = root.open_object("get", &key)?;
            ranges::check_within(&key, &range, length)?;
            read(&key, &file, range)
        })
        .await
    }

    async fn get_tail(&self, key: &Key, length: u64) -> Result<Tail> {
        let key = key.clone();
        self.run(move |root| {
            let (file, object_bytes) = root.open_object("get", &key)?;
            let start = object_bytes.saturating_sub(length);
            let bytes = read(&key, &file, start..object_bytes)?;
            Ok(Tail {
                bytes,
                object_bytes,
            })
        })
        .await
    }

    async fn head(&self, key: &Key) -> Result<u64> {
        let key = key.clone();
        self.run(move |root| Ok(root.open_object("head", &key)?.1))
            .await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, count_max: usize) -> Result<Page> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        self.run(move |root| root.list(&prefix, after.as_ref(), count_max))
            .await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let key = key.clone();
        self.run(move |root| root.delete(&[key]).into_iter().collect())
            .await
    }

    async fn delete_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        let asked = keys.to_vec();
        match self.run(move |root| Ok(root.delete(&asked))).await {
            Ok(results) => results,
            Err(error) => around::repeat_for(keys.len(), &error),
        }
    }

    fn conditional(&self) -> Option<&dyn Conditional> {
        Some(self)
    }
}

/// Of conditional writes a file system has one: creating.
#[async_trait]
impl Conditional for DirectoryStore {
    async fn put_if_absent(&self, key: &Key, body: Bytes) -> Result<Outcome> {
        let key = key.clone();
        self.run(move |root| match root.put(&key, &body)? {
            Put::Created => Ok(Outcome::Applied),
            Put::Same | Put::Other => Ok(Outcome::Refused),
        })
        .await
    }

    async fn put_if_match(
        &self,
        _key: &Key,
        _body: Bytes,
        _etag: &Etag,
        _form: EtagForm,
    ) -> Result<Outcome> {
        Ok(Outcome::Unsupported)
    }

    async fn etag(&self, key: &Key) -> Result<Etag> {
        // Objects never change under their names, so the name says it all.
        self.head(key)
            .await
            .map(|bytes| Etag::new(&format!("{bytes:x}")))
    }

    async fn put_with_trailer(&self, _key: &Key, _body: Bytes) -> Result<Outcome> {
        Ok(Outcome::Unsupported)
    }
}

#[cfg(test)]
mod tests;
