//! Writes with a condition, for the probe.
//!
//! Owns: the requests, and which answers count as refused or as not known.
//! Does not own: what is made of it; nothing here is needed for correctness.
//!
//! Known of stores: Ceph 16.2 takes a tag in `If-Match` only without its quotes, and
//! refuses trailers; Garage ignores conditions; Swift's are not atomic.

use async_trait::async_trait;
use aws_sdk_s3::config::{Config, RequestChecksumCalculation};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::ChecksumAlgorithm;
use bytes::Bytes;
use http_body_util::Full;
use vpool_object::conditional::{Conditional, Etag, EtagForm, Outcome};
use vpool_object::{ErrorKind, Key, Result};

use crate::failure::Failure;
use crate::sign::Precondition;
use crate::store::S3Store;

impl S3Store {
    async fn put_on(&self, key: &Key, body: Bytes, condition: Precondition) -> Result<Outcome> {
        let put = async {
            let signing = self.signing(&body).await?;
            self.send_put(key, &body, &signing, &condition).await
        };
        self.outcome(key, put.await)
    }

    fn outcome(&self, key: &Key, result: std::result::Result<(), Failure>) -> Result<Outcome> {
        match result {
            Ok(()) => Ok(Outcome::Applied),
            // A missing key under If-Match is 404 for some.
            Err(failure)
                if matches!(failure.status, Some(409 | 412))
                    || failure.kind == ErrorKind::NotFound =>
            {
                Ok(Outcome::Refused)
            }
            Err(failure) if failure.is_unsupported() => Ok(Outcome::Unsupported),
            Err(failure) => Err(self.error("put", key, failure)),
        }
    }
}

#[async_trait]
impl Conditional for S3Store {
    async fn put_if_absent(&self, key: &Key, body: Bytes) -> Result<Outcome> {
        self.put_on(key, body, Precondition::Absent).await
    }

    async fn put_if_match(
        &self,
        key: &Key,
        body: Bytes,
        etag: &Etag,
        form: EtagForm,
    ) -> Result<Outcome> {
        self.put_on(key, body, Precondition::Match(etag.in_form(form)))
            .await
    }

    async fn etag(&self, key: &Key) -> Result<Etag> {
        let found = self
            .fetch(key, None)
            .await
            .map_err(|failure| self.error("get", key, failure))?;
        Ok(found.etag)
    }

    async fn put_with_trailer(&self, key: &Key, body: Bytes) -> Result<Outcome> {
        let length = body.len() as u64;
        let send = || {
            let put = self
                .client
                .put_object()
                .bucket(self.config.location.bucket());
            let put = put
                .key(self.name(key))
                .checksum_algorithm(ChecksumAlgorithm::Crc32);
            // Not in memory as the SDK sees it: then the checksum follows the body.
            let streamed = SdkBody::from_body_1_x(Full::new(body.clone()));
            let trailers = Config::builder()
                .request_checksum_calculation(RequestChecksumCalculation::WhenSupported);
            put.body(ByteStream::new(streamed))
                .customize()
                .config_override(trailers)
                .send()
        };
        match self.call(length, send).await.map(drop) {
            // Stores that know no trailers take them for the body, and miss its hash.
            Err(failure) if failure.status == Some(400) => Ok(Outcome::Unsupported),
            result => self.outcome(key, result),
        }
    }
}
