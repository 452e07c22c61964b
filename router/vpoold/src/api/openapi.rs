//! The OpenAPI document: made from the routes, committed as `openapi.json`, served as committed.
//!
//! Owns: serving it, what is said of the whole. Does not own: what is said of each path (its handler)
//! and each type (`vpool-api`).

use std::sync::Arc;

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use vpool_api::{DryRun, Event, Problem};

use super::State;
use super::query::NoQuery;

#[cfg(test)]
mod made;

/// The document as committed.
const COMMITTED: &str = include_str!("../../openapi.json");

/// What is said of the whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "vPool",
        version = "1",
        description = "The API of vpoold. DISK in a path is [POOL:]NAME, percent-encoded as one part. \
            Fields may be added to answers; what is not known in a request is refused.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(DryRun, Event, Problem))
)]
struct Whole;

/// A router whose document begins with what is said of the whole.
pub(super) fn begun() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::with_openapi(Whole::openapi())
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "daemon",
    responses((status = 200, description = "OpenAPI 3.1", body = Value)))]
pub(in crate::api) async fn document(_: NoQuery) -> Response {
    let mut response = COMMITTED.into_response();
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
