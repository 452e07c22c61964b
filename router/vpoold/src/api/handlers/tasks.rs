//! Tasks.

use std::time::Duration;

use axum::extract::State as Known;
use serde_json::Value;
use vpool_api::limits::TASK_WAIT_SECONDS_MAX;
use vpool_api::{DryRun, List, Task};

use super::super::query::{Dry, Query};
use super::super::request::{Answer, Changed, Failed, Named};
use super::{Api, page};

/// All tasks that are kept
#[utoipa::path(get, path = "/tasks", tag = "tasks", responses((status = 200, body = List<Task>)))]
pub(in crate::api) async fn list(
    Known(api): Api,
    query: Query,
) -> Result<Answer<List<Value>>, Failed> {
    Ok(Answer(page(query, api.tasks.all())?))
}

/// One task
///
/// With `wait=SECONDS` it is answered as soon as the task has ended, or the time is over.
#[utoipa::path(get, path = "/tasks/{id}", tag = "tasks",
    params(("wait" = Option<u64>, Query, maximum = 30, description = "Seconds to wait for its end")),
    responses((status = 200, body = Task)))]
pub(in crate::api) async fn show(
    Known(api): Api,
    id: Named,
    mut query: Query,
) -> Result<Answer<Task>, Failed> {
    let wait = query.number("wait", 0, TASK_WAIT_SECONDS_MAX)?;
    query.end()?;
    let time_max = Duration::from_secs(wait.unwrap_or_default());
    Ok(Answer(api.tasks.wait(id.number()?, time_max).await?))
}

/// End a task before it is done
#[utoipa::path(post, path = "/tasks/{id}/cancel", tag = "tasks",
    responses((status = 200, body = Task)))]
pub(in crate::api) async fn cancel(
    Known(api): Api,
    id: Named,
    Dry(dry): Dry,
) -> Result<Changed<Task>, Failed> {
    let id = id.number()?;
    if dry {
        api.tasks.check_cancellable(id)?;
        let plan = DryRun::one(
            "cancel",
            format!("task {id}"),
            "what it has done stays done",
        );
        return Ok(Changed::Planned(plan));
    }
    Ok(Changed::Done(api.tasks.cancel(id).await?))
}
