//! The file: TOML, of which every line is known.
//!
//! Owns: reading it, and the line of each value. Does not own: which keys there are.
//!
//! `[pool.NAME]` is the one table whose name is not known beforehand.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use toml::de::{DeTable, DeValue};
use vpool_api::names;

use super::Origin;
use super::keys::{KEYS, Key, POOL_KEYS, POOLS};
use super::value::{Kind, Value};

/// More than any file of settings; what is larger is another file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is wrong, and where: a range of bytes begins there.
type Wrong = (usize, String);

/// A value in the file: of a key, or of a key of a pool.
struct Found {
    pool: Option<String>,
    key: &'static Key,
    at: usize,
    value: Value,
}

/// The values in the file, by pool (`None` for those of no pool) and key.
pub(super) type InFile = BTreeMap<(Option<String>, &'static str), (Value, Origin)>;

/// Reads the file.
pub(super) fn read(path: &Path) -> anyhow::Result<InFile> {
    let shown = path.display();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .with_context(|| format!("cannot read {shown}"))?;
    ensure!(
        text.len() as u64 <= FILE_BYTES_MAX,
        "{shown} has more than {FILE_BYTES_MAX} bytes: it is no file of settings"
    );
    let place = |at| Origin::File {
        path: path.to_owned(),
        line: line(&text, at),
    };
    let found = parse(&text).map_err(|(at, why)| anyhow!("{}: {why}", place(at)))?;
    Ok(found
        .into_iter()
        .map(|found| ((found.pool, found.key.name), (found.value, place(found.at))))
        .collect())
}

/// The number of the line that holds this byte, from 1.
fn line(text: &str, at: usize) -> usize {
    let before = text.bytes().take(at).filter(|byte| *byte == b'\n');
    before.count() + 1
}

fn parse(text: &str) -> Result<Vec<Found>, Wrong> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (at, error.message().to_owned())
    })?;
    let mut found = Vec::new();
    walk("", table.get_ref(), &mut found)?;
    Ok(found)
}

fn walk(above: &str, table: &DeTable<'_>, found: &mut Vec<Found>) -> Result<(), Wrong> {
    for (name, value) in table.iter() {
        let full = match above {
            "" => name.get_ref().to_string(),
            above => format!("{above}.{}", name.get_ref()),
        };
        let at = name.span().start;
        let below = format!("{full}.");
        if let Some(key) = KEYS.iter().find(|key| key.name == full) {
            let read = self::value(key.kind, value.get_ref());
            let read = read.map_err(|why| (value.span().start, format!("{full}: {why}")))?;
            found.push(Found {
                pool: None,
                key,
                at,
                value: read,
            });
        } else if let (POOLS, DeValue::Table(pools)) = (full.as_str(), value.get_ref()) {
            walk_pools(pools, found)?;
        } else if full == POOLS {
            return Err((at, format!("{POOLS} is a table: write [{POOLS}.NAME]")));
        } else if !KEYS.iter().any(|key| key.name.starts_with(&below)) {
            return Err((at, format!("there is no key {full}; {}", known(above))));
        } else if let DeValue::Table(table) = value.get_ref() {
            walk(&full, table, found)?;
        } else {
            return Err((at, format!("{full} is a table: write [{full}]")));
        }
    }
    Ok(())
}

fn walk_pools(pools: &DeTable<'_>, found: &mut Vec<Found>) -> Result<(), Wrong> {
    for (name, value) in pools.iter() {
        let (at, pool) = (name.span().start, name.get_ref().to_string());
        names::check_pool(&pool).map_err(|why| (at, format!("{POOLS}.{pool}: {why}")))?;
        let DeValue::Table(table) = value.get_ref() else {
            let why = format!("{POOLS}.{pool} is a table: write [{POOLS}.{pool}]");
            return Err((at, why));
        };
        for (name, value) in table.iter() {
            let full = format!("{POOLS}.{pool}.{}", name.get_ref());
            let Some(key) = POOL_KEYS.iter().find(|key| key.name == name.get_ref()) else {
                let names: Vec<&str> = POOL_KEYS.iter().map(|key| key.name).collect();
                let known = names.join(", ");
                let why = format!("there is no key {full}; in [{POOLS}.{pool}] are known {known}");
                return Err((name.span().start, why));
            };
            let read = self::value(key.kind, value.get_ref());
            found.push(Found {
                pool: Some(pool.clone()),
                key,
                at: name.span().start,
                value: read.map_err(|why| (value.span().start, format!("{full}: {why}")))?,
            });
        }
    }
    Ok(())
}

/// The keys that could have been meant: those in the same table, or all.
fn known(above: &str) -> String {
    let names: Vec<&str> = KEYS
        .iter()
        .filter(|key| key.place().0 == above)
        .map(|key| key.place().1)
        .collect();
    let all: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    match above {
        "" => format!("known are {}", all.join(", ")),
        above => format!("in [{above}] are known {}", names.join(", ")),
    }
}

fn value(kind: Kind, value: &DeValue<'_>) -> Result<Value, String> {
    let text = match (kind, value) {
        (Kind::Switch, DeValue::Boolean(switch)) => switch.to_string(),
        (Kind::Switch, other) => {
            return Err(format!("write true or false, and no {}", other.type_str()));
        }
        (Kind::Percent, DeValue::Integer(number)) => number.to_string(),
        (Kind::Percent, other) => {
            return Err(format!(
                "write a whole number from 1 to 100, and no {}",
                other.type_str()
            ));
        }
        (_, DeValue::String(text)) => text.to_string(),
        (Kind::Size { .. }, DeValue::Integer(number)) => number.to_string(),
        _ => {
            let form = kind.form();
            return Err(format!(
                "write a string, \"{form}\", and no {}",
                value.type_str()
            ));
        }
    };
    match kind.parse(&text)? {
        Value::Path(path) if !path.is_absolute() => Err(format!(
            "{text:?} is not absolute: write the path from / on"
        )),
        read => Ok(read),
    }
}
