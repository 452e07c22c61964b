//! The API: JSON over HTTP on a unix socket.
//!
//! Owns: paths, what requests may cost, how answers and problems are sent. Does not own:
//! what the requests do (`daemon.rs`), the bodies (`vpool-api`).
//!
//! Who may open the socket may do everything: its mode (0660) is the permission.

mod handlers;
mod request;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::daemon::{Daemon, Doors};

pub(crate) use server::Server;

/// The version of the paths and bodies.
const API_VERSION: u32 = 1;

/// Changes that go on at the same time; each goes on to its end although the client is gone.
const CHANGES_MAX: usize = 32;

/// What every handler knows.
#[derive(Debug)]
struct State {
    daemon: Arc<Daemon>,
    doors: Doors,
    changes: Arc<Semaphore>,
}

/// All paths.
pub(crate) fn routes(daemon: Arc<Daemon>, doors: Doors) -> Router {
    let state = State {
        daemon,
        doors,
        changes: Arc::new(Semaphore::new(CHANGES_MAX)),
    };
    let v1 = Router::new()
        .route("/version", get(handlers::version))
        .route("/pools", get(handlers::pools).post(handlers::create_pool))
        .route("/pools/{pool}", get(handlers::pool))
        .route("/pools/{pool}/sync", post(handlers::sync_pool))
        .route("/adoptions", post(handlers::adopt_pool))
        .route("/disks", get(handlers::disks).post(handlers::create_disk))
        .route(
            "/disks/{disk}",
            get(handlers::disk).delete(handlers::delete_disk),
        )
        .route("/disks/{disk}/sync", post(handlers::sync_disk))
        .route("/disks/{disk}/repair", post(handlers::repair_disk))
        .route("/disks/{disk}/connection", get(handlers::connection));
    with_rules(
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .nest(&format!("/api/v{API_VERSION}"), v1)
            .with_state(Arc::new(state)),
    )
}

/// What holds for every path.
fn with_rules(routes: Router) -> Router {
    routes
        .fallback(request::no_such_path)
        .method_not_allowed_fallback(request::no_such_method)
        .layer(axum::middleware::from_fn(request::bounded))
}

#[cfg(test)]
mod tests;
