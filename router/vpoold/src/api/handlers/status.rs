//! The daemon itself.

use axum::extract::State as Known;
use axum::http::StatusCode;
use axum::response::Response;
use vpool_api::{Health, HealthStatus, Version};

use super::super::API_VERSION;
use super::super::query::NoQuery;
use super::super::request::{Answer, sent};
use super::Api;

/// Which daemon answers
#[utoipa::path(get, path = "/version", tag = "daemon", responses((status = 200, body = Version)))]
pub(in crate::api) async fn version(Known(api): Api, _: NoQuery) -> Answer<Version> {
    Answer(Version {
        name: "vpoold".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: API_VERSION,
        pid: std::process::id(),
        data_dir: api.doors.data_dir.clone(),
        api_tcp: api.doors.api_tcp.clone(),
    })
}

/// Whether the daemon serves, and what is wrong
#[utoipa::path(get, path = "/healthz", tag = "daemon", security(()), responses(
    (status = 200, description = "It serves; something may be wrong", body = Health),
    (status = 503, description = "Writes are refused", body = Health),
))]
pub(in crate::api) async fn health(Known(api): Api, _: NoQuery) -> Response {
    let health = api.daemon.health();
    let status = match health.status {
        HealthStatus::Ok | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Failing => StatusCode::SERVICE_UNAVAILABLE,
    };
    sent(status, "application/json", &health)
}
