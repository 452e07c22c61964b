//! Reports that grow: each run of a test adds its figures to what is there.
//!
//! Owns: how figures are summed, and the file's lock, so that tests may run at the same time. Does
//! not own: what is counted. Compiled into the engine's tests too, which use nothing else from
//! here.
//!
//! A report is an object of tests, a test an object of numbers. Names in `_max` and `_min` keep
//! the larger and the smaller, all others the sum; `runs` counts the runs.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::{Map, Value};

fn wrong(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

/// Adds the figures of one run of `test` to the report at `path`.
///
/// # Errors
/// If the report cannot be read or written, or if it or `run` holds anything but numbers.
pub fn add(path: &Path, test: &str, run: &Map<String, Value>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.lock()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let mut tests: Map<String, Value> = match text.is_empty() {
        true => Map::new(),
        false => serde_json::from_str(&text).map_err(wrong)?,
    };
    let sums = tests
        .entry(test)
        .or_insert_with(|| Map::new().into())
        .as_object_mut()
        .ok_or_else(|| wrong("a test's figures are no object"))?;
    let once = Map::from_iter([("runs".to_owned(), Value::from(1))]);
    for (name, new) in once.iter().chain(run) {
        let sum = match sums.get(name) {
            None => new.clone(),
            Some(old) => sum(name, old, new)?,
        };
        sums.insert(name.clone(), sum);
    }
    let text = serde_json::to_string_pretty(&tests).map_err(wrong)? + "\n";
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

fn sum(name: &str, old: &Value, new: &Value) -> io::Result<Value> {
    if let (Some(old), Some(new)) = (old.as_u64(), new.as_u64()) {
        return Ok(match name {
            _ if name.ends_with("_max") => old.max(new),
            _ if name.ends_with("_min") => old.min(new),
            _ => old + new,
        }
        .into());
    }
    let (Some(old), Some(new)) = (old.as_f64(), new.as_f64()) else {
        return Err(wrong(format_args!("{name} is no number")));
    };
    Ok(match name {
        _ if name.ends_with("_max") => old.max(new),
        _ if name.ends_with("_min") => old.min(new),
        _ => old + new,
    }
    .into())
}
