//! Changes of what exists, as the API asks for them, and what they would do.
//!
//! Owns: the checks of names and sizes before the engine, the answers, the plans. Does not own: the
//! changes (`vpool-engine`).

use vpool_api as api;
use vpool_api::{Code, DryRun, Problem, names, size};
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
        let pool = self.disk(disk).map(|before| before.pool).ok();
        let renamed = self
            .router
            .rename_disk(&disk.to_string(), name)
            .await
            .map_err(|error| of_engine(&error))?;
        self.disk(&names::DiskPath {
            pool: pool.or_else(|| disk.pool.clone()),
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

    /// What resizing a disk would do.
    pub(crate) fn plan_resize_disk(
        &self,
        disk: &names::DiskPath,
        request: &api::ResizeDisk,
    ) -> Result<DryRun, Problem> {
        size::check_disk(request.size_bytes).map_err(invalid)?;
        let disk = self.disk(disk)?;
        let (old, new) = (disk.size_bytes, request.size_bytes);
        let path = path_of(&disk);
        if new < old && !request.shrink {
            let detail = format!("disk {path} has {old} bytes, and {new} are fewer");
            return Err(Problem::new(Code::Invalid, detail)
                .with_hint("ask for shrinking, if what is beyond may be lost"));
        }
        if new < old {
            refuse_attached(&disk)?;
        }
        let detail = format!("from {} to {}", size::format(old), size::format(new));
        let plan = match new == old {
            true => DryRun::default(),
            false => DryRun::one("resize", format!("disk {path}"), detail),
        };
        Ok(match disk.attached {
            0 => plan,
            clients => plan.with_note(format!(
                "{clients} client(s) see the new size when they connect again"
            )),
        })
    }

    /// What renaming a disk would do.
    pub(crate) fn plan_rename_disk(
        &self,
        disk: &names::DiskPath,
        name: &str,
    ) -> Result<DryRun, Problem> {
        names::check_disk(name).map_err(invalid)?;
        let disk = self.disk(disk)?;
        if disk.name == name {
            return Ok(DryRun::default());
        }
        refuse_attached(&disk)?;
        let to = names::DiskPath {
            pool: Some(disk.pool.clone()),
            name: name.to_owned(),
        };
        if self.router.disk(&to.to_string()).is_ok() {
            let detail = format!("there is a disk {to} already");
            return Err(Problem::new(Code::Conflict, detail).with_hint("choose another name"));
        }
        let object = format!("disk {}", path_of(&disk));
        Ok(DryRun::one("rename", object, format!("to {to}")))
    }

    /// What setting something of a disk would do.
    pub(crate) fn plan_set_disk(
        &self,
        disk: &names::DiskPath,
        request: &api::SetDisk,
    ) -> Result<DryRun, Problem> {
        let disk = self.disk(disk)?;
        let object = format!("disk {}", path_of(&disk));
        let mut plan = DryRun::default();
        if let Some(text) = &request.description
            && *text != disk.description.clone().unwrap_or_default()
        {
            let detail = format!("description {text:?}");
            plan.changes
                .extend(DryRun::one("set", &object, detail).changes);
        }
        if let Some(read_only) = request.read_only.filter(|wanted| *wanted != disk.read_only) {
            refuse_attached(&disk)?;
            let detail = match read_only {
                true => "read-only",
                false => "writable",
            };
            plan.changes
                .extend(DryRun::one("set", &object, detail).changes);
        }
        Ok(plan)
    }
}

fn path_of(disk: &api::Disk) -> String {
    format!("{}:{}", disk.pool, disk.name)
}

fn refuse_attached(disk: &api::Disk) -> Result<(), Problem> {
    match disk.attached {
        0 => Ok(()),
        clients => {
            let detail = format!("disk {} is in use by {clients} client(s)", path_of(disk));
            Err(Problem::new(Code::Conflict, detail).with_hint("disconnect them first"))
        }
    }
}
