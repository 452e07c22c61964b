//! Makes of a store whose new names lag one that keeps the trait's promise: a put is
//! answered only when the declared lag is over.
//!
//! So every reader on every host sees the object from the answer on, and no reader waits.
//! Owns: that wait. Does not own: finding out how long the lag is.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::ObjectStore;
use crate::around::{Answer, Call, delete_many_as_one, object_store_around};
use crate::error::Result;
use crate::operation::Operation;

/// The decorator.
#[derive(Debug)]
pub struct SettleStore {
    inner: Arc<dyn ObjectStore>,
    lag: Duration,
}

impl SettleStore {
    /// Wraps `inner`, whose new objects can be read by all after `lag` at most.
    pub fn new(inner: Arc<dyn ObjectStore>, lag: Duration) -> Self {
        SettleStore { inner, lag }
    }

    async fn around<'a, T: Answer>(
        &self,
        call: Call<'_>,
        run: impl Fn() -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        let answer = run().await?;
        if call.operation == Operation::Put {
            tokio::time::sleep(self.lag).await;
        }
        Ok(answer)
    }

    delete_many_as_one!();
}

object_store_around!(SettleStore);
