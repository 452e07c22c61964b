//! Changes of what exists, as the API asks for them.
//!
//! Owns: the checks of names and sizes before the engine, the answers. Does not own: the changes
//! (`vpool-engine`).

use vpool_api as api;
use vpool_api::{Problem, names, size};
use vpool_engine::router::DiskChange;

use super::{Daemon, invalid, of_engine};

impl Daemon {
    /// Gives a disk another size.
    pub(crate) async fn resize_disk(
        &self,
        disk: &names::DiskPath,
        request: &api::ResizeDisk,
    ) -> Result<api::Resized, Problem> {
        size::check_disk(request.size_bytes).map_err(invalid)?;
        self.check_pool_of(disk)?;
        let resized = self
            .router
            .resize_disk(&disk.to_string(), request.size_bytes, request.shrink)
            .await
            .map_err(|error| of_engine(&error))?;
        Ok(api::Resized {
            disk: self.disk(disk)?,
            reconnect: resized.clients,
        })
    }

    /// Gives a disk another name.
    pub(crate) async fn rename_disk(
        &self,
        disk: &names::DiskPath,
        name: &str,
    ) -> Result<api::Disk, Problem> {
        names::check_disk(name).map_err(invalid)?;
        self.check_pool_of(disk)?;
        let renamed = self
            .router
            .rename_disk(&disk.to_string(), name)
            .await
            .map_err(|error| of_engine(&error))?;
        self.disk(&names::DiskPath {
            pool: disk.pool.clone(),
            name: renamed.name,
        })
    }

    /// Changes what is set of a disk.
    pub(crate) async fn set_disk(
        &self,
        disk: &names::DiskPath,
        request: api::SetDisk,
    ) -> Result<api::Disk, Problem> {
        self.check_pool_of(disk)?;
        let change = DiskChange {
            description: request.description,
            read_only: request.read_only,
        };
        let set = self.router.set_disk(&disk.to_string(), &change).await;
        set.map_err(|error| of_engine(&error))?;
        self.disk(disk)
    }

    /// Forgets a pool without disks; its objects stay.
    pub(crate) async fn delete_pool(&self, pool: &str) -> Result<(), Problem> {
        self.check_pool_open(pool)?;
        let id = self.router.pools().into_iter().find(|open| open.entry.name == pool);
        let deleted = self.router.delete_pool(pool).await;
        deleted.map_err(|error| of_engine(&error))?;
        if let Some(open) = id {
            self.stores.lock().remove(&open.entry.id);
        }
        Ok(())
    }
}
