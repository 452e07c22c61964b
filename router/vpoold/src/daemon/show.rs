//! Pools and disks as the API shows them.
//!
//! Owns: the questions that change nothing. Does not own: anything that they ask about.

use vpool_api as api;
use vpool_api::time::rfc3339;
use vpool_api::{Code, Problem, names};
use vpool_engine::router::{DiskStatus, PoolStatus};

use super::{ClosedPool, Daemon, of_engine};
use crate::location::to_api;

impl Daemon {
    /// All pools, by name, those that are not open among them.
    pub(crate) fn pools(&self) -> Vec<api::Pool> {
        let closed: Vec<ClosedPool> = self.closed.lock().values().cloned().collect();
        let open = self
            .router
            .pools()
            .into_iter()
            .map(|pool| self.open_pool_shown(pool));
        let mut pools: Vec<api::Pool> = open.chain(closed.into_iter().map(closed_pool)).collect();
        pools.sort_by(|a, b| a.name.cmp(&b.name));
        pools
    }

    /// One pool.
    pub(crate) fn pool(&self, name: &str) -> Result<api::Pool, Problem> {
        self.pools()
            .into_iter()
            .find(|pool| pool.name == name)
            .ok_or_else(|| no_pool(name))
    }

    /// All disks, of one pool or of all.
    pub(crate) fn disks(&self, pool: Option<&str>) -> Result<Vec<api::Disk>, Problem> {
        if let Some(pool) = pool {
            self.check_pool_open(pool)?;
        }
        let disks = self.router.disks(pool).map_err(|error| of_engine(&error))?;
        Ok(disks.into_iter().map(disk).collect())
    }

    /// One disk.
    pub(crate) fn disk(&self, path: &names::DiskPath) -> Result<api::Disk, Problem> {
        self.check_pool_of(path)?;
        self.router
            .disk(&path.to_string())
            .map(disk)
            .map_err(|error| of_engine(&error))
    }

    fn open_pool_shown(&self, pool: PoolStatus) -> api::Pool {
        let store = self
            .stores
            .lock()
            .get(&pool.entry.id)
            .map(|store| store.counts());
        api::Pool {
            id: pool.entry.id.to_string(),
            location: to_api(&pool.entry.location),
            generation: pool.entry.generation.0,
            disks: pool.disks as u64,
            journal_used_bytes: pool.journal_used_bytes,
            journal_max_bytes: pool.journal_max_bytes,
            unshipped_bytes: pool.unshipped_bytes,
            store,
            error: pool.error,
            name: pool.entry.name,
        }
    }
}

impl super::Doors {
    /// How clients reach a disk.
    pub(crate) fn connection(&self, pool: &str, disk: &str) -> api::Connection {
        api::Connection {
            export: format!("{pool}:{disk}"),
            nbd_socket: self.nbd_socket.clone(),
            nbd_tcp: self.nbd_tcp.clone(),
            nbd_tls: self.nbd_tls,
        }
    }
}

pub(super) fn no_pool(name: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no pool {name:?}"))
        .with_hint("`vpool pool list` shows those there are")
}

/// Nothing is known of a pool that is not open but what the metadata says.
fn closed_pool(pool: ClosedPool) -> api::Pool {
    api::Pool {
        id: pool.entry.id.to_string(),
        location: to_api(&pool.entry.location),
        generation: pool.entry.generation.0,
        disks: 0,
        journal_used_bytes: 0,
        journal_max_bytes: 0,
        unshipped_bytes: 0,
        store: None,
        error: Some(pool.problem.detail),
        name: pool.entry.name,
    }
}

/// A disk of the router.
pub(super) fn disk(disk: DiskStatus) -> api::Disk {
    api::Disk {
        id: disk.entry.id.to_string(),
        pool: disk.pool,
        name: disk.entry.name,
        size_bytes: disk.entry.size,
        encrypted: disk.entry.wrapped_key.is_some(),
        created_ms: disk.entry.created_ms,
        created_at: rfc3339(disk.entry.created_ms),
        description: Some(disk.entry.settings.description).filter(|text| !text.is_empty()),
        read_only: disk.entry.settings.read_only,
        open: disk.open,
        attached: disk.attached as u64,
        log: disk.status.map(|status| api::DiskLog {
            last: status.last.0,
            durable: status.durable.0,
            shipped: status.shipped.0,
            unshipped_bytes: status.unshipped_bytes,
            written_bytes: status.written_bytes,
            shipped_bytes: status.shipped_data_bytes,
            map_bytes: status.map_bytes,
        }),
        error: disk.error,
    }
}
