//! The values of keys, as people write them.
//!
//! Owns: reading and writing one value. Does not own: which key has which.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;
use vpool_api::size;

use crate::process;

/// Which values a key can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A path.
    Path,
    /// Bytes.
    Size {
        /// The least.
        bytes_min: u64,
    },
    /// An address to listen at, or none.
    Tcp,
    /// A log filter.
    Filter,
    /// Yes or no.
    Switch,
    /// A part of something: 1 to 100.
    Percent,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A path.
    Path(PathBuf),
    /// Bytes.
    Size(u64),
    /// An address to listen at, or none.
    Tcp(Option<SocketAddr>),
    /// A log filter.
    Filter(String),
    /// Yes or no.
    Switch(bool),
    /// A part of something: 1 to 100.
    Percent(u8),
}

impl Kind {
    /// What to write, in a word.
    pub(crate) fn form(self) -> &'static str {
        match self {
            Kind::Path => "PATH",
            Kind::Size { .. } => "SIZE",
            Kind::Tcp => "ADDRESS:PORT|off",
            Kind::Filter => "FILTER",
            Kind::Switch => "true|false",
            Kind::Percent => "PERCENT",
        }
    }

    /// Reads a value, or says what is wrong with it.
    pub(crate) fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Kind::Path if text.is_empty() || text.contains('\0') => {
                Err(format!("{text:?} is no path"))
            }
            Kind::Path => Ok(Value::Path(text.into())),
            Kind::Size { bytes_min } => match size::parse(text).map_err(|e| e.to_string())? {
                bytes if bytes < bytes_min => Err(format!(
                    "{} is too small: at least {} is needed",
                    size::format(bytes),
                    size::format(bytes_min)
                )),
                bytes => Ok(Value::Size(bytes)),
            },
            Kind::Tcp => tcp(text).map(Value::Tcp),
            Kind::Filter => {
                process::filter(text).map_err(|error| error.to_string())?;
                Ok(Value::Filter(text.to_owned()))
            }
            Kind::Switch => match text.parse() {
                Ok(switch) => Ok(Value::Switch(switch)),
                Err(_) => Err("write true or false".to_owned()),
            },
            Kind::Percent => match text.parse() {
                Ok(percent @ 1..=100) => Ok(Value::Percent(percent)),
                _ => Err("write a whole number from 1 to 100".to_owned()),
            },
        }
    }
}

fn tcp(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let address = text.parse();
    address
        .map(Some)
        .map_err(|_| "write ADDRESS:PORT, or off".to_owned())
}

impl Value {
    /// As it would stand in the file.
    pub(crate) fn toml(&self) -> String {
        match self {
            Value::Path(path) => quoted(&path.to_string_lossy()),
            Value::Size(bytes) => {
                let short = size::format(*bytes);
                // Only where it says exactly so many.
                match size::parse(&short) == Ok(*bytes) {
                    true => quoted(&short),
                    false => bytes.to_string(),
                }
            }
            Value::Tcp(address) => quoted(&tcp_text(*address)),
            Value::Filter(filter) => quoted(filter),
            Value::Switch(switch) => switch.to_string(),
            Value::Percent(percent) => percent.to_string(),
        }
    }

    /// As JSON: sizes as bytes.
    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Value::Path(path) => json!(path.to_string_lossy()),
            Value::Size(bytes) => json!(bytes),
            Value::Tcp(address) => json!(tcp_text(*address)),
            Value::Filter(filter) => json!(filter),
            Value::Switch(switch) => json!(switch),
            Value::Percent(percent) => json!(percent),
        }
    }
}

fn tcp_text(address: Option<SocketAddr>) -> String {
    address.map_or("off".to_owned(), |address| address.to_string())
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    // JSON escapes what TOML must have escaped, in a way that TOML reads; but for DEL.
    json!(text).to_string().replace('\u{7f}', "\\u007f")
}
