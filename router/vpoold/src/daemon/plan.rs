//! What changes would do, without doing them.
//!
//! Owns: the same checks as the change makes, in the same words, and what can only be found out by
//! doing it. Does not own: the changes (`daemon.rs`, the engine).

use std::path::Path;

use vpool_api as api;
use vpool_api::{Code, DryRun, Problem, names, size};
use vpool_metadata::Location;
use vpool_object::ErrorKind as StoreKind;

use super::{CLAIMS, Daemon, invalid, of_engine, of_store};
use crate::stores::Purpose;

impl Daemon {
    /// What making a pool would do. Nothing is written to its location: a directory does not even
    /// become one.
    pub(crate) async fn plan_create_pool(
        &self,
        name: &str,
        location: &Location,
    ) -> Result<DryRun, Problem> {
        names::check_pool(name).map_err(invalid)?;
        self.check_pool_name_unused(name)?;
        let claimed = match location {
            Location::Directory(path) if !is_directory(path).await => {
                let detail = format!("there is no directory {path}");
                return Err(Problem::new(Code::NotFound, detail).with_hint("make it, or mount it"));
            }
            location => self.is_claimed(location).await?,
        };
        if claimed {
            let detail = format!("the location of pool {name} holds a pool already");
            return Err(Problem::new(Code::Conflict, detail)
                .with_hint("choose another place, or take it over: `vpool pool adopt`"));
        }
        let plan = DryRun::one("create", format!("pool {name}"), "its claim is written");
        Ok(plan.with_note("the store is tried out when the pool is made, not now"))
    }

    /// What taking over a location would do.
    pub(crate) async fn plan_adopt(
        &self,
        name: Option<&str>,
        location: &Location,
    ) -> Result<DryRun, Problem> {
        if let Some(name) = name {
            names::check_pool(name).map_err(invalid)?;
            self.check_pool_name_unused(name)?;
        }
        if !self.is_claimed(location).await? {
            let detail = "the location holds no pool";
            return Err(Problem::new(Code::NotFound, detail).with_hint("check bucket and prefix"));
        }
        let object = name.map_or("the pool there".to_owned(), |name| format!("pool {name}"));
        let plan = DryRun::one(
            "adopt",
            object,
            "with all its disks; a new claim is written",
        );
        Ok(plan.with_note(
            "whether the key opens it, and whether it was in use lately, is checked when it is \
             adopted",
        ))
    }

    /// What making a disk would do.
    pub(crate) fn plan_create_disk(&self, request: &api::CreateDisk) -> Result<DryRun, Problem> {
        names::check_disk(&request.name).map_err(invalid)?;
        size::check_disk(request.size_bytes).map_err(invalid)?;
        if let Some(pool) = &request.pool {
            self.check_pool_open(pool)?;
        }
        let pool = self
            .router
            .pool_entry(request.pool.as_deref())
            .map_err(|error| of_engine(&error))?
            .name;
        let path = names::DiskPath {
            pool: Some(pool),
            name: request.name.clone(),
        };
        if self.router.disk(&path.to_string()).is_ok() {
            let detail = format!("there is a disk {path} already");
            return Err(Problem::new(Code::Conflict, detail)
                .with_hint("choose another name, or delete it first"));
        }
        let kind = if request.encrypt {
            "encrypted"
        } else {
            "not encrypted"
        };
        let detail = format!("{}, {kind}", size::format(request.size_bytes));
        Ok(DryRun::one("create", format!("disk {path}"), detail))
    }

    /// What deleting a disk would do.
    pub(crate) fn plan_delete_disk(&self, disk: &names::DiskPath) -> Result<DryRun, Problem> {
        let disk = self.disk(disk)?;
        let path = format!("{}:{}", disk.pool, disk.name);
        if disk.attached > 0 {
            let detail = format!("disk {path} is in use by {} client(s)", disk.attached);
            return Err(Problem::new(Code::Conflict, detail).with_hint("disconnect them first"));
        }
        let detail = format!("{} with all its data", size::format(disk.size_bytes));
        Ok(DryRun::one("delete", format!("disk {path}"), detail))
    }

    /// What repairing a disk would do.
    pub(crate) fn plan_repair(
        &self,
        disk: &names::DiskPath,
        accept_loss: bool,
    ) -> Result<DryRun, Problem> {
        let disk = self.disk(disk)?;
        let path = format!("{}:{}", disk.pool, disk.name);
        let Some(error) = disk.error.filter(|_| !disk.open) else {
            return Ok(DryRun::default().with_note(format!("disk {path} needs no repair")));
        };
        let detail = if accept_loss {
            "rolled back to before what is lost"
        } else {
            "opened, if nothing is lost"
        };
        Ok(DryRun::one("repair", format!("disk {path}"), detail).with_note(error))
    }

    fn check_pool_name_unused(&self, name: &str) -> Result<(), Problem> {
        self.check_pool_name_free(name)?;
        match self.router.pool_entry(Some(name)) {
            Ok(_) => Err(Problem::new(
                Code::Conflict,
                format!("there is a pool {name:?} already: choose another name"),
            )),
            Err(_) => Ok(()),
        }
    }

    /// Whether a location holds a pool.
    async fn is_claimed(&self, location: &Location) -> Result<bool, Problem> {
        let store = match self.store(location, Purpose::Use).await {
            Ok(store) => store,
            // A directory that never was a location.
            Err(error)
                if error.kind() == StoreKind::NoLocation
                    && matches!(location, Location::Directory(_)) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(of_store(&error)),
        };
        let claims = store.decorated().list(CLAIMS, None, 1).await;
        Ok(!claims.map_err(|error| of_store(&error))?.objects.is_empty())
    }
}

async fn is_directory(path: &str) -> bool {
    let metadata = tokio::fs::metadata(Path::new(path)).await;
    metadata.is_ok_and(|metadata| metadata.is_dir())
}
