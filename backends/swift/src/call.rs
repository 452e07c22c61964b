//! Sending requests within a time, and reading bodies to exactly their length.
//!
//! Owns: time limits, the one repeat with a new token, the length check of bodies.
//! Does not own: tokens (`session`), what an answer must hold (`store`), errors (`failure`).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};
use vpool_object::ErrorKind;

use crate::config::SwiftConfig;
use crate::failure::Failure;
use crate::limits::ERROR_BYTES_MAX;
use crate::session::{Session, TOKEN};
use crate::store::SwiftStore;

impl SwiftStore {
    /// Asks with the session in force. What was refused for its token is asked once more
    /// with a new one.
    pub(crate) async fn call<T, F>(&self, ask: impl Fn(Arc<Session>) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let session = self.sessions.current().await?;
        let refused = match ask(session.clone()).await {
            Err(failure) if session.is_worth_renewing(&failure) => failure,
            result => return result,
        };
        tracing::info!(cause = %refused, "the store refuses its token; asking for another");
        ask(self.sessions.another(&session).await?).await
    }

    /// A request with a session's token.
    pub(crate) fn request(&self, session: &Session, method: Method, url: &str) -> RequestBuilder {
        self.client
            .request(method, url)
            .header(TOKEN, session.token.clone())
    }

    /// Sends a request with a body of `bytes`; an answer of another status than `expect` is
    /// a failure.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        bytes: u64,
        expect: &[StatusCode],
    ) -> Result<Response, Failure> {
        let answer = send(&self.config, request, bytes).await?;
        if expect.contains(&answer.status()) {
            return Ok(answer);
        }
        Err(failure_of(&self.config, answer).await)
    }
}

/// Sends a request with a body of `bytes` and waits for its answer, of whatever status.
pub(crate) async fn send(
    config: &SwiftConfig,
    request: RequestBuilder,
    bytes: u64,
) -> Result<Response, Failure> {
    let time_max = config.time_max(bytes);
    match timeout(time_max, request.send()).await {
        Ok(result) => result.map_err(Failure::from_client),
        Err(_elapsed) => Err(Failure::timed_out(time_max)),
    }
}

/// What an answer that is no success says.
async fn failure_of(config: &SwiftConfig, mut answer: Response) -> Failure {
    let text = failure_text(config, &mut answer).await;
    Failure::from_answer(answer.status(), answer.headers(), &text)
}

/// The text of an answer that is no success. It is read to its end, so that the connection
/// can be used again, unless it is long.
pub(crate) async fn failure_text(config: &SwiftConfig, answer: &mut Response) -> String {
    let mut text = Vec::new();
    let read = async {
        while let Some(piece) = answer.chunk().await? {
            let room = ERROR_BYTES_MAX - text.len();
            text.extend_from_slice(&piece[..piece.len().min(room)]);
            if text.len() == ERROR_BYTES_MAX {
                break;
            }
        }
        Ok::<(), reqwest::Error>(())
    };
    // The status says enough where the text cannot be read.
    let _unread = timeout(config.answer_timeout, read).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads a body that has exactly `length` bytes.
pub(crate) async fn collect(
    config: &SwiftConfig,
    answer: Response,
    length: u64,
) -> Result<Bytes, Failure> {
    let body = read(config, answer, length, config.time_max(length)).await?;
    if (body.len() as u64) < length {
        return Err(wrong_length(length, "fewer"));
    }
    Ok(body)
}

/// Reads a body of up to `bytes_max` bytes, whose length the answer need not tell.
pub(crate) async fn collect_up_to(
    config: &SwiftConfig,
    answer: Response,
    bytes_max: u64,
) -> Result<Bytes, Failure> {
    let announced = content_length(answer.headers());
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(wrong_length(bytes_max, "more"));
    }
    let body = read(config, answer, bytes_max, config.time_max(bytes_max)).await?;
    if announced.is_some_and(|length| length != body.len() as u64) {
        return Err(wrong_length(announced.unwrap_or_default(), "fewer"));
    }
    Ok(body)
}

async fn read(
    config: &SwiftConfig,
    mut answer: Response,
    bytes_max: u64,
    time_max: Duration,
) -> Result<Bytes, Failure> {
    let deadline = Instant::now() + time_max;
    let room = usize::try_from(bytes_max).expect("bounded by this crate's limits");
    let expected = content_length(answer.headers()).unwrap_or(0).min(bytes_max);
    let mut whole = BytesMut::new();
    loop {
        let silent = Instant::now() + config.answer_timeout;
        let next = timeout_at(deadline.min(silent), answer.chunk()).await;
        let piece = match next.map_err(|_| Failure::timed_out(time_max))? {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(whole.freeze()),
            Err(error) => return Err(Failure::from_body(error)),
        };
        if piece.len() > room - whole.len() {
            return Err(wrong_length(bytes_max, "more"));
        }
        if whole.is_empty() {
            whole.reserve(usize::try_from(expected).expect("at most bytes_max"));
        }
        whole.extend_from_slice(&piece);
    }
}

/// The length that an answer announces. Not from the client, to which the body of an answer
/// to HEAD has none.
pub(crate) fn content_length(header: &HeaderMap) -> Option<u64> {
    text(header, &CONTENT_LENGTH)?.parse().ok()
}

/// A field of a header, where it is text.
pub(crate) fn text<'a>(header: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    header.get(name)?.to_str().ok().map(str::trim)
}

fn wrong_length(length: u64, how: &str) -> Failure {
    let cause = format!("the body has {how} than the {length} bytes that it should have");
    Failure::new(ErrorKind::Damaged, cause)
}
