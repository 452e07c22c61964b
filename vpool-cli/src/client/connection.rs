//! One HTTP request on a connection of its own.
//!
//! Owns: connecting, the request's head, the bound on the answer. Does not own: what is asked,
//! what an answer means, when it is asked again (`client.rs`).

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use vpool_api::limits::RESPONSE_BYTES_MAX;
use vpool_tls::Refusal;

use crate::config::{Address, Target};
use crate::failure::{Exit, Failure};

/// How long the daemon's machine may take to answer a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Bytes,
    /// The same for all repetitions of one change.
    pub(super) key: Option<String>,
    /// Of a stream of events: what comes after this one.
    pub(super) last_event: Option<String>,
}

impl Ask {
    /// A question.
    pub(super) fn get(path: &str) -> Ask {
        Ask {
            method: Method::GET,
            path: path.to_owned(),
            body: Bytes::new(),
            key: None,
            last_event: None,
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// Nobody could be asked.
    NotConnected(std::io::Error),
    /// The connection ended before the answer was there.
    BrokenOff(anyhow::Error),
    /// One side does not take the other's certificate: asking again is no use.
    Refused(Refusal),
}

/// Asks once; the answer's body is still to come.
pub(super) async fn ask(target: &Target, ask: &Ask) -> Result<Response<Incoming>, Lost> {
    match &target.address {
        Address::Unix(path) => {
            let stream = within(UnixStream::connect(path)).await?;
            send(stream, "vpoold", target, ask).await
        }
        Address::Http(host) => {
            let stream = within(TcpStream::connect(host)).await?;
            send(stream, host, target, ask).await
        }
        Address::Https(host) => {
            let tls = target.tls.as_ref().expect("it is read with the address");
            let name = host
                .rsplit_once(':')
                .map_or(host.as_str(), |(name, _)| name);
            let stream = within(TcpStream::connect(host)).await?;
            let stream = within(tls.connect(name, stream)).await?;
            send(stream, host, target, ask).await
        }
    }
}

async fn within<S>(connecting: impl Future<Output = std::io::Result<S>>) -> Result<S, Lost> {
    let connected = tokio::time::timeout(CONNECT_TIME_MAX, connecting).await;
    connected
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
        .map_err(|error| match Refusal::of(&error) {
            Some(refusal) => Lost::Refused(refusal),
            None => Lost::NotConnected(error),
        })
}

/// What it means that a connection broke off.
fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Lost {
    match Refusal::of(&error) {
        Some(refusal) => Lost::Refused(refusal),
        None => Lost::BrokenOff(error.into()),
    }
}

async fn send<S>(
    stream: S,
    host: &str,
    target: &Target,
    ask: &Ask,
) -> Result<Response<Incoming>, Lost>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(broken)?;
    let mut request = Request::builder()
        .method(&ask.method)
        .uri(&ask.path)
        .header(HOST, host);
    if !ask.body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    if let Some(key) = &ask.key {
        request = request.header("idempotency-key", key);
    }
    if let Some(event) = &ask.last_event {
        request = request.header("last-event-id", event);
    }
    if let Some(token) = &target.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request
        .body(Full::new(ask.body.clone()))
        .context("build the request")
        .map_err(Lost::BrokenOff)?;
    // Ends with the answer; a failure reaches the body too.
    let connection = tokio::spawn(connection);
    let error = match sender.send_request(request).await {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    drop(sender);
    // It may know why, where the sender has only heard that it is over.
    match connection.await {
        Ok(Err(why)) if Refusal::of(&why).is_some() => Err(broken(why)),
        _ => Err(broken(error)),
    }
}

/// The whole body of an answer, within bounds.
pub(super) async fn whole(body: Incoming) -> Result<Bytes, Lost> {
    let read = Limited::new(body, RESPONSE_BYTES_MAX).collect().await;
    let read = read.map_err(|error| Lost::BrokenOff(anyhow::anyhow!("read the answer: {error}")));
    Ok(read?.to_bytes())
}

/// What it means that nobody could be asked.
pub(super) fn unreachable(target: &Target, error: &std::io::Error) -> Failure {
    let place = place(target);
    match error.kind() {
        ErrorKind::PermissionDenied => Failure::new(
            Exit::Permission,
            format!("you may not use the daemon's socket {place}"),
        )
        .with_hint("run as the daemon's user, or as a member of its group"),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            Failure::new(Exit::Unreachable, format!("no daemon listens at {place}")).with_hint(
                "start vpoold, or say where it listens: --api unix:PATH, or VPOOL_API=unix:PATH \
                 (`vpoold dev --data-dir DIR` listens at DIR/api.sock)",
            )
        }
        _ => Failure::new(
            Exit::Unreachable,
            format!("cannot connect to {place}: {error}"),
        ),
    }
}

/// What it means that a certificate was not taken.
pub(super) fn refused(target: &Target, refusal: &Refusal) -> Failure {
    let place = place(target);
    match refusal {
        Refusal::ByPeer(why) => Failure::new(
            Exit::Permission,
            format!("the daemon at {place} does not take this client's certificate: {why}"),
        )
        .with_hint("it takes those that its api.tls.client_ca has signed, while they are good"),
        Refusal::OfPeer(why) => Failure::new(
            Exit::Unreachable,
            format!("what answers at {place} is not known to be the daemon: {why}"),
        )
        .with_hint("--tls-ca names who signs its certificate, which must hold the name asked for"),
    }
}

/// The daemon's place, for people.
pub(super) fn place(target: &Target) -> String {
    match &target.address {
        Address::Unix(path) => path.display().to_string(),
        Address::Http(host) | Address::Https(host) => host.clone(),
    }
}
