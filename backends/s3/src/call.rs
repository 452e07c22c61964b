//! Sending requests within a time, and reading bodies to exactly their length.
//!
//! Owns: time limits, the one repeat after new credentials, the length check of bodies.
//! Does not own: what a range must be (`store`), the errors (`failure`).

use std::future::Future;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout, timeout_at};
use vpool_http::range::ContentRange;
use vpool_object::conditional::Etag;
use vpool_object::{ErrorKind, Key};

use crate::failure::Failure;
use crate::limits::BODY_BYTES_MAX;
use crate::sign::{Precondition, Signing};
use crate::store::S3Store;

/// The header of an answer to a GET; its body is still to be read.
#[derive(Debug)]
pub(crate) struct Found {
    /// Length of the body that follows, in bytes.
    pub(crate) length: u64,
    /// The part of the object that it is; `None`: the whole.
    pub(crate) range: Option<ContentRange>,
    /// The whole object's tag.
    pub(crate) etag: Etag,
    body: ByteStream,
}

impl S3Store {
    /// Sends a request with a body of `bytes` and waits for its answer. A request that was
    /// refused for its keys is sent once more if the credentials file holds others now.
    pub(crate) async fn call<T, E, F>(&self, bytes: u64, send: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    {
        let time_max = self.config.time_max(bytes);
        let keys = self.keyring.generation();
        let refused = match within(time_max, send()).await {
            Err(failure) if failure.kind == ErrorKind::Denied => failure,
            result => return result,
        };
        match self.keyring.renew(keys).await {
            true => within(time_max, send()).await,
            false => Err(refused),
        }
    }

    /// Sends a put; what it is signed as was made of this very body.
    pub(crate) async fn send_put(
        &self,
        key: &Key,
        body: &Bytes,
        signing: &Signing,
        condition: &Precondition,
    ) -> Result<(), Failure> {
        let send = || {
            let put = self
                .client
                .put_object()
                .bucket(self.config.location.bucket());
            let put = match condition {
                Precondition::None => put,
                Precondition::Absent => put.if_none_match("*"),
                Precondition::Match(tag) => put.if_match(tag),
            };
            // In memory, so that the SDK sends it plain: neither chunked nor with trailers.
            let put = put.key(self.name(key)).body(ByteStream::from(body.clone()));
            put.customize().interceptor(signing.clone()).send()
        };
        let answer = self.call(body.len() as u64, send).await?;
        // Every S3 store gives the tag of what it took; a stray 200 of another server has none.
        match answer.e_tag {
            Some(_) => Ok(()),
            None => Err(not_s3("ETag")),
        }
    }

    /// The length of an object that is known to exist.
    pub(crate) async fn send_head(&self, key: &Key) -> Result<u64, Failure> {
        let head = self
            .client
            .head_object()
            .bucket(self.config.location.bucket());
        let head = head.key(self.name(key));
        let answer = self.call(0, || head.clone().send()).await?;
        answer
            .content_length
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| not_s3("length"))
    }

    /// Sends a delete; what is absent counts as deleted.
    pub(crate) async fn send_delete(&self, key: &Key) -> Result<(), Failure> {
        let delete = self
            .client
            .delete_object()
            .bucket(self.config.location.bucket());
        let delete = delete.key(self.name(key));
        match self.call(0, || delete.clone().send()).await {
            Err(failure) if failure.kind == ErrorKind::NotFound => Ok(()),
            result => result.map(drop),
        }
    }

    /// Sends a get, of the whole or of a part, and checks what the answer says of itself.
    pub(crate) async fn fetch(&self, key: &Key, range: Option<String>) -> Result<Found, Failure> {
        let get = self
            .client
            .get_object()
            .bucket(self.config.location.bucket());
        let get = get.key(self.name(key)).set_range(range);
        Found::check(self.call(0, || get.clone().send()).await?)
    }

    /// Reads a body; it has exactly the length announced.
    pub(crate) async fn collect(&self, found: Found) -> Result<Bytes, Failure> {
        let Found {
            length, mut body, ..
        } = found;
        let time_max = self.config.time_max(length);
        let deadline = Instant::now() + time_max;
        let length = usize::try_from(length).expect("at most BODY_BYTES_MAX");
        let mut whole = BytesMut::new();
        loop {
            let silent = Instant::now() + self.config.answer_timeout;
            let next = timeout_at(deadline.min(silent), body.next()).await;
            let piece = match next.map_err(|_| Failure::timed_out(time_max.as_secs()))? {
                Some(piece) => piece.map_err(|error| Failure::from_body(&error))?,
                None => break,
            };
            if piece.len() > length - whole.len() {
                return Err(wrong_length(length, "more"));
            }
            if whole.is_empty() {
                whole.reserve(length);
            }
            whole.extend_from_slice(&piece);
        }
        if whole.len() < length {
            return Err(wrong_length(length, "fewer"));
        }
        Ok(whole.freeze())
    }
}

impl Found {
    fn check(answer: GetObjectOutput) -> Result<Found, Failure> {
        let etag = answer
            .e_tag
            .as_deref()
            .map(Etag::new)
            .ok_or_else(|| not_s3("ETag"))?;
        let length = answer
            .content_length
            .and_then(|length| u64::try_from(length).ok());
        let length = length.ok_or_else(|| not_s3("length"))?;
        if length > BODY_BYTES_MAX {
            let cause = format!("{length} bytes are more than the {BODY_BYTES_MAX} allowed");
            return Err(Failure::new(ErrorKind::Invalid, cause));
        }
        let range = match answer.content_range {
            None => None,
            Some(text) => Some(ContentRange::parse(&text).ok_or_else(|| {
                Failure::new(
                    ErrorKind::Damaged,
                    format!("no valid Content-Range: {text:?}"),
                )
            })?),
        };
        if range
            .as_ref()
            .is_some_and(|range| range.part.end - range.part.start != length)
        {
            let cause = "the body's length is not that of the range that it should be";
            return Err(Failure::new(ErrorKind::Damaged, cause));
        }
        Ok(Found {
            length,
            range,
            etag,
            body: answer.body,
        })
    }
}

async fn within<T, E>(
    time_max: Duration,
    request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Failure>
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
{
    match timeout(time_max, request).await {
        Ok(result) => result.map_err(Failure::from_sdk),
        Err(_elapsed) => Err(Failure::timed_out(time_max.as_secs())),
    }
}

fn not_s3(missing: &str) -> Failure {
    let cause = format!("an answer without {missing}: not from an S3 store, or damaged");
    Failure::new(ErrorKind::Damaged, cause)
}

fn wrong_length(length: usize, how: &str) -> Failure {
    let cause = format!("the body has {how} than the {length} bytes announced");
    Failure::new(ErrorKind::Damaged, cause)
}
