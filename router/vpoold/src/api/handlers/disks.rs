//! Disks.

use axum::extract::State as Known;
use serde_json::Value;
use vpool_api::{
    Connection, CreateDisk, Disk, EventKind, List, RenameDisk, RepairDisk, ResizeDisk, Resized,
    SetDisk, Task,
};

use super::super::list::Listing;
use super::super::query::{Dry, NoQuery, Query};
use super::super::request::{Answer, Changed, Failed, Json, Named, to_the_end};
use super::Api;

/// All disks
///
/// `pool=NAME` is `filter=pool=NAME`, and an error where there is no such pool.
#[utoipa::path(get, path = "/disks", tag = "disks",
    params(("pool" = Option<String>, Query, description = "Of this pool only")),
    responses((status = 200, body = List<Disk>)))]
pub(in crate::api) async fn list(
    Known(api): Api,
    mut query: Query,
) -> Result<Answer<List<Value>>, Failed> {
    let pool = query.one("pool")?;
    let listing = Listing::of(&mut query)?;
    query.end()?;
    Ok(Answer(listing.page(api.daemon.disks(pool.as_deref())?)))
}

/// One disk
#[utoipa::path(get, path = "/disks/{disk}", tag = "disks",
    responses((status = 200, body = Disk)))]
pub(in crate::api) async fn show(
    Known(api): Api,
    disk: Named,
    _: NoQuery,
) -> Result<Answer<Disk>, Failed> {
    Ok(Answer(api.daemon.disk(&disk.disk()?)?))
}

/// Make a disk; it reads as zeroes
#[utoipa::path(post, path = "/disks", tag = "disks", request_body = CreateDisk,
    responses((status = 200, body = Disk)))]
pub(in crate::api) async fn create(
    Known(api): Api,
    Dry(dry): Dry,
    Json(request): Json<CreateDisk>,
) -> Result<Changed<Disk>, Failed> {
    let (daemon, events) = (api.daemon.clone(), api.events.clone());
    if dry {
        return Ok(Changed::Planned(daemon.plan_create_disk(&request)?));
    }
    let disk = to_the_end(&api, async move {
        let disk = daemon.create_disk(&request).await?;
        events.send(
            EventKind::DiskCreated,
            format!("{}:{}", disk.pool, disk.name),
        );
        Ok(disk)
    });
    Ok(Changed::Done(disk.await?))
}

/// Delete a disk that nobody is attached to
#[utoipa::path(delete, path = "/disks/{disk}", tag = "disks",
    responses((status = 204, description = "It is deleted")))]
pub(in crate::api) async fn delete(
    Known(api): Api,
    disk: Named,
    Dry(dry): Dry,
) -> Result<Changed<Disk>, Failed> {
    let disk = disk.disk()?;
    let (daemon, events) = (api.daemon.clone(), api.events.clone());
    if dry {
        return Ok(Changed::Planned(daemon.plan_delete_disk(&disk)?));
    }
    to_the_end(&api, async move {
        // Its whole name is not to be found out afterwards.
        let found = daemon.disk(&disk)?;
        daemon.delete_disk(&disk).await?;
        events.send(
            EventKind::DiskDeleted,
            format!("{}:{}", found.pool, found.name),
        );
        Ok(())
    })
    .await?;
    Ok(Changed::Gone)
}

/// Bring all that was written to a disk into the store
#[utoipa::path(post, path = "/disks/{disk}/sync", tag = "disks",
    responses((status = 202, description = "It has begun", body = Task)))]
pub(in crate::api) async fn sync(
    Known(api): Api,
    disk: Named,
    Dry(dry): Dry,
) -> Result<Changed<Task>, Failed> {
    let what = api.daemon.synced_disk(&disk.disk()?)?;
    if dry {
        return Ok(Changed::Planned(api.daemon.plan_sync(&what)?));
    }
    Ok(Changed::Begun(
        api.daemon.begin_sync(&api.tasks, what).await?,
    ))
}

/// Go on with a disk whose journal is damaged
#[utoipa::path(post, path = "/disks/{disk}/repair", tag = "disks", request_body = RepairDisk,
    responses((status = 200, body = Disk)))]
pub(in crate::api) async fn repair(
    Known(api): Api,
    disk: Named,
    Dry(dry): Dry,
    Json(RepairDisk { accept_loss }): Json<RepairDisk>,
) -> Result<Changed<Disk>, Failed> {
    let disk = disk.disk()?;
    let (daemon, events) = (api.daemon.clone(), api.events.clone());
    if dry {
        return Ok(Changed::Planned(daemon.plan_repair(&disk, accept_loss)?));
    }
    let repaired = to_the_end(&api, async move {
        let disk = daemon.repair_disk(&disk, accept_loss).await?;
        events.send(
            EventKind::DiskChanged,
            format!("{}:{}", disk.pool, disk.name),
        );
        Ok(disk)
    });
    Ok(Changed::Done(repaired.await?))
}

/// Give a disk another size
///
/// It grows while it is used; NBD clients see the new size when they connect again, and the answer
/// names them. It shrinks only with `shrink`, and while nobody is attached.
#[utoipa::path(post, path = "/disks/{disk}/resize", tag = "disks", request_body = ResizeDisk,
    responses((status = 200, body = Resized)))]
pub(in crate::api) async fn resize(
    Known(api): Api,
    disk: Named,
    Dry(dry): Dry,
    Json(request): Json<ResizeDisk>,
) -> Result<Changed<Resized>, Failed> {
    let disk = disk.disk()?;
    let (daemon, events) = (api.daemon.clone(), api.events.clone());
    if dry {
        return Ok(Changed::Planned(daemon.plan_resize_disk(&disk, &request)?));
    }
    let resized = to_the_end(&api, async move {
        let resized = daemon.resize_disk(&disk, &request).await?;
        let (pool, name) = (&resized.disk.pool, &resized.disk.name);
        events.send(EventKind::DiskChanged, format!("{pool}:{name}"));
        Ok(resized)
    });
    Ok(Changed::Done(resized.await?))
}

/// Give a disk that nobody is attached to another name
#[utoipa::path(post, path = "/disks/{disk}/rename", tag = "disks", request_body = RenameDisk,
    responses((status = 200, body = Disk)))]
pub(in crate::api) async fn rename(
    Known(api): Api,
    disk: Named,
    Dry(dry): Dry,
    Json(RenameDisk { name }): Json<RenameDisk>,
) -> Result<Changed<Disk>, Failed> {
    let disk = disk.disk()?;
    let (daemon, events) = (api.daemon.clone(), api.events.clone());
    if dry {
        return Ok(Changed::Planned(daemon.plan_rename_disk(&disk, &name)?));
    }
    let renamed = to_the_end(&api, async move {
        let renamed = daemon.rename_disk(&disk, &name).await?;
        let (pool, name) = (&renamed.pool, &renamed.name);
        events.send(EventKind::DiskChanged, format!("{pool}:{name}"));
        Ok(renamed)
    });
    Ok(Changed::Done(renamed.await?))
}

/// Change what is said of a disk, or whether it may be written
#[utoipa::path(patch, path = "/disks/{disk}", tag = "disks", request_body = SetDisk,
    responses((status = 200, body = Disk)))]
pub(in crate::api) async fn set(
    Known(api): Api,
    disk: Named,
    Dry(dry): Dry,
    Json(request): Json<SetDisk>,
) -> Result<Changed<Disk>, Failed> {
    let disk = disk.disk()?;
    let (daemon, events) = (api.daemon.clone(), api.events.clone());
    if dry {
        return Ok(Changed::Planned(daemon.plan_set_disk(&disk, &request)?));
    }
    let set = to_the_end(&api, async move {
        let set = daemon.set_disk(&disk, request).await?;
        events.send(EventKind::DiskChanged, format!("{}:{}", set.pool, set.name));
        Ok(set)
    });
    Ok(Changed::Done(set.await?))
}

/// How clients reach a disk
#[utoipa::path(get, path = "/disks/{disk}/connection", tag = "disks",
    responses((status = 200, body = Connection)))]
pub(in crate::api) async fn connection(
    Known(api): Api,
    disk: Named,
    _: NoQuery,
) -> Result<Answer<Connection>, Failed> {
    let disk = api.daemon.disk(&disk.disk()?)?;
    Ok(Answer(api.doors.connection(&disk.pool, &disk.name)))
}
