//! Writes with a condition, for the probe.
//!
//! Owns: the requests, and which answers count as refused or as not known.
//! Does not own: what is made of it; nothing here is needed for correctness.
//!
//! Known of stores: Swift heeds `If-None-Match: *` on a PUT, but of several at once more
//! than one may win; it passes over `If-Match`. Ceph passes over both in its Swift dialect.
//! Neither knows checksums behind a body.

use async_trait::async_trait;
use bytes::Bytes;
use vpool_object::conditional::{Conditional, Etag, EtagForm, Outcome};
use vpool_object::{ErrorKind, Key, Result};

use crate::failure::Failure;
use crate::store::{Precondition, SwiftStore};

impl SwiftStore {
    async fn put_on(&self, key: &Key, body: Bytes, condition: Precondition) -> Result<Outcome> {
        match self.send_put(key, &body, &condition).await {
            Ok(()) => Ok(Outcome::Applied),
            Err(Failure {
                status: Some(409 | 412),
                ..
            }) => Ok(Outcome::Refused),
            Err(Failure {
                status: Some(400 | 405 | 501),
                kind: ErrorKind::Invalid,
                ..
            }) => Ok(Outcome::Unsupported),
            Err(failure) => Err(self.error("put", key, failure)),
        }
    }
}

#[async_trait]
impl Conditional for SwiftStore {
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

    async fn put_with_trailer(&self, _key: &Key, _body: Bytes) -> Result<Outcome> {
        Ok(Outcome::Unsupported)
    }
}
