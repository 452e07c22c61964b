//! The API's listeners: their connections, and what one may cost.
//!
//! ```text
//! accepted ─▶ held: costs next to nothing until the first byte ─▶ (TLS) ─▶ served: HTTP ─▶ answered, or cut off
//! ```
//!
//! Owns: how many connections there are and how long they may idle, their end. Does not own: where
//! is listened (`unix.rs`, `tcp.rs`), what is answered.
//!
//! Each listener has places of its own: whoever fills those of one leaves the other as it is.

mod stalled;
mod tcp;
mod unix;

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use vpool_tls::Tls;

use stalled::Stalled;

pub(crate) use tcp::bind;
pub(crate) use unix::Socket;

/// Connections that have sent nothing yet; more wait.
const HELD_MAX: usize = 8192;

/// Connections that have and do not say yet who they are, by TLS; more wait.
const STRANGERS_MAX: usize = 128;

/// Connections that may ask; more wait.
const SERVED_MAX: usize = 1024;

/// How long a connection may take over the head of a request, or wait for the next one.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// How long the listener rests after it failed, as it does without file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening API.
#[derive(Debug)]
pub(crate) struct Server {
    stop: watch::Sender<Option<Duration>>,
    task: JoinHandle<()>,
}

/// A stream that HTTP can be spoken on.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static {
    /// Returns when something can be read, or it may seem so.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;
    /// Whether something can be read; `WouldBlock` if not.
    fn peek_now(&self) -> io::Result<()>;
}

/// Returns when the first byte is there, or the end.
async fn begun(stream: &impl Stream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        match stream.peek_now() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

/// Looks at the first byte and leaves it where it is.
fn peek(socket: impl AsFd) -> io::Result<()> {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    recv(socket, &mut [0_u8; 1], flags)?;
    Ok(())
}

/// Where streams come from.
trait Listen: Send + Sync + 'static {
    type Stream: Stream;
    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Server {
    fn start(listener: impl Listen, routes: Router, tls: Option<Arc<Tls>>) -> Server {
        let (stop, stopped) = watch::channel(None);
        let task = tokio::spawn(accept(listener, routes, Lock::new(tls), stopped));
        Server { stop, task }
    }

    /// Takes no more connections; those that are there have so long to get their answers.
    pub(crate) async fn shutdown(self, time_max: Duration) {
        self.stop.send_replace(Some(time_max));
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the API's listener failed");
        }
    }
}

/// A stream whose client may ask.
trait Admitted: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Admitted for S {}

/// What a connection must get through before it may ask.
#[derive(Debug, Clone)]
struct Lock {
    tls: Option<Arc<Tls>>,
    strangers: Arc<Semaphore>,
    served: Arc<Semaphore>,
}

impl Lock {
    fn new(tls: Option<Arc<Tls>>) -> Lock {
        Lock {
            tls,
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            served: Arc::new(Semaphore::new(SERVED_MAX)),
        }
    }

    /// The stream and its place, once its client has sent something and shown who it is.
    async fn open(self, stream: impl Stream) -> Option<(Box<dyn Admitted>, OwnedSemaphorePermit)> {
        // Who sends nothing leaves by itself.
        let begun = tokio::time::timeout(HEAD_TIME_MAX, begun(&stream)).await;
        if !matches!(begun, Ok(Ok(()))) {
            return None;
        }
        let stream: Box<dyn Admitted> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let _place = self.strangers.acquire().await.expect("it is never closed");
                match tokio::time::timeout(HEAD_TIME_MAX, tls.accept(stream)).await {
                    Ok(Ok(stream)) => Box::new(stream),
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "a client of the API is not let in");
                        return None;
                    }
                    Err(_) => return None,
                }
            }
        };
        let place = self.served.acquire_owned().await;
        Some((stream, place.expect("it is never closed")))
    }
}

async fn accept(
    listener: impl Listen,
    routes: Router,
    lock: Lock,
    mut stopped: watch::Receiver<Option<Duration>>,
) {
    let held = Arc::new(Semaphore::new(HELD_MAX));
    let graceful = GracefulShutdown::new();
    let until_stopped = stopped.clone();
    let mut stop = std::pin::pin!(stop_time(&mut stopped));
    let time_max = loop {
        let next = async {
            let held = held.clone().acquire_owned().await;
            (listener.accept().await, held.expect("it is never closed"))
        };
        let (accepted, held) = tokio::select! {
            biased;
            time_max = &mut stop => break time_max,
            next = next => next,
        };
        match accepted {
            Ok(stream) => {
                let (routes, lock) = (routes.clone(), lock.clone());
                let (watcher, mut stopped) = (graceful.watcher(), until_stopped.clone());
                tokio::spawn(async move {
                    let opened = tokio::select! {
                        biased;
                        _ = stop_time(&mut stopped) => return,
                        opened = lock.open(stream) => opened,
                    };
                    drop(held);
                    if let Some((stream, place)) = opened {
                        serve(stream, routes, watcher).await;
                        drop(place);
                    }
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

/// Returns when the server is to stop: how long that may take.
async fn stop_time(stopped: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match stopped.wait_for(Option::is_some).await {
        Ok(time_max) => time_max.unwrap_or_default(),
        // Whoever could say it is gone.
        Err(_) => Duration::ZERO,
    }
}

async fn serve(stream: Box<dyn Admitted>, routes: Router, watcher: Watcher) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(
            TokioIo::new(Stalled::new(stream)),
            TowerToHyperService::new(routes),
        );
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection to the API failed");
    }
}
