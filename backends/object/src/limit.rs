//! At most so many requests at a time, reads and writes counted apart.
//!
//! Owns: the two sets of permits; whoever waits is served in order of coming.
//! Does not own: time limits. A permit is awaited without one: put [`timeout`](crate::timeout)
//! inside, [`retry`](crate::retry) outside, so that no permit is held while a retry waits.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::ObjectStore;
use crate::around::{Answer, Call, delete_many_as_one, object_store_around};
use crate::error::Result;
use crate::operation::Operation;

/// How many at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitOptions {
    /// Gets, heads and lists at a time, at least 1.
    pub reads_max: usize,
    /// Puts and deletions at a time, at least 1.
    pub writes_max: usize,
}

impl Default for LimitOptions {
    fn default() -> Self {
        LimitOptions {
            reads_max: 64,
            writes_max: 16,
        }
    }
}

/// The decorator.
#[derive(Debug)]
pub struct LimitStore {
    inner: Arc<dyn ObjectStore>,
    reads: Semaphore,
    writes: Semaphore,
}

impl LimitStore {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>, options: LimitOptions) -> Self {
        let permits = |count: usize| Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS));
        LimitStore {
            inner,
            reads: permits(options.reads_max),
            writes: permits(options.writes_max),
        }
    }

    async fn around<'a, T: Answer>(
        &self,
        call: Call<'_>,
        run: impl Fn() -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        let permits = if call.operation.is_write() {
            &self.writes
        } else {
            &self.reads
        };
        let _permit = permits
            .acquire()
            .await
            .expect("the semaphores are never closed");
        run().await
    }

    delete_many_as_one!();
}

object_store_around!(LimitStore);
