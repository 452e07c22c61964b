//! What the decorators share that treat all operations alike: they run something around
//! one call of the inner store.
//!
//! Owns: [`Call`], [`Answer`] and the macro that turns a method `around` into an
//! [`ObjectStore`](crate::ObjectStore). Does not own: what any decorator does.

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::operation::Operation;
use crate::{Page, Tail};

/// What a decorator may know of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) operation: Operation,
    /// Key, prefix, or first key.
    pub(crate) name: &'a str,
    /// Bytes of body that go to the store.
    pub(crate) sent_bytes: u64,
    /// Bytes of body that come back, where the request says so.
    pub(crate) expected_bytes: Option<u64>,
    /// Names in the request.
    pub(crate) keys: usize,
}

impl<'a> Call<'a> {
    pub(crate) fn new(operation: Operation, name: &'a str) -> Self {
        Call {
            operation,
            name,
            sent_bytes: 0,
            expected_bytes: Some(0),
            keys: 1,
        }
    }

    pub(crate) fn sends(mut self, body: &Bytes) -> Self {
        self.sent_bytes = body.len() as u64;
        self
    }

    pub(crate) fn expects(mut self, bytes: Option<u64>) -> Self {
        self.expected_bytes = bytes;
        self
    }

    pub(crate) fn of_keys(keys: &'a [Key]) -> Self {
        let name = keys.first().map_or("", Key::as_str);
        let mut call = Call::new(Operation::DeleteMany, name);
        call.keys = keys.len();
        call
    }
}

/// What an answer carries.
pub(crate) trait Answer: Send {
    /// Bytes of body that came from the store.
    fn body_bytes(&self) -> u64 {
        0
    }
}

impl Answer for () {}
impl Answer for u64 {}
impl Answer for Page {}
impl Answer for Vec<Result<()>> {}

impl Answer for Bytes {
    fn body_bytes(&self) -> u64 {
        self.len() as u64
    }
}

impl Answer for Tail {
    fn body_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// Runs one `delete_many` as a call with one result: it failed if every key did, for a
/// reason that lies in the way and not in the key.
pub(crate) fn as_one<'a>(
    results: BoxFuture<'a, Vec<Result<()>>>,
) -> BoxFuture<'a, Result<Vec<Result<()>>>> {
    Box::pin(async move {
        let results = results.await;
        let all_failed = results
            .iter()
            .all(|result| matches!(result, Err(error) if error.is_transient()));
        match results.first() {
            Some(Err(error)) if all_failed => Err(error.repeat()),
            _ => Ok(results),
        }
    })
}

/// Gives each key of a `delete_many` its result.
pub(crate) fn as_many(keys: &[Key], result: Result<Vec<Result<()>>>) -> Vec<Result<()>> {
    match result {
        Ok(results) => results,
        Err(error) => repeat_for(keys.len(), &error),
    }
}

/// The same failure for each of `count` keys.
pub(crate) fn repeat_for(count: usize, error: &Error) -> Vec<Result<()>> {
    (0..count).map(|_| Err(error.repeat())).collect()
}

/// What stands in for a result that the inner store owes.
pub(crate) fn no_result() -> Error {
    Error::new(ErrorKind::Damaged, "delete_many: fewer results than keys")
}

/// Implements `ObjectStore` for a decorator with a field `inner` and the methods
/// `around(&self, Call, || future) -> Result<T>` and `delete_many_around(&self, &[Key])`.
macro_rules! object_store_around {
    ($store:ty) => {
        #[async_trait::async_trait]
        impl $crate::ObjectStore for $store {
            async fn put(&self, key: &$crate::Key, body: bytes::Bytes) -> $crate::Result<()> {
                let call = Call::new(Operation::Put, key.as_str()).sends(&body);
                self.around(call, || self.inner.put(key, body.clone()))
                    .await
            }

            async fn get(&self, key: &$crate::Key) -> $crate::Result<bytes::Bytes> {
                let call = Call::new(Operation::Get, key.as_str()).expects(None);
                self.around(call, || self.inner.get(key)).await
            }

            async fn get_range(
                &self,
                key: &$crate::Key,
                range: std::ops::Range<u64>,
            ) -> $crate::Result<bytes::Bytes> {
                let length = range.end.saturating_sub(range.start);
                let call = Call::new(Operation::GetRange, key.as_str()).expects(Some(length));
                self.around(call, || self.inner.get_range(key, range.clone()))
                    .await
            }

            async fn get_tail(
                &self,
                key: &$crate::Key,
                length: u64,
            ) -> $crate::Result<$crate::Tail> {
                let call = Call::new(Operation::GetTail, key.as_str()).expects(Some(length));
                self.around(call, || self.inner.get_tail(key, length)).await
            }

            async fn head(&self, key: &$crate::Key) -> $crate::Result<u64> {
                let call = Call::new(Operation::Head, key.as_str());
                self.around(call, || self.inner.head(key)).await
            }

            async fn list(
                &self,
                prefix: &str,
                after: Option<&$crate::Key>,
                count_max: usize,
            ) -> $crate::Result<$crate::Page> {
                let call = Call::new(Operation::List, prefix);
                self.around(call, || self.inner.list(prefix, after, count_max))
                    .await
            }

            async fn delete(&self, key: &$crate::Key) -> $crate::Result<()> {
                let call = Call::new(Operation::Delete, key.as_str());
                self.around(call, || self.inner.delete(key)).await
            }

            async fn delete_many(&self, keys: &[$crate::Key]) -> Vec<$crate::Result<()>> {
                self.delete_many_around(keys).await
            }
        }
    };
}

/// The `delete_many_around` of a decorator that lets one request be one request.
macro_rules! delete_many_as_one {
    () => {
        async fn delete_many_around(&self, keys: &[$crate::Key]) -> Vec<$crate::Result<()>> {
            let call = Call::of_keys(keys);
            let result = self
                .around(call, || {
                    $crate::around::as_one(self.inner.delete_many(keys))
                })
                .await;
            $crate::around::as_many(keys, result)
        }
    };
}

pub(crate) use {delete_many_as_one, object_store_around};
