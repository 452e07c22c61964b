//! Listeners, and the life of the connections that they accept.
//!
//! Owns: [`Server`]. Does not own: what happens on a connection (`connection.rs`).
//!
//! ```text
//! serving ──shutdown──▶ draining ──all answered, or time is over──▶ ended
//! ```

mod connection;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use vpool_block::Exports;

use crate::budget::Budget;
use crate::handshake::Security;
use crate::limits::{Limits, STRANGERS_MAX};
use crate::secure::Secure;
use crate::unix_socket::UnixSocket;
use connection::Peer;

/// Pause after the system refused to accept a connection (no descriptors, no memory):
/// there is nothing to wait for that says when it will again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum NbdError {
    /// At a path.
    #[error("cannot listen for NBD at {path}")]
    Unix {
        /// The path of the socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// At an address.
    #[error("cannot listen for NBD at {address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    Ended,
}

/// Serves [`Exports`] to NBD clients. Must be used within a tokio runtime; dropping it
/// ends all connections at once.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    listeners: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    exports: Arc<dyn Exports>,
    limits: Limits,
    budget: Budget,
    /// One permit for each connection that is possible.
    connections: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
    /// When a refused stranger was last spoken of, and how many were not since.
    complained: Mutex<(Option<Instant>, u64)>,
}

impl Server {
    /// A server without listeners.
    pub fn new(exports: Arc<dyn Exports>, limits: Limits) -> Self {
        let limits = limits.at_least_workable();
        let (sender, phase) = watch::channel(Phase::Serving);
        let shared = Shared {
            exports,
            budget: Budget::new(&limits),
            connections: Arc::new(Semaphore::new(limits.connections_max)),
            limits,
            phase,
            complained: Mutex::default(),
        };
        Server {
            shared: Arc::new(shared),
            phase: sender,
            listeners: Mutex::default(),
        }
    }

    /// Listens at a unix socket with mode 0660. A socket file that nobody listens behind
    /// is replaced. The file is removed when the server ends.
    pub fn listen_unix(&self, path: &Path) -> Result<(), NbdError> {
        let socket = UnixSocket::bind(path).map_err(|source| NbdError::Unix {
            path: path.to_owned(),
            source,
        })?;
        let shared = self.shared.clone();
        self.keep(tokio::spawn(async move {
            let each = |stream| shared.clone().spawn(stream, Peer::default());
            shared.accept(|| socket.accept(), each).await;
        }));
        Ok(())
    }

    /// Listens at a TCP address; returns the address with the port that was chosen where
    /// 0 was given. There is no encryption: loopback or a trusted network only.
    pub async fn listen_tcp(&self, address: SocketAddr) -> Result<SocketAddr, NbdError> {
        self.listen(address, None).await
    }

    /// The same with TLS; where it is `required` nothing is said to who does not start it.
    pub async fn listen_tls(
        &self,
        address: SocketAddr,
        secure: Arc<dyn Secure>,
        required: bool,
    ) -> Result<SocketAddr, NbdError> {
        let security = match required {
            true => Security::Required,
            false => Security::Offered,
        };
        self.listen(address, Some((secure, security))).await
    }

    async fn listen(
        &self,
        address: SocketAddr,
        tls: Option<(Arc<dyn Secure>, Security)>,
    ) -> Result<SocketAddr, NbdError> {
        let bind = async {
            let listener = TcpListener::bind(address).await?;
            Ok((listener.local_addr()?, listener))
        };
        let (bound, listener) = bind
            .await
            .map_err(|source| NbdError::Tcp { address, source })?;
        let shared = self.shared.clone();
        let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
        self.keep(tokio::spawn(async move {
            let next = || async {
                let stranger = match &tls {
                    None => None,
                    Some(_) => {
                        let turn = strangers.clone().acquire_owned().await;
                        Some(turn.expect("the semaphore is never closed"))
                    }
                };
                listener.accept().await.map(|accepted| (accepted, stranger))
            };
            let each = |((stream, address), stranger): ((TcpStream, SocketAddr), _)| {
                let peer = Peer {
                    remote: (!address.ip().is_loopback()).then(|| address.ip().to_string()),
                    tls: tls.clone(),
                    stranger,
                };
                match prepare_tcp(&stream) {
                    Ok(()) => shared.clone().spawn(stream, peer),
                    Err(error) => tracing::debug!(%address, %error, "cannot prepare a connection"),
                }
            };
            shared.accept(next, each).await;
        }));
        Ok(bound)
    }

    fn keep(&self, listener: JoinHandle<()>) {
        self.listeners
            .lock()
            .expect("no panic holds it")
            .push(listener);
    }

    /// How many clients are connected.
    pub fn connections(&self) -> usize {
        self.shared.limits.connections_max - self.shared.connections.available_permits()
    }

    /// Bytes of the shared budget that are in use.
    pub fn in_flight_bytes(&self) -> usize {
        self.shared.budget.used_bytes()
    }

    /// Stops: no more connections, no more requests; what was begun is finished and
    /// answered, for as long as `drain` allows; then all connections are closed.
    pub async fn shutdown(self, drain: Duration) {
        self.phase.send_replace(Phase::Draining);
        let listeners = std::mem::take(&mut *self.listeners.lock().expect("no panic holds it"));
        for listener in listeners {
            if let Err(error) = listener.await {
                tracing::error!(%error, "a listener failed");
            }
        }
        if timeout(drain, self.shared.all_gone()).await.is_err() {
            let left = self.connections();
            tracing::warn!(left, "connections are cut off that did not finish in time");
        }
        self.phase.send_replace(Phase::Ended);
        self.shared.all_gone().await;
    }
}

impl Shared {
    /// Calls `each` for every connection until the server stops.
    async fn accept<T, F: Future<Output = io::Result<T>>>(
        &self,
        accept: impl Fn() -> F,
        each: impl Fn(T),
    ) {
        let mut phase = self.phase.clone();
        let mut stop = pin!(phase.wait_for(|phase| *phase != Phase::Serving));
        loop {
            let accepted = tokio::select! {
                biased;
                _ = &mut stop => return,
                accepted = accept() => accepted,
            };
            match accepted {
                Ok(accepted) => each(accepted),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves one client in a task of its own.
    fn spawn<S>(self: Arc<Self>, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(slot) = self.connections.clone().try_acquire_owned() else {
            tracing::warn!(max = self.limits.connections_max, "too many connections");
            return;
        };
        tokio::spawn(async move {
            self.serve(stream, peer).await;
            drop(slot);
        });
    }

    /// Returns when no connection is left.
    async fn all_gone(&self) {
        let all = u32::try_from(self.limits.connections_max).expect("bounded by the limits");
        let gone = self.connections.acquire_many(all).await;
        drop(gone.expect("the semaphore is never closed"));
    }
}

/// No delay for small replies; a peer that has vanished is noticed within two minutes.
fn prepare_tcp(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15))?;
    sockopt::set_tcp_keepcnt(stream, 4)?;
    Ok(())
}
