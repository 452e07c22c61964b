//! The router with its stores: what the API asks for, in the API's words.
//!
//! Owns: which store belongs to which pool, trying a store out before a pool is made on it,
//! pools that could not be opened. Does not own: pools and disks (`vpool-engine`).
//!
//! A pool whose place is missing at the start (a NAS that is not mounted, a key file that is
//! gone) does not keep the others from serving: it is shown with its error, and tried again.

mod changes;
mod deletion;
mod health;
mod plan;
mod probing;
mod reaching;
mod show;
mod statistics;
mod sync;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vpool_api as api;
use vpool_api::{Code, Problem, names, size};
use vpool_engine::error::{Error as EngineError, ErrorKind as EngineKind};
use vpool_engine::router::Router;
use vpool_format::{GridId, PoolId};
use vpool_host::Host;
use vpool_metadata::{Location, PoolEntry};
use vpool_object::{Error as StoreError, ErrorKind as StoreKind};

use crate::activity::Activity;
use crate::stores::{Purpose, Store};
pub(crate) use deletion::Going;
pub(crate) use statistics::PoolFigures;

/// Between two attempts to open pools that could not be opened.
const REOPEN_PAUSE: Duration = Duration::from_secs(15);

/// What the names of claims begin with (`vpool-format`, names).
const CLAIMS: &str = "claim/";

/// The router of this host and its stores.
#[derive(Debug)]
pub(crate) struct Daemon {
    router: Arc<Router>,
    grid: GridId,
    host: Host,
    stores: Mutex<BTreeMap<PoolId, Store>>,
    closed: Mutex<BTreeMap<PoolId, ClosedPool>>,
    /// Who opens, sets or forgets a pool has its turn.
    turns: Mutex<BTreeMap<PoolId, Arc<tokio::sync::Mutex<()>>>>,
    activity: Arc<Activity>,
}

/// Where clients find this daemon.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    /// The data directory.
    pub(crate) data_dir: String,
    /// The NBD unix socket.
    pub(crate) nbd_socket: String,
    /// The NBD address, where there is one.
    pub(crate) nbd_tcp: Option<String>,
    /// Whether clients start TLS there.
    pub(crate) nbd_tls: bool,
    /// The API's unix socket.
    pub(crate) api_socket: String,
    /// The API's address on TCP, where there is one.
    pub(crate) api_tcp: Option<String>,
    /// Whether clients speak TLS there.
    pub(crate) api_tls: bool,
}

/// A pool of the metadata that is not open, and why.
#[derive(Debug, Clone)]
struct ClosedPool {
    entry: PoolEntry,
    problem: Problem,
    /// Whether another attempt may succeed by itself.
    passing: bool,
}

impl Daemon {
    /// Around a router without pools.
    pub(crate) fn new(
        router: Arc<Router>,
        grid: GridId,
        host: Host,
        activity: Arc<Activity>,
    ) -> Daemon {
        Daemon {
            activity,
            router,
            grid,
            host,
            stores: Mutex::default(),
            closed: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// Opens a pool of the metadata. One that cannot be opened is kept with its problem.
    pub(crate) async fn open_pool(&self, entry: PoolEntry) -> Result<(), Problem> {
        let _turn = self.turn(entry.id).await;
        self.open_in_turn(entry).await
    }

    async fn open_in_turn(&self, entry: PoolEntry) -> Result<(), Problem> {
        let opened = self.try_open(&entry).await;
        let mut closed = self.closed.lock();
        match &opened {
            Ok(()) => {
                if closed.remove(&entry.id).is_some() {
                    tracing::info!(pool = %entry.name, "the pool is open now");
                }
            }
            // It was adopted meanwhile, and is open.
            Err(_)
                if self
                    .router
                    .pools()
                    .iter()
                    .any(|open| open.entry.id == entry.id) =>
            {
                closed.remove(&entry.id);
            }
            Err((problem, passing)) => {
                let before = closed.get(&entry.id).map(|pool| &pool.problem);
                if before != Some(problem) {
                    tracing::error!(pool = %entry.name, error = %problem, again = passing,
                        "a pool is not open");
                }
                let (problem, passing) = (problem.clone(), *passing);
                closed.insert(
                    entry.id,
                    ClosedPool {
                        entry,
                        problem,
                        passing,
                    },
                );
            }
        }
        opened.map_err(|(problem, _)| problem)
    }

    async fn try_open(&self, entry: &PoolEntry) -> Result<(), (Problem, bool)> {
        let store = self
            .store(&entry.location, Purpose::Use)
            .await
            .map_err(|error| {
                let passing = error.kind() != StoreKind::Conflict;
                (of_store(&error), passing)
            })?;
        let opening = self.router.open_pool(entry.clone(), store.decorated());
        opening.await.map_err(|error| {
            let passing = !matches!(
                error.kind(),
                EngineKind::Conflict | EngineKind::Fenced | EngineKind::Corrupt
            );
            (of_engine(&error), passing)
        })?;
        self.stores.lock().insert(entry.id, store);
        Ok(())
    }

    /// Tries again, for ever, to open the pools that could not be opened.
    pub(crate) async fn reopen_pools(&self) {
        loop {
            tokio::time::sleep(REOPEN_PAUSE).await;
            let closed: Vec<PoolId> = self.closed.lock().keys().copied().collect();
            for id in closed {
                let _turn = self.turn(id).await;
                // It may have been set or forgotten meanwhile.
                let now = self.closed.lock().get(&id).cloned();
                if let Some(pool) = now.filter(|pool| pool.passing) {
                    // What went wrong is kept and said by the attempt itself.
                    let _kept = self.open_in_turn(pool.entry).await;
                }
            }
        }
    }

    /// Makes a pool on a location that holds none, after trying the store out.
    pub(crate) async fn create_pool(
        &self,
        name: &str,
        location: Location,
    ) -> Result<PoolEntry, Problem> {
        names::check_pool(name).map_err(invalid)?;
        self.check_pool_name_free(name)?;
        let store = self
            .store(&location, Purpose::Create)
            .await
            .map_err(|e| of_store(&e))?;
        self.try_out(&store).await?;
        let entry = self
            .router
            .create_pool(name, location, store.decorated())
            .await
            .map_err(|error| of_engine(&error))?;
        self.stores.lock().insert(entry.id, store);
        Ok(entry)
    }

    /// Refuses a store that cannot hold a pool. One that holds a pool already needs no trial:
    /// creating another there is refused by its claim.
    async fn try_out(&self, store: &Store) -> Result<(), Problem> {
        let claims = store
            .decorated()
            .list(CLAIMS, None, 1)
            .await
            .map_err(|e| of_store(&e))?;
        if !claims.objects.is_empty() {
            return Ok(());
        }
        self.probe_store(store).await.map(drop)
    }

    /// Takes over a location with all its disks.
    pub(crate) async fn adopt_pool(
        &self,
        name: Option<&str>,
        location: Location,
        take_over: bool,
    ) -> Result<api::Adopted, Problem> {
        if let Some(name) = name {
            names::check_pool(name).map_err(invalid)?;
            self.check_pool_name_free(name)?;
        }
        let store = self
            .store(&location, Purpose::Use)
            .await
            .map_err(|e| of_store(&e))?;
        let adopted = self
            .router
            .adopt_pool(name, location.clone(), store.decorated(), take_over)
            .await;
        // It may be open although not all of its disks are, and may have been a pool that was not.
        let pools = self.router.pools();
        if let Some(pool) = pools.iter().find(|pool| pool.entry.location == location) {
            self.stores.lock().insert(pool.entry.id, store);
            self.closed.lock().remove(&pool.entry.id);
        }
        let adopted = adopted.map_err(|error| of_engine(&error))?;
        Ok(api::Adopted {
            pool: adopted.pool,
            disks: adopted.disks,
        })
    }

    /// Makes a disk.
    pub(crate) async fn create_disk(
        &self,
        request: &api::CreateDisk,
    ) -> Result<api::Disk, Problem> {
        names::check_disk(&request.name).map_err(invalid)?;
        size::check_disk(request.size_bytes).map_err(invalid)?;
        let pool = request.pool.as_deref();
        if let Some(pool) = pool {
            self.check_pool_open(pool)?;
        }
        let entry = self
            .router
            .create_disk(pool, &request.name, request.size_bytes, request.encrypt)
            .await
            .map_err(|error| of_engine(&error))?;
        let disk = self.router.disk_of(&entry);
        disk.map(show::disk).ok_or_else(|| {
            Problem::new(
                Code::NotFound,
                format!("disk {} is deleted already", entry.name),
            )
        })
    }

    /// Deletes a disk.
    pub(crate) async fn delete_disk(&self, disk: &names::DiskPath) -> Result<(), Problem> {
        self.check_pool_of(disk)?;
        self.router
            .delete_disk(&disk.to_string())
            .await
            .map_err(|error| of_engine(&error))
    }

    /// Goes on with a damaged disk.
    pub(crate) async fn repair_disk(
        &self,
        disk: &names::DiskPath,
        accept_loss: bool,
    ) -> Result<api::Disk, Problem> {
        self.check_pool_of(disk)?;
        let name = disk.to_string();
        let repair = self.router.repair_disk(&name, accept_loss);
        repair.await.map_err(|error| of_engine(&error))?;
        self.disk(disk)
    }

    /// A name that a closed pool has is taken, although the router does not know it.
    fn check_pool_name_free(&self, name: &str) -> Result<(), Problem> {
        match self.closed_pool(name) {
            Some(_) => Err(Problem::new(
                Code::Conflict,
                format!("there is a pool {name:?} already, although it is not open"),
            )),
            None => Ok(()),
        }
    }

    /// Says why a pool is not open, where the router would say that there is none.
    fn check_pool_open(&self, name: &str) -> Result<(), Problem> {
        match self.closed_pool(name) {
            Some(pool) => Err(Problem::new(
                Code::Unavailable,
                format!("pool {name} is not open: {}", pool.problem.detail),
            )),
            None => Ok(()),
        }
    }

    fn check_pool_of(&self, disk: &names::DiskPath) -> Result<(), Problem> {
        disk.pool
            .as_deref()
            .map_or(Ok(()), |pool| self.check_pool_open(pool))
    }

    fn closed_pool(&self, name: &str) -> Option<ClosedPool> {
        self.closed
            .lock()
            .values()
            .find(|pool| pool.entry.name == name)
            .cloned()
    }

    async fn store(&self, location: &Location, purpose: Purpose) -> vpool_object::Result<Store> {
        let seed = u64::from_le_bytes(self.host.entropy.array());
        // One host a grid so far: its id names this host in a directory that others share.
        Store::open(location, purpose, &self.grid.to_string(), seed).await
    }
}

fn invalid(error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::Invalid, error.to_string())
}

/// What an error of the engine is to a caller.
pub(crate) fn of_engine(error: &EngineError) -> Problem {
    let code = match error.kind() {
        EngineKind::Invalid => Code::Invalid,
        EngineKind::NotFound => Code::NotFound,
        EngineKind::Conflict => Code::Conflict,
        EngineKind::Fenced => Code::Fenced,
        EngineKind::Unavailable => Code::Unavailable,
        EngineKind::NoSpace => Code::NoSpace,
        EngineKind::Corrupt => Code::Corrupt,
        EngineKind::Io => Code::Io,
        EngineKind::ShuttingDown => Code::ShuttingDown,
    };
    Problem::new(code, error.to_string())
}

/// What an error of a store is to a caller, while a pool is made or opened.
pub(crate) fn of_store(error: &StoreError) -> Problem {
    let code = match error.kind() {
        StoreKind::Invalid => Code::Invalid,
        StoreKind::NotFound | StoreKind::NoLocation => Code::NotFound,
        StoreKind::Conflict => Code::Conflict,
        StoreKind::Denied => Code::Denied,
        StoreKind::Unavailable | StoreKind::Throttled => Code::Unavailable,
        StoreKind::Damaged => Code::Corrupt,
        StoreKind::NoSpace => Code::NoSpace,
    };
    Problem::new(code, sentence(error))
}

/// An error with all its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    //! The rules that the API checks first are those of the engine.

    use vpool_api::{limits, names};

    #[test]
    fn one_rule_for_names_and_sizes() {
        let longest = "x".repeat(255);
        let long = "x".repeat(256);
        for name in [
            "a", "vm/a", "a b", "...", "Größe", &longest, &long, "", "a:b", "a@b", "/", "a//b",
            ".", "..", "a/..", "a\u{85}", "a\nb", "\0",
        ] {
            let ours = names::check_disk(name).is_ok();
            let engine = vpool_engine::name::check("disk", name).is_ok();
            assert_eq!(ours, engine, "{name:?}");
        }
        assert_eq!(limits::DISK_BYTES_MAX, vpool_engine::limits::DISK_BYTES_MAX);
        assert_eq!(limits::SECTOR_BYTES, vpool_engine::limits::SECTOR);
    }
}
