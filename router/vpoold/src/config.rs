//! The configuration: what the daemon is told, by whom, and what that comes to.
//!
//! ```text
//! keys ─ what there is        flag > environment > file > default ─▶ Effective ─▶ Settings
//!   ├─▶ sample ─ the file that explains them                            │
//!   └─▶ arguments (the flags)                                           └─▶ show: `vpoold config`
//! ```
//!
//! Owns: the order of the sources, [`Effective`]. Does not own: what a key means (`keys.rs`), how
//! its value is written (`value.rs`), the file's text (`file.rs`), what changes in a daemon that
//! runs (`reload.rs`).

mod file;
pub(crate) mod keys;
mod sample;
mod settings;
pub(crate) mod show;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

pub(crate) use settings::{Settings, TlsFiles};

use keys::{KEYS, Key, POOL_KEYS, POOLS};
use value::Value;

/// Where the file is looked for when nobody names one.
const FILE: &str = "/etc/vpool/vpoold.toml";

/// Names the file, where no flag does.
const FILE_VARIABLE: &str = "VPOOLD_CONFIG";

/// What the names of all variables begin with.
const VARIABLES: &str = "VPOOLD_";

/// What many programs of this kind read their log filter from; `VPOOLD_LOG` comes before it.
const LOG_VARIABLE: &str = "RUST_LOG";

/// All that the daemon is told by, as it was at the start; the file is read whenever it is asked.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    file: SettingsFile,
    environment: BTreeMap<String, String>,
    flags: BTreeMap<&'static str, String>,
}

/// Where the file is.
#[derive(Debug, Clone)]
enum SettingsFile {
    /// There is none.
    None,
    /// In its usual place, if it is there.
    Usual,
    /// Where somebody said, and it must be there.
    Named(PathBuf),
}

/// Who has set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody.
    Default,
    /// The file.
    File {
        /// Its path.
        path: PathBuf,
        /// Where in it, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The pool that it is set for; else it is one of [`KEYS`].
    pool: Option<String>,
    key: &'static Key,
    /// `None`: not set, and without a default of its own.
    value: Option<Value>,
    origin: Origin,
}

/// Every key with its value, in the order of [`KEYS`]; then what is set of pools, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effective(Vec<Entry>);

impl Sources {
    /// Flags alone, and the log filter that many programs share.
    pub(crate) fn of_flags(flags: BTreeMap<&'static str, String>) -> Sources {
        let mut sources = Sources {
            file: SettingsFile::None,
            environment: BTreeMap::new(),
            flags,
        };
        if let Ok(filter) = std::env::var(LOG_VARIABLE) {
            sources.environment.insert(LOG_VARIABLE.to_owned(), filter);
        }
        sources
    }

    /// The flags, the environment, and the file that they name, or else the one in its usual
    /// place if there is one.
    pub(crate) fn new(
        file: Option<PathBuf>,
        flags: BTreeMap<&'static str, String>,
    ) -> anyhow::Result<Sources> {
        let mut sources = Sources::of_flags(flags);
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLES)) else {
                continue;
            };
            let value = value.into_string();
            let value = value.map_err(|_| anyhow!("environment {name}: this is not UTF-8"))?;
            sources.environment.insert(name.to_owned(), value);
        }
        let named = file.or(sources.environment.remove(FILE_VARIABLE).map(PathBuf::from));
        sources.file = match named {
            None => SettingsFile::Usual,
            Some(path) => SettingsFile::Named(
                std::path::absolute(&path)
                    .with_context(|| format!("cannot find {}", path.display()))?,
            ),
        };
        Ok(sources)
    }

    /// The file, if there is one now.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.file {
            SettingsFile::None => None,
            SettingsFile::Usual => Some(Path::new(FILE)).filter(|path| path.exists()),
            SettingsFile::Named(path) => Some(path),
        }
    }

    /// Reads all of it; what is wrong is named with its place.
    pub(crate) fn read(&self) -> anyhow::Result<Effective> {
        let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
        for name in self.environment.keys() {
            if !known.contains(name) && name != LOG_VARIABLE {
                bail!(
                    "environment {name}: no key is set by this; known are {}",
                    known.join(", ")
                );
            }
        }
        let mut in_file = match self.file() {
            Some(path) => file::read(path)?,
            None => BTreeMap::new(),
        };
        let entries = KEYS
            .iter()
            .map(|key| self.entry(key, in_file.remove(&(None, key.name))));
        let mut entries: Vec<Entry> = entries.collect::<anyhow::Result<_>>()?;
        entries.extend(
            in_file
                .into_iter()
                .filter_map(|((pool, name), (value, origin))| {
                    Some(Entry {
                        pool,
                        key: POOL_KEYS.iter().find(|key| key.name == name)?,
                        value: Some(value),
                        origin,
                    })
                }),
        );
        Ok(Effective(entries))
    }

    fn entry(&self, key: &'static Key, in_file: Option<(Value, Origin)>) -> anyhow::Result<Entry> {
        let parse = |text: &str, origin: Origin| match key.kind.parse(text) {
            Ok(value) => Ok(Entry {
                pool: None,
                key,
                value: Some(value),
                origin,
            }),
            Err(why) => Err(anyhow!("{origin}: {}: {why}", key.name)),
        };
        if let Some(text) = self.flags.get(key.name) {
            return parse(text, Origin::Flag(key.flag));
        }
        let shared = Some(LOG_VARIABLE.to_owned()).filter(|_| key.name == keys::LOG);
        for name in [Some(key.variable()), shared].into_iter().flatten() {
            if let Some(text) = self.environment.get(&name) {
                return parse(text, Origin::Environment(name));
            }
        }
        if let Some((value, origin)) = in_file {
            return Ok(Entry {
                pool: None,
                key,
                value: Some(value),
                origin,
            });
        }
        Ok(Entry {
            pool: None,
            key,
            value: key.default_value(),
            origin: Origin::Default,
        })
    }
}

impl Effective {
    /// The entry of a key that there is.
    fn entry(&self, name: &str) -> &Entry {
        let found = self
            .0
            .iter()
            .find(|entry| entry.pool.is_none() && entry.key.name == name);
        found.expect("every key has an entry, and no other is asked for")
    }

    /// The keys whose values differ, with their names.
    pub(crate) fn changes(&self, other: &Effective) -> BTreeMap<String, &'static Key> {
        let absent = |entry: &&Entry, others: &Effective| {
            let same = |other: &Entry| other.name() == entry.name() && other.value == entry.value;
            !others.0.iter().any(same)
        };
        let gone = self.0.iter().filter(|entry| absent(entry, other));
        let new = other.0.iter().filter(|entry| absent(entry, self));
        gone.chain(new)
            .map(|entry| (entry.name(), entry.key))
            .collect()
    }

    /// Takes from another the keys for which `taken` holds.
    pub(crate) fn take(&mut self, wanted: &Effective, taken: impl Fn(&Key) -> bool) {
        let kept = self.0.iter().filter(|entry| !taken(entry.key));
        let new = wanted.0.iter().filter(|entry| taken(entry.key));
        let mut entries: Vec<Entry> = kept.chain(new).cloned().collect();
        entries.sort_by_key(Entry::place);
        self.0 = entries;
    }
}

impl Entry {
    /// As people write it.
    fn name(&self) -> String {
        match &self.pool {
            None => self.key.name.to_owned(),
            Some(pool) => format!("{POOLS}.{pool}.{}", self.key.name),
        }
    }

    fn place(&self) -> (Option<String>, Option<usize>) {
        let keys = match self.pool {
            None => KEYS,
            Some(_) => POOL_KEYS,
        };
        let at = keys.iter().position(|key| key == self.key);
        (self.pool.clone(), at)
    }
}
