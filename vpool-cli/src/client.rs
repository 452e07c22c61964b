//! One request to the daemon over its unix socket.
//!
//! Owns: finding the socket, the request, and what each way of failing means.
//! Does not own: what is asked.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use vpool_api::limits::{PAGE_ITEMS_MAX, RESPONSE_BYTES_MAX};
use vpool_api::{Code, List, Problem, Task, TaskState};

use crate::failure::{Exit, Failure};

/// The variable that names the socket.
const VARIABLE: &str = "VPOOL_API";

/// Where the daemon of a host answers.
const DEFAULT: &str = "unix:/run/vpool/api.sock";

/// How long a daemon may take to say what it knows.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(30);

/// The way to a daemon.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PathBuf,
}

impl Client {
    /// By the flag, else the variable, else the default.
    pub(crate) fn new(flag: Option<String>) -> Result<Client, Failure> {
        let address = flag
            .or_else(|| {
                std::env::var(VARIABLE)
                    .ok()
                    .filter(|address| !address.is_empty())
            })
            .unwrap_or_else(|| DEFAULT.to_owned());
        match address.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Client {
                socket: path.into(),
            }),
            _ => Err(Failure::new(
                Exit::Usage,
                format!("the API address is {address:?}; it must be unix:PATH"),
            )),
        }
    }

    /// Asks for something.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let asked = self.request(Method::GET, path, Bytes::new());
        let answer = tokio::time::timeout(QUESTION_TIME_MAX, asked)
            .await
            .map_err(|_| {
                Failure::new(
                    Exit::Unreachable,
                    format!(
                        "the daemon did not answer within {} s",
                        QUESTION_TIME_MAX.as_secs()
                    ),
                )
                .with_hint("its log says what it is doing")
            })??;
        decode(&answer)
    }

    /// Asks for all items of a list, page by page.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failure> {
        let first = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}{first}limit={PAGE_ITEMS_MAX}{after}");
            let page: List<T> = self.get(&page).await?;
            items.extend(page.items);
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(items),
            }
        }
    }

    /// Begins a task and waits for its end, however long it takes.
    pub(crate) async fn finish(&self, path: &str) -> Result<(), Failure> {
        let mut task: Task = decode(&self.request(Method::POST, path, Bytes::new()).await?)?;
        while !task.state.has_ended() {
            task = self
                .get(&format!("/api/v1/tasks/{}?wait=10", task.id))
                .await?;
        }
        match (task.state, task.problem) {
            (TaskState::Done, _) => Ok(()),
            (_, Some(problem)) => Err(problem.into()),
            (state, None) => Err(Failure::failed(format!(
                "task {} is {}",
                task.id,
                state.name()
            ))),
        }
    }

    /// Asks for a change and waits for it, however long it takes.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::failed(format!("cannot write the request: {error}")))?;
        decode(&self.request(Method::POST, path, body.into()).await?)
    }

    /// Asks for something to be done that has no answer.
    pub(crate) async fn act(&self, method: Method, path: &str) -> Result<(), Failure> {
        self.request(method, path, Bytes::new()).await.map(drop)
    }

    async fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let response = send(stream, method, path, body).await.map_err(|error| {
            Failure::new(
                Exit::Unreachable,
                format!(
                    "the daemon at {} broke off: {error:#}",
                    self.socket.display()
                ),
            )
            .with_hint("whether a change was made is not known: look with `list` or `show`")
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let body = response.into_body();
        let problem = serde_json::from_slice::<Problem>(&body).unwrap_or_else(|_| Problem {
            status: status.as_u16(),
            ..Problem::new(Code::Unknown, format!("the daemon answered {status}"))
        });
        Err(problem.into())
    }

    fn unreachable(&self, error: &std::io::Error) -> Failure {
        let socket = self.socket.display();
        match error.kind() {
            ErrorKind::PermissionDenied => Failure::new(
                Exit::Permission,
                format!("you may not use the daemon's socket {socket}"),
            )
            .with_hint("run as the daemon's user, or as a member of its group"),
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                Failure::new(Exit::Unreachable, format!("no daemon listens at {socket}")).with_hint(
                    "start vpoold, or name its socket: --api unix:PATH, or VPOOL_API=unix:PATH \
                 (`vpoold dev --data-dir DIR` listens at DIR/api.sock)",
                )
            }
            _ => Failure::new(
                Exit::Unreachable,
                format!("cannot connect to {socket}: {error}"),
            ),
        }
    }
}

async fn send(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: Bytes,
) -> anyhow::Result<Response<Bytes>> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "vpoold");
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let request = request.body(Full::new(body)).context("build the request")?;
    // Ends when the sender is dropped; a failure reaches the sender too.
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, RESPONSE_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("read the answer: {error}"))?
        .to_bytes();
    Ok(Response::from_parts(head, body))
}

fn decode<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer).map_err(|error| {
        Failure::failed(format!("the daemon's answer makes no sense: {error}"))
            .with_hint("do vpool and vpoold have the same version? `vpool version` tells")
    })
}

/// A name as one part of a path.
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
mod tests {
    //! Addresses and paths.

    use super::{Client, part};

    #[test]
    fn addresses() {
        let client = Client::new(Some("unix:/a/b".into())).expect("a path");
        assert_eq!(client.socket.to_str(), Some("/a/b"));
        for bad in ["", "unix:", "/a/b", "http://localhost", "tcp:1"] {
            assert!(Client::new(Some(bad.into())).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn parts_of_paths() {
        for (name, encoded) in [
            ("demo", "demo"),
            ("default:vm/a b", "default%3Avm%2Fa%20b"),
            ("100%", "100%25"),
            ("...", "%2E%2E%2E"),
            ("ö", "%C3%B6"),
            ("a?b#c", "a%3Fb%23c"),
        ] {
            assert_eq!(part(name), encoded);
        }
    }
}
