//! `vpool task …`, and waiting for the tasks of other verbs.
//!
//! Owns: the verbs, the wait, what is said of a task. Does not own: the work.

use std::time::{Duration, Instant};

use hyper::Method;
use vpool_api::limits::TASK_WAIT_SECONDS_MAX;
use vpool_api::{List, Task, TaskState};

use crate::arguments::TaskVerb;
use crate::arguments::shared::Waiting;
use crate::client::{Changed, Client};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::output::columns::{Column, Listed, Place};
use crate::output::value::Value;
use crate::progress::Bar;
use crate::several::each;

const TASKS: &str = "/api/v1/tasks";

/// How long one question waits for a task's end: short, so that the bar moves.
const STEP: Duration = Duration::from_secs(1);

const _: () = assert!(STEP.as_secs() <= TASK_WAIT_SECONDS_MAX);

/// Runs one verb.
pub(crate) async fn run(client: &Client, output: &Output, verb: TaskVerb) -> Result<(), Failure> {
    match verb {
        TaskVerb::List(query) => {
            let tasks: List<Task> = client.list(TASKS, &query.text()).await?;
            output.list(
                &tasks,
                "no tasks: `vpool disk sync` and `vpool pool sync` make some",
            )
        }
        TaskVerb::Show(tasks) => {
            let show = async |id: &u64| client.get::<Task>(&path(*id, "")).await;
            let (found, result) = each(&tasks.ids, show).await;
            output.some(found, tasks.ids.len())?;
            result
        }
        TaskVerb::Watch { id, waiting } => {
            let task: Task = client.get(&path(id, "")).await?;
            if waiting.no_wait {
                return output.one(&task);
            }
            let task = ended(client, task, waiting).await?;
            output.one(&task)?;
            outcome(task).map(drop)
        }
        TaskVerb::Cancel { tasks, change } => {
            let cancel = async |id: &u64| {
                let path = path(*id, "/cancel");
                let cancelled = client.change(Method::POST, &path, &(), change.dry_run);
                output.changed(cancelled.await?, |task: &Task| output.one(task))
            };
            each(&tasks.ids, cancel).await.1
        }
    }
}

/// What a verb that began a task does then: waits for it, or says which one it is.
pub(crate) async fn follow(
    client: &Client,
    output: &Output,
    asked: Changed<Task>,
    waiting: Waiting,
    done: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let task = match asked {
        Changed::Done(task) => task,
        would => return output.changed(would, |_: &Task| Ok(())),
    };
    if waiting.no_wait {
        return match output.is_for_people() {
            true => crate::output::print(&format!("{}\n", task.id)),
            false => output.one(&task),
        };
    }
    let task = outcome(ended(client, task, waiting).await?)?;
    match output.is_for_people() {
        true => output.done(&done()),
        false => output.one(&task),
    }
}

/// The task once it has ended, however it did.
pub(crate) async fn ended(
    client: &Client,
    mut task: Task,
    waiting: Waiting,
) -> Result<Task, Failure> {
    let begun = Instant::now();
    let client = client.patient();
    let bar = Bar::waiting("");
    while !task.state.has_ended() {
        let left = waiting
            .timeout
            .map(|seconds| Duration::from_secs(seconds).saturating_sub(begun.elapsed()));
        if left == Some(Duration::ZERO) {
            let message = format!("task {} is not done yet; it goes on", task.id);
            return Err(Failure::new(Exit::Timeout, message)
                .with_hint(format!("vpool task watch {}", task.id)));
        }
        bar.task(&task);
        // Whole seconds: the last part of one is waited for in full.
        let wait = left
            .map_or(STEP, |left| left.min(STEP))
            .as_secs_f64()
            .ceil();
        task = client.get(&path(task.id, &format!("?wait={wait}"))).await?;
    }
    Ok(task)
}

/// The task if it is done.
pub(crate) fn outcome(task: Task) -> Result<Task, Failure> {
    match (task.state, task.problem) {
        (TaskState::Done, problem) => Ok(Task { problem, ..task }),
        (_, Some(problem)) => Err(problem.into()),
        (state, None) => {
            let message = format!("task {} is {}", task.id, state.name());
            Err(Failure::failed(message))
        }
    }
}

fn path(id: u64, rest: &str) -> String {
    format!("{TASKS}/{id}{rest}")
}

/// A column of tasks.
const fn column(name: &'static str, place: Place, value: fn(&Task) -> Value) -> Column<Task> {
    Column { name, place, value }
}

impl Listed for Task {
    const COLUMNS: &'static [Column<Task>] = &[
        column("id", Place::List, |task| Value::Count(task.id)),
        column("kind", Place::List, |task| task.kind.name().into()),
        column("object", Place::List, |task| task.object.as_str().into()),
        column("state", Place::List, |task| task.state.name().into()),
        column("percent", Place::List, |task| {
            task.percent.map_or(Value::None, Value::Number)
        }),
        column("done", Place::Wide, |task| {
            task.done_bytes.map_or(Value::None, Value::Bytes)
        }),
        column("total", Place::Wide, |task| {
            task.total_bytes.map_or(Value::None, Value::Bytes)
        }),
        column("rate", Place::Wide, |task| {
            task.bytes_per_second.map_or(Value::None, Value::Bytes)
        }),
        column("left_seconds", Place::Wide, |task| {
            task.eta_seconds.map_or(Value::None, Value::Count)
        }),
        column("created", Place::List, |task| {
            task.created_at.as_str().into()
        }),
        column("ended", Place::List, |task| task.ended_at.clone().into()),
        column("cancellable", Place::Wide, |task| {
            Value::Flag(task.cancellable)
        }),
        column("problem", Place::Wide, |task| {
            let problem = task.problem.as_ref();
            problem.map(|problem| problem.detail.clone()).into()
        }),
    ];

    fn name(&self) -> String {
        self.id.to_string()
    }
}

#[cfg(test)]
mod tests {
    //! What an ended task exits with.

    use super::outcome;
    use crate::failure::Exit;
    use vpool_api::{Code, Problem, Task, TaskKind, TaskState};

    #[test]
    fn outcomes() {
        let task = |state, problem| Task {
            id: 7,
            kind: TaskKind::DiskSync,
            object: "p:a".into(),
            state,
            percent: None,
            done_bytes: None,
            total_bytes: None,
            bytes_per_second: None,
            eta_seconds: None,
            created_at: String::new(),
            ended_at: None,
            problem,
            cancellable: false,
        };
        assert!(outcome(task(TaskState::Done, None)).is_ok());
        let denied = Some(Problem::new(Code::Denied, "x"));
        let failed = outcome(task(TaskState::Failed, denied)).expect_err("it failed");
        assert_eq!(failed.exit(), Exit::Permission);
        let cancelled = outcome(task(TaskState::Cancelled, None)).expect_err("it is not done");
        assert_eq!(cancelled.exit(), Exit::Failed);
    }
}
