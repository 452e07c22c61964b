//! Tests of retrying: what is repeated, how often, how long, and never more than paid for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{RetryOptions, RetryStore};
use crate::around::{Answer, Call, object_store_around};
use crate::faults::{Fault, FaultControl, FaultPlan, FaultStore, Outage, Script};
use crate::memory::MemoryStore;
use crate::operation::{Operation, Operations};
use crate::{Error, ErrorKind, Key, ObjectStore, Result};

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn retrying(options: RetryOptions) -> (RetryStore, FaultControl) {
    let (store, control) = FaultStore::new(Arc::new(MemoryStore::new()), 11);
    (RetryStore::new(store, options, 12), control)
}

async fn put(store: &RetryStore, i: u32) -> Result<()> {
    store
        .put(&key(&format!("k/{i}")), Bytes::from_static(b"body"))
        .await
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_repeated_and_others_not() {
    let (store, control) = retrying(RetryOptions::default());
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::Throttled,
        ErrorKind::Damaged,
    ] {
        control.add_script(Script::next(Operation::Put, Fault::ErrorBefore(kind)));
    }
    put(&store, 1).await.unwrap();
    assert_eq!(control.counts().of(Operation::Put), 4);
    for kind in [
        ErrorKind::Denied,
        ErrorKind::NotFound,
        ErrorKind::NoSpace,
        ErrorKind::Conflict,
    ] {
        control.add_script(Script::next(Operation::Put, Fault::ErrorBefore(kind)));
        assert_eq!(put(&store, 2).await.unwrap_err().kind(), kind);
    }
    assert_eq!(control.counts().of(Operation::Put), 8);
    assert_eq!(store.status().retries, 3);
}

#[tokio::test(start_paused = true)]
async fn a_put_whose_answer_was_lost_succeeds() {
    let (store, control) = retrying(RetryOptions::default());
    let lost = Fault::ErrorAfter(ErrorKind::Unavailable);
    control.add_script(Script::next(Operation::Put, lost).times(3));
    put(&store, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn half_of_all_requests_failing_is_no_storm() {
    let (store, control) = retrying(RetryOptions::default());
    control.set_plan(FaultPlan {
        error_before: 0.5,
        ..FaultPlan::default()
    });
    const OPERATIONS: u32 = 2000;
    let mut succeeded = 0;
    for i in 0..OPERATIONS {
        succeeded += u32::from(put(&store, i).await.is_ok());
    }
    let requests = control.counts().total();
    println!("{OPERATIONS} operations, {succeeded} succeeded, {requests} requests");
    assert!(requests <= u64::from(OPERATIONS) * 2);
    assert!(requests <= u64::from(OPERATIONS) * 11 / 10 + 50);
    assert!(succeeded > OPERATIONS / 2);
}

#[tokio::test(start_paused = true)]
async fn a_dead_store_gets_hardly_more_than_one_request_each() {
    let (store, control) = retrying(RetryOptions::default());
    control.set_outage(Some(Outage::Refuse(ErrorKind::Unavailable)));
    for i in 0..1000 {
        put(&store, i).await.unwrap_err();
    }
    assert!(
        control.counts().total() <= 1000 + 100 + 50,
        "{:?}",
        control.counts()
    );
    // When it is back, so are we; and what succeeds pays for retries again.
    control.heal();
    for i in 0..20 {
        put(&store, i).await.unwrap();
    }
    control.add_script(Script::next(
        Operation::Put,
        Fault::ErrorBefore(ErrorKind::Unavailable),
    ));
    put(&store, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn attempts_and_deadline_end_it() {
    let options = RetryOptions {
        attempts_max: 4,
        ..RetryOptions::default()
    };
    let (store, control) = retrying(options);
    control.set_outage(Some(Outage::Refuse(ErrorKind::Unavailable)));
    let error = put(&store, 1).await.unwrap_err();
    assert_eq!(
        (error.kind(), control.counts().total()),
        (ErrorKind::Unavailable, 4)
    );
    assert!(error.to_string().contains("after 4 requests"), "{error}");
    assert!(std::error::Error::source(&error).is_some());

    control.set_outage(Some(Outage::Hang));
    let begin = Instant::now();
    let error = put(&store, 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(begin.elapsed(), options.deadline);
    let results = store.delete_many(&[key("a"), key("b")]).await;
    assert!(results.len() == 2 && results.iter().all(Result::is_err));
    assert_eq!(begin.elapsed(), options.deadline * 2);
}

#[tokio::test(start_paused = true)]
async fn when_the_store_asks_for_less_everybody_pauses() {
    let options = RetryOptions {
        throttled_wait_first: Duration::from_secs(8),
        wait_max: Duration::from_secs(20),
        ..RetryOptions::default()
    };
    let (store, control) = retrying(options);
    let begin = Instant::now();
    let slow_down = Fault::ErrorBefore(ErrorKind::Throttled);
    control.add_script(Script::next(Operation::Put, slow_down));
    let (one, other) = futures::join!(put(&store, 1), async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        put(&store, 2).await
    });
    one.and(other).unwrap();
    let first = begin.elapsed();
    assert!(
        first >= Duration::from_secs(4),
        "{first:?}: the other one waited as well"
    );
    assert_eq!(control.counts().total(), 3);

    // Twice in a row: a longer pause; requests together count as one time.
    let delay = Duration::from_millis(10);
    control.set_plan(FaultPlan {
        delay_min: delay,
        delay_max: delay,
        ..FaultPlan::default()
    });
    let puts = Script {
        operations: Operations::WRITES,
        ..Script::next(Operation::Put, slow_down)
    };
    control.add_script(puts.times(4));
    let begin = Instant::now();
    futures::future::join_all((3..6).map(|i| put(&store, i)))
        .await
        .into_iter()
        .collect::<Result<Vec<()>>>()
        .unwrap();
    let second = begin.elapsed();
    assert!(second >= Duration::from_secs(4 + 8), "{second:?}");
    assert!(second <= Duration::from_secs(8 + 16 + 1), "{second:?}");
}

/// Deletes every second of the names that it is asked for.
#[derive(Debug)]
struct HalfDeletes {
    inner: Arc<dyn ObjectStore>,
    asked: AtomicU32,
}

impl HalfDeletes {
    async fn around<'a, T: Answer>(
        &self,
        _call: Call<'_>,
        run: impl Fn() -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        run().await
    }

    async fn delete_many_around(&self, keys: &[Key]) -> Vec<Result<()>> {
        let mut results = Vec::new();
        for (i, key) in keys.iter().enumerate() {
            self.asked.fetch_add(1, Ordering::Relaxed);
            results.push(match (key.as_str(), i % 2) {
                ("denied", _) => Err(Error::new(ErrorKind::Denied, "no")),
                (_, 0) => self.inner.delete(key).await,
                _ => Err(Error::new(ErrorKind::Unavailable, "later")),
            });
        }
        results
    }
}

object_store_around!(HalfDeletes);

#[tokio::test(start_paused = true)]
async fn of_many_deletions_only_the_failed_are_repeated() {
    let memory = Arc::new(MemoryStore::new());
    let mut keys: Vec<Key> = (0..8).map(|i| key(&format!("k/{i}"))).collect();
    for key in &keys {
        memory.replace(key, &b"x"[..]);
    }
    keys.insert(3, key("denied"));
    let half = Arc::new(HalfDeletes {
        inner: memory.clone(),
        asked: AtomicU32::new(0),
    });
    let store = RetryStore::new(half.clone(), RetryOptions::default(), 1);
    let results = store.delete_many(&keys).await;
    let denied: Vec<usize> = (0..9).filter(|&i| results[i].is_err()).collect();
    assert_eq!(denied, [3]);
    assert_eq!(memory.object_count(), 0);
    assert_eq!(half.asked.load(Ordering::Relaxed), 9 + 3 + 1);
}
