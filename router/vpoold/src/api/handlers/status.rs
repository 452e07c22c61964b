//! The daemon itself.

use axum::extract::State as Known;
use axum::http::StatusCode;
use axum::response::Response;
use vpool_api::{Check, DryRun, Health, HealthStatus, List, Version};

use super::super::API_VERSION;
use super::super::query::{Dry, NoQuery};
use super::super::request::{Answer, Changed, Failed, sent, to_the_end};
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

/// Look at what the daemon stands on
///
/// The journal's device (its file system, the time of a sync, direct I/O), space and memory beside the
/// settings, the ages of certificates. Takes seconds, and writes one file that has no name.
#[utoipa::path(post, path = "/checks", tag = "daemon",
    responses((status = 200, body = List<Check>)))]
pub(in crate::api) async fn checks(
    Known(api): Api,
    Dry(dry): Dry,
) -> Result<Changed<List<Check>>, Failed> {
    if dry {
        let detail =
            "a file of at most 400 KiB is written, without a name, on the journal's device";
        return Ok(Changed::Planned(DryRun::one("check", "the host", detail)));
    }
    let (checks, pools) = (api.checks.clone(), api.daemon.pools());
    let items = to_the_end(&api, async move { checks.run(pools).await }).await?;
    Ok(Changed::Done(List {
        total: u64::try_from(items.len()).unwrap_or(u64::MAX),
        items,
        next: None,
    }))
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
