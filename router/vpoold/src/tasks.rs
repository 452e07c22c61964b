//! Long work: begun by a request, going on without it, kept over restarts.
//!
//! ```text
//! start ─▶ written down ─▶ running ─▶ done | failed | cancelled ─▶ written down
//! ```
//!
//! Owns: tasks, their numbers, how far they are, their end, what is written down of them. Does not
//! own: what they do (`sync.rs`).
//!
//! A task that ran when the daemon died is failed after the restart, as interrupted: what it did is
//! safe to ask for again.

mod book;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use vpool_api::time::rfc3339;
use vpool_api::{Code, Problem, Task, TaskKind, TaskState};
use vpool_host::{Host, LocalStore};

use crate::events::Events;
use book::Book;
pub(crate) use book::TABLE;

/// Tasks that are kept; of those that have ended the oldest go first.
const TASKS_MAX: usize = 1000;

/// Tasks that go on at a time.
const RUNNING_MAX: usize = 64;

/// All tasks.
#[derive(Debug)]
pub(crate) struct Tasks {
    all: Mutex<BTreeMap<u64, Arc<Kept>>>,
    /// One start at a time: numbers are given and written down in order.
    starting: tokio::sync::Mutex<u64>,
    book: Book,
    events: Arc<Events>,
    host: Host,
}

#[derive(Debug)]
struct Kept {
    task: watch::Sender<Task>,
    cancel: Notify,
    /// Its end is decided; whoever comes later with another is too late.
    decided: AtomicBool,
}

/// How far a task is, for the task itself to say.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    kept: Arc<Kept>,
    begun: Instant,
}

impl Progress {
    /// So many bytes of so many are done.
    pub(crate) fn set(&self, done_bytes: u64, total_bytes: u64) {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.kept
            .task
            .send_modify(|task| measure(task, done_bytes, total_bytes, seconds));
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "rates and times for people; the casts saturate"
)]
fn measure(task: &mut Task, done_bytes: u64, total_bytes: u64, seconds: f64) {
    let done_bytes = done_bytes.min(total_bytes);
    task.done_bytes = Some(done_bytes);
    task.total_bytes = Some(total_bytes);
    task.percent = (total_bytes > 0).then(|| done_bytes as f64 * 100.0 / total_bytes as f64);
    let rate = done_bytes as f64 / seconds;
    if rate.is_finite() && rate >= 1.0 {
        task.bytes_per_second = Some(rate as u64);
        task.eta_seconds = Some(((total_bytes - done_bytes) as f64 / rate).ceil() as u64);
    }
}

impl Tasks {
    /// Those that were written down; what ran then has failed.
    pub(crate) fn open(
        store: Arc<dyn LocalStore>,
        host: Host,
        events: Arc<Events>,
    ) -> anyhow::Result<Tasks> {
        let book = Book::new(store);
        let mut found = book.read().context("read the tasks")?;
        let mut changed = Vec::new();
        for task in found.iter_mut().filter(|task| !task.state.has_ended()) {
            let detail = "the daemon ended while the task was running";
            let problem = Problem::new(Code::Interrupted, detail).with_hint("ask for it again");
            end(task, TaskState::Failed, Some(problem), &host);
            changed.push(task.clone());
        }
        book.write(&changed, &[]).context("write the tasks")?;
        let last = found.last().map_or(0, |task| task.id);
        let all = found.into_iter().map(|task| (task.id, Kept::new(task)));
        Ok(Tasks {
            all: Mutex::new(all.collect()),
            starting: tokio::sync::Mutex::new(last),
            book,
            events,
            host,
        })
    }

    /// Begins a task; it goes on without the caller. `work` is told how to say how far it is.
    pub(crate) async fn start<W>(
        self: &Arc<Self>,
        kind: TaskKind,
        object: String,
        work: impl FnOnce(Progress) -> W,
    ) -> Result<Task, Problem>
    where
        W: Future<Output = Result<(), Problem>> + Send + 'static,
    {
        let mut last = self.starting.lock().await;
        self.check_room()?;
        let task = Task {
            id: *last + 1,
            kind,
            object,
            state: TaskState::Running,
            percent: None,
            done_bytes: None,
            total_bytes: None,
            bytes_per_second: None,
            eta_seconds: None,
            created_at: self.now(),
            ended_at: None,
            problem: None,
            cancellable: true,
        };
        self.write_down(&task)
            .await
            .map_err(|error| Problem::new(Code::Io, format!("cannot note the task: {error}")))?;
        *last = task.id;
        let kept = Kept::new(task.clone());
        self.all.lock().insert(task.id, kept.clone());
        drop(last);
        self.events.task(&task);
        let progress = Progress {
            kept: kept.clone(),
            begun: Instant::now(),
        };
        let work = work(progress);
        let tasks = self.clone();
        tokio::spawn(async move {
            let (state, problem) = tasks.run(&kept, work).await;
            tasks.finish(&kept, state, problem).await;
        });
        Ok(task)
    }

    fn check_room(&self) -> Result<(), Problem> {
        let all = self.all.lock();
        let running = all.values().filter(|kept| !kept.has_ended()).count();
        if running < RUNNING_MAX {
            return Ok(());
        }
        let detail = format!("{running} tasks are running already");
        Err(Problem::new(Code::Busy, detail).with_hint("wait for one to end, or cancel one"))
    }

    /// In a task of its own, so that a bug in it ends that alone.
    async fn run(
        &self,
        kept: &Kept,
        work: impl Future<Output = Result<(), Problem>> + Send + 'static,
    ) -> (TaskState, Option<Problem>) {
        let mut work = tokio::spawn(work);
        tokio::select! {
            biased;
            ended = &mut work => match ended {
                Ok(Ok(())) => (TaskState::Done, None),
                Ok(Err(problem)) => (TaskState::Failed, Some(problem)),
                Err(_) => {
                    let detail = "the task ended by a bug in the daemon";
                    let problem = Problem::new(Code::Internal, detail);
                    let problem = problem.with_hint("the daemon's log says where");
                    (TaskState::Failed, Some(problem))
                }
            },
            () = kept.cancel.notified() => {
                work.abort();
                (TaskState::Cancelled, None)
            }
        }
    }

    async fn finish(&self, kept: &Kept, state: TaskState, problem: Option<Problem>) {
        if kept.decided.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut task = kept.task.borrow().clone();
        end(&mut task, state, problem, &self.host);
        // Written down before anybody hears of it: what was answered once is answered again after a
        // restart.
        if let Err(error) = self.write_down(&task).await {
            tracing::warn!(task = task.id, %error, "the end of a task was not noted");
        }
        kept.task.send_replace(task.clone());
        self.events.task(&task);
    }

    /// Writes a task, and forgets the oldest that have ended where there are too many.
    async fn write_down(&self, task: &Task) -> std::io::Result<()> {
        let forgotten: Vec<u64> = {
            let mut all = self.all.lock();
            let new = usize::from(!all.contains_key(&task.id));
            let over = (all.len() + new).saturating_sub(TASKS_MAX);
            let ended = all.iter().filter(|(_, kept)| kept.has_ended());
            let oldest: Vec<u64> = ended.map(|(id, _)| *id).take(over).collect();
            for id in &oldest {
                all.remove(id);
            }
            oldest
        };
        let (book, task) = (self.book.clone(), task.clone());
        let write = move || book.write(&[task], &forgotten);
        self.host.blocking.run(write).await
    }

    /// All tasks.
    pub(crate) fn all(&self) -> Vec<Task> {
        let all = self.all.lock();
        all.values()
            .map(|kept| kept.task.borrow().clone())
            .collect()
    }

    /// One task.
    pub(crate) fn get(&self, id: u64) -> Result<Task, Problem> {
        self.find(id).map(|kept| kept.task.borrow().clone())
    }

    /// One task, as soon as it has ended or the time is over.
    pub(crate) async fn wait(&self, id: u64, time_max: Duration) -> Result<Task, Problem> {
        let kept = self.find(id)?;
        let mut task = kept.task.subscribe();
        let ended = task.wait_for(|task| task.state.has_ended());
        // How it stands is answered in any case.
        let _time_is_over = tokio::time::timeout(time_max, ended).await.is_err();
        Ok(kept.task.borrow().clone())
    }

    /// Ends a task; one that has ended is a conflict.
    pub(crate) async fn cancel(&self, id: u64) -> Result<Task, Problem> {
        let kept = self.find(id)?;
        self.check_cancellable(id)?;
        let mut task = kept.task.subscribe();
        kept.cancel.notify_one();
        // It fails if the sender is gone, which `kept` is not.
        let _ended = task.wait_for(|task| task.state.has_ended()).await.is_ok();
        Ok(kept.task.borrow().clone())
    }

    /// Refuses what cannot be cancelled.
    pub(crate) fn check_cancellable(&self, id: u64) -> Result<(), Problem> {
        let task = self.get(id)?;
        if task.cancellable {
            return Ok(());
        }
        let detail = format!("task {id} has ended: it is {}", task.state.name());
        Err(Problem::new(Code::Conflict, detail).with_hint("there is nothing left to cancel"))
    }

    /// The daemon stops: what runs is over, and who waits for it is told.
    pub(crate) async fn close(&self) {
        let running: Vec<Arc<Kept>> = {
            let all = self.all.lock();
            let running = all.values().filter(|kept| !kept.has_ended());
            running.cloned().collect()
        };
        for kept in running {
            let problem = Problem::new(Code::Interrupted, "the daemon stops");
            let problem = problem.with_hint("ask for it again when it is back");
            self.finish(&kept, TaskState::Failed, Some(problem)).await;
            kept.cancel.notify_one();
        }
    }

    fn find(&self, id: u64) -> Result<Arc<Kept>, Problem> {
        self.all.lock().get(&id).cloned().ok_or_else(|| {
            Problem::new(Code::NotFound, format!("there is no task {id}"))
                .with_hint("the oldest are forgotten; `vpool task list` shows those there are")
        })
    }

    fn now(&self) -> String {
        rfc3339(self.host.clock.wall_ms())
    }
}

impl Kept {
    fn new(task: Task) -> Arc<Kept> {
        Arc::new(Kept {
            task: watch::Sender::new(task),
            cancel: Notify::new(),
            decided: AtomicBool::new(false),
        })
    }

    fn has_ended(&self) -> bool {
        self.task.borrow().state.has_ended()
    }
}

fn end(task: &mut Task, state: TaskState, problem: Option<Problem>, host: &Host) {
    task.state = state;
    task.problem = problem;
    task.ended_at = Some(rfc3339(host.clock.wall_ms()));
    task.cancellable = false;
    task.eta_seconds = None;
}

#[cfg(test)]
mod tests;
