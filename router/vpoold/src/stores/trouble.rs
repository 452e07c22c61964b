//! What is wrong with a store now: the last failure that no success has followed.
//!
//! Owns: that sentence, kept apart for reading and for writing (a full store can be read).
//! Does not own: what is done about it. An object that is not there is no trouble.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use vpool_object::{ErrorKind, Key, ObjectStore, Page, Result, Tail};

/// The decorator.
#[derive(Debug)]
pub(super) struct TroubleStore {
    inner: Arc<dyn ObjectStore>,
    reading: Mutex<Option<String>>,
    writing: Mutex<Option<String>>,
}

impl TroubleStore {
    /// Wraps `inner`.
    pub(super) fn new(inner: Arc<dyn ObjectStore>) -> TroubleStore {
        TroubleStore {
            inner,
            reading: Mutex::default(),
            writing: Mutex::default(),
        }
    }

    /// What is wrong now.
    pub(super) fn trouble(&self) -> Option<String> {
        let writing = self.writing.lock().clone();
        writing.or_else(|| self.reading.lock().clone())
    }
}

fn note<T>(slot: &Mutex<Option<String>>, result: Result<T>) -> Result<T> {
    let trouble = match &result {
        Err(error) if error.kind() != ErrorKind::NotFound => Some(error.to_string()),
        _ => None,
    };
    let mut slot = slot.lock();
    // Healthy stores do not pay for it.
    if trouble.is_some() || slot.is_some() {
        *slot = trouble;
    }
    result
}

#[async_trait]
impl ObjectStore for TroubleStore {
    async fn put(&self, key: &Key, body: Bytes) -> Result<()> {
        note(&self.writing, self.inner.put(key, body).await)
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        note(&self.reading, self.inner.get(key).await)
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        note(&self.reading, self.inner.get_range(key, range).await)
    }

    async fn get_tail(&self, key: &Key, length: u64) -> Result<Tail> {
        note(&self.reading, self.inner.get_tail(key, length).await)
    }

    async fn head(&self, key: &Key) -> Result<u64> {
        note(&self.reading, self.inner.head(key).await)
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, count_max: usize) -> Result<Page> {
        note(
            &self.reading,
            self.inner.list(prefix, after, count_max).await,
        )
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        note(&self.writing, self.inner.delete(key).await)
    }

    async fn delete_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        let results = self.inner.delete_many(keys).await;
        results
            .into_iter()
            .map(|result| note(&self.writing, result))
            .collect()
    }
}
