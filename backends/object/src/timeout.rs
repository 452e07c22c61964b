//! A time limit for every request, longer for larger bodies.
//!
//! Owns: when a request is given up as [`ErrorKind::Unavailable`]. Does not own: trying
//! again. What was given up may still happen at the store.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::ObjectStore;
use crate::around::{Answer, Call, delete_many_as_one, object_store_around};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::Operation;

/// How long a request may take: `base`, and what its body and keys add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutOptions {
    /// For the request as such.
    pub base: Duration,
    /// The slowest rate of a body that is still awaited, in bytes per second, at least 1.
    pub bytes_per_second_min: u64,
    /// The length assumed for the body of a `get`, which the request does not tell.
    pub get_bytes_assumed: u64,
    /// For each name of a `delete_many`.
    pub per_key: Duration,
}

impl Default for TimeoutOptions {
    fn default() -> Self {
        TimeoutOptions {
            base: Duration::from_secs(10),
            bytes_per_second_min: 1 << 20,
            get_bytes_assumed: 64 << 20,
            per_key: Duration::from_millis(20),
        }
    }
}

impl TimeoutOptions {
    fn of(&self, call: &Call<'_>) -> Duration {
        let back = call.expected_bytes.unwrap_or(self.get_bytes_assumed);
        let bytes = call.sent_bytes.saturating_add(back);
        let transfer =
            Duration::from_millis(bytes.saturating_mul(1000) / self.bytes_per_second_min.max(1));
        let keys = u32::try_from(call.keys).unwrap_or(u32::MAX);
        self.base
            .saturating_add(transfer)
            .saturating_add(self.per_key.saturating_mul(keys))
    }
}

/// The decorator.
#[derive(Debug)]
pub struct TimeoutStore {
    inner: Arc<dyn ObjectStore>,
    options: TimeoutOptions,
}

impl TimeoutStore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>, options: TimeoutOptions) -> Self {
        TimeoutStore { inner, options }
    }

    async fn around<'a, T: Answer>(
        &self,
        call: Call<'_>,
        run: impl Fn() -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        let limit = self.options.of(&call);
        match tokio::time::timeout(limit, run()).await {
            Ok(result) => result,
            Err(elapsed) => {
                let Call {
                    operation, name, ..
                } = call;
                let context = format!("{} {name}: no answer within {limit:?}", operation.name());
                Err(Error::new(ErrorKind::Unavailable, context).with_source(elapsed))
            }
        }
    }

    delete_many_as_one!();
}

object_store_around!(TimeoutStore);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_grows_with_the_body() {
        let options = TimeoutOptions {
            base: Duration::from_secs(1),
            bytes_per_second_min: 1000,
            get_bytes_assumed: 5000,
            per_key: Duration::from_millis(10),
        };
        let check = |call: Call<'_>, expect_ms: u64| {
            assert_eq!(
                options.of(&call),
                Duration::from_millis(expect_ms),
                "{call:?}"
            );
        };
        let body = bytes::Bytes::from_static(&[0; 3000]);
        check(Call::new(Operation::Head, "k"), 1010);
        check(Call::new(Operation::Put, "k").sends(&body), 4010);
        check(Call::new(Operation::Get, "k").expects(None), 6010);
        check(Call::new(Operation::GetRange, "k").expects(Some(500)), 1510);
        check(
            Call::new(Operation::GetTail, "k").expects(Some(u64::MAX)),
            18_446_744_073_710_561,
        );
        let keys = vec![crate::Key::new("k").expect("a name"); 100];
        check(Call::of_keys(&keys), 2000);
    }
}
