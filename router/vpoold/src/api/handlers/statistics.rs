//! What clients did with the disks.

use axum::extract::State as Known;
use serde_json::Value;
use vpool_api::{DiskStatistics, List};

use super::super::query::{NoQuery, Query};
use super::super::request::{Answer, Failed, Named};
use super::{Api, page};

/// The counters of one disk
#[utoipa::path(get, path = "/disks/{disk}/statistics", tag = "statistics",
    responses((status = 200, body = DiskStatistics)))]
pub(in crate::api) async fn of_disk(
    Known(api): Api,
    disk: Named,
    _: NoQuery,
) -> Result<Answer<DiskStatistics>, Failed> {
    Ok(Answer(api.daemon.disk_statistics(&disk.disk()?)?))
}

/// The counters of all disks
#[utoipa::path(get, path = "/statistics/disks", tag = "statistics",
    responses((status = 200, body = List<DiskStatistics>)))]
pub(in crate::api) async fn of_disks(
    Known(api): Api,
    query: Query,
) -> Result<Answer<List<Value>>, Failed> {
    Ok(Answer(page(query, api.daemon.all_disk_statistics()?)?))
}
