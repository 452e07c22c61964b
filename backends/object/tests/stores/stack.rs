//! Decorators that are about time and numbers: limit, timeout, metrics, and the stack.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use tokio::time::{Instant, timeout};
use vpool_object::faults::{Fault, FaultPlan, FaultStore, Outage, Script};
use vpool_object::limit::{LimitOptions, LimitStore};
use vpool_object::memory::MemoryStore;
use vpool_object::metrics::MetricsStore;
use vpool_object::operation::Operation;
use vpool_object::stack::{Stack, StackOptions, stack};
use vpool_object::timeout::{TimeoutOptions, TimeoutStore};
use vpool_object::{ErrorKind, Key, ObjectStore};

const SECOND: Duration = Duration::from_secs(1);

fn key(i: u32) -> Key {
    Key::new(format!("k/{i}")).unwrap()
}

fn body() -> Bytes {
    Bytes::from_static(b"0123456789")
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_at_a_time_reads_and_writes_apart() {
    let (faulty, control) = FaultStore::new(Arc::new(MemoryStore::new()), 1);
    control.set_plan(FaultPlan {
        delay_min: SECOND,
        delay_max: SECOND,
        ..Default::default()
    });
    let metrics = Arc::new(MetricsStore::new(faulty));
    let options = LimitOptions {
        reads_max: 4,
        writes_max: 2,
    };
    let store = LimitStore::new(metrics.clone(), options);
    let begin = Instant::now();
    let watch = async {
        for wait in [SECOND / 2, SECOND, SECOND, SECOND, SECOND] {
            tokio::time::sleep(wait).await;
            let snapshot = metrics.snapshot();
            assert_eq!(snapshot.of(Operation::Put).in_flight, 2);
            assert_eq!(snapshot.of(Operation::Head).in_flight, 4);
        }
    };
    let puts = join_all((0..10).map(async |i| store.put(&key(i), body()).await));
    let heads = join_all((0..20).map(async |i| store.head(&key(i)).await));
    let ((), puts, _) = futures::join!(watch, puts, heads);
    assert!(puts.iter().all(Result::is_ok));
    assert_eq!(begin.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_request_ends_after_base_and_transfer() {
    let (faulty, control) = FaultStore::new(Arc::new(MemoryStore::new()), 2);
    let options = TimeoutOptions {
        base: SECOND,
        bytes_per_second_min: 10,
        get_bytes_assumed: 50,
        per_key: Duration::ZERO,
    };
    let store = TimeoutStore::new(faulty, options);
    control.set_outage(Some(Outage::Hang));
    let begin = Instant::now();
    let error = store.put(&key(1), body()).await.unwrap_err();
    assert_eq!(
        (error.kind(), begin.elapsed()),
        (ErrorKind::Unavailable, 2 * SECOND)
    );
    store.get(&key(1)).await.unwrap_err();
    assert_eq!(begin.elapsed(), (2 + 6) * SECOND);
    store.get_range(&key(1), 7..27).await.unwrap_err();
    assert_eq!(begin.elapsed(), (8 + 3) * SECOND);
    assert!(
        store
            .delete_many(&[key(1), key(2)])
            .await
            .iter()
            .all(Result::is_err)
    );
    assert_eq!(begin.elapsed(), (11 + 1) * SECOND);
}

#[tokio::test(start_paused = true)]
async fn metrics_count_what_happened() {
    let (faulty, control) = FaultStore::new(Arc::new(MemoryStore::new()), 3);
    control.set_plan(FaultPlan {
        delay_min: SECOND / 100,
        delay_max: SECOND / 100,
        ..FaultPlan::default()
    });
    let store = MetricsStore::new(faulty);
    store.put(&key(1), body()).await.unwrap();
    store.put(&key(2), body()).await.unwrap();
    let slow = Fault::ErrorBefore(ErrorKind::Throttled);
    control.add_script(Script::next(Operation::Put, slow));
    store.put(&key(3), body()).await.unwrap_err();
    store.get(&key(1)).await.unwrap();
    store.get_range(&key(1), 2..5).await.unwrap();
    store.get_tail(&key(1), 4).await.unwrap();
    store.get(&key(9)).await.unwrap_err();
    control.set_outage(Some(Outage::Hang));
    timeout(SECOND, store.head(&key(1))).await.unwrap_err();
    control.set_outage(Some(Outage::Refuse(ErrorKind::Unavailable)));
    assert_eq!(store.delete_many(&[key(1), key(2)]).await.len(), 2);

    let snapshot = store.snapshot();
    let put = snapshot.of(Operation::Put);
    assert_eq!(
        (put.requests, put.sent_bytes, put.received_bytes),
        (3, 20, 0)
    );
    assert_eq!(
        (put.error_count(), put.errors_of(ErrorKind::Throttled)),
        (1, 1)
    );
    assert_eq!(put.latency.iter().sum::<u64>(), 3);
    assert_eq!(put.latency_total, 3 * SECOND / 100);
    let bucket = put.latency.iter().position(|count| *count > 0).unwrap();
    assert!(vpool_object::metrics::latency_bound(bucket).unwrap() > SECOND / 100);
    assert_eq!(
        snapshot.of(Operation::Get).errors_of(ErrorKind::NotFound),
        1
    );
    assert_eq!(snapshot.of(Operation::Get).received_bytes, 10);
    assert_eq!(snapshot.of(Operation::GetRange).received_bytes, 3);
    assert_eq!(snapshot.of(Operation::GetTail).received_bytes, 4);
    let head = snapshot.of(Operation::Head);
    assert_eq!((head.requests, head.in_flight, head.cancelled), (1, 0, 1));
    let many = snapshot.of(Operation::DeleteMany);
    assert_eq!(
        (many.requests, many.errors_of(ErrorKind::Unavailable)),
        (1, 1)
    );
    assert_eq!(snapshot.requests(), 9);
}

/// A long outage under steady demand, through the whole stack: few requests while it
/// lasts, and everything again soon after.
#[tokio::test(start_paused = true)]
async fn an_outage_is_survived_with_few_requests() {
    let (faulty, control) = FaultStore::new(Arc::new(MemoryStore::new()), 4);
    let Stack { store, breaker, .. } = stack(faulty, StackOptions::default(), 5);
    for outage in [Outage::Refuse(ErrorKind::Unavailable), Outage::Hang] {
        control.set_outage(Some(outage));
        let before = control.counts().total();
        let end = Instant::now() + 600 * SECOND;
        let mut asked = 0;
        while Instant::now() < end {
            let results = join_all((0..8).map(async |i| store.put(&key(i), body()).await)).await;
            assert!(results.iter().all(Result::is_err));
            asked += 8;
            tokio::time::sleep(SECOND).await;
        }
        let requests = control.counts().total() - before;
        println!(
            "{outage:?}: {asked} puts asked for, {requests} sent, {:?}",
            breaker.status()
        );
        assert!(requests <= 100, "{requests}");
        control.heal();
        let back = Instant::now();
        while store.put(&key(1), body()).await.is_err() {
            tokio::time::sleep(SECOND / 10).await;
        }
        assert!(back.elapsed() <= 30 * SECOND, "{:?}", back.elapsed());
    }
}
