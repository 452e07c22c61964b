//! The local key-value store: named tables of sorted keys.

use std::fmt;
use std::io;

pub mod conformance;

/// What a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// All of it is kept.
    Durable,
    /// A cache of about so many bytes: any key may vanish at any time, the oldest first.
    Cache {
        /// What the table may take on the disk.
        bytes: u64,
    },
}

/// A table that a store is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub kind: TableKind,
}

/// Whether a batch must survive a power cut before the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Synced before the call returns.
    Synced,
    /// May vanish when the process or the host dies, and all later volatile ones with it:
    /// what is left is a prefix of them (and all synced ones).
    Volatile,
}

/// One change of a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets a key of a table.
    Put(&'static str, Vec<u8>, Vec<u8>),
    /// Removes a key of a table; absent is fine.
    Delete(&'static str, Vec<u8>),
}

/// Changes that take effect together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The changes, in order.
    pub writes: Vec<Write>,
}

impl Batch {
    /// Sets a key of a table.
    pub fn put(&mut self, table: &'static str, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes
            .push(Write::Put(table, key.into(), value.into()));
    }

    /// Removes a key of a table.
    pub fn delete(&mut self, table: &'static str, key: impl Into<Vec<u8>>) {
        self.writes.push(Write::Delete(table, key.into()));
    }
}

/// A store of sorted keys in named tables. The tables are fixed when it is opened; a call that
/// names another one is `InvalidInput`. Calls block: run those that matter on
/// [`Blocking`](crate::Blocking).
pub trait LocalStore: Send + Sync + fmt::Debug {
    /// The value of a key.
    fn get(&self, table: &'static str, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Applies a batch, wholly or (on an error) not at all. A synced one survives whatever
    /// comes; after an error in syncing it is not known whether it will.
    fn write(&self, batch: Batch, durability: Durability) -> io::Result<()>;

    /// All pairs whose key starts with `prefix`, ascending, at most `count_max`, from `from` on
    /// (inclusive) where given.
    fn scan(
        &self,
        table: &'static str,
        prefix: &[u8],
        from: Option<&[u8]>,
        count_max: usize,
    ) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>>;
}
