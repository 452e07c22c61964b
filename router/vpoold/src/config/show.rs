//! `vpoold config`: every setting, and who has set it.
//!
//! Owns: the table and the JSON. Does not own: printing them.

use serde_json::json;

use super::keys::Fallback;
use super::{Effective, Entry, Origin, Sources, sample};

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A table for people
    Text,
    /// JSON, sizes in bytes
    Json,
    /// The sample file: every key, explained, with its default
    Sample,
}

/// All settings.
pub(crate) fn text(format: Format, sources: &Sources, effective: &Effective) -> String {
    match format {
        Format::Text => table(effective),
        Format::Sample => sample::text(),
        Format::Json => {
            let settings: Vec<_> = effective.0.iter().map(one).collect();
            let all = json!({ "file": sources.file(), "settings": settings });
            format!("{all:#}\n")
        }
    }
}

fn table(effective: &Effective) -> String {
    let rows: Vec<[String; 3]> = effective
        .0
        .iter()
        .map(|entry| [entry.name(), value(entry), entry.origin.to_string()])
        .collect();
    let head = ["KEY", "VALUE", "FROM"].map(str::to_owned);
    let width = |column: usize| {
        let cells = rows
            .iter()
            .chain([&head])
            .map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    std::iter::once(&head)
        .chain(&rows)
        .map(|[key, value, origin]| format!("{key:first$}  {value:second$}  {origin}\n"))
        .collect()
}

fn value(entry: &Entry) -> String {
    match (&entry.value, &entry.key.default) {
        (Some(value), _) => value.toml(),
        (None, Fallback::Unset { means, .. }) => format!("({means})"),
        (None, Fallback::Is(_)) => unreachable!("a key with a default has a value"),
    }
}

fn one(entry: &Entry) -> serde_json::Value {
    let origin = match &entry.origin {
        Origin::Default => json!({ "kind": "default" }),
        Origin::File { path, line } => json!({ "kind": "file", "file": path, "line": line }),
        Origin::Environment(name) => json!({ "kind": "environment", "variable": name }),
        Origin::Flag(flag) => json!({ "kind": "flag", "flag": format!("--{flag}") }),
    };
    json!({
        "key": entry.name(),
        "value": entry.value.as_ref().map(super::value::Value::json),
        "origin": origin,
        "live": entry.key.live,
    })
}
