//! What a store must do, or be refused.
//!
//! Owns: those trials and the remedies named. Does not own: what is only recorded.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::Probe;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;

/// New names that are read at once after their put.
const NEW_NAMES: u64 = 16;

/// What is needed, and what to do where it is missing.
#[derive(Debug, Clone, Copy)]
struct Need {
    what: &'static str,
    remedy: &'static str,
}

const WRITE: Need = Need {
    what: "objects can be put",
    remedy: "check the bucket's name, the credentials, and that they may put objects",
};
const INTACT: Need = Need {
    what: "bytes come back as they were put",
    remedy: "take away what changes bodies on the way (a proxy, compression, a gateway's \
             chunked encoding), and check that the credentials may get objects",
};
const NEW_NAME: Need = Need {
    what: "a new object can be read as soon as its put is answered",
    remedy: "use a store or a consistency level that is consistent for new names, and no \
             cache in front of it",
};
const RANGE: Need = Need {
    what: "a part of an object can be read",
    remedy: "take away what answers ranged reads with whole objects (a proxy or cache), or \
             use another store",
};
const LONG_NAME: Need = Need {
    what: "names may be 200 bytes long",
    remedy: "choose a shorter prefix for the pool, or a store that takes longer names",
};
const BIG_BODY: Need = Need {
    what: "bodies may be 64 MiB long",
    remedy: "raise the largest body that store and proxies accept",
};
const DELETE: Need = Need {
    what: "objects can be deleted",
    remedy: "let the credentials delete objects, and turn off versioned or retained reads of \
             deleted names for this prefix",
};

impl Need {
    /// The store failed.
    fn failed(self, error: Error) -> Error {
        let Need { what, remedy } = self;
        let remedy = match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Throttled => "try again when the store answers",
            ErrorKind::NoLocation => "create it, or correct its name",
            ErrorKind::NoSpace => "make room",
            _ => remedy,
        };
        let context = format!("the store lacks: {what}; remedy: {remedy}; cause: {error}");
        Error::new(error.kind(), context).with_source(error)
    }

    /// The store answered, and wrongly.
    fn broken(self, seen: String) -> Error {
        let Need { what, remedy } = self;
        let context = format!("the store lacks: {what}; remedy: {remedy}; seen: {seen}");
        Error::new(ErrorKind::Invalid, context)
    }

    /// The answer must be these bytes. A wrong length is for the store's client an error,
    /// but of the same meaning as wrong bytes.
    fn expect(self, answer: Result<Bytes>, expect: &[u8]) -> Result<()> {
        let found = match answer {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::Damaged => {
                return Err(self.broken(error.to_string()));
            }
            Err(error) => return Err(self.failed(error)),
        };
        if found == expect {
            return Ok(());
        }
        let (found, expect) = (found.len(), expect.len());
        Err(self.broken(format!(
            "{found} bytes read, {expect} expected, and they differ"
        )))
    }
}

impl Probe {
    pub(super) async fn needs(&self) -> Result<()> {
        let key = self.key("first");
        let body = self.body(100_000, 0);
        self.store
            .put(&key, body.clone())
            .await
            .map_err(|error| WRITE.failed(error))?;
        INTACT.expect(self.store.get(&key).await, &body)?;
        self.empty_body().await?;
        self.new_names().await?;
        self.parts(&key, &body).await?;
        self.round_trip(LONG_NAME, &self.long_key()?, 10_000)
            .await?;
        self.round_trip(BIG_BODY, &self.key("big"), self.options.body_bytes_max)
            .await?;
        self.deletion(&key).await
    }

    async fn round_trip(&self, need: Need, key: &Key, length: usize) -> Result<()> {
        let body = self.body(length, 1);
        self.store
            .put(key, body.clone())
            .await
            .map_err(|error| need.failed(error))?;
        need.expect(self.store.get(key).await, &body)
    }

    async fn empty_body(&self) -> Result<()> {
        self.round_trip(INTACT, &self.key("empty"), 0).await
    }

    fn long_key(&self) -> Result<Key> {
        let room = self
            .options
            .key_bytes_max
            .saturating_sub(self.place().len());
        let key = Key::new(format!("{}{}", self.place(), "l".repeat(room)))?;
        self.used.lock().insert(key.clone());
        Ok(key)
    }

    async fn new_names(&self) -> Result<()> {
        for i in 0..NEW_NAMES {
            let key = self.key(&format!("new/{i}"));
            let body = self.body(1000, 100 + i);
            self.store
                .put(&key, body.clone())
                .await
                .map_err(|error| WRITE.failed(error))?;
            match self.store.get(&key).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(NEW_NAME.broken(format!("{key} was not found")));
                }
                answer => NEW_NAME.expect(answer, &body)?,
            }
        }
        Ok(())
    }

    async fn parts(&self, key: &Key, body: &Bytes) -> Result<()> {
        for range in [0..1, 1000..5096, 99_999..100_000] {
            let asked = range.start as u64..range.end as u64;
            RANGE.expect(self.store.get_range(key, asked).await, &body[range])?;
        }
        let tail = self
            .store
            .get_tail(key, 4096)
            .await
            .map_err(|error| RANGE.failed(error))?;
        if tail.object_bytes != body.len() as u64 {
            return Err(RANGE.broken(format!("an object of {} bytes", tail.object_bytes)));
        }
        RANGE.expect(Ok(tail.bytes), &body[body.len() - 4096..])
    }

    /// Deleting may take effect a little later, but it must, and must not fail on absence.
    async fn deletion(&self, key: &Key) -> Result<()> {
        for _ in 0..2 {
            self.store
                .delete(key)
                .await
                .map_err(|error| DELETE.failed(error))?;
        }
        let end = Instant::now() + self.options.patience;
        loop {
            match self.store.get(key).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(DELETE.failed(error)),
                Ok(_) if Instant::now() >= end => {
                    let patience = self.options.patience;
                    return Err(DELETE.broken(format!("still there after {patience:?}")));
                }
                Ok(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }
}
