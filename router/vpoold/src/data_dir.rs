//! The data directory: what lies where in it, and that no other daemon uses it.
//!
//! ```text
//! DIR/lock            held while the daemon lives; holds its pid
//!     grid.key        the key that all others are wrapped by
//!     api.token       what requests to the API over TCP must bring
//!     meta/           RocksDB: pools, disks, epochs, tasks      must last
//!     journal/        what is acknowledged and not shipped      must last
//!     cache/          chunks, and map/ (RocksDB)                may vanish
//!     objects/        the objects of pool `default`, and its own lock
//!     nbd.sock, api.sock
//! ```
//!
//! Owns: those paths, the two locks. Does not own: what is in the files.

use std::fmt;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, bail};
use vpool_host::Host;

/// Only the daemon's user may enter.
const PRIVATE: u32 = 0o700;

/// A data directory that is ours, for as long as this lives.
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: Lock,
    objects_lock: OnceLock<Lock>,
}

/// Held, never looked at.
type Lock = Box<dyn Send + Sync>;

impl fmt::Debug for DataDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataDir")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl DataDir {
    /// Makes the directory where it is missing and takes its lock. A second daemon is
    /// refused; the error names the first.
    pub(crate) fn open(path: &Path, host: &Host) -> anyhow::Result<DataDir> {
        host.files
            .create_dir_all(path)
            .with_context(|| format!("cannot make the data directory {}", path.display()))?;
        let path = path
            .canonicalize()
            .with_context(|| format!("cannot find the data directory {}", path.display()))?;
        if path.to_str().is_none() {
            bail!(
                "the path of the data directory {} is not UTF-8",
                path.display()
            );
        }
        let lock = lock(host, &path.join("lock"), &path)?;
        Ok(DataDir {
            path,
            _lock: lock,
            objects_lock: OnceLock::new(),
        })
    }

    /// Makes and locks `objects/`: no other daemon uses these objects on this host, not even
    /// through another path.
    pub(crate) fn lock_objects(&self, host: &Host) -> anyhow::Result<PathBuf> {
        let path = self.private("objects", host)?;
        // No object's file has a name like this one: the store leaves it alone.
        let lock = lock(host, &path.join("vpoold.lock"), &path)?;
        // One that was taken before is as good: it is on the same file.
        self.objects_lock.get_or_init(|| lock);
        Ok(path)
    }

    /// A directory in it that is the daemon's alone; made where it is missing.
    pub(crate) fn private(&self, name: &str, host: &Host) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        host.files
            .create_dir_all(&path)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(PRIVATE)))
            .with_context(|| format!("cannot make the directory {}", path.display()))?;
        Ok(path)
    }

    /// Makes a file that only the daemon's user may read: whole and durable under its name, or not
    /// there.
    pub(crate) fn create_file(&self, name: &str, text: &str, host: &Host) -> io::Result<()> {
        let draft = self.path.join(format!("{name}.new"));
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, self.path.join(name))?;
        host.files.sync_dir(&self.path)
    }

    /// The directory itself, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether there is something in a directory of it.
    pub(crate) fn holds_something(&self, name: &str) -> anyhow::Result<bool> {
        let path = self.path.join(name);
        match fs::read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => {
                Err(error).with_context(|| format!("cannot look into {}", path.display()))
            }
            Ok(mut entries) => Ok(entries.next().is_some()),
        }
    }
}

fn lock(host: &Host, file: &Path, what: &Path) -> anyhow::Result<Lock> {
    let lock = match host.files.lock(file) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::WouldBlock => bail!(
            "{} is in use by another vpoold ({}): stop that one first, or give this one a \
             directory of its own",
            what.display(),
            holder(file)
        ),
        Err(error) => {
            return Err(error).with_context(|| {
                format!(
                    "cannot lock {}: the directory must be writable for the user that vpoold \
                     runs as",
                    what.display()
                )
            });
        }
    };
    fs::write(file, format!("{}\n", std::process::id()))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(lock)
}

/// Who holds a lock, by what they wrote into it.
fn holder(file: &Path) -> String {
    match fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok())
    {
        Some(pid) => format!("pid {pid}"),
        None => "of which the pid is not known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    //! One daemon at a time, by whatever path.

    use super::DataDir;
    use vpool_host::Host;

    #[test]
    fn a_second_daemon_is_refused_and_the_first_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let host = Host::real();
        let path = dir.path().join("a/b");
        let first = DataDir::open(&path, &host).expect("a new directory");
        let error = DataDir::open(&path, &host)
            .expect_err("it is locked")
            .to_string();
        assert!(
            error.contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
        assert!(error.contains("a/b"), "{error}");
        drop(first);
        DataDir::open(&path, &host).expect("it is free again");
    }

    #[test]
    fn objects_under_two_directories_are_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let host = Host::real();
        let first = DataDir::open(&dir.path().join("a"), &host).expect("a new directory");
        first.lock_objects(&host).expect("they are free");
        let second = DataDir::open(&dir.path().join("b"), &host).expect("another directory");
        std::os::unix::fs::symlink(first.join("objects"), second.join("objects")).expect("a link");
        let error = second
            .lock_objects(&host)
            .expect_err("they are locked")
            .to_string();
        assert!(error.contains("in use"), "{error}");
    }
}
