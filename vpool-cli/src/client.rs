//! Questions and changes, asked of one daemon.
//!
//! Owns: the forms of requests, repeating what got no answer, what each way of failing means.
//! Does not own: the connection (`connection.rs`), which daemon (`config.rs`), what is asked.
//!
//! A change carries an `Idempotency-Key`: it is sent again under the same key when the
//! connection ends before the answer, and is done once.

mod connection;
mod sse;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vpool_api::{Code, Connection, DryRun, Health, List, Problem, Version};

use crate::config::{Address, Target};
use crate::failure::{Exit, Failure};
use connection::{Ask, Lost, ask, refused, unreachable, whole};
pub(crate) use sse::Message;

/// How long a daemon may take to say what it knows.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(60);

/// How long what got no answer is asked again: a daemon may be starting anew.
const REPEAT_TIME_MAX: Duration = Duration::from_secs(30);

/// Between two tries.
const REPEAT_PAUSE: Duration = Duration::from_millis(250);

/// Items of a page.
const PAGE: u32 = 1000;

/// The way to a daemon.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    /// A daemon that is not there is waited for from the start.
    patient: bool,
}

/// What a change came to.
#[derive(Debug)]
pub(crate) enum Changed<T> {
    /// It is done.
    Done(T),
    /// It would do this.
    Would(DryRun),
}

impl Client {
    /// To this daemon.
    pub(crate) fn new(target: Target) -> Client {
        Client {
            target,
            patient: false,
        }
    }

    /// To the same daemon, which is waited for: it was there before.
    pub(crate) fn patient(&self) -> Client {
        Client {
            target: self.target.clone(),
            patient: true,
        }
    }

    /// The daemon's place, for people.
    pub(crate) fn place(&self) -> String {
        connection::place(&self.target)
    }

    /// Whether the daemon is asked over a socket of this host.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.target.address, Address::Unix(_))
    }

    /// Data goes over a socket of the daemon's host, and another daemon may have one of that name
    /// here: refused, where it is not the same daemon that is asked.
    pub(crate) async fn check_data_is_here(&self, connection: &Connection) -> Result<(), Failure> {
        if self.is_here() {
            return Ok(());
        }
        let daemon: Version = self.get("/api/v1/version").await?;
        let socket = tokio::net::UnixStream::connect(&connection.nbd_socket).await;
        let peer = socket.and_then(|socket| socket.peer_cred());
        match peer.ok().and_then(|peer| peer.pid()) {
            Some(pid) if i64::from(pid) == i64::from(daemon.pid) => Ok(()),
            _ => Err(Failure::failed(format!(
                "the daemon at {} is not this host's: data is read and written on its host only",
                self.place()
            ))
            .with_hint("run the command there, over the daemon's unix socket")),
        }
    }

    /// Asks for something.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let asked = self.repeat(Ask::get(path));
        let late = |_| {
            let seconds = QUESTION_TIME_MAX.as_secs();
            let message = format!("the daemon did not answer within {seconds} s");
            Failure::new(Exit::Unreachable, message).with_hint("its log says what it is doing")
        };
        let answer = tokio::time::timeout(QUESTION_TIME_MAX, asked);
        decode(&answer.await.map_err(late)??)
    }

    /// Asks for what is no JSON.
    pub(crate) async fn text(&self, path: &str) -> Result<String, Failure> {
        let answer = self.repeat(Ask::get(path)).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// All pages of a list. `query` is what stands behind the `?`, or nothing.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &str,
    ) -> Result<List<T>, Failure> {
        let mut all: Option<List<T>> = None;
        let mut after = String::new();
        loop {
            let mut url = format!("{path}?limit={PAGE}");
            for part in [query, &after] {
                if !part.is_empty() {
                    url.push('&');
                    url.push_str(part);
                }
            }
            let page: List<T> = self.get(&url).await?;
            let next = page.next.clone();
            let list = match all.as_mut() {
                Some(list) => {
                    list.items.extend(page.items);
                    list.total = page.total;
                    list.next = None;
                    list
                }
                None => all.insert(List { next: None, ..page }),
            };
            match next {
                // A list may change from page to page: what is printed counts itself.
                None => {
                    list.total = u64::try_from(list.items.len()).unwrap_or(u64::MAX);
                    break;
                }
                Some(next) => after = format!("after={}", part(&next)),
            }
        }
        all.ok_or_else(|| Failure::failed("a list without a page"))
    }

    /// Asks for a change and waits for it, however long it takes; `dry_run` asks what it
    /// would do.
    pub(crate) async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        dry_run: bool,
    ) -> Result<Changed<T>, Failure> {
        let answer = self.changed(method, path, body, dry_run).await?;
        match dry_run {
            true => decode(&answer).map(Changed::Would),
            // 204 has no body: for what has no answer, it is JSON's null.
            false if answer.is_empty() => decode(b"null").map(Changed::Done),
            false => decode(&answer).map(Changed::Done),
        }
    }

    /// A change for certain.
    pub(crate) async fn make<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        match self.change(method, path, body, false).await? {
            Changed::Done(done) => Ok(done),
            Changed::Would(_) => Err(Failure::failed("the daemon took a change for a question")),
        }
    }

    async fn changed(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        dry_run: bool,
    ) -> Result<Bytes, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::failed(format!("cannot write the request: {error}")))?;
        let empty = body == b"null";
        let mut path = path.to_owned();
        if dry_run {
            path.push_str(if path.contains('?') { "&" } else { "?" });
            path.push_str("dry_run=true");
        }
        self.repeat(Ask {
            method,
            path,
            body: if empty { Bytes::new() } else { body.into() },
            key: Some(key()?),
            last_event: None,
        })
        .await
    }

    /// Asks until there is an answer. A daemon that was never reached is not waited for.
    async fn repeat(&self, question: Ask) -> Result<Bytes, Failure> {
        let begun = Instant::now();
        let mut broken: Option<String> = None;
        loop {
            match self.once(&question).await {
                Ok(answer) => return answer,
                Err(Lost::NotConnected(error)) => {
                    let late = begun.elapsed() > REPEAT_TIME_MAX;
                    if broken.is_none() && (late || !self.patient) {
                        return Err(unreachable(&self.target, &error));
                    }
                }
                Err(Lost::Refused(refusal)) => return Err(refused(&self.target, &refusal)),
                Err(Lost::BrokenOff(error)) => broken = Some(format!("{error:#}")),
            }
            if let Some(why) = &broken
                && begun.elapsed() > REPEAT_TIME_MAX
            {
                let message = format!("the daemon at {} broke off: {why}", self.place());
                let hint = match question.key {
                    Some(_) => {
                        "whether the change was made is not known: look with `list` or `show`"
                    }
                    None => "its log says why",
                };
                return Err(Failure::new(Exit::Unreachable, message).with_hint(hint));
            }
            tokio::time::sleep(REPEAT_PAUSE).await;
        }
    }

    /// How the daemon is: an answer also where that is bad.
    pub(crate) async fn health(&self) -> Result<Health, Failure> {
        let response = ask(&self.target, &Ask::get("/healthz")).await;
        let body = match response {
            Ok(response) => whole(response.into_body()).await,
            Err(lost) => Err(lost),
        };
        decode(&body.map_err(|lost| self.lost(lost))?)
    }

    fn lost(&self, lost: Lost) -> Failure {
        match lost {
            Lost::NotConnected(error) => unreachable(&self.target, &error),
            Lost::Refused(refusal) => refused(&self.target, &refusal),
            Lost::BrokenOff(error) => {
                let message = format!("the daemon at {} broke off: {error:#}", self.place());
                Failure::new(Exit::Unreachable, message)
            }
        }
    }

    async fn once(&self, question: &Ask) -> Result<Result<Bytes, Failure>, Lost> {
        let response = ask(&self.target, question).await?;
        let status = response.status().as_u16();
        let good = response.status().is_success();
        let body = whole(response.into_body()).await?;
        Ok(match good {
            true => Ok(body),
            false => Err(problem(status, &body)),
        })
    }

    /// Events, as they come, to `each`; until the daemon ends the stream or `each` fails.
    /// `since` is the last one that is known.
    pub(crate) async fn events(
        &self,
        path: &str,
        since: Option<String>,
        mut each: impl FnMut(Message) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut question = Ask::get(path);
        question.last_event = since;
        let lost = |lost| self.lost(lost);
        let response = ask(&self.target, &question).await.map_err(lost)?;
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            let body = whole(body).await.map_err(lost)?;
            return Err(problem(status.as_u16(), &body));
        }
        let mut parser = sse::Parser::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| lost(Lost::BrokenOff(error.into())))?;
            let Some(bytes) = frame.data_ref() else {
                continue;
            };
            let events = parser
                .take(bytes)
                .map_err(|sse::TooLong| Failure::failed("the daemon sent an event without end"))?;
            events.into_iter().try_for_each(&mut each)?;
        }
        Ok(())
    }
}

fn problem(status: u16, body: &[u8]) -> Failure {
    let problem = serde_json::from_slice::<Problem>(body).unwrap_or_else(|_| Problem {
        status,
        ..Problem::new(Code::Unknown, format!("the daemon answered {status}"))
    });
    problem.into()
}

fn decode<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer).map_err(|error| {
        Failure::failed(format!("the daemon's answer makes no sense: {error}"))
            .with_hint("do vpool and vpoold have the same version? `vpool version` tells")
    })
}

/// A key that no other change has.
fn key() -> Result<String, Failure> {
    random_hex::<16>()
}

/// `N` random bytes, as hexadecimal digits.
pub(crate) fn random_hex<const N: usize>() -> Result<String, Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A name as one part of a path, or a value in a query.
pub(crate) fn part(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
