//! Tests of the probe: good stores pass, what is needed is refused by name, quirks show.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{ListAfterWrite, ProbeOptions, Support, probe};
use crate::conditional::{Conditional, Etag, EtagForm, Outcome};
use crate::faults::{Fault, FaultPlan, FaultStore, Outage, Script};
use crate::memory::MemoryStore;
use crate::operation::{Operation, Operations};
use crate::prefix::PrefixStore;
use crate::{ErrorKind, Key, ObjectStore, Page, Result, Tail};

fn options() -> ProbeOptions {
    ProbeOptions {
        body_bytes_max: 1 << 20,
        ..ProbeOptions::new(0xfeed_beef)
    }
}

#[tokio::test]
async fn a_good_store_passes_and_is_left_clean() {
    let memory = Arc::new(MemoryStore::new());
    let prefix = PrefixStore::new(memory.clone(), "pools/one").unwrap();
    let key_bytes_max = prefix.key_bytes_max();
    let store: Arc<dyn ObjectStore> = Arc::new(prefix);
    let report = probe(
        &store,
        &ProbeOptions {
            key_bytes_max,
            ..options()
        },
    )
    .await
    .unwrap();
    println!("{report}");
    assert!(report.create_is_atomic());
    for support in [
        report.if_match_quoted,
        report.if_match_unquoted,
        report.if_match_missing,
        report.bulk_delete,
        report.checksum_trailers,
    ] {
        assert_eq!(support, Support::Works);
    }
    assert_eq!(report.list_after_write, ListAfterWrite::AtOnce);
    assert_eq!((memory.object_count(), report.left_behind), (0, Vec::new()));
}

#[tokio::test]
async fn names_that_do_not_fit_are_refused_with_the_remedy() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(memory.clone(), "pool").unwrap());
    let error = probe(&store, &options()).await.unwrap_err();
    assert!(
        error.to_string().contains("choose a shorter prefix"),
        "{error}"
    );
    assert_eq!(memory.object_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_needed_is_refused_by_name() {
    let check = async |script: Option<Script>, plan: FaultPlan, kind: ErrorKind, text: &str| {
        let memory = Arc::new(MemoryStore::new());
        let (store, control) = FaultStore::new(memory.clone(), 31);
        control.set_plan(plan);
        if let Some(script) = script {
            control.add_script(script);
        }
        let store: Arc<dyn ObjectStore> = store;
        let error = probe(&store, &options()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.to_string().contains("remedy: "), "{error}");
        assert_eq!(memory.object_count(), 0, "{error}");
    };
    let none = FaultPlan::default;
    let next = |operation, fault| Some(Script::next(operation, fault));
    let denied = Fault::ErrorBefore(ErrorKind::Denied);
    let full = Fault::ErrorBefore(ErrorKind::NoSpace);
    let (put, get, range) = (Operation::Put, Operation::Get, Operation::GetRange);
    check(
        next(put, denied),
        none(),
        ErrorKind::Denied,
        "may put objects",
    )
    .await;
    check(
        next(get, Fault::FlipBit),
        none(),
        ErrorKind::Invalid,
        "bytes come back",
    )
    .await;
    check(
        next(get, Fault::ShortBody),
        none(),
        ErrorKind::Invalid,
        "bytes come back",
    )
    .await;
    check(
        next(range, Fault::ShortBody),
        none(),
        ErrorKind::Invalid,
        "a part of",
    )
    .await;
    check(
        next(Operation::Delete, denied),
        none(),
        ErrorKind::Denied,
        "delete objects",
    )
    .await;
    let long = next(put, full).map(|script| script.on("lllll"));
    check(long, none(), ErrorKind::NoSpace, "200 bytes").await;
    let big = next(put, denied).map(|script| script.on("/big"));
    check(big, none(), ErrorKind::Denied, "64 MiB").await;
    let lag = FaultPlan {
        read_lag_max: Duration::from_secs(9),
        ..none()
    };
    check(
        next(get, Fault::FlipBit),
        lag,
        ErrorKind::NotFound,
        "come back",
    )
    .await;
    let down = FaultPlan {
        error_before: 1.0,
        operations: Operations::READS,
        ..none()
    };
    check(
        None,
        down,
        ErrorKind::Unavailable,
        "try again when the store answers",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_out_is_not_refused_for_good() {
    let (store, control) = FaultStore::new(Arc::new(MemoryStore::new()), 32);
    control.set_outage(Some(Outage::Refuse(ErrorKind::Unavailable)));
    let store: Arc<dyn ObjectStore> = store;
    assert!(probe(&store, &options()).await.unwrap_err().is_transient());
}

#[tokio::test(start_paused = true)]
async fn lagging_lists_are_recorded() {
    let memory = Arc::new(MemoryStore::new());
    let (store, control) = FaultStore::new(memory.clone(), 33);
    control.set_plan(FaultPlan {
        list_lag_max: Duration::from_secs(9),
        ..FaultPlan::default()
    });
    let store: Arc<dyn ObjectStore> = store;
    let report = probe(&store, &options()).await.unwrap();
    assert!(
        matches!(report.list_after_write, ListAfterWrite::Within(_)),
        "{report}"
    );
    assert_eq!(report.create_if_absent, Support::NotOffered);
    assert_eq!(report.bulk_delete, Support::Works);
    assert_eq!(memory.object_count(), 0);
}

/// A memory store with the quirks of real ones.
#[derive(Debug)]
struct Quirky {
    inner: Arc<MemoryStore>,
    quirk: Quirk,
    /// Creations told that they won since the last check.
    calls: AtomicU32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quirk {
    /// Swift: a condition that races see too late.
    RacyCreate,
    /// Garage: conditions are not looked at.
    IgnoresAll,
    /// Ceph 16: quoted tags never match.
    WantsUnquoted,
    /// MinIO: a tag matches what is missing.
    MatchesMissing,
    /// Old ones: no such request.
    KnowsNothing,
}

#[async_trait]
impl ObjectStore for Quirky {
    async fn put(&self, key: &Key, body: Bytes) -> Result<()> {
        self.inner.put(key, body).await
    }
    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.inner.get(key).await
    }
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        self.inner.get_range(key, range).await
    }
    async fn get_tail(&self, key: &Key, length: u64) -> Result<Tail> {
        self.inner.get_tail(key, length).await
    }
    async fn head(&self, key: &Key) -> Result<u64> {
        self.inner.head(key).await
    }
    async fn list(&self, prefix: &str, after: Option<&Key>, count_max: usize) -> Result<Page> {
        self.inner.list(prefix, after, count_max).await
    }
    async fn delete(&self, key: &Key) -> Result<()> {
        self.inner.delete(key).await
    }
    async fn delete_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        self.inner.delete_many(keys).await
    }
    fn conditional(&self) -> Option<&dyn Conditional> {
        Some(self)
    }
}

#[async_trait]
impl Conditional for Quirky {
    async fn put_if_absent(&self, key: &Key, body: Bytes) -> Result<Outcome> {
        match self.quirk {
            Quirk::KnowsNothing => return Ok(Outcome::Unsupported),
            Quirk::RacyCreate if key.as_str().contains("race") => {
                let call = self.calls.fetch_add(1, Ordering::Relaxed);
                if call.is_multiple_of(5) {
                    self.inner.replace(key, body);
                    return Ok(Outcome::Applied);
                }
            }
            Quirk::IgnoresAll => {
                self.inner.replace(key, body);
                return Ok(Outcome::Applied);
            }
            _ => {}
        }
        self.inner.put_if_absent(key, body).await
    }

    async fn put_if_match(
        &self,
        key: &Key,
        body: Bytes,
        etag: &Etag,
        form: EtagForm,
    ) -> Result<Outcome> {
        match (self.quirk, form) {
            (Quirk::KnowsNothing, _) => return Ok(Outcome::Unsupported),
            (Quirk::WantsUnquoted, EtagForm::Quoted) => return Ok(Outcome::Refused),
            (Quirk::MatchesMissing, _) if self.inner.peek(key).is_none() => {}
            (Quirk::IgnoresAll, _) => {}
            _ => return self.inner.put_if_match(key, body, etag, form).await,
        }
        self.inner.replace(key, body);
        Ok(Outcome::Applied)
    }

    async fn etag(&self, key: &Key) -> Result<Etag> {
        self.inner.etag(key).await
    }

    async fn put_with_trailer(&self, key: &Key, body: Bytes) -> Result<Outcome> {
        match self.quirk {
            Quirk::KnowsNothing => return Ok(Outcome::Unsupported),
            // s3s: the encoding of the request stays in the object.
            Quirk::IgnoresAll => {
                self.inner.replace(key, [&b"4;"[..], &body].concat());
            }
            _ => {
                self.inner.replace(key, body);
            }
        }
        Ok(Outcome::Applied)
    }
}

#[tokio::test]
async fn quirks_of_real_stores_show() {
    use Support::{Ignored, Refused, Unsupported, Works};
    let check = async |quirk: Quirk, expect: [Support; 5], atomic: bool| {
        let inner = Arc::new(MemoryStore::new());
        let quirky = Quirky {
            inner: inner.clone(),
            quirk,
            calls: AtomicU32::new(0),
        };
        let store: Arc<dyn ObjectStore> = Arc::new(quirky);
        let report = probe(&store, &options()).await.unwrap();
        println!("{quirk:?}\n{report}");
        let found = [
            report.create_if_absent,
            report.if_match_quoted,
            report.if_match_unquoted,
            report.if_match_missing,
            report.checksum_trailers,
        ];
        assert_eq!(
            (found, report.create_is_atomic()),
            (expect, atomic),
            "{quirk:?}"
        );
        assert_eq!(inner.object_count(), 0);
    };
    check(Quirk::RacyCreate, [Works; 5], false).await;
    check(Quirk::IgnoresAll, [Ignored; 5], false).await;
    check(
        Quirk::WantsUnquoted,
        [Works, Refused, Works, Works, Works],
        true,
    )
    .await;
    check(
        Quirk::MatchesMissing,
        [Works, Works, Works, Ignored, Works],
        true,
    )
    .await;
    check(Quirk::KnowsNothing, [Unsupported; 5], false).await;
}
