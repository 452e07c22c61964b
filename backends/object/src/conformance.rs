//! What every store must do, as a suite that any store's tests run.
//!
//! ```ignore
//! let report = conformance::check(&store, &ConformanceOptions::default()).await?;
//! ```
//!
//! Owns: the clauses of [`ObjectStore`]'s documentation as checks. It leaves nothing behind
//! under its prefix where the store lets it. Does not own: whether a store may be trusted
//! with a pool ([`probe`](crate::probe)).

mod deleting;
mod listing;
mod objects;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tokio::time::{Instant, sleep};

use crate::ObjectStore;
use crate::error::{Error, ErrorKind};
use crate::key::{KEY_BYTES_MAX, Key};

/// What the suite may expect of a store beyond the trait, and how hard it tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConformanceOptions {
    /// All names used start with this part and a slash. It must be unused: a suite that
    /// runs twice on one store takes another one.
    pub prefix: String,
    /// The longest key that the store takes; less than 200 only below another prefix.
    pub key_bytes_max: usize,
    /// Whether `a` and `a/b` can both be objects; only stores that map names to files
    /// without care cannot.
    pub nested_names: bool,
    /// Whether a put of other bytes under a name is noticed.
    pub detects_conflicts: bool,
    /// The length of one large body, if any is tried.
    pub big_body_bytes: Option<usize>,
    /// How long lists and reads of deleted objects may lag.
    pub settles_within: Duration,
    /// Objects put and read at the same time.
    pub parallel: usize,
}

impl Default for ConformanceOptions {
    fn default() -> Self {
        ConformanceOptions {
            prefix: "conformance".to_owned(),
            key_bytes_max: KEY_BYTES_MAX,
            nested_names: true,
            detects_conflicts: true,
            big_body_bytes: None,
            settles_within: Duration::ZERO,
            parallel: 64,
        }
    }
}

/// What was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConformanceReport {
    /// The clauses that hold.
    pub held: Vec<&'static str>,
    /// The clauses that the options left out.
    pub skipped: Vec<&'static str>,
}

/// The first clause that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{clause}: {detail}")]
pub struct ConformanceFailure {
    /// What should be so.
    pub clause: &'static str,
    /// What was seen instead.
    pub detail: String,
}

/// What a check found wrong.
type Check = std::result::Result<(), String>;

/// Runs the suite. Stops at the first clause that does not hold.
pub async fn check(
    store: &Arc<dyn ObjectStore>,
    options: &ConformanceOptions,
) -> std::result::Result<ConformanceReport, ConformanceFailure> {
    let suite = Suite {
        store: store.clone(),
        options: options.clone(),
        used: Mutex::default(),
    };
    let mut run = Run {
        report: ConformanceReport::default(),
    };
    let result = suite.all(&mut run).await;
    let cleaned = suite.clean().await;
    result?;
    run.clause("what the suite put can be deleted", cleaned)?;
    Ok(run.report)
}

struct Run {
    report: ConformanceReport,
}

impl Run {
    fn clause(
        &mut self,
        clause: &'static str,
        check: Check,
    ) -> std::result::Result<(), ConformanceFailure> {
        match check {
            Ok(()) => {
                self.report.held.push(clause);
                Ok(())
            }
            Err(detail) => Err(ConformanceFailure { clause, detail }),
        }
    }

    fn skip(&mut self, clause: &'static str) {
        self.report.skipped.push(clause);
    }
}

struct Suite {
    store: Arc<dyn ObjectStore>,
    options: ConformanceOptions,
    /// Every name put, to be deleted at the end.
    used: Mutex<BTreeSet<Key>>,
}

impl Suite {
    async fn all(&self, run: &mut Run) -> std::result::Result<(), ConformanceFailure> {
        run.clause("what is absent is not found", self.absent().await)?;
        run.clause(
            "bodies of all lengths come back as put",
            self.bodies().await,
        )?;
        match self.options.big_body_bytes {
            Some(bytes) => run.clause("a large body comes back", self.big_body(bytes).await)?,
            None => run.skip("a large body comes back"),
        }
        run.clause("a range is exactly what was asked for", self.ranges().await)?;
        run.clause(
            "a range that is empty or beyond the end is invalid",
            self.bad_ranges().await,
        )?;
        run.clause(
            "a tail is the end of the object, or all of it",
            self.tails().await,
        )?;
        run.clause("names of all forms and lengths work", self.names().await)?;
        run.clause("a repeated put succeeds", self.repeated_put().await)?;
        if self.options.detects_conflicts {
            run.clause("a put of other bytes is a conflict", self.conflict().await)?;
        } else {
            run.skip("a put of other bytes is a conflict");
        }
        run.clause("requests run at the same time", self.parallel().await)?;
        run.clause(
            "lists are in byte order, whole, and paged",
            self.lists().await,
        )?;
        run.clause("lists start after the given name", self.lists_after().await)?;
        run.clause(
            "deleting works, also of what is absent",
            self.delete().await,
        )?;
        run.clause("deleting many answers for each", self.delete_many().await)
    }

    /// A name under the suite's prefix, remembered for the end.
    fn key(&self, name: &str) -> Key {
        let key = Key::new(format!("{}/{name}", self.options.prefix))
            .expect("the suite's names are valid under a valid prefix");
        self.used.lock().insert(key.clone());
        key
    }

    async fn put(&self, key: &Key, body: &Bytes) -> Check {
        self.store
            .put(key, body.clone())
            .await
            .map_err(|error| told("put", key, &error))
    }

    /// Waits until `seen` answers nothing wrong, as long as the store may lag.
    async fn settled<F: Future<Output = Check>>(&self, seen: impl Fn() -> F) -> Check {
        let end = Instant::now() + self.options.settles_within;
        loop {
            let result = seen().await;
            if result.is_ok() || Instant::now() >= end {
                return result;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn clean(&self) -> Check {
        let keys: Vec<Key> = self.used.lock().iter().cloned().collect();
        let results = self.store.delete_many(&keys).await;
        for (key, result) in keys.iter().zip(results) {
            result.map_err(|error| told("delete", key, &error))?;
        }
        Ok(())
    }
}

/// Bytes that compress badly and differ for each seed.
fn body(length: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; length];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    Bytes::from(bytes)
}

fn told(operation: &str, what: impl fmt::Display, error: &Error) -> String {
    let mut text = format!("{operation} {what}: {:?}: {error}", error.kind());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// The answer must be a failure of this kind.
fn expect_kind<T>(what: &str, result: std::result::Result<T, Error>, kind: ErrorKind) -> Check {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(told(what, format!("should be {kind:?}"), &error)),
        Ok(_) => Err(format!("{what}: should be {kind:?}, but succeeded")),
    }
}

/// The answer must be these bytes.
fn expect_body(what: &str, result: std::result::Result<Bytes, Error>, expect: &[u8]) -> Check {
    let found = result.map_err(|error| told(what, "", &error))?;
    if found == expect {
        return Ok(());
    }
    let differ = found.iter().zip(expect).position(|(a, b)| a != b);
    Err(format!(
        "{what}: {} bytes instead of {}, first difference at {differ:?}",
        found.len(),
        expect.len()
    ))
}
