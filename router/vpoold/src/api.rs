//! The API: JSON over HTTP, on a unix socket and on loopback.
//!
//! ```text
//! server ─▶ guard (TCP) ─▶ request: bounds ─▶ repeats ─▶ handlers ─▶ daemon, tasks, events
//!                                                           └─▶ list, metrics
//! openapi ─ made from the same routes, committed, and compared by a test
//! ```
//!
//! Owns: paths, what requests may cost, how answers and problems are sent. Does not own:
//! what the requests do (`daemon.rs`), the bodies (`vpool-api`).
//!
//! Who may open the socket may do everything: its mode (0660) is the permission. Over TCP it is
//! the token.

mod guard;
mod handlers;
mod list;
mod metrics;
mod openapi;
mod query;
mod repeats;
mod request;
mod rows;
mod server;

use std::sync::Arc;

use axum::Router;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::checks::Checks;
use crate::daemon::{Daemon, Doors};
use crate::events::Events;
use crate::tasks::Tasks;

pub(crate) use guard::Guard;
pub(crate) use repeats::{Repeats, TABLE as ANSWERS};
pub(crate) use server::{Server, Socket, bind};

/// The version of the paths and bodies.
const API_VERSION: u32 = 1;

/// Where the versioned paths begin.
const BASE: &str = "/api/v1";

/// Changes that go on at the same time; each goes on to its end although the client is gone.
const CHANGES_MAX: usize = 32;

/// What every handler knows.
#[derive(Debug)]
struct State {
    daemon: Arc<Daemon>,
    checks: Arc<Checks>,
    doors: Doors,
    tasks: Arc<Tasks>,
    events: Arc<Events>,
    changes: Arc<Semaphore>,
    started_ms: u64,
}

/// What the API is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) checks: Arc<Checks>,
    pub(crate) doors: Doors,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) events: Arc<Events>,
    pub(crate) repeats: Repeats,
    /// When the daemon was started.
    pub(crate) started_ms: u64,
}

/// All paths.
pub(crate) fn routes(parts: Parts) -> Router {
    let state = State {
        daemon: parts.daemon,
        checks: parts.checks,
        doors: parts.doors,
        tasks: parts.tasks,
        events: parts.events,
        changes: Arc::new(Semaphore::new(CHANGES_MAX)),
        started_ms: parts.started_ms,
    };
    let (routes, _) = documented().split_for_parts();
    with_rules(routes.with_state(Arc::new(state)), Arc::new(parts.repeats))
}

/// The same for a listener whose clients must say who they are.
pub(crate) fn guarded(routes: Router, guard: Guard) -> Router {
    let layer = axum::middleware::from_fn_with_state(Arc::new(guard), guard::guarded);
    routes.layer(layer)
}

/// All paths with what is said of them.
fn documented() -> OpenApiRouter<Arc<State>> {
    use handlers::{disks, pools, statistics, status, stream, tasks};
    let v1 = OpenApiRouter::new()
        .routes(routes!(status::version))
        .routes(routes!(status::checks))
        .routes(routes!(openapi::document))
        .routes(routes!(pools::list, pools::create))
        .routes(routes!(pools::show, pools::set, pools::delete))
        .routes(routes!(pools::sync))
        .routes(routes!(pools::probe))
        .routes(routes!(pools::adopt))
        .routes(routes!(disks::list, disks::create))
        .routes(routes!(disks::show, disks::set, disks::delete))
        .routes(routes!(disks::resize))
        .routes(routes!(disks::rename))
        .routes(routes!(disks::sync))
        .routes(routes!(disks::repair))
        .routes(routes!(disks::connection))
        .routes(routes!(statistics::of_disk))
        .routes(routes!(statistics::of_disks))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::show))
        .routes(routes!(tasks::cancel))
        .routes(routes!(stream::events));
    openapi::begun()
        .routes(routes!(status::health))
        .routes(routes!(metrics::metrics))
        .nest(BASE, v1)
}

/// What holds for every path.
fn with_rules(routes: Router, repeats: Arc<Repeats>) -> Router {
    routes
        // First, so that it is around nothing else: what does not exist uses no key up.
        .route_layer(axum::middleware::from_fn_with_state(
            repeats,
            repeats::repeatable,
        ))
        .method_not_allowed_fallback(request::no_such_method)
        .fallback(request::no_such_path)
        .layer(axum::middleware::from_fn(request::bounded))
}

#[cfg(test)]
mod tests;
