//! Deleting many.
//!
//! Owns: bulk deletion with one result for each key, and doing without it.
//! Does not own: what may be deleted.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::operation::delete_objects::DeleteObjectsOutput;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use futures::stream::{self, StreamExt};
use md5::{Digest, Md5};
use vpool_object::{ErrorKind, Key, ObjectStore, Result};

use crate::failure::Failure;
use crate::limits::{DELETE_KEYS_MAX, SINGLE_DELETES_AT_ONCE_MAX};
use crate::store::S3Store;

impl S3Store {
    pub(crate) async fn delete_all(&self, keys: &[Key]) -> Vec<Result<()>> {
        let mut results = Vec::with_capacity(keys.len());
        for batch in keys.chunks(DELETE_KEYS_MAX) {
            results.extend(self.delete_batch(batch).await);
        }
        results
    }

    async fn delete_batch(&self, keys: &[Key]) -> Vec<Result<()>> {
        if keys.len() == 1 || !self.deletes_in_bulk.load(Ordering::Relaxed) {
            return self.delete_singly(keys).await;
        }
        let failure = match self.send_delete_many(keys).await {
            Ok(answer) => return self.results(keys, &answer),
            Err(failure) => failure,
        };
        if failure.is_unsupported() {
            if self.deletes_in_bulk.swap(false, Ordering::Relaxed) {
                tracing::info!(store = ?self, "the store refuses bulk deletion; one by one then");
            }
            return self.delete_singly(keys).await;
        }
        // One failure, told once for each key.
        let place = format!("{}/ ({} objects)", self.config.location, keys.len());
        let error = failure.into_error("delete", &place, &self.keyring.place());
        keys.iter()
            .map(|_| Err(vpool_object::Error::new(error.kind(), error.to_string())))
            .collect()
    }

    async fn delete_singly(&self, keys: &[Key]) -> Vec<Result<()>> {
        let deletions: Vec<_> = keys.iter().map(|key| self.delete(key)).collect();
        stream::iter(deletions)
            .buffered(SINGLE_DELETES_AT_ONCE_MAX)
            .collect()
            .await
    }

    async fn send_delete_many(
        &self,
        keys: &[Key],
    ) -> std::result::Result<DeleteObjectsOutput, Failure> {
        let objects = keys
            .iter()
            .map(|key| ObjectIdentifier::builder().key(self.name(key)).build());
        let objects: std::result::Result<Vec<_>, _> = objects.collect();
        let objects = objects.expect("every identifier has a key");
        // Not quiet: a key counts as deleted when the answer says so.
        let delete = Delete::builder()
            .set_objects(Some(objects))
            .quiet(false)
            .build();
        let delete = delete.expect("a deletion has objects");
        let request = self
            .client
            .delete_objects()
            .bucket(self.config.location.bucket());
        let request = request.delete(delete);
        self.call(0, || {
            request.clone().customize().interceptor(ContentMd5).send()
        })
        .await
    }

    fn results(&self, keys: &[Key], answer: &DeleteObjectsOutput) -> Vec<Result<()>> {
        let mut verdicts: HashMap<&str, std::result::Result<(), Failure>> = HashMap::new();
        for deleted in answer.deleted() {
            verdicts.extend(deleted.key().map(|name| (name, Ok(()))));
        }
        for error in answer.errors() {
            let code = error.code().unwrap_or_default();
            let failure = Failure::of_code(code, error.message().unwrap_or_default());
            let verdict = match failure.kind {
                ErrorKind::NotFound => Ok(()),
                _ => Err(failure),
            };
            verdicts.extend(error.key().map(|name| (name, verdict)));
        }
        let result = |key: &Key| {
            let verdict = verdicts.remove(self.name(key).as_str()).unwrap_or_else(|| {
                let cause = "the store's answer says nothing of this object";
                Err(Failure::new(ErrorKind::Unavailable, cause))
            });
            verdict.map_err(|failure| self.error("delete", key, failure))
        };
        keys.iter().map(result).collect()
    }
}

/// Adds `Content-MD5`, beside the SDK's own checksum: older stores insist on it for bulk
/// deletion, and all take it.
#[derive(Debug)]
struct ContentMd5;

#[dyn_dispatch_hint]
impl Intercept for ContentMd5 {
    fn name(&self) -> &'static str {
        "vPool Content-MD5"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let request = context.request_mut();
        let body = request
            .body()
            .bytes()
            .ok_or("a bulk deletion's body is in memory")?;
        let md5 = aws_smithy_types::base64::encode(Md5::digest(body));
        request.headers_mut().insert("content-md5", md5);
        Ok(())
    }
}
