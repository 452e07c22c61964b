//! `vpool pool …`.
//!
//! Owns: the verbs and what they print. Does not own: what they do.

use std::path::{Path, PathBuf};

use vpool_api::size::format;
use vpool_api::{
    AdoptPool, Adopted, CreatePool, Location, Pool, StoreState, SwiftAuth, SwiftInterface,
};

use crate::arguments::{self, Auth, Interface, PoolVerb};
use crate::client::{Client, part};
use crate::confirm::confirm;
use crate::failure::{Exit, Failure};
use crate::output::{Output, lines, table};

/// Runs one verb.
pub(crate) async fn run(client: &Client, output: &Output, verb: PoolVerb) -> Result<(), Failure> {
    match verb {
        PoolVerb::Create { name, location } => {
            let request = CreatePool {
                name,
                location: place(location)?,
            };
            let pool: Pool = client.post("/api/v1/pools", &request).await?;
            output.show(&pool, one)
        }
        PoolVerb::List => {
            let pools: Vec<Pool> = client.list("/api/v1/pools").await?;
            output.show(&pools, |pools| all(pools))
        }
        PoolVerb::Show { name } => {
            let pool: Pool = client
                .get(&format!("/api/v1/pools/{}", part(&name)))
                .await?;
            output.show(&pool, one)
        }
        PoolVerb::Sync { name } => {
            let path = format!("/api/v1/pools/{}/sync", part(&name));
            client.finish(&path).await?;
            output.done(&format!(
                "pool {name}: all that was written before is in the store"
            ))
        }
        PoolVerb::Adopt {
            name,
            location,
            take_over,
            consent,
        } => {
            let location = place(location)?;
            confirm(
                &consent,
                &format!(
                    "All disks in {} will belong to this daemon; the grid that had them before \
                     must be gone.",
                    shown(&location)
                ),
            )?;
            let request = AdoptPool {
                name,
                location,
                take_over,
            };
            let adopted: Adopted = client.post("/api/v1/adoptions", &request).await?;
            output.show(&adopted, |adopted| {
                let mut text = format!(
                    "pool {} is adopted with {} disk(s)\n",
                    adopted.pool,
                    adopted.disks.len()
                );
                for disk in &adopted.disks {
                    text.push_str(&format!("  {disk}\n"));
                }
                text
            })
        }
    }
}

/// The location for the daemon, which may run in another directory: paths are made
/// absolute here.
fn place(location: arguments::Location) -> Result<Location, Failure> {
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
            interface: match location.interface {
                None | Some(Interface::Public) => SwiftInterface::Public,
                Some(Interface::Internal) => SwiftInterface::Internal,
                Some(Interface::Admin) => SwiftInterface::Admin,
            },
            ca_file,
        }),
        (None, None, Some(path)) => Ok(Location::Fs {
            path: absolute(&path)?,
        }),
        _ => Err(no_location()),
    }
}

fn no_location() -> Failure {
    Failure::new(
        Exit::Usage,
        "a location is --s3 URL/BUCKET/PREFIX with --credentials-file, \
         --swift AUTHURL/CONTAINER/PREFIX with --auth and --credentials-file, or --fs DIR",
    )
}

fn absolute(path: &Path) -> Result<String, Failure> {
    let usage = |why: String| Failure::new(Exit::Usage, format!("{}: {why}", path.display()));
    std::path::absolute(path)
        .map_err(|error| usage(error.to_string()))
        .map(PathBuf::into_os_string)?
        .into_string()
        .map_err(|_| usage("the path is not UTF-8".to_owned()))
}

fn shown(location: &Location) -> &str {
    match location {
        Location::Fs { path } => path,
        Location::S3 { url, .. } | Location::Swift { url, .. } => url,
    }
}

fn state(pool: &Pool) -> String {
    match (&pool.error, &pool.store) {
        (Some(_), _) => "FAILED".to_owned(),
        (None, Some(store)) if store.state == StoreState::Down => "store down".to_owned(),
        (None, Some(store)) if store.trouble.is_some() => "store fails".to_owned(),
        (None, _) => "up".to_owned(),
    }
}

fn all(pools: &[Pool]) -> String {
    let row = |pool: &Pool| {
        [
            pool.name.clone(),
            pool.disks.to_string(),
            state(pool),
            format(pool.journal_used_bytes),
            format(pool.unshipped_bytes),
            shown(&pool.location).to_owned(),
        ]
    };
    let titles = [
        "NAME",
        "DISKS",
        "STATE",
        "JOURNAL",
        "NOT SHIPPED",
        "LOCATION",
    ];
    table(titles, &pools.iter().map(row).collect::<Vec<_>>())
}

fn one(pool: &Pool) -> String {
    let mut fields = vec![
        ("name", pool.name.clone()),
        ("id", pool.id.clone()),
        ("location", shown(&pool.location).to_owned()),
    ];
    if let Location::S3 {
        credentials_file,
        region,
        ca_file,
        virtual_host,
        ..
    } = &pool.location
    {
        fields.push(("credentials", credentials_file.clone()));
        fields.extend(region.clone().map(|region| ("region", region)));
        fields.extend(ca_file.clone().map(|ca_file| ("CA file", ca_file)));
        let style = if *virtual_host {
            "virtual host"
        } else {
            "path"
        };
        fields.push(("addressing", style.to_owned()));
    }
    if let Location::Swift {
        auth,
        credentials_file,
        region,
        interface,
        ca_file,
        ..
    } = &pool.location
    {
        fields.push(("credentials", credentials_file.clone()));
        match auth {
            SwiftAuth::V1 => fields.push(("auth", "v1".to_owned())),
            SwiftAuth::V3 => {
                let interface = match interface {
                    SwiftInterface::Public => "public",
                    SwiftInterface::Internal => "internal",
                    SwiftInterface::Admin => "admin",
                };
                let region = region.as_deref().unwrap_or("any");
                let auth = format!("v3, {interface} interface, region {region}");
                fields.push(("auth", auth));
            }
        }
        fields.extend(ca_file.clone().map(|ca_file| ("CA file", ca_file)));
    }
    fields.extend([
        ("claim", format!("generation {}", pool.generation)),
        ("disks", pool.disks.to_string()),
        ("state", state(pool)),
        (
            "journal",
            format!(
                "{} of {}",
                format(pool.journal_used_bytes),
                format(pool.journal_max_bytes)
            ),
        ),
        ("not shipped", format(pool.unshipped_bytes)),
    ]);
    if let Some(store) = &pool.store {
        fields.extend([
            (
                "requests",
                format!("{}, {} failed", store.requests, store.errors),
            ),
            ("retries", store.retries.to_string()),
            ("sent", format(store.sent_bytes)),
            ("received", format(store.received_bytes)),
        ]);
        fields.extend(store.trouble.clone().map(|trouble| ("trouble", trouble)));
    }
    fields.extend(pool.error.clone().map(|error| ("error", error)));
    lines(&fields)
}
