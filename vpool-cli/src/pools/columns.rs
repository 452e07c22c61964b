//! What is said of a pool.
//!
//! Owns: its columns. Does not own: their layout.

use vpool_api::{Location, Pool, StoreCounts, StoreState, SwiftAuth, SwiftInterface};

use crate::output::columns::{Column, Listed, Place};
use crate::output::value::Value;

/// A column of pools.
const fn column(name: &'static str, place: Place, value: fn(&Pool) -> Value) -> Column<Pool> {
    Column { name, place, value }
}

impl Listed for Pool {
    const COLUMNS: &'static [Column<Pool>] = &[
        column("name", Place::List, |pool| pool.name.as_str().into()),
        column("disks", Place::List, |pool| Value::Count(pool.disks)),
        column("state", Place::List, |pool| state(pool).into()),
        column("journal", Place::List, |pool| {
            Value::Bytes(pool.journal_used_bytes)
        }),
        column("journal_max", Place::Wide, |pool| {
            Value::Bytes(pool.journal_max_bytes)
        }),
        column("not_shipped", Place::List, |pool| {
            Value::Bytes(pool.unshipped_bytes)
        }),
        column("location", Place::List, |pool| place(&pool.location).into()),
        column("id", Place::Wide, |pool| pool.id.as_str().into()),
        column("claim", Place::Wide, |pool| Value::Count(pool.generation)),
        column("requests", Place::Wide, |pool| {
            counted(pool, |store| Value::Count(store.requests))
        }),
        column("failed", Place::Wide, |pool| {
            counted(pool, |store| Value::Count(store.errors))
        }),
        column("retries", Place::One, |pool| {
            counted(pool, |store| Value::Count(store.retries))
        }),
        column("puts", Place::One, |pool| {
            counted(pool, |store| Value::Count(store.puts))
        }),
        column("gets", Place::One, |pool| {
            counted(pool, |store| Value::Count(store.gets))
        }),
        column("sent", Place::Wide, |pool| {
            counted(pool, |store| Value::Bytes(store.sent_bytes))
        }),
        column("received", Place::Wide, |pool| {
            counted(pool, |store| Value::Bytes(store.received_bytes))
        }),
        column("settings", Place::One, |pool| settings(&pool.location)),
        column("trouble", Place::One, |pool| {
            counted(pool, |store| store.trouble.clone().into())
        }),
        column("error", Place::One, |pool| pool.error.clone().into()),
    ];

    fn name(&self) -> String {
        self.name.clone()
    }
}

fn counted(pool: &Pool, value: fn(&StoreCounts) -> Value) -> Value {
    pool.store.as_ref().map_or(Value::None, value)
}

/// The location, without how it is reached.
pub(super) fn place(location: &Location) -> &str {
    match location {
        Location::Fs { path } => path,
        Location::S3 { url, .. } | Location::Swift { url, .. } => url,
    }
}

/// How it is reached, where that is more than its place.
fn settings(location: &Location) -> Value {
    match location {
        Location::Fs { .. } => Value::None,
        Location::S3 {
            credentials_file,
            region,
            ca_file,
            virtual_host,
            ..
        } => {
            let mut words = vec![format!("credentials {credentials_file}")];
            words.extend(region.as_ref().map(|region| format!("region {region}")));
            words.extend(ca_file.as_ref().map(|file| format!("CA file {file}")));
            words.extend(virtual_host.then(|| "bucket in the host name".to_owned()));
            words.join(", ").into()
        }
        Location::Swift {
            auth,
            credentials_file,
            region,
            interface,
            ca_file,
            ..
        } => {
            let mut words = vec![format!("credentials {credentials_file}")];
            match auth {
                SwiftAuth::V1 => words.push("auth v1".to_owned()),
                SwiftAuth::V3 => words.push(format!(
                    "auth v3, {} interface, region {}",
                    named(*interface),
                    region.as_deref().unwrap_or("any")
                )),
            }
            words.extend(ca_file.as_ref().map(|file| format!("CA file {file}")));
            words.join(", ").into()
        }
    }
}

fn named(interface: SwiftInterface) -> &'static str {
    match interface {
        SwiftInterface::Public => "public",
        SwiftInterface::Internal => "internal",
        SwiftInterface::Admin => "admin",
    }
}

fn state(pool: &Pool) -> &'static str {
    match (&pool.error, &pool.store) {
        (Some(_), _) => "FAILED",
        (None, Some(store)) if store.state == StoreState::Down => "store down",
        (None, Some(store)) if store.trouble.is_some() => "store fails",
        (None, _) => "up",
    }
}
