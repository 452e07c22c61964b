//! Tests of the circuit breaker: what a dead store costs, and how it comes back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::{BreakerOptions, BreakerState, BreakerStore};
use crate::faults::{Fault, FaultControl, FaultStore, Outage, Script};
use crate::memory::MemoryStore;
use crate::operation::Operation;
use crate::{ErrorKind, Key, ObjectStore, Result};

const SECOND: Duration = Duration::from_secs(1);
const OPTIONS: BreakerOptions = BreakerOptions {
    failures_to_open: 5,
    wait_first: SECOND,
    wait_max: Duration::from_secs(8),
    successes_to_close: 2,
};
const DEAD: Option<Outage> = Some(Outage::Refuse(ErrorKind::Unavailable));

fn broken() -> (BreakerStore, FaultControl) {
    let (store, control) = FaultStore::new(Arc::new(MemoryStore::new()), 21);
    (BreakerStore::new(store, OPTIONS), control)
}

async fn put(store: &BreakerStore) -> Result<()> {
    store
        .put(&Key::new("k").unwrap(), Bytes::from_static(b"body"))
        .await
}

#[tokio::test(start_paused = true)]
async fn a_dead_store_costs_few_requests() {
    let (store, control) = broken();
    control.set_outage(DEAD);
    for _ in 0..6000 {
        assert_eq!(
            put(&store).await.unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        sleep(Duration::from_millis(10)).await;
    }
    // One minute: 5 to open, then trials after 1, 2, 4, 8, 8, ... seconds.
    let requests = control.counts().total();
    assert!((5 + 4..=5 + 10).contains(&requests), "{requests}");
    let status = store.status();
    assert_eq!((status.state, status.opened), (BreakerState::Open, 1));
    assert_eq!(status.refused, 6000 - requests);
    assert!(status.next_trial_in.unwrap() <= OPTIONS.wait_max);
}

#[tokio::test(start_paused = true)]
async fn it_closes_after_successful_trials() {
    let (store, control) = broken();
    control.set_outage(DEAD);
    for _ in 0..5 {
        put(&store).await.unwrap_err();
    }
    control.heal();
    let before = control.counts().total();
    put(&store).await.unwrap_err();
    assert_eq!(control.counts().total(), before, "refused without asking");
    sleep(SECOND).await;
    put(&store).await.unwrap();
    assert_eq!(store.status().state, BreakerState::HalfOpen);
    put(&store).await.unwrap();
    assert_eq!(store.status().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn answers_that_show_life_do_not_open_it() {
    let (store, control) = broken();
    for kind in [
        ErrorKind::Throttled,
        ErrorKind::Damaged,
        ErrorKind::Denied,
        ErrorKind::NoSpace,
    ] {
        control.add_script(Script::next(Operation::Put, Fault::ErrorBefore(kind)).times(20));
        for _ in 0..20 {
            assert_eq!(put(&store).await.unwrap_err().kind(), kind);
        }
    }
    // And a success between failures starts the count anew.
    let down = Fault::ErrorBefore(ErrorKind::Unavailable);
    for _ in 0..3 {
        control.add_script(Script::next(Operation::Put, down).times(4));
        for _ in 0..4 {
            put(&store).await.unwrap_err();
        }
        put(&store).await.unwrap();
    }
    assert_eq!(store.status().opened, 0);
}

#[tokio::test(start_paused = true)]
async fn half_open_lets_one_through_and_forgets_a_dropped_one() {
    let (store, control) = broken();
    control.set_outage(DEAD);
    for _ in 0..5 {
        put(&store).await.unwrap_err();
    }
    control.set_outage(Some(Outage::Hang));
    sleep(SECOND).await;
    let (trial, other) = futures::join!(timeout(SECOND, put(&store)), put(&store));
    trial.unwrap_err();
    other.unwrap_err();
    assert_eq!(control.counts().total(), 6, "one trial");
    assert_eq!(store.status().state, BreakerState::HalfOpen);
    control.heal();
    put(&store).await.unwrap();
    put(&store).await.unwrap();
    assert_eq!(store.status().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn late_answers_say_nothing_about_the_present() {
    let (store, control) = broken();
    let slow = Fault::Hang {
        wait: 10 * SECOND,
        applies: false,
    };
    control.add_script(Script::next(Operation::Put, slow).times(20));
    let late = futures::future::join_all((0..20).map(|_| put(&store)));
    let (_, ()) = futures::join!(late, async {
        sleep(5 * SECOND).await;
        assert_eq!(store.status().state, BreakerState::Closed);
    });
    // Twenty failures of one moment open it once and do not lengthen the wait.
    let status = store.status();
    assert_eq!((status.opened, status.next_trial_in), (1, Some(SECOND)));
}
