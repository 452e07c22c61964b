//! The store: each operation as one request, and the checks of its answer.
//!
//! Owns: [`S3Store`], what each answer must hold to be believed.
//! Does not own: sending and reading (`call`), listing (`list`), bulk deletion
//! (`delete`), retries (the caller's decorators).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use aws_sdk_s3::Client;
use bytes::Bytes;
use vpool_http::range;
use vpool_object::conditional::Conditional;
use vpool_object::{Error, ErrorKind, Key, ObjectStore, Page, Result, Tail, ranges};

use crate::config::S3Config;
use crate::connector;
use crate::credentials::Keyring;
use crate::failure::Failure;
use crate::limits::BODY_BYTES_MAX;
use crate::sign::Precondition;

/// A bucket, or a prefix in one, of an S3 store. Cheap to share; holds the connections.
pub struct S3Store {
    pub(crate) client: Client,
    pub(crate) config: S3Config,
    /// What stands before every name: empty, or ending in `/`.
    pub(crate) root: String,
    pub(crate) keyring: Arc<Keyring>,
    /// Whether puts carry `If-None-Match: *`; off for good once the store refused it.
    guards_puts: AtomicBool,
    /// Whether many are deleted at once; off for good once the store refused it.
    pub(crate) deletes_in_bulk: AtomicBool,
}

impl S3Store {
    /// Sets the store up; makes no request. [`ErrorKind::Invalid`] where the settings, the
    /// credentials file or the CA file make no sense.
    pub fn connect(config: S3Config) -> Result<S3Store> {
        config.check()?;
        let keyring = Arc::new(Keyring::open(config.credentials.clone())?);
        Ok(S3Store {
            client: connector::client(&config, keyring.clone())?,
            root: config.location.root(),
            guards_puts: AtomicBool::new(config.guard_puts),
            deletes_in_bulk: AtomicBool::new(true),
            keyring,
            config,
        })
    }

    /// Asks for one name, to tell an operator early about a wrong address, wrong keys or a
    /// missing bucket.
    pub async fn reach(&self) -> Result<()> {
        self.list("", None, 1).await.map(drop)
    }

    pub(crate) fn name(&self, key: &Key) -> String {
        format!("{}{key}", self.root)
    }

    /// The error of a failed operation on an object.
    pub(crate) fn error(&self, operation: &str, key: &Key, failure: Failure) -> Error {
        let place = format!("{}/{key}", self.config.location);
        failure.into_error(operation, &place, &self.keyring.place())
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

    async fn put_fresh(&self, key: &Key, body: Bytes) -> std::result::Result<(), Failure> {
        let signing = self.signing(&body).await?;
        if self.guards_puts.load(Ordering::Relaxed) {
            match self
                .send_put(key, &body, &signing, &Precondition::Absent)
                .await
            {
                Err(failure) if failure.status == Some(412) => {
                    return self.compare(key, &body).await;
                }
                Err(failure) if failure.is_unsupported() => {}
                result => return result,
            }
            self.send_put(key, &body, &signing, &Precondition::None)
                .await?;
            // The same put without the header went through: it was the header.
            if self.guards_puts.swap(false, Ordering::Relaxed) {
                tracing::info!(store = ?self, "the store refuses If-None-Match; puts go without");
            }
            return Ok(());
        }
        self.send_put(key, &body, &signing, &Precondition::None)
            .await
    }

    async fn read_range(
        &self,
        key: &Key,
        part: &Range<u64>,
    ) -> std::result::Result<Bytes, Failure> {
        let found = self.fetch(key, Some(range::request(part))).await?;
        match &found.range {
            Some(range) if range.part == *part => {}
            Some(range) if range.object_bytes.is_some_and(|bytes| bytes < part.end) => {
                let bytes = range.object_bytes.unwrap_or_default();
                let cause = format!("read {part:?}: the object has {bytes} bytes");
                return Err(Failure::new(ErrorKind::Invalid, cause));
            }
            Some(range) => {
                let cause = format!("read {part:?}, got {:?}", range.part);
                return Err(Failure::new(ErrorKind::Damaged, cause));
            }
            // A server may answer a range that is the whole with the whole.
            None if part.start == 0 && found.length == part.end => {}
            None => {
                let cause = format!("read {part:?}, got the whole object");
                return Err(Failure::new(ErrorKind::Damaged, cause));
            }
        }
        self.collect(found).await
    }

    /// The length, asked for by a GET of one byte. Not by HEAD: an answer to that has no
    /// body, so a missing bucket looks like a missing object, and the end of a log would
    /// be read from it.
    async fn length(&self, key: &Key) -> std::result::Result<u64, Failure> {
        let found = match self.fetch(key, Some(range::request(&(0..1)))).await {
            // There is no first byte: the object is empty, or the server at odds with us.
            Err(failure) if failure.status == Some(416) => return self.send_head(key).await,
            result => result?,
        };
        let length = match &found.range {
            None => found.length,
            Some(range) => range
                .object_bytes
                .filter(|_| range.part == (0..1))
                .ok_or_else(|| {
                    Failure::new(
                        ErrorKind::Damaged,
                        "the answer does not say how long the object is",
                    )
                })?,
        };
        if found.length <= 1 {
            // Read to its end, or the connection could not be used again.
            self.collect(found).await?;
        }
        Ok(length)
    }

    async fn read_tail(&self, key: &Key, length: u64) -> std::result::Result<Tail, Failure> {
        if length == 0 {
            let object_bytes = self.length(key).await?;
            return Ok(Tail {
                bytes: Bytes::new(),
                object_bytes,
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

    /// A tail that the server refused as no valid range: of an empty object, as S3 does,
    /// or of one that is shorter than the tail.
    async fn read_short_tail(&self, key: &Key, length: u64) -> std::result::Result<Tail, Failure> {
        let object_bytes = self.length(key).await?;
        if object_bytes == 0 {
            return Ok(Tail {
                bytes: Bytes::new(),
                object_bytes,
            });
        }
        let part = object_bytes.saturating_sub(length)..object_bytes;
        Ok(Tail {
            bytes: self.read_range(key, &part).await?,
            object_bytes,
        })
    }
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
impl ObjectStore for S3Store {
    async fn put(&self, key: &Key, body: Bytes) -> Result<()> {
        let put = async {
            check_length(body.len() as u64)?;
            self.put_fresh(key, body).await
        };
        put.await.map_err(|failure| self.error("put", key, failure))
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        let get = async {
            let found = self.fetch(key, None).await?;
            self.collect(found).await
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
        self.send_delete(key)
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

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({})", self.config.location)
    }
}
