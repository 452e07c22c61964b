//! `vpool pool …`.
//!
//! Owns: the verbs, and what is said of a pool. Does not own: what the verbs do.

mod columns;

use std::path::{Path, PathBuf};

use hyper::Method;
use vpool_api::{
    AdoptPool, Adopted, CreatePool, List, Location, Pool, ProbeReport, SetPool, SwiftAuth,
    SwiftInterface, Task,
};

use crate::arguments::pool::{self, Auth, Interface, PoolVerb};
use crate::client::{Client, part};
use crate::confirm::confirm;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::value::visible;
use crate::several::each;
use crate::tasks;

/// What is said where there are none.
const EMPTY: &str =
    "no pools yet: vpool pool create NAME --fs DIR, --s3 URL/BUCKET/PREFIX or --swift …";

const POOLS: &str = "/api/v1/pools";

/// Runs one verb.
pub(crate) async fn run(client: &Client, output: &Output, verb: PoolVerb) -> Result<(), Failure> {
    match verb {
        PoolVerb::Create {
            name,
            location,
            change,
        } => {
            let location = place(location)?;
            let request = CreatePool { name, location };
            let made = client.change(Method::POST, POOLS, &request, change.dry_run);
            output.changed(made.await?, |pool: &Pool| output.one(pool))
        }
        PoolVerb::List(query) => {
            let pools: List<Pool> = client.list(POOLS, &query.text()).await?;
            output.list(&pools, EMPTY)
        }
        PoolVerb::Show(pools) => {
            let show = async |name: &String| client.get::<Pool>(&path(name, "")).await;
            let (found, result) = each(&pools.names, show).await;
            output.some(found, pools.names.len())?;
            result
        }
        PoolVerb::Set { name, way, change } => {
            let path = path(&name, "");
            let request = set(way)?;
            let set = client.change(Method::PATCH, &path, &request, change.dry_run);
            output.changed(set.await?, |pool: &Pool| output.one(pool))
        }
        PoolVerb::Probe(pools) => {
            let probe = async |name: &String| {
                let path = path(name, "/probe");
                let report: ProbeReport = client.make(Method::POST, &path, &()).await?;
                output.show(&report, report_text)
            };
            each(&pools.names, probe).await.1
        }
        PoolVerb::Sync {
            pools,
            waiting,
            change,
        } => {
            let sync = async |name: &String| {
                let path = path(name, "/sync");
                let asked = client.change::<Task>(Method::POST, &path, &(), change.dry_run);
                tasks::follow(client, output, asked.await?, waiting, || {
                    format!("pool {name}: all that was written before is in the store")
                })
                .await
            };
            each(&pools.names, sync).await.1
        }
        PoolVerb::Delete {
            pools,
            forget,
            accept_loss,
            consent,
            change,
        } => {
            let delete = async |name: &String| {
                let what = going(name, forget, accept_loss);
                if !change.dry_run {
                    confirm(&consent, &what, name).await?;
                }
                let path = path(name, &format!("?forget={forget}&accept_loss={accept_loss}"));
                let done = client.change::<()>(Method::DELETE, &path, &(), change.dry_run);
                output.changed(done.await?, |()| {
                    output.done(&format!("pool {name} is forgotten; its objects stay"))
                })
            };
            each(&pools.names, delete).await.1
        }
        PoolVerb::Adopt {
            name,
            location,
            take_over,
            consent,
            change,
        } => {
            let location = place(location)?;
            let shown = columns::place(&location).to_owned();
            let what = format!(
                "All disks in {shown} will belong to this daemon; the grid that had them before \
                 must be gone."
            );
            if !change.dry_run {
                confirm(&consent, &what, &shown).await?;
            }
            let request = AdoptPool {
                name,
                location,
                take_over,
            };
            let path = "/api/v1/adoptions";
            let adopted = client.change(Method::POST, path, &request, change.dry_run);
            output.changed(adopted.await?, |adopted: &Adopted| {
                output.show(adopted, adopted_text)
            })
        }
    }
}

fn going(name: &str, forget: bool, accept_loss: bool) -> String {
    match (forget, accept_loss) {
        (false, _) => format!("Pool {name} will be forgotten here."),
        (true, false) => format!("Pool {name} will be forgotten here, with all its disks."),
        (true, true) => format!(
            "Pool {name} will be forgotten here, with all its disks. What was written to them and is not \
             in the store will be lost."
        ),
    }
}

fn path(name: &str, rest: &str) -> String {
    format!("{POOLS}/{}{rest}", part(name))
}

/// The location for the daemon, which may run in another directory: paths are made
/// absolute here.
fn place(location: pool::Location) -> Result<Location, Failure> {
    let credentials_file = location.credentials_file.as_deref();
    let credentials_file = credentials_file.map(absolute).transpose()?;
    let ca_file = location.ca_file.as_deref().map(absolute).transpose()?;
    match (location.s3, location.swift, location.fs) {
        (Some(url), None, None) => Ok(Location::S3 {
            url,
            credentials_file: credentials_file.ok_or_else(no_location)?,
            region: location.region,
            ca_file,
            virtual_host: location.virtual_host,
        }),
        (None, Some(url), None) => Ok(Location::Swift {
            url,
            auth: match location.auth.ok_or_else(no_location)? {
                Auth::V1 => SwiftAuth::V1,
                Auth::V3 => SwiftAuth::V3,
            },
            credentials_file: credentials_file.ok_or_else(no_location)?,
            region: location.region,
            interface: location.interface.map(interface).unwrap_or_default(),
            ca_file,
        }),
        (None, None, Some(path)) => Ok(Location::Fs {
            path: absolute(&path)?,
        }),
        _ => Err(no_location()),
    }
}

fn interface(interface: Interface) -> SwiftInterface {
    match interface {
        Interface::Public => SwiftInterface::Public,
        Interface::Internal => SwiftInterface::Internal,
        Interface::Admin => SwiftInterface::Admin,
    }
}

/// The way for the daemon; an empty path stays one.
fn set(way: pool::Way) -> Result<SetPool, Failure> {
    let file = |path: PathBuf| match path.as_os_str().is_empty() {
        true => Ok(String::new()),
        false => absolute(&path),
    };
    Ok(SetPool {
        credentials_file: way.credentials_file.as_deref().map(absolute).transpose()?,
        region: way.region,
        ca_file: way.ca_file.map(file).transpose()?,
        virtual_host: way.virtual_host,
        interface: way.interface.map(interface),
    })
}

fn no_location() -> Failure {
    Failure::usage(
        "a location is --s3 URL/BUCKET/PREFIX with --credentials-file, \
         --swift AUTHURL/CONTAINER/PREFIX with --auth and --credentials-file, or --fs DIR",
    )
}

fn absolute(path: &Path) -> Result<String, Failure> {
    let usage = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    std::path::absolute(path)
        .map_err(|error| usage(error.to_string()))
        .map(PathBuf::into_os_string)?
        .into_string()
        .map_err(|_| usage("the path is not UTF-8".to_owned()))
}

fn report_text(report: &ProbeReport) -> String {
    let mut text = format!("pool {}: {} ms\n", report.pool, report.elapsed_ms);
    for finding in &report.findings {
        text.push_str(&format!(
            "  {}: {}\n",
            visible(&finding.title),
            visible(&finding.detail)
        ));
    }
    for object in &report.left_behind {
        text.push_str(&format!("  left behind: {}\n", visible(object)));
    }
    text
}

fn adopted_text(adopted: &Adopted) -> String {
    let count = adopted.disks.len();
    let mut text = format!("pool {} is adopted with {count} disk(s)\n", adopted.pool);
    for disk in &adopted.disks {
        text.push_str(&format!("  {}\n", visible(disk)));
    }
    text
}
