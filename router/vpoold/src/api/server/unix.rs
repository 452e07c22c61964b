//! The API on a unix socket.
//!
//! Owns: the socket's file, its mode and group. Does not own: the connections.

use std::fs::{self, Permissions};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};

use super::{Listen, Server, Stream, peek};

/// Owner and group may connect.
const MODE: u32 = 0o660;

/// The group that may use the API, where the host has it.
const GROUP: &str = "vpool";

/// Where groups are.
const GROUPS: &str = "/etc/group";

/// A listening API at a path.
#[derive(Debug)]
pub(crate) struct Socket {
    server: Server,
    path: PathBuf,
}

impl Stream for UnixStream {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        UnixStream::readable(self)
    }

    fn peek_now(&self) -> io::Result<()> {
        self.try_io(Interest::READABLE, || peek(self))
    }
}

impl Listen for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        UnixListener::accept(self).await.map(|(stream, _)| stream)
    }
}

impl Socket {
    /// Listens at `path`. A socket there that nobody listens behind is replaced; anything
    /// else there is an error.
    pub(crate) fn listen(path: &Path, routes: Router) -> anyhow::Result<Socket> {
        let listener = bind(path).with_context(|| {
            format!(
                "cannot listen for the API at {} (108 bytes at most; --api-socket PATH chooses \
                 another)",
                path.display()
            )
        })?;
        Ok(Socket {
            server: Server::start(listener, routes, None),
            path: path.to_owned(),
        })
    }

    /// Takes no more connections; those that are there have so long to get their answers.
    pub(crate) async fn shutdown(self, time_max: Duration) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the API's socket was gone already");
        }
        self.server.shutdown(time_max).await;
    }
}

/// The socket appears with its final mode, by a rename: nobody can connect before.
fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    check_free(path)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push("~");
    let draft = PathBuf::from(draft);
    check_free(&draft)?;
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(&draft)?;
    if let Some(group) = group(&fs::read_to_string(GROUPS).unwrap_or_default())
        // A service that runs as it has it already, and may not ask for it.
        && fs::metadata(&draft)?.gid() != group
        && let Err(error) = chown(&draft, None, Some(group))
    {
        tracing::warn!(%error, "the API's socket is not for the group {GROUP}: vpoold is not in it");
    }
    fs::set_permissions(&draft, Permissions::from_mode(MODE))?;
    fs::rename(&draft, path)?;
    Ok(listener)
}

/// The group's number, by the text of the file of groups.
fn group(groups: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let number = (fields.next() == Some(GROUP)).then(|| fields.nth(1))??;
        number.parse().ok()
    })
}

/// Fails unless nothing is there, or a socket that nobody listens behind.
fn check_free(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(metadata) if !metadata.file_type().is_socket() => bail!("what is there is no socket"),
        Ok(_) => {}
    }
    match BlockingStream::connect(path) {
        Ok(_) => bail!("somebody listens there"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    //! The group.

    use super::group;

    #[test]
    fn the_group_is_found_by_its_name() {
        assert_eq!(group("root:x:0:\nvpool:x:996:ann\n"), Some(996));
        for text in [
            "",
            "vpools:x:1:",
            "x:vpool:1:",
            "vpool",
            "vpool:x",
            "vpool:x:no:",
        ] {
            assert_eq!(group(text), None, "{text}");
        }
    }
}
