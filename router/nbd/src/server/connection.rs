//! The life of one connection: greeting, perhaps TLS, session, good-bye.
//!
//! Owns: that order, what is said about it in the log. Does not own: its parts (`handshake.rs`,
//! `secure.rs`, `session.rs`), how many there are (`server.rs`).

use std::error::Error;
use std::future::{Future, poll_fn};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Phase, Shared};
use crate::handshake::{Begun, HandshakeError, Negotiated, Security, negotiate, negotiate_secured};
use crate::limits::{CLOSE_TIME_MAX, COMPLAINT_PAUSE};
use crate::secure::{Secure, Stream};
use crate::session::{Agreed, Session, SessionError};

/// Who is at the other end, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// The address, where it is not this host.
    pub(super) remote: Option<String>,
    /// How the connection may become secure, and whether it must.
    pub(super) tls: Option<(Arc<dyn Secure>, Security)>,
    /// Held until the peer has proved who it is, where others wait for their turn to do so.
    pub(super) stranger: Option<OwnedSemaphorePermit>,
}

impl Shared {
    /// Serves one client, from the greeting on.
    pub(super) async fn serve<S: Stream + 'static>(&self, mut stream: S, peer: Peer) {
        let Peer {
            remote,
            tls,
            stranger,
        } = peer;
        let remote = remote.as_deref();
        let security = tls
            .as_ref()
            .map_or(Security::None, |(_, security)| *security);
        let exports = &*self.exports;
        let negotiation = negotiate(&mut stream, exports, remote, security, &self.limits);
        match (self.while_serving(negotiation).await, tls) {
            (Some(Ok(Negotiated::StartTls(begun))), Some((secure, _))) => {
                let stream = Box::new(stream);
                self.secure(stream, &*secure, begun, remote, stranger).await;
            }
            (negotiated, _) => {
                drop(stranger);
                self.agreed(stream, negotiated, remote).await;
            }
        }
    }

    /// Serves one client behind a TLS handshake.
    async fn secure(
        &self,
        stream: Box<dyn Stream>,
        secure: &dyn Secure,
        begun: Begun,
        remote: Option<&str>,
        stranger: Option<OwnedSemaphorePermit>,
    ) {
        let handshake = async {
            let secured = timeout_at(begun.deadline, secure.accept(stream)).await;
            let secured = secured.map_err(|_elapsed| HandshakeError::Timeout)?;
            secured.map_err(HandshakeError::Io)
        };
        let mut stream = match self.while_serving(handshake).await {
            None => return,
            Some(Ok(stream)) => stream,
            Some(Err(error)) => return self.complain(remote, &error),
        };
        drop(stranger);
        let negotiation = negotiate_secured(&mut stream, &*self.exports, remote, begun);
        let negotiated = self.while_serving(negotiation).await;
        self.agreed(stream, negotiated, remote).await;
    }

    /// Serves one client that has negotiated.
    async fn agreed<S: Stream>(
        &self,
        mut stream: S,
        negotiated: Option<Result<Negotiated, HandshakeError>>,
        remote: Option<&str>,
    ) {
        let agreed = match negotiated {
            Some(Ok(Negotiated::Agreed(agreed))) => agreed,
            Some(Ok(Negotiated::Left)) => return say_goodbye(&mut stream).await,
            None => return,
            Some(Ok(Negotiated::StartTls(_))) => unreachable!("it is not offered, or was started"),
            Some(Err(error)) => {
                let cause = error.source().map(ToString::to_string);
                return tracing::debug!(remote, %error, cause, "no export was chosen");
            }
        };
        self.session(stream, agreed, remote).await;
    }

    async fn session<S: Stream>(&self, stream: S, agreed: Agreed, remote: Option<&str>) {
        let export = agreed.name.clone();
        tracing::info!(export, remote, mode = ?agreed.mode, "a client has opened a disk");
        let budget = self.budget.for_connection(&self.limits);
        // In a box, so that the many tasks that wait in negotiation stay small.
        let mut session = Box::new(Session::new(stream, agreed, budget));
        match self.run(&mut session).await {
            Ok(()) => {
                say_goodbye(&mut session.stream).await;
                tracing::info!(export, remote, "a client has left");
            }
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(export, remote, %error, cause, "a connection was closed");
            }
        }
    }

    /// What the work comes to; `None` if the server stops before.
    async fn while_serving<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut phase = self.phase.clone();
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => None,
            done = work => Some(done),
        }
    }

    /// Says that a stranger was refused; not more often than anybody reads it.
    fn complain(&self, remote: Option<&str>, error: &HandshakeError) {
        let cause = error.source().map(ToString::to_string);
        let unsaid = {
            let mut complained = self.complained.lock().expect("no panic holds it");
            let (last, unsaid) = &mut *complained;
            if last.is_some_and(|last| last.elapsed() < COMPLAINT_PAUSE) {
                *unsaid += 1;
                return tracing::debug!(remote, %error, cause, "a TLS handshake failed");
            }
            *last = Some(Instant::now());
            std::mem::take(unsaid)
        };
        tracing::warn!(remote, %error, cause, others_since_the_last_line = unsaid,
            "a TLS handshake failed: the client has no certificate that is taken here, or does not \
             take ours");
    }

    /// Serves a client until it leaves or the server has stopped.
    async fn run<S>(&self, session: &mut Session<S>) -> Result<(), SessionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut phase = self.phase.clone();
        tokio::select! {
            biased;
            ended = poll_fn(|cx| session.poll(cx)) => return ended,
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => session.drain(),
        }
        tokio::select! {
            biased;
            ended = poll_fn(|cx| session.poll(cx)) => ended,
            _ = phase.wait_for(|phase| *phase == Phase::Ended) => Ok(()),
        }
    }
}

/// Ends a connection in good order: over TLS a mere end could be somebody else's work.
async fn say_goodbye<S: AsyncWrite + Unpin>(stream: &mut S) {
    // One that is gone already needs none.
    let _gone = timeout(CLOSE_TIME_MAX, stream.shutdown()).await;
}
