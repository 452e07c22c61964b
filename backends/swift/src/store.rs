//! The store: each operation as one request, and the checks of its answer.
//!
//! Owns: [`SwiftStore`], what each answer must hold to be believed.
//! Does not own: sending and reading (`call`), listing (`list`), bulk deletion (`delete`),
//! retries (the caller's decorators).

use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use bytes::Bytes;
use md5::{Digest, Md5};
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, IF_MATCH, IF_NONE_MATCH, RANGE,
};
use reqwest::{Client, Method, Response, StatusCode};
use vpool_http::cause::printable;
use vpool_http::range::{self, ContentRange};
use vpool_object::conditional::{Conditional, Etag};
use vpool_object::{Error, ErrorKind, Key, ObjectStore, Page, Result, Tail, ranges};

use crate::call::{collect, content_length, text};
use crate::client;
use crate::config::SwiftConfig;
use crate::credentials::Keyring;
use crate::failure::Failure;
use crate::info;
use crate::limits::{BODY_BYTES_MAX, HASH_IN_PLACE_BYTES_MAX};
use crate::presence::Presence;
use crate::session::{Session, Sessions};

/// What must hold for a put to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Precondition {
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match`, with the tag as it is to stand there.
    Match(String),
}

/// The header of an answer to a GET; its body is still to be read.
#[derive(Debug)]
pub(crate) struct Found {
    /// Length of the body that follows, in bytes.
    length: u64,
    /// The part of the object that it is; `None`: the whole.
    range: Option<ContentRange>,
    /// The whole object's tag.
    pub(crate) etag: Etag,
    answer: Response,
}

/// A container, or a prefix in one, of a Swift store. Cheap to share; holds the connections.
pub struct SwiftStore {
    pub(crate) client: Client,
    pub(crate) config: SwiftConfig,
    /// What stands before every name: empty, or ending in `/`.
    pub(crate) root: String,
    pub(crate) sessions: Sessions,
    pub(crate) presence: Presence,
    pub(crate) info: info::Known,
    /// Whether many are deleted at once; off for good once the store refused it.
    pub(crate) deletes_in_bulk: AtomicBool,
}

impl SwiftStore {
    /// Sets the store up; makes no request. [`ErrorKind::Invalid`] where the settings, the
    /// credentials file or the CA file make no sense.
    pub fn connect(config: SwiftConfig) -> Result<SwiftStore> {
        config.check()?;
        let keyring = Keyring::open(config.credentials.clone(), config.location.auth())?;
        let client = client::client(&config)?;
        Ok(SwiftStore {
            sessions: Sessions::new(client.clone(), config.clone(), keyring),
            root: config.location.root(),
            presence: Presence::default(),
            info: info::Known::new(),
            deletes_in_bulk: AtomicBool::new(true),
            client,
            config,
        })
    }

    /// Asks for one name, to tell an operator early about a wrong address, wrong
    /// credentials or a missing container.
    pub async fn reach(&self) -> Result<()> {
        self.list("", None, 1).await.map(drop)
    }

    pub(crate) fn name(&self, key: &Key) -> String {
        format!("{}{key}", self.root)
    }

    /// `/CONTAINER/NAME`; nothing in it needs quoting.
    pub(crate) fn path(&self, key: &Key) -> String {
        format!("/{}/{}{key}", self.config.location.container(), self.root)
    }

    pub(crate) fn container_url(&self, session: &Session) -> String {
        format!(
            "{}/{}",
            session.storage_url,
            self.config.location.container()
        )
    }

    fn url(&self, session: &Session, key: &Key) -> String {
        format!("{}{}", session.storage_url, self.path(key))
    }

    /// The error of a failed operation on an object.
    pub(crate) fn error(&self, operation: &str, key: &Key, failure: Failure) -> Error {
        let place = format!("{}/{key}", self.config.location);
        failure.into_error(operation, &place, &self.sessions.place())
    }

    /// A put on which the store said that the name is taken: ours, if it holds our bytes.
    /// That is how a repeat of a put whose answer was lost succeeds.
    async fn compare(&self, key: &Key, body: &Bytes) -> std::result::Result<(), Failure> {
        let found = match self.fetch(key, None).await {
            Err(failure) if failure.kind == ErrorKind::NotFound => {
                let cause = "the name was taken, and is free again";
                return Err(Failure::new(ErrorKind::Unavailable, cause));
            }
            result => result?,
        };
        let same = found.length == body.len() as u64 && self.collect(found).await? == *body;
        match same {
            true => Ok(()),
            false => Err(Failure::new(
                ErrorKind::Conflict,
                "the name holds other bytes",
            )),
        }
    }

    async fn put_fresh(&self, key: &Key, body: &Bytes) -> std::result::Result<(), Failure> {
        let condition = match self.config.guard_puts {
            true => Precondition::Absent,
            false => Precondition::None,
        };
        match self.send_put(key, body, &condition).await {
            Err(failure) if failure.status == Some(412) => self.compare(key, body).await,
            result => result,
        }
    }

    /// Sends a put with the body's MD5, which Swift checks before it takes the body.
    pub(crate) async fn send_put(
        &self,
        key: &Key,
        body: &Bytes,
        condition: &Precondition,
    ) -> std::result::Result<(), Failure> {
        let tag = &tag_of(body).await?;
        let put = self
            .call(|session| async move {
                let url = self.url(&session, key);
                let request = self.request(&session, Method::PUT, &url);
                let request = match condition {
                    Precondition::None => request,
                    Precondition::Absent => request.header(IF_NONE_MATCH, "*"),
                    Precondition::Match(tag) => request.header(IF_MATCH, tag),
                };
                let request = request
                    .header(ETAG, tag)
                    .header(CONTENT_TYPE, "application/octet-stream")
                    // The client leaves it out where the body is empty.
                    .header(CONTENT_LENGTH, body.len())
                    .body(body.clone());
                self.send(request, body.len() as u64, &[StatusCode::CREATED])
                    .await
            })
            .await;
        let answer = match put {
            Ok(answer) => answer,
            Err(failure) if failure.kind == ErrorKind::NotFound => {
                let failure = self.with_presence(failure).await;
                // The container is there, but those who took the put do not know it yet.
                return Err(match failure.kind {
                    ErrorKind::NotFound => failure.of_kind(ErrorKind::Unavailable),
                    _ => failure,
                });
            }
            Err(failure) => return Err(failure),
        };
        self.presence.seen();
        match etag(answer.headers())? {
            told if told.as_str() == tag => Ok(()),
            told => {
                let cause = format!("MD5 {tag} was put, and {} taken", printable(told.as_str()));
                Err(Failure::new(ErrorKind::Damaged, cause))
            }
        }
    }

    /// Sends a get, of the whole or of a part, and checks what the answer says of itself.
    pub(crate) async fn fetch(
        &self,
        key: &Key,
        range: Option<String>,
    ) -> std::result::Result<Found, Failure> {
        let range = &range;
        let got = self
            .call(|session| async move {
                let url = self.url(&session, key);
                let mut request = self.request(&session, Method::GET, &url);
                if let Some(range) = range {
                    request = request.header(RANGE, range);
                }
                let expect = [StatusCode::OK, StatusCode::PARTIAL_CONTENT];
                self.send(request, 0, &expect).await
            })
            .await;
        match got {
            Ok(answer) => {
                let found = Found::check(answer)?;
                self.presence.seen();
                Ok(found)
            }
            Err(failure) => Err(self.with_presence(failure).await),
        }
    }

    async fn collect(&self, found: Found) -> std::result::Result<Bytes, Failure> {
        collect(&self.config, found.answer, found.length).await
    }

    async fn read_range(
        &self,
        key: &Key,
        part: &Range<u64>,
    ) -> std::result::Result<Bytes, Failure> {
        let found = self.fetch(key, Some(range::request(part))).await?;
        let beyond = |bytes: u64| {
            let cause = format!("read {part:?}: the object has {bytes} bytes");
            Failure::new(ErrorKind::Invalid, cause)
        };
        match &found.range {
            Some(range) if range.part == *part => {}
            Some(range) if range.object_bytes.is_some_and(|bytes| bytes < part.end) => {
                return Err(beyond(range.object_bytes.unwrap_or_default()));
            }
            Some(range) => {
                let cause = format!("read {part:?}, got {:?}", range.part);
                return Err(Failure::new(ErrorKind::Damaged, cause));
            }
            // A server may answer a range that is the whole with the whole, and has no
            // other answer where there is nothing.
            None if part.start == 0 && found.length == part.end => {}
            None if found.length == 0 => return Err(beyond(0)),
            None => {
                let cause = format!("read {part:?}, got the whole object");
                return Err(Failure::new(ErrorKind::Damaged, cause));
            }
        }
        self.collect(found).await
    }

    async fn length(&self, key: &Key) -> std::result::Result<u64, Failure> {
        let told = self
            .call(|session| async move {
                let url = self.url(&session, key);
                let request = self.request(&session, Method::HEAD, &url);
                self.send(request, 0, &[StatusCode::OK]).await
            })
            .await;
        let answer = match told {
            Ok(answer) => answer,
            Err(failure) => return Err(self.with_presence(failure).await),
        };
        etag(answer.headers())?;
        content_length(answer.headers()).ok_or_else(|| not_swift("length"))
    }

    async fn read_tail(&self, key: &Key, length: u64) -> std::result::Result<Tail, Failure> {
        if length == 0 {
            return Ok(Tail {
                bytes: Bytes::new(),
                object_bytes: self.length(key).await?,
            });
        }
        // What is longer is no object of ours, and its answer then no tail of this length.
        let range = range::request_tail(length.min(BODY_BYTES_MAX));
        let found = match self.fetch(key, Some(range)).await {
            Err(failure) if failure.status == Some(416) => {
                return self.read_short_tail(key, length).await;
            }
            result => result?,
        };
        let object_bytes = match &found.range {
            Some(range) => {
                let object_bytes = range
                    .object_bytes
                    .filter(|&bytes| range.part == (bytes.saturating_sub(length)..bytes));
                object_bytes.ok_or_else(|| {
                    let cause = format!("read the last {length} bytes, got {:?}", range.part);
                    Failure::new(ErrorKind::Damaged, cause)
                })?
            }
            None if found.length <= length => found.length,
            None => {
                let cause = format!("read the last {length} bytes, got the whole object");
                return Err(Failure::new(ErrorKind::Damaged, cause));
            }
        };
        Ok(Tail {
            bytes: self.collect(found).await?,
            object_bytes,
        })
    }

    /// A tail that the server refused as no valid range: of an empty object, or of one that
    /// is shorter than the tail.
    async fn read_short_tail(&self, key: &Key, length: u64) -> std::result::Result<Tail, Failure> {
        let object_bytes = self.length(key).await?;
        let bytes = match object_bytes {
            0 => Bytes::new(),
            _ => {
                let part = object_bytes.saturating_sub(length)..object_bytes;
                self.read_range(key, &part).await?
            }
        };
        Ok(Tail {
            bytes,
            object_bytes,
        })
    }

    async fn remove(&self, key: &Key) -> std::result::Result<(), Failure> {
        let deleted = self
            .call(|session| async move {
                let url = self.url(&session, key);
                let request = self.request(&session, Method::DELETE, &url);
                self.send(request, 0, &[StatusCode::NO_CONTENT]).await
            })
            .await;
        let Err(failure) = deleted else {
            return Ok(());
        };
        match self.with_presence(failure).await {
            absent if absent.kind == ErrorKind::NotFound => Ok(()),
            failure => Err(failure),
        }
    }
}

impl Found {
    fn check(answer: Response) -> std::result::Result<Found, Failure> {
        let header = answer.headers();
        let etag = etag(header)?;
        let length = content_length(header).ok_or_else(|| not_swift("length"))?;
        check_length(length)?;
        let range = match text(header, &CONTENT_RANGE) {
            None => None,
            Some(told) => Some(ContentRange::parse(told).ok_or_else(|| {
                let cause = format!("no valid Content-Range: {:?}", printable(told));
                Failure::new(ErrorKind::Damaged, cause)
            })?),
        };
        let fits = |range: &ContentRange| range.part.end - range.part.start == length;
        if !range.as_ref().is_none_or(fits) {
            let cause = "the body's length is not that of the range that it should be";
            return Err(Failure::new(ErrorKind::Damaged, cause));
        }
        Ok(Found {
            length,
            range,
            etag,
            answer,
        })
    }
}

/// The tag of an answer; a stray 200 of another server has none.
fn etag(header: &HeaderMap) -> std::result::Result<Etag, Failure> {
    text(header, &ETAG)
        .map(Etag::new)
        .ok_or_else(|| not_swift("ETag"))
}

fn not_swift(missing: &str) -> Failure {
    let cause = format!("an answer without {missing}: not from Swift, or damaged");
    Failure::new(ErrorKind::Damaged, cause)
}

/// The MD5 of a body, in hexadecimal. A long one is hashed on a thread of its own: 25 ms
/// for a segment, on the thread that also serves the guests' I/O.
async fn tag_of(body: &Bytes) -> std::result::Result<String, Failure> {
    let hash = |body: &[u8]| {
        let digest = Md5::digest(body);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    if body.len() <= HASH_IN_PLACE_BYTES_MAX {
        return Ok(hash(body));
    }
    let body = body.clone();
    let hashed = tokio::task::spawn_blocking(move || hash(&body)).await;
    // Only when the runtime is being shut down.
    hashed.map_err(|_| Failure::new(ErrorKind::Unavailable, "the process is ending"))
}

/// A body of `bytes`, up or down, is one that we take.
fn check_length(bytes: u64) -> std::result::Result<(), Failure> {
    if bytes <= BODY_BYTES_MAX {
        return Ok(());
    }
    let cause = format!("{bytes} bytes are more than the {BODY_BYTES_MAX} allowed");
    Err(Failure::new(ErrorKind::Invalid, cause))
}

#[async_trait]
impl ObjectStore for SwiftStore {
    async fn put(&self, key: &Key, body: Bytes) -> Result<()> {
        let put = async {
            check_length(body.len() as u64)?;
            self.put_fresh(key, &body).await
        };
        put.await.map_err(|failure| self.error("put", key, failure))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let get = async {
            let found = self.fetch(key, None).await?;
            match found.range {
                None => self.collect(found).await,
                Some(range) => {
                    let cause = format!("read the whole, got {:?}", range.part);
                    Err(Failure::new(ErrorKind::Damaged, cause))
                }
            }
        };
        get.await.map_err(|failure| self.error("get", key, failure))
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        ranges::check_not_empty(key, &range)?;
        let get = async {
            check_length(range.end - range.start)?;
            self.read_range(key, &range).await
        };
        get.await.map_err(|failure| self.error("get", key, failure))
    }

    async fn get_tail(&self, key: &Key, length: u64) -> Result<Tail> {
        self.read_tail(key, length)
            .await
            .map_err(|failure| self.error("get", key, failure))
    }

    async fn head(&self, key: &Key) -> Result<u64> {
        self.length(key)
            .await
            .map_err(|failure| self.error("head", key, failure))
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, count_max: usize) -> Result<Page> {
        self.list_page(prefix, after, count_max).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.remove(key)
            .await
            .map_err(|failure| self.error("delete", key, failure))
    }

    async fn delete_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        self.delete_all(keys).await
    }

    fn conditional(&self) -> Option<&dyn Conditional> {
        Some(self)
    }
}

impl fmt::Debug for SwiftStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwiftStore({})", self.config.location)
    }
}
