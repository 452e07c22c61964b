//! `vpool disk …`.
//!
//! Owns: the verbs and what they print. Does not own: what they do, and the texts of
//! `attach` (`vpool-api`).

use hyper::Method;
use vpool_api::attach;
use vpool_api::names::DiskPath;
use vpool_api::size::format;
use vpool_api::{Connection, CreateDisk, Disk, RepairDisk};

use crate::arguments::{DiskVerb, Named};
use crate::client::{Client, part};
use crate::confirm::confirm;
use crate::failure::{Exit, Failure};
use crate::output::{Output, lines, table};

/// Runs one verb.
pub(crate) async fn run(client: &Client, output: &Output, verb: DiskVerb) -> Result<(), Failure> {
    match verb {
        DiskVerb::Create {
            disk,
            size,
            pool,
            encrypt,
        } => {
            let pool = one_pool(&disk, pool)?;
            let request = CreateDisk {
                pool,
                name: disk.name,
                size_bytes: size,
                encrypt,
            };
            let disk: Disk = client.post("/api/v1/disks", &request).await?;
            output.show(&disk, one)
        }
        DiskVerb::List { pool } => {
            let query = pool.map_or(String::new(), |pool| format!("?pool={}", part(&pool)));
            let disks: Vec<Disk> = client.list(&format!("/api/v1/disks{query}")).await?;
            output.show(&disks, |disks| all(disks))
        }
        DiskVerb::Show(Named { disk }) => {
            let disk: Disk = client.get(&path(&disk, "")).await?;
            output.show(&disk, one)
        }
        DiskVerb::Sync(Named { disk }) => {
            client.finish(&path(&disk, "/sync")).await?;
            output.done(&format!(
                "disk {disk}: all that was written before is in the store"
            ))
        }
        DiskVerb::Delete {
            named: Named { disk },
            consent,
        } => {
            confirm(
                &consent,
                &format!("Disk {disk} will be deleted with all its data."),
            )?;
            client.act(Method::DELETE, &path(&disk, "")).await?;
            output.done(&format!("disk {disk} is deleted"))
        }
        DiskVerb::Repair {
            named: Named { disk },
            accept_loss,
            consent,
        } => {
            let what = format!(
                "Disk {disk} will be rolled back to before the first record that `vpool disk show \
                 {disk}` names as lost; whatever was written after it and not shipped is given up."
            );
            confirm(&consent, &what)?;
            let request = RepairDisk { accept_loss };
            let disk: Disk = client.post(&path(&disk, "/repair"), &request).await?;
            output.show(&disk, one)
        }
        DiskVerb::Attach(Named { disk }) => {
            let connection: Connection = client.get(&path(&disk, "/connection")).await?;
            output.show(&connection, attach::text)
        }
    }
}

fn path(disk: &DiskPath, rest: &str) -> String {
    format!("/api/v1/disks/{}{rest}", part(&disk.to_string()))
}

/// The pool by `POOL:` or by `--pool`, which must not disagree.
fn one_pool(disk: &DiskPath, flag: Option<String>) -> Result<Option<String>, Failure> {
    match (&disk.pool, flag) {
        (Some(named), Some(flag)) if *named != flag => Err(Failure::new(
            Exit::Usage,
            format!("the disk is named with pool {named}, but --pool says {flag}"),
        )),
        (named, flag) => Ok(flag.or_else(|| named.clone())),
    }
}

fn state(disk: &Disk) -> &'static str {
    match (&disk.error, disk.open) {
        (Some(_), _) => "FAILED",
        (None, true) => "open",
        (None, false) => "closed",
    }
}

fn all(disks: &[Disk]) -> String {
    let row = |disk: &Disk| {
        let unshipped = disk.log.as_ref().map_or(0, |log| log.unshipped_bytes);
        [
            disk.pool.clone(),
            disk.name.clone(),
            format(disk.size_bytes),
            yes(disk.encrypted).to_owned(),
            state(disk).to_owned(),
            disk.attached.to_string(),
            format(unshipped),
        ]
    };
    let titles = [
        "POOL",
        "NAME",
        "SIZE",
        "ENCRYPTED",
        "STATE",
        "CLIENTS",
        "NOT SHIPPED",
    ];
    table(titles, &disks.iter().map(row).collect::<Vec<_>>())
}

fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

fn one(disk: &Disk) -> String {
    let mut fields = vec![
        ("name", format!("{}:{}", disk.pool, disk.name)),
        ("id", disk.id.clone()),
        (
            "size",
            format!("{} ({} bytes)", format(disk.size_bytes), disk.size_bytes),
        ),
        ("encrypted", yes(disk.encrypted).to_owned()),
        ("state", state(disk).to_owned()),
        ("clients", disk.attached.to_string()),
    ];
    if let Some(log) = &disk.log {
        fields.extend([
            (
                "log",
                format!(
                    "{} written, {} durable, {} in the store",
                    log.last, log.durable, log.shipped
                ),
            ),
            ("not shipped", format(log.unshipped_bytes)),
            ("written", format(log.written_bytes)),
            (
                "shipped",
                format!(
                    "{} of data, {} of map",
                    format(log.shipped_bytes),
                    format(log.map_bytes)
                ),
            ),
        ]);
    }
    fields.extend(disk.error.clone().map(|error| ("error", error)));
    lines(&fields)
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
