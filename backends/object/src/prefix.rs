//! A store under a prefix of another: how several pools share one bucket.
//!
//! Owns: the mapping of names. Does not own: who may use which prefix.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::conditional::{Conditional, Etag, EtagForm, Outcome};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KEY_BYTES_MAX, Key};
use crate::{Listed, ObjectStore, Page, Tail, around};

/// The decorator: the key `a/b` is `<prefix>/a/b` inside. Keys that grow too long by that
/// are refused with [`ErrorKind::Invalid`].
#[derive(Debug)]
pub struct PrefixStore {
    inner: Arc<dyn ObjectStore>,
    /// Ends in a slash.
    prefix: String,
}

impl PrefixStore {
    /// Wraps `inner`. `prefix` is as valid as a key, without a slash at its ends.
    pub fn new(inner: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self> {
        let prefix = format!("{}/", Key::new(prefix)?);
        Ok(PrefixStore { inner, prefix })
    }

    /// The longest key in bytes that fits under the prefix.
    pub fn key_bytes_max(&self) -> usize {
        KEY_BYTES_MAX.saturating_sub(self.prefix.len())
    }

    fn full(&self, key: &Key) -> Result<Key> {
        Key::new(format!("{}{key}", self.prefix))
    }

    fn bare(&self, key: &Key) -> Result<Key> {
        let Some(name) = key.as_str().strip_prefix(&self.prefix) else {
            return Err(Error::new(
                ErrorKind::Damaged,
                format!("list {}: the answer names {key}", self.prefix),
            ));
        };
        Key::new(name)
    }
}

#[async_trait]
impl ObjectStore for PrefixStore {
    async fn put(&self, key: &Key, body: Bytes) -> Result<()> {
        self.inner.put(&self.full(key)?, body).await
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.inner.get(&self.full(key)?).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        self.inner.get_range(&self.full(key)?, range).await
    }

    async fn get_tail(&self, key: &Key, length: u64) -> Result<Tail> {
        self.inner.get_tail(&self.full(key)?, length).await
    }

    async fn head(&self, key: &Key) -> Result<u64> {
        self.inner.head(&self.full(key)?).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, count_max: usize) -> Result<Page> {
        let after = after.map(|after| self.full(after)).transpose()?;
        let prefix = format!("{}{prefix}", self.prefix);
        let page = self.inner.list(&prefix, after.as_ref(), count_max).await?;
        let bare = |listed: Listed| {
            let key = self.bare(&listed.key)?;
            Ok(Listed { key, ..listed })
        };
        let objects = page.objects.into_iter().map(bare).collect::<Result<_>>()?;
        Ok(Page {
            objects,
            more: page.more,
        })
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.inner.delete(&self.full(key)?).await
    }

    async fn delete_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        let mut full = Vec::with_capacity(keys.len());
        let mut results = Vec::with_capacity(keys.len());
        for key in keys {
            let mapped = self.full(key);
            results.push(mapped.map(|key| full.push(key)));
        }
        let mut inner = self.inner.delete_many(&full).await.into_iter();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = inner.next().unwrap_or_else(|| Err(around::no_result()));
        }
        results
    }

    fn conditional(&self) -> Option<&dyn Conditional> {
        self.inner
            .conditional()
            .is_some()
            .then_some(self as &dyn Conditional)
    }
}

#[async_trait]
impl Conditional for PrefixStore {
    async fn put_if_absent(&self, key: &Key, body: Bytes) -> Result<Outcome> {
        self.inner_conditional()?
            .put_if_absent(&self.full(key)?, body)
            .await
    }

    async fn put_if_match(
        &self,
        key: &Key,
        body: Bytes,
        etag: &Etag,
        form: EtagForm,
    ) -> Result<Outcome> {
        self.inner_conditional()?
            .put_if_match(&self.full(key)?, body, etag, form)
            .await
    }

    async fn etag(&self, key: &Key) -> Result<Etag> {
        self.inner_conditional()?.etag(&self.full(key)?).await
    }

    async fn put_with_trailer(&self, key: &Key, body: Bytes) -> Result<Outcome> {
        self.inner_conditional()?
            .put_with_trailer(&self.full(key)?, body)
            .await
    }
}

impl PrefixStore {
    fn inner_conditional(&self) -> Result<&dyn Conditional> {
        self.inner
            .conditional()
            .ok_or_else(|| Error::new(ErrorKind::Invalid, "the store has no conditional writes"))
    }
}
