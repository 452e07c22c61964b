//! Tests of the fault injector: each fault does what it says, and one seed one course.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::{Fault, FaultControl, FaultPlan, FaultStore, Outage, Script};
use crate::memory::MemoryStore;
use crate::operation::{Operation, Operations};
use crate::{ErrorKind, Key, ObjectStore};

const SECOND: Duration = Duration::from_secs(1);

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn body() -> Bytes {
    Bytes::from_static(b"0123456789")
}

fn faulty(seed: u64) -> (Arc<MemoryStore>, Arc<FaultStore>, FaultControl) {
    let memory = Arc::new(MemoryStore::new());
    let (store, control) = FaultStore::new(memory.clone(), seed);
    (memory, store, control)
}

async fn names(store: &FaultStore) -> Vec<String> {
    let page = store.list("", None, 100).await.unwrap();
    page.objects
        .iter()
        .map(|listed| listed.key.to_string())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn errors_before_do_nothing_and_errors_after_do_it() {
    let (memory, store, control) = faulty(1);
    control.add_script(Script::next(
        Operation::Put,
        Fault::ErrorBefore(ErrorKind::Throttled),
    ));
    control.add_script(Script::next(
        Operation::Put,
        Fault::ErrorAfter(ErrorKind::Unavailable),
    ));
    let error = store.put(&key("a"), body()).await.unwrap_err();
    assert_eq!(
        (error.kind(), memory.object_count()),
        (ErrorKind::Throttled, 0)
    );
    let error = store.put(&key("a"), body()).await.unwrap_err();
    assert_eq!(
        (error.kind(), memory.object_count()),
        (ErrorKind::Unavailable, 1)
    );
    store.put(&key("a"), body()).await.unwrap();
    assert_eq!(
        (control.counts().of(Operation::Put), control.counts().faults),
        (3, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn scripts_choose_by_operation_name_and_number() {
    let (_, store, control) = faulty(1);
    let fault = Fault::ErrorBefore(ErrorKind::Denied);
    control.add_script(
        Script::next(Operation::Put, fault)
            .on("map")
            .after(1)
            .times(2),
    );
    let mut failed = Vec::new();
    for name in ["map/1", "seg/1", "map/2", "seg/2", "map/3", "map/4"] {
        if store.put(&key(name), body()).await.is_err() {
            failed.push(name);
        }
        store.get(&key("map/1")).await.unwrap();
    }
    assert_eq!(failed, ["map/2", "map/3"]);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_put_may_come_long_after_it_was_given_up() {
    let (memory, store, control) = faulty(2);
    for applies in [false, true] {
        control.add_script(Script::next(
            Operation::Put,
            Fault::Hang {
                wait: 60 * SECOND,
                applies,
            },
        ));
        timeout(SECOND, store.put(&key("a"), body()))
            .await
            .unwrap_err();
        sleep(58 * SECOND).await;
        assert_eq!(memory.object_count(), 0);
        sleep(2 * SECOND).await;
        assert_eq!(memory.object_count(), usize::from(applies));
    }
    control.add_script(Script::next(
        Operation::Get,
        Fault::Hang {
            wait: 9 * SECOND,
            applies: false,
        },
    ));
    let begin = Instant::now();
    let error = store.get(&key("a")).await.unwrap_err();
    assert_eq!(
        (error.kind(), begin.elapsed()),
        (ErrorKind::Unavailable, 9 * SECOND)
    );
}

#[tokio::test(start_paused = true)]
async fn bodies_are_spoiled_on_the_way_and_not_in_the_store() {
    let (memory, store, control) = faulty(3);
    memory.replace(&key("a"), body());
    let bodies = Operations::of(&[Operation::Get, Operation::GetRange, Operation::GetTail]);
    let script = |fault| Script {
        operations: bodies,
        ..Script::next(Operation::Get, fault).times(3)
    };

    control.add_script(script(Fault::ShortBody));
    assert!(store.get(&key("a")).await.unwrap().len() < 10);
    assert!(store.get_range(&key("a"), 2..8).await.unwrap().len() < 6);
    let tail = store.get_tail(&key("a"), 4).await.unwrap();
    assert!(tail.bytes.len() < 4 && tail.object_bytes == 10);

    control.add_script(script(Fault::FlipBit));
    let differ = |found: Bytes, expect: &[u8]| -> u32 {
        assert_eq!(found.len(), expect.len());
        found
            .iter()
            .zip(expect)
            .map(|(a, b)| (a ^ b).count_ones())
            .sum()
    };
    assert_eq!(
        differ(store.get(&key("a")).await.unwrap(), b"0123456789"),
        1
    );
    assert_eq!(
        differ(store.get_range(&key("a"), 2..8).await.unwrap(), b"234567"),
        1
    );
    assert_eq!(
        differ(store.get_tail(&key("a"), 4).await.unwrap().bytes, b"6789"),
        1
    );
    assert_eq!(store.get(&key("a")).await.unwrap(), body());
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_put_brings_a_deleted_object_back() {
    let (memory, store, control) = faulty(4);
    control.add_script(Script::next(
        Operation::Put,
        Fault::DuplicatePut { after: 5 * SECOND },
    ));
    store.put(&key("a"), body()).await.unwrap();
    store.delete(&key("a")).await.unwrap();
    sleep(4 * SECOND).await;
    assert_eq!(memory.object_count(), 0);
    sleep(2 * SECOND).await;
    assert_eq!(memory.peek(&key("a")), Some(body()));
    assert_eq!(memory.reused_names(), []);
}

#[tokio::test(start_paused = true)]
async fn lists_lag_in_both_directions() {
    let (_, store, control) = faulty(5);
    store.put(&key("old"), body()).await.unwrap();
    control.set_plan(FaultPlan {
        list_lag_max: 30 * SECOND,
        ..FaultPlan::default()
    });
    for i in 0..20 {
        store
            .put(&key(&format!("new/{i:02}")), body())
            .await
            .unwrap();
    }
    store.delete(&key("old")).await.unwrap();
    let first = names(&store).await;
    assert!(first.len() < 10, "{first:?}");
    assert!(first.contains(&"old".to_owned()), "{first:?}");
    store.get(&key("new/00")).await.unwrap();
    sleep(31 * SECOND).await;
    assert_eq!(names(&store).await.len(), 20);

    // Paging goes on over pages that show nothing.
    for i in 20..60 {
        store
            .put(&key(&format!("new/{i:02}")), body())
            .await
            .unwrap();
    }
    let (mut after, mut seen) = (Some(key("new/19")), 0);
    loop {
        let page = store.list("new/", after.as_ref(), 3).await.unwrap();
        seen += page.objects.len();
        match page.objects.last() {
            Some(last) if page.more => after = Some(last.key.clone()),
            _ => break,
        }
    }
    assert!(seen < 40, "{seen} of 40 listed at once");
}

#[tokio::test(start_paused = true)]
async fn reads_of_new_objects_lag_but_not_of_repeated_ones() {
    let (_, store, control) = faulty(6);
    control.set_plan(FaultPlan {
        read_lag_max: 5 * SECOND,
        ..FaultPlan::default()
    });
    store.put(&key("a"), body()).await.unwrap();
    assert_eq!(
        store.get(&key("a")).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        store.head(&key("a")).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    sleep(5 * SECOND).await;
    store.get(&key("a")).await.unwrap();
    store.put(&key("a"), body()).await.unwrap();
    store.get(&key("a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn delay_and_rate_take_their_time() {
    let (_, store, control) = faulty(7);
    control.set_plan(FaultPlan {
        delay_min: SECOND,
        delay_max: SECOND,
        bytes_per_second: Some(1000),
        ..FaultPlan::default()
    });
    let (first, second) = (Bytes::from(vec![0; 2000]), Bytes::from(vec![0; 3000]));
    let (a, b) = (key("a"), key("b"));
    let begin = Instant::now();
    let (one, two) = futures::join!(store.put(&a, first), store.put(&b, second));
    one.and(two).unwrap();
    assert_eq!(
        begin.elapsed(),
        6 * SECOND,
        "one delay, and the bodies share the line"
    );
    store.get_range(&a, 0..500).await.unwrap();
    assert_eq!(begin.elapsed(), 7 * SECOND + SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn outages_refuse_or_hang_until_they_end() {
    let (memory, store, control) = faulty(8);
    control.set_outage(Some(Outage::Refuse(ErrorKind::Denied)));
    assert_eq!(
        store.put(&key("a"), body()).await.unwrap_err().kind(),
        ErrorKind::Denied
    );

    control.set_outage(Some(Outage::Hang));
    let hanging = tokio::spawn({
        let store = store.clone();
        async move { store.put(&key("b"), body()).await }
    });
    sleep(600 * SECOND).await;
    assert!(!hanging.is_finished());
    control.heal();
    assert_eq!(
        hanging.await.unwrap().unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert_eq!((memory.object_count(), control.counts().outages), (0, 2));
    store.put(&key("b"), body()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_plan_meets_only_what_it_names() {
    let (_, store, control) = faulty(9);
    control.set_plan(FaultPlan {
        operations: Operations::READS,
        key_prefix: "bad/".to_owned(),
        error_before: 1.0,
        ..FaultPlan::default()
    });
    store.put(&key("bad/a"), body()).await.unwrap();
    store.put(&key("good/a"), body()).await.unwrap();
    store.get(&key("good/a")).await.unwrap();
    store.get(&key("bad/a")).await.unwrap_err();
    store.list("bad/", None, 1).await.unwrap_err();
}

/// What came of 300 requests, and when.
async fn course(seed: u64) -> Vec<String> {
    let (memory, store, control) = faulty(seed);
    control.set_plan(FaultPlan {
        error_before: 0.1,
        error_after: 0.1,
        throttled: 0.1,
        damaged: 0.1,
        hang: 0.1,
        short_body: 0.1,
        flip_bit: 0.1,
        duplicate_put: 0.1,
        list_lag_max: SECOND,
        read_lag_max: SECOND,
        delay_max: SECOND,
        bytes_per_second: Some(1000),
        ..FaultPlan::default()
    });
    let begin = Instant::now();
    let mut trace = Vec::new();
    for i in 0..100 {
        let key = key(&format!("k/{}", i % 30));
        trace.push(format!("{:?}", store.put(&key, body()).await));
        trace.push(format!("{:?}", store.get(&key).await));
        trace.push(format!("{:?}", store.list("k", None, 9).await));
        trace.push(format!("{:?} {:?}", begin.elapsed(), memory.object_count()));
        if i % 7 == 0 {
            trace.push(format!("{:?}", store.delete_many(&[key]).await));
        }
    }
    trace
}

#[tokio::test(start_paused = true)]
async fn one_seed_is_one_course_of_events() {
    let first = course(42).await;
    assert_eq!(first, course(42).await);
    assert_ne!(first, course(43).await);
}
