//! `vpool disk …`.
//!
//! Owns: the verbs, and what is said of a disk. Does not own: what the verbs do, images
//! (`images`), the texts of `attach` (`vpool-api`).

mod columns;

use hyper::Method;
use vpool_api::attach;
use vpool_api::names::DiskPath;
use vpool_api::{
    Connection, CreateDisk, Disk, List, RenameDisk, RepairDisk, ResizeDisk, Resized, SetDisk, Task,
};

use crate::arguments::disk::{DiskVerb, Named};
use crate::client::{Client, part};
use crate::confirm::confirm;
use crate::failure::{Failure, say};
use crate::output::Output;
use crate::several::each;
use crate::{images, tasks};

/// What is said where there are none.
const EMPTY: &str =
    "no disks yet: vpool disk create NAME --size 40G, or vpool disk import NAME FILE";

/// All disks.
pub(crate) const DISKS: &str = "/api/v1/disks";

/// Runs one verb.
pub(crate) async fn run(client: &Client, output: &Output, verb: DiskVerb) -> Result<(), Failure> {
    match verb {
        DiskVerb::Create {
            disk,
            size,
            pool,
            encrypt,
            change,
        } => {
            let request = CreateDisk {
                pool: one_pool(&disk, pool)?,
                name: disk.name,
                size_bytes: size,
                encrypt,
            };
            let made = client.change(Method::POST, DISKS, &request, change.dry_run);
            output.changed(made.await?, |disk: &Disk| output.one(disk))
        }
        DiskVerb::List { pool, mut query } => {
            query.filter.extend(pool.map(|pool| format!("pool={pool}")));
            let disks: List<Disk> = client.list(DISKS, &query.text()).await?;
            output.list(&disks, EMPTY)
        }
        DiskVerb::Show(names) => {
            let show = async |disk: &DiskPath| client.get::<Disk>(&path(disk, "")).await;
            let (found, result) = each(&names.disks, show).await;
            output.some(found, names.disks.len())?;
            result
        }
        DiskVerb::Set {
            named: Named { disk },
            description,
            read_only,
            change,
        } => {
            let request = SetDisk {
                description,
                read_only,
            };
            let path = path(&disk, "");
            let set = client.change(Method::PATCH, &path, &request, change.dry_run);
            output.changed(set.await?, |disk: &Disk| output.one(disk))
        }
        DiskVerb::Resize {
            named: Named { disk },
            size,
            shrink,
            consent,
            change,
        } => {
            if shrink && !change.dry_run {
                let what = format!("What disk {disk} holds beyond its new size will be lost.");
                confirm(&consent, &what, &disk.to_string()).await?;
            }
            let request = ResizeDisk {
                size_bytes: size,
                shrink,
            };
            let path = path(&disk, "/resize");
            let resized = client.change(Method::POST, &path, &request, change.dry_run);
            output.changed(resized.await?, |resized: &Resized| {
                show_resized(output, resized)
            })
        }
        DiskVerb::Rename {
            named: Named { disk },
            new,
            change,
        } => {
            let path = path(&disk, "/rename");
            let request = RenameDisk { name: new };
            let renamed = client.change(Method::POST, &path, &request, change.dry_run);
            output.changed(renamed.await?, |disk: &Disk| output.one(disk))
        }
        DiskVerb::Sync {
            disks,
            waiting,
            change,
        } => {
            let sync = async |disk: &DiskPath| {
                let path = path(disk, "/sync");
                let asked = client.change::<Task>(Method::POST, &path, &(), change.dry_run);
                tasks::follow(client, output, asked.await?, waiting, || {
                    format!("disk {disk}: all that was written before is in the store")
                })
                .await
            };
            each(&disks.disks, sync).await.1
        }
        DiskVerb::Import(import) => images::import(client, output, import).await,
        DiskVerb::Export(export) => images::export(client, output, export).await,
        DiskVerb::Attach(Named { disk }) => {
            let connection: Connection = client.get(&path(&disk, "/connection")).await?;
            output.show(&connection, attach::text)
        }
        DiskVerb::Repair {
            named: Named { disk },
            accept_loss,
            consent,
            change,
        } => {
            let what = format!(
                "Disk {disk} will be rolled back to before the first record that `vpool disk show \
                 {disk}` names as lost; whatever was written after it and not shipped is given up."
            );
            if !change.dry_run {
                confirm(&consent, &what, &disk.to_string()).await?;
            }
            let request = RepairDisk { accept_loss };
            let path = path(&disk, "/repair");
            let repaired = client.change(Method::POST, &path, &request, change.dry_run);
            output.changed(repaired.await?, |disk: &Disk| output.one(disk))
        }
        DiskVerb::Delete {
            disks,
            consent,
            change,
        } => {
            let delete = async |disk: &DiskPath| {
                let what = format!("Disk {disk} will be deleted with all its data.");
                if !change.dry_run {
                    confirm(&consent, &what, &disk.to_string()).await?;
                }
                let path = path(disk, "");
                let done = client.change::<()>(Method::DELETE, &path, &(), change.dry_run);
                output.changed(done.await?, |()| {
                    output.done(&format!("disk {disk} is deleted"))
                })
            };
            each(&disks.disks, delete).await.1
        }
    }
}

/// The path of a disk, with what is asked of it.
pub(crate) fn path(disk: &DiskPath, rest: &str) -> String {
    format!("{DISKS}/{}{rest}", part(&disk.to_string()))
}

/// The pool by `POOL:` or by `--pool`, which must not disagree.
pub(crate) fn one_pool(disk: &DiskPath, flag: Option<String>) -> Result<Option<String>, Failure> {
    match (&disk.pool, flag) {
        (Some(named), Some(flag)) if *named != flag => Err(Failure::usage(format!(
            "the disk is named with pool {named}, but --pool says {flag}"
        ))),
        (named, flag) => Ok(flag.or_else(|| named.clone())),
    }
}

fn show_resized(output: &Output, resized: &Resized) -> Result<(), Failure> {
    if !output.is_for_people() {
        return output.show(resized, |resized| {
            format!("{}:{}\n", resized.disk.pool, resized.disk.name)
        });
    }
    output.one(&resized.disk)?;
    if !resized.reconnect.is_empty() {
        say(&format!(
            "note: these clients see the new size when they connect again: {}",
            resized.reconnect.join(", ")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! The pool of a new disk, and paths.

    use super::{one_pool, path};

    #[test]
    fn the_pool_of_a_new_disk() {
        let pool = |disk: &str, flag: Option<&str>| {
            one_pool(&disk.parse().expect("a good name"), flag.map(str::to_owned)).ok()
        };
        assert_eq!(pool("a", None), Some(None));
        assert_eq!(pool("p:a", None), Some(Some("p".into())));
        assert_eq!(pool("a", Some("p")), Some(Some("p".into())));
        assert_eq!(pool("p:a", Some("p")), Some(Some("p".into())));
        assert_eq!(pool("p:a", Some("q")), None);
    }

    #[test]
    fn paths_hold_any_name() {
        let disk = "p:vm/a b".parse().expect("a good name");
        assert_eq!(path(&disk, "/sync"), "/api/v1/disks/p%3Avm%2Fa%20b/sync");
    }
}
