//! The object-store trait: what vPool asks of a warehouse, and nothing more.
//!
//! Owns: [`ObjectStore`] and its semantics, [`Key`], the errors, the stores that need no
//! client ([`memory`], [`fs`]), the decorators, the conformance suite and the probe.
//! Does not own: S3 and Swift clients (crates of their own beside this one).

mod around;
pub mod breaker;
pub mod conditional;
pub mod conformance;
pub mod error;
pub mod faults;
pub mod fs;
pub mod key;
pub mod limit;
mod limits;
pub mod memory;
pub mod metrics;
pub mod operation;
pub mod prefix;
pub mod probe;
pub mod ranges;
pub mod retry;
pub mod settle;
pub mod stack;
pub mod timeout;

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

pub use conditional::Conditional;
pub use error::{Error, ErrorKind, Result};
pub use key::Key;

/// The end of an object, and how long the whole is.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The last bytes, all of them where the object is shorter than was asked for.
    pub bytes: Bytes,
    /// The object's whole length in bytes.
    pub object_bytes: u64,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The object's name.
    pub key: Key,
    /// Its length in bytes.
    pub bytes: u64,
}

/// One page of a listing, in ascending byte order of names.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The objects found.
    pub objects: Vec<Listed>,
    /// Whether more may follow after the last of them.
    pub more: bool,
}

/// An object store, or a prefix of one.
///
/// What callers may rely on, and stores must give:
/// - **put** is for a *fresh* name: the caller never puts other bytes under a name once
///   used (promise P3). When it returns `Ok`, the whole object is durable. A repeat of the
///   same put is allowed and succeeds. A store that notices other bytes under that name
///   answers [`ErrorKind::Conflict`] and leaves them. After an error the object may be
///   there, may come later, or never.
/// - **get** and its kin see an object as soon as its put has returned `Ok`, whole. (Where
///   a store lags, a decorator in the caller's stack waits the declared lag.)
/// - a body shorter or longer than it should be is an error, never a result.
/// - **list** is a hint: it may lag in both directions.
/// - **delete** of what is absent succeeds.
///
/// No method is retried inside a store; the retry decorator does that, once, for all.
#[async_trait]
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// Stores a new object.
    async fn put(&self, key: &Key, body: Bytes) -> Result<()>;

    /// The whole object.
    async fn get(&self, key: &Key) -> Result<Bytes>;

    /// Exactly the bytes of `range`, which is not empty and lies within the object
    /// (else [`ErrorKind::Invalid`]).
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes>;

    /// The last `length` bytes (none for 0), or the whole object if it is shorter.
    async fn get_tail(&self, key: &Key, length: u64) -> Result<Tail>;

    /// The object's length in bytes.
    async fn head(&self, key: &Key) -> Result<u64>;

    /// Up to `count_max` objects whose name starts with `prefix` and is greater than `after`.
    async fn list(&self, prefix: &str, after: Option<&Key>, count_max: usize) -> Result<Page>;

    /// Deletes an object; absent is fine.
    async fn delete(&self, key: &Key) -> Result<()>;

    /// Deletes many objects; the answer has one result for each key, in order.
    async fn delete_many(&self, keys: &[Key]) -> Vec<Result<()>>;

    /// Writes with a condition, where the store has a request for them. Only stores answer
    /// it, and [`prefix`]; the other decorators do not, so that no such write slips past
    /// their limits: ask it of the bare store.
    fn conditional(&self) -> Option<&dyn Conditional> {
        None
    }
}
