//! One function a request.
//!
//! Owns: which method of the daemon answers what. Does not own: those methods.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State as Known;
use axum::http::StatusCode;
use vpool_api::names::DiskPath;
use vpool_api::{
    AdoptPool, Adopted, Connection, CreateDisk, CreatePool, Disk, Pool, Problem, RepairDisk,
    Version,
};

use super::request::{Answer, Failed, Named, Query, json, to_the_end};
use super::{API_VERSION, State};
use crate::location::from_api;

type Api = Known<Arc<State>>;

pub(super) async fn version(Known(api): Api) -> Answer<Version> {
    Answer(Version {
        name: "vpoold".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: API_VERSION,
        pid: std::process::id(),
        data_dir: api.doors.data_dir.clone(),
    })
}

pub(super) async fn pools(Known(api): Api) -> Answer<Vec<Pool>> {
    Answer(api.daemon.pools())
}

pub(super) async fn pool(Known(api): Api, pool: Named) -> Result<Answer<Pool>, Failed> {
    Ok(Answer(api.daemon.pool(&pool.0)?))
}

pub(super) async fn create_pool(Known(api): Api, body: Bytes) -> Result<Answer<Pool>, Failed> {
    let CreatePool { name, location } = json(&body)?;
    let location = from_api(location)?;
    let daemon = api.daemon.clone();
    to_the_end(&api, async move {
        daemon.create_pool(&name, location).await?;
        daemon.pool(&name)
    })
    .await
}

pub(super) async fn sync_pool(Known(api): Api, pool: Named) -> Result<StatusCode, Failed> {
    api.daemon.sync_pool(&pool.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn adopt_pool(Known(api): Api, body: Bytes) -> Result<Answer<Adopted>, Failed> {
    let AdoptPool {
        name,
        location,
        take_over,
    } = json(&body)?;
    let location = from_api(location)?;
    let daemon = api.daemon.clone();
    to_the_end(&api, async move {
        daemon
            .adopt_pool(name.as_deref(), location, take_over)
            .await
    })
    .await
}

pub(super) async fn disks(Known(api): Api, query: Query) -> Result<Answer<Vec<Disk>>, Failed> {
    Ok(Answer(api.daemon.disks(query.pool.as_deref())?))
}

pub(super) async fn disk(Known(api): Api, disk: Named) -> Result<Answer<Disk>, Failed> {
    Ok(Answer(api.daemon.disk(&disk.disk()?)?))
}

pub(super) async fn create_disk(Known(api): Api, body: Bytes) -> Result<Answer<Disk>, Failed> {
    let request: CreateDisk = json(&body)?;
    let daemon = api.daemon.clone();
    to_the_end(&api, async move { daemon.create_disk(&request).await }).await
}

pub(super) async fn delete_disk(Known(api): Api, disk: Named) -> Result<StatusCode, Failed> {
    let disk: DiskPath = disk.disk()?;
    let daemon = api.daemon.clone();
    to_the_end(&api, async move { daemon.delete_disk(&disk).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn sync_disk(Known(api): Api, disk: Named) -> Result<StatusCode, Failed> {
    api.daemon.sync_disk(&disk.disk()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn repair_disk(
    Known(api): Api,
    disk: Named,
    body: Bytes,
) -> Result<Answer<Disk>, Failed> {
    let disk = disk.disk()?;
    let RepairDisk { accept_loss } = json(&body)?;
    let daemon = api.daemon.clone();
    to_the_end(
        &api,
        async move { daemon.repair_disk(&disk, accept_loss).await },
    )
    .await
}

pub(super) async fn connection(Known(api): Api, disk: Named) -> Result<Answer<Connection>, Failed> {
    let found: Result<Disk, Problem> = api.daemon.disk(&disk.disk()?);
    let disk = found?;
    Ok(Answer(api.doors.connection(&disk.pool, &disk.name)))
}
