//! RocksDB's errors as [`io::Error`]s: a kind to act on, what was done where, and the source.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What was being done, and to which store.
#[derive(Debug)]
pub(crate) struct StoreError {
    what: &'static str,
    path: PathBuf,
    /// What a person can do about it.
    remedy: Option<&'static str>,
    source: rocksdb::Error,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot {} the store at {}",
            self.what,
            self.path.display()
        )?;
        if let Some(remedy) = self.remedy {
            write!(f, ": {remedy}")?;
        }
        write!(f, " ({})", self.source)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// An error while doing `what` with the store at `path`.
pub(crate) fn wrap(what: &'static str, path: &Path, source: rocksdb::Error) -> io::Error {
    let (kind, remedy) = judge(&source);
    io::Error::new(
        kind,
        StoreError {
            what,
            path: path.to_path_buf(),
            remedy,
            source,
        },
    )
}

/// RocksDB's binding carries nothing but a text, whose first words are the kind and whose
/// last are the system's.
fn judge(error: &rocksdb::Error) -> (io::ErrorKind, Option<&'static str>) {
    let text: &str = error.as_ref();
    let says = |part: &str| text.contains(part);
    if says("No space left on device") || says("Disk quota exceeded") {
        let remedy = "the disk is full; free some space there";
        return (io::ErrorKind::StorageFull, Some(remedy));
    }
    if says("While lock file") || says("lock hold by current process") {
        let remedy = "it is in use by another vpoold; stop that one, or give this one a \
                      directory of its own";
        return (io::ErrorKind::ResourceBusy, Some(remedy));
    }
    if says("Permission denied") {
        let remedy = "the directory must belong to the user that vpoold runs as";
        return (io::ErrorKind::PermissionDenied, Some(remedy));
    }
    if says("Read-only file system") {
        let remedy = "the file system is mounted read-only";
        return (io::ErrorKind::ReadOnlyFilesystem, Some(remedy));
    }
    match error.kind() {
        rocksdb::ErrorKind::Corruption => {
            let remedy = "it is damaged; restore it from a copy, or move it away: what was in \
                          it is then read from the object store again";
            (io::ErrorKind::InvalidData, Some(remedy))
        }
        rocksdb::ErrorKind::NotSupported | rocksdb::ErrorKind::InvalidArgument => {
            let remedy = "it was perhaps written by a newer version";
            (io::ErrorKind::InvalidInput, Some(remedy))
        }
        _ => (io::ErrorKind::Other, None),
    }
}
