//! A listening unix socket with its file.
//!
//! Owns: [`UnixSocket`]: the file's mode, its replacement when stale, its removal. Does
//! not own: connections.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Owner and group may connect.
const MODE: u32 = 0o660;

/// The socket and the file by which clients find it.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    identity: (u64, u64),
}

impl UnixSocket {
    /// Listens at `path`. A socket file there is replaced if nobody listens behind it;
    /// anything else there is an error. The file appears with its final mode, by a
    /// rename: nobody can connect before.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        check_free(path)?;
        let mut draft = path.as_os_str().to_owned();
        draft.push("~");
        let draft = PathBuf::from(draft);
        check_free(&draft)?;
        remove_if_there(&draft)?;
        let listener = UnixListener::bind(&draft)?;
        fs::set_permissions(&draft, Permissions::from_mode(MODE))?;
        let metadata = fs::symlink_metadata(&draft)?;
        let identity = (metadata.dev(), metadata.ino());
        fs::rename(&draft, path)?;
        Ok(UnixSocket {
            listener,
            path: path.to_owned(),
            identity,
        })
    }

    /// The next connection.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener
            .accept()
            .await
            .map(|(stream, _address)| stream)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Only our own file: another server may have taken the path over.
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

/// Fails unless nothing is at `path`, or a socket behind which nobody listens.
fn check_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "not a socket"));
        }
        Ok(_) => {}
    }
    match BlockingStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "somebody listens there",
        )),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
