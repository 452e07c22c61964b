//! Tasks that end in every way, over restarts, and many of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use vpool_api::{Code, Problem, Task, TaskKind, TaskState};
use vpool_host::{Host, LocalStore};
use vpool_rocks::{Limits, RocksStore};

use super::{RUNNING_MAX, TABLE, TASKS_MAX, Tasks, measure};
use crate::events::Events;

fn open(store: &Arc<RocksStore>) -> Arc<Tasks> {
    let host = Host::real();
    let store: Arc<dyn LocalStore> = store.clone();
    let events = Events::new(host.clock.clone());
    Arc::new(Tasks::open(store, host, events).expect("they can be read"))
}

fn store(dir: &tempfile::TempDir) -> Arc<RocksStore> {
    let limits = Limits {
        block_cache_bytes: 1 << 20,
        write_buffer_bytes: 1 << 20,
    };
    Arc::new(RocksStore::open(dir.path(), &[TABLE], &limits).expect("a new store"))
}

async fn ended(tasks: &Tasks, id: u64) -> Task {
    let task = tasks.wait(id, Duration::from_secs(30)).await;
    let task = task.expect("it is there");
    assert!(task.state.has_ended(), "{task:?}");
    task
}

#[tokio::test]
async fn tasks_end_in_every_way_and_are_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir);
    let tasks = open(&store);
    let (kind, never) = (TaskKind::DiskSync, Arc::new(Notify::new()));
    let done = tasks.start(kind, "p:done".into(), |progress| async move {
        progress.set(5, 10);
        progress.set(10, 10);
        Ok(())
    });
    let done = ended(&tasks, done.await.expect("it begins").id).await;
    assert_eq!(done.state, TaskState::Done);
    assert_eq!((done.percent, done.total_bytes), (Some(100.0), Some(10)));
    assert!(done.ended_at.is_some() && !done.cancellable);

    let problem = Problem::new(Code::Unavailable, "no store");
    let failure = problem.clone();
    let failed = tasks.start(kind, "p:failed".into(), |_| async move { Err(failure) });
    let failed = ended(&tasks, failed.await.expect("it begins").id).await;
    assert_eq!(
        (failed.state, &failed.problem),
        (TaskState::Failed, &Some(problem))
    );

    let bug = tasks.start(kind, "p:bug".into(), |_| async move {
        assert!(std::hint::black_box(false), "a bug");
        Ok(())
    });
    let bug = ended(&tasks, bug.await.expect("it begins").id).await;
    assert_eq!(
        bug.problem.map(|problem| problem.code),
        Some(Code::Internal)
    );

    let forever = |never: Arc<Notify>| async move {
        never.notified().await;
        Ok(())
    };
    let waits = tasks.start(kind, "p:cancelled".into(), |_| forever(never.clone()));
    let waits = waits.await.expect("it begins");
    assert_eq!((waits.state, waits.cancellable), (TaskState::Running, true));
    let still = tasks.wait(waits.id, Duration::from_millis(10)).await;
    assert_eq!(still.map(|task| task.state), Ok(TaskState::Running));
    let cancelled = tasks.cancel(waits.id).await.expect("it runs");
    assert_eq!(cancelled.state, TaskState::Cancelled);
    let again = tasks.cancel(waits.id).await.expect_err("it has ended");
    assert_eq!(again.code, Code::Conflict);
    let nothing = tasks.cancel(99).await.expect_err("there is none");
    assert_eq!(nothing.code, Code::NotFound);

    let running = tasks.start(kind, "p:running".into(), |_| forever(never.clone()));
    let running = running.await.expect("it begins");
    let before = tasks.all();
    // As after a kill: nobody told the tasks.
    let tasks = open(&store);
    assert_eq!(tasks.all().len(), 5);
    assert_eq!(tasks.all()[..4], before[..4]);
    let interrupted = tasks.get(running.id).expect("it is kept");
    assert_eq!(interrupted.state, TaskState::Failed);
    let code = interrupted.problem.map(|problem| problem.code);
    assert_eq!(code, Some(Code::Interrupted));
    let next = tasks.start(kind, "p:next".into(), |_| async { Ok(()) });
    assert_eq!(next.await.expect("it begins").id, running.id + 1);
}

#[tokio::test]
async fn an_end_in_order_tells_who_waits() {
    let dir = tempfile::tempdir().expect("a directory");
    let tasks = open(&store(&dir));
    let task = tasks.start(TaskKind::PoolSync, "p".into(), |_| {
        std::future::pending::<Result<(), Problem>>()
    });
    let id = task.await.expect("it begins").id;
    let waiter = tokio::spawn({
        let tasks = tasks.clone();
        async move { ended(&tasks, id).await }
    });
    tasks.close().await;
    let task = waiter.await.expect("it has ended");
    assert_eq!(
        task.problem.map(|problem| problem.code),
        Some(Code::Interrupted)
    );
}

#[tokio::test]
async fn there_are_so_many_at_most() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir);
    let tasks = open(&store);
    let kind = TaskKind::DiskSync;
    let first = tasks.start(kind, "p:0".into(), |_| std::future::pending());
    let first = first.await.expect("it begins").id;
    for number in 1..TASKS_MAX + 50 {
        let task = tasks.start(kind, format!("p:{number}"), |_| async { Ok(()) });
        ended(&tasks, task.await.expect("it begins").id).await;
    }
    let all = tasks.all();
    assert_eq!(all.len(), TASKS_MAX);
    assert_eq!(all[0].id, first, "one that runs is never forgotten");
    assert_eq!(open(&store).all().len(), TASKS_MAX);
    for number in 1..RUNNING_MAX {
        let task = tasks.start(kind, format!("p:{number}"), |_| std::future::pending());
        task.await.expect("there is room");
    }
    let full = tasks.start(kind, "p:x".into(), |_| std::future::pending());
    assert_eq!(full.await.expect_err("full").code, Code::Busy);
}

#[test]
fn rates_and_times() {
    let mut task: Task = serde_json::from_str(
        r#"{"id": 1, "kind": "disk-sync", "object": "a", "state": "running",
            "created_at": "", "cancellable": true}"#,
    )
    .expect("a task");
    measure(&mut task, 250, 1000, 0.5);
    assert_eq!(task.percent, Some(25.0));
    assert_eq!(task.bytes_per_second, Some(500));
    assert_eq!(task.eta_seconds, Some(2));
    measure(&mut task, 0, 0, 0.0);
    assert_eq!(task.percent, None);
    measure(&mut task, 2000, 1000, 1.0);
    assert_eq!(task.percent, Some(100.0));
}
