//! Pools.

use axum::extract::State as Known;
use serde_json::Value;
use vpool_api::{
    AdoptPool, Adopted, Code, CreatePool, EventKind, List, Pool, ProbeReport, Problem, SetPool,
    Task,
};

use super::super::query::{Dry, NoQuery, Query};
use super::super::request::{Answer, Changed, Failed, Json, Named, to_the_end};
use super::{Api, page};
use crate::daemon::Going;
use crate::location::from_api;

/// All pools
#[utoipa::path(get, path = "/pools", tag = "pools", responses((status = 200, body = List<Pool>)))]
pub(in crate::api) async fn list(
    Known(api): Api,
    query: Query,
) -> Result<Answer<List<Value>>, Failed> {
    Ok(Answer(page(query, api.daemon.pools())?))
}

/// One pool
#[utoipa::path(get, path = "/pools/{pool}", tag = "pools",
    responses((status = 200, body = Pool)))]
pub(in crate::api) async fn show(
    Known(api): Api,
    pool: Named,
    _: NoQuery,
) -> Result<Answer<Pool>, Failed> {
    Ok(Answer(api.daemon.pool(&pool.0)?))
}

/// Make a pool on a location that holds none
#[utoipa::path(post, path = "/pools", tag = "pools", request_body = CreatePool,
    responses((status = 200, body = Pool)))]
pub(in crate::api) async fn create(
    Known(api): Api,
    Dry(dry): Dry,
    Json(CreatePool { name, location }): Json<CreatePool>,
) -> Result<Changed<Pool>, Failed> {
    let location = from_api(location)?;
    let (daemon, events) = (api.daemon.clone(), api.events.clone());
    if dry {
        return Ok(Changed::Planned(
            daemon.plan_create_pool(&name, &location).await?,
        ));
    }
    let pool = to_the_end(&api, async move {
        daemon.create_pool(&name, location).await?;
        events.send(EventKind::PoolCreated, &name);
        daemon.pool(&name)
    });
    Ok(Changed::Done(pool.await?))
}

/// Reach a pool in another way: with other credentials, say
///
/// Its disks go on meanwhile. The new way is tried out first, and must lead to the pool's own objects;
/// bucket, container and prefix stay what they are.
#[utoipa::path(patch, path = "/pools/{pool}", tag = "pools", request_body = SetPool,
    responses((status = 200, body = Pool)))]
pub(in crate::api) async fn set(
    Known(api): Api,
    pool: Named,
    Dry(dry): Dry,
    Json(request): Json<SetPool>,
) -> Result<Changed<Pool>, Failed> {
    let (daemon, events) = (api.daemon.clone(), api.events.clone());
    if dry {
        let plan = daemon.plan_set_pool(&pool.0, &request).await?;
        return Ok(Changed::Planned(plan));
    }
    let set = to_the_end(&api, async move {
        let set = daemon.set_pool(&pool.0, &request).await?;
        events.send(EventKind::PoolChanged, &set.name);
        Ok(set)
    });
    Ok(Changed::Done(set.await?))
}

/// Forget a pool without disks, or with them; its objects stay
///
/// `forget=true` is for a pool whose store is gone: its disks are forgotten with it, unless somebody uses
/// one, or the journal may hold writes that are not in the store and `accept_loss=true` is not said.
#[utoipa::path(delete, path = "/pools/{pool}", tag = "pools",
    params(
        ("forget" = Option<bool>, Query, description = "With its disks"),
        ("accept_loss" = Option<bool>, Query,
            description = "And with what only the journal holds of them")),
    responses((status = 204, description = "It is forgotten")))]
pub(in crate::api) async fn delete(
    Known(api): Api,
    pool: Named,
    mut query: Query,
) -> Result<Changed<Pool>, Failed> {
    let dry = query.flag("dry_run")?;
    let (forget, accept_loss) = (query.flag("forget")?, query.flag("accept_loss")?);
    query.end()?;
    let going = match (forget, accept_loss) {
        (true, accept_loss) => Going::WithDisks { accept_loss },
        (false, false) => Going::Empty,
        (false, true) => {
            let detail = "accept_loss=true is only for forget=true";
            return Err(Problem::new(Code::Invalid, detail).into());
        }
    };
    let (daemon, events) = (api.daemon.clone(), api.events.clone());
    if dry {
        let plan = daemon.plan_delete_pool(&pool.0, going).await?;
        return Ok(Changed::Planned(plan));
    }
    to_the_end(&api, async move {
        daemon.delete_pool(&pool.0, going).await?;
        events.send(EventKind::PoolDeleted, &pool.0);
        Ok(())
    })
    .await?;
    Ok(Changed::Gone)
}

/// Bring all that was written to the disks of a pool into its store
#[utoipa::path(post, path = "/pools/{pool}/sync", tag = "pools",
    responses((status = 202, description = "It has begun", body = Task)))]
pub(in crate::api) async fn sync(
    Known(api): Api,
    pool: Named,
    Dry(dry): Dry,
) -> Result<Changed<Task>, Failed> {
    let what = api.daemon.synced_pool(&pool.0)?;
    if dry {
        return Ok(Changed::Planned(api.daemon.plan_sync(&what)?));
    }
    Ok(Changed::Begun(
        api.daemon.begin_sync(&api.tasks, what).await?,
    ))
}

/// Try the store of a pool out
#[utoipa::path(post, path = "/pools/{pool}/probe", tag = "pools",
    responses((status = 200, body = ProbeReport)))]
pub(in crate::api) async fn probe(
    Known(api): Api,
    pool: Named,
    Dry(dry): Dry,
) -> Result<Changed<ProbeReport>, Failed> {
    let daemon = api.daemon.clone();
    if dry {
        return Ok(Changed::Planned(daemon.plan_probe(&pool.0)?));
    }
    let report = to_the_end(&api, async move { daemon.probe_pool(&pool.0).await });
    Ok(Changed::Done(report.await?))
}

/// Take over a location that holds a pool, with all its disks
#[utoipa::path(post, path = "/adoptions", tag = "pools", request_body = AdoptPool,
    responses((status = 200, body = Adopted)))]
pub(in crate::api) async fn adopt(
    Known(api): Api,
    Dry(dry): Dry,
    Json(request): Json<AdoptPool>,
) -> Result<Changed<Adopted>, Failed> {
    let location = from_api(request.location)?;
    let (name, take_over) = (request.name, request.take_over);
    let (daemon, events) = (api.daemon.clone(), api.events.clone());
    if dry {
        let plan = daemon.plan_adopt(name.as_deref(), &location).await?;
        return Ok(Changed::Planned(plan));
    }
    let adopted = to_the_end(&api, async move {
        let name = name.as_deref();
        let adopted = daemon.adopt_pool(name, location, take_over).await?;
        events.send(EventKind::PoolCreated, &adopted.pool);
        for disk in &adopted.disks {
            let disk = format!("{}:{disk}", adopted.pool);
            events.send(EventKind::DiskCreated, disk);
        }
        Ok(adopted)
    });
    Ok(Changed::Done(adopted.await?))
}
