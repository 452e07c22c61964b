//! The place of the bare store: another client of the same objects can take it.
//!
//! Owns: which client requests go to. Does not own: that it leads to the same objects (who puts it
//! there has looked). A request ends with the client that it began with.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use vpool_object::{Key, ObjectStore, Page, Result, Tail};

/// The decorator.
#[derive(Debug)]
pub(super) struct ExchangeStore {
    now: RwLock<Arc<dyn ObjectStore>>,
}

impl ExchangeStore {
    /// With its first client.
    pub(super) fn new(first: Arc<dyn ObjectStore>) -> ExchangeStore {
        ExchangeStore {
            now: RwLock::new(first),
        }
    }

    /// The client that requests go to.
    pub(super) fn now(&self) -> Arc<dyn ObjectStore> {
        self.now.read().clone()
    }

    /// Puts another in its place.
    pub(super) fn exchange(&self, next: Arc<dyn ObjectStore>) {
        *self.now.write() = next;
    }
}

#[async_trait]
impl ObjectStore for ExchangeStore {
    async fn put(&self, key: &Key, body: Bytes) -> Result<()> {
        self.now().put(key, body).await
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.now().get(key).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        self.now().get_range(key, range).await
    }

    async fn get_tail(&self, key: &Key, length: u64) -> Result<Tail> {
        self.now().get_tail(key, length).await
    }

    async fn head(&self, key: &Key) -> Result<u64> {
        self.now().head(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, count_max: usize) -> Result<Page> {
        self.now().list(prefix, after, count_max).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.now().delete(key).await
    }

    async fn delete_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        self.now().delete_many(keys).await
    }
}
