//! The API's listener on a unix socket.
//!
//! Owns: the socket's file, how many connections there are and how long they may idle.
//! Does not own: what is answered on them.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

/// Owner and group may connect.
const MODE: u32 = 0o660;

/// Connections at a time; more wait.
const CONNECTIONS_MAX: usize = 256;

/// How long a connection may take over the head of a request, or wait for the next one.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// How long the listener rests after it failed, as it does without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening API.
#[derive(Debug)]
pub(crate) struct Server {
    stop: oneshot::Sender<Duration>,
    task: JoinHandle<()>,
    path: PathBuf,
}

impl Server {
    /// Listens at `path`. A socket there that nobody listens behind is replaced; anything
    /// else there is an error.
    pub(crate) fn listen(path: &Path, routes: Router) -> anyhow::Result<Server> {
        let listener = bind(path).with_context(|| {
            format!(
                "cannot listen for the API at {} (108 bytes at most; --api-socket PATH chooses \
                 another)",
                path.display()
            )
        })?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(listener, routes, stopped));
        Ok(Server {
            stop,
            task,
            path: path.to_owned(),
        })
    }

    /// Takes no more connections; those that are there have so long to get their answers.
    pub(crate) async fn shutdown(self, time_max: Duration) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the API's socket was gone already");
        }
        // It fails if the task has ended: then nothing is left to stop.
        if self.stop.send(time_max).is_ok()
            && let Err(error) = self.task.await
        {
            tracing::error!(%error, "the API's listener failed");
        }
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
    fs::set_permissions(&draft, Permissions::from_mode(MODE))?;
    fs::rename(&draft, path)?;
    Ok(listener)
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

async fn accept(listener: UnixListener, routes: Router, mut stopped: oneshot::Receiver<Duration>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let time_max = loop {
        let next = async {
            let permit = connections
                .clone()
                .acquire_owned()
                .await
                .expect("it is never closed");
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            biased;
            time_max = &mut stopped => break time_max.unwrap_or_default(),
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = graceful.watch(connection(stream, routes.clone()));
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection to the API failed");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the API cannot take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    };
    drop(listener);
    if tokio::time::timeout(time_max, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests to the API are cut off that did not end in time");
    }
}

fn connection(
    stream: UnixStream,
    routes: Router,
) -> http1::Connection<TokioIo<UnixStream>, TowerToHyperService<Router>> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
}
