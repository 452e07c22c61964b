//! Committer under many tasks, cancellation, failure and panic.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use super::Committer;

/// A log of which `written` is in memory and `durable` on the device.
#[derive(Default)]
struct Log {
    written: AtomicU64,
    durable: AtomicU64,
    syncs: AtomicU64,
    syncing: AtomicBool,
    broken: AtomicBool,
}

async fn sync(log: Arc<Log>) -> io::Result<()> {
    assert!(!log.syncing.swap(true, SeqCst), "two syncs at once");
    let covers = log.written.load(SeqCst);
    tokio::time::sleep(Duration::from_millis(1)).await;
    log.syncs.fetch_add(1, SeqCst);
    assert!(log.syncing.swap(false, SeqCst));
    if log.broken.load(SeqCst) {
        return Err(io::Error::from_raw_os_error(5));
    }
    log.durable.fetch_max(covers, SeqCst);
    Ok(())
}

async fn append(committer: &Committer, log: &Arc<Log>) -> Result<(), super::Failed> {
    let mine = log.written.fetch_add(1, SeqCst) + 1;
    let shared = Arc::clone(log);
    committer.commit(move || sync(shared)).await?;
    assert!(log.durable.load(SeqCst) >= mine, "acknowledged too early");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_appends_share_syncs_and_none_is_early() {
    let (committer, log) = (Committer::new(), Arc::new(Log::default()));
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let (committer, log) = (committer.clone(), Arc::clone(&log));
            tokio::spawn(async move {
                for _ in 0..50 {
                    append(&committer, &log).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let syncs = log.syncs.load(SeqCst);
    assert!(syncs < 800, "1600 appends needed {syncs} syncs");
}

#[tokio::test(start_paused = true)]
async fn a_leader_may_go_away() {
    let (committer, log) = (Committer::new(), Arc::new(Log::default()));
    let leader = tokio::spawn({
        let (committer, log) = (committer.clone(), Arc::clone(&log));
        async move { append(&committer, &log).await }
    });
    tokio::task::yield_now().await;
    let follower = tokio::spawn({
        let (committer, log) = (committer.clone(), Arc::clone(&log));
        async move { append(&committer, &log).await }
    });
    tokio::task::yield_now().await;
    leader.abort();
    follower.await.unwrap().unwrap();
    assert_eq!(log.syncs.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_goes_away_takes_no_turn_with_it() {
    let (committer, log) = (Committer::new(), Arc::new(Log::default()));
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let (committer, log) = (committer.clone(), Arc::clone(&log));
            tokio::spawn(async move { append(&committer, &log).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let last = tokio::spawn({
        let (committer, log) = (committer.clone(), Arc::clone(&log));
        async move { append(&committer, &log).await }
    });
    tokio::task::yield_now().await;
    for task in tasks {
        task.abort();
    }
    last.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_all_and_is_never_retried() {
    let (committer, log) = (Committer::new(), Arc::new(Log::default()));
    append(&committer, &log).await.unwrap();
    log.broken.store(true, SeqCst);
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let (committer, log) = (committer.clone(), Arc::clone(&log));
            tokio::spawn(async move { append(&committer, &log).await })
        })
        .collect();
    for task in tasks {
        let failed = task.await.unwrap().unwrap_err();
        let source = std::error::Error::source(&failed).unwrap();
        let source = source.downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.raw_os_error(), Some(5));
    }
    log.broken.store(false, SeqCst);
    assert!(append(&committer, &log).await.is_err());
    assert_eq!(log.syncs.load(SeqCst), 2, "nothing ran after the failure");
}

#[tokio::test]
async fn a_sync_that_panics_has_failed() {
    let committer = Committer::new();
    let result = committer
        .commit(|| async {
            assert!(std::hint::black_box(false), "planned");
            Ok::<(), io::Error>(())
        })
        .await;
    assert!(result.is_err());
    assert!(committer.failure().is_some());
}

#[tokio::test]
async fn poison_wakes_those_who_wait() {
    let committer = Committer::new();
    let waiting = tokio::spawn({
        let committer = committer.clone();
        async move {
            committer
                .commit(std::future::pending::<io::Result<()>>)
                .await
        }
    });
    tokio::task::yield_now().await;
    committer.poison(super::Failed::new("a write failed"));
    assert!(waiting.await.unwrap().is_err());
}
