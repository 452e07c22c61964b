//! The local key-value store on RocksDB.
//!
//! Owns: [`RocksStore`], the real [`LocalStore`](vpool_host::LocalStore): one column family
//! for each table, what is synced and what is not, how much memory and space it takes. Does
//! not own: what is kept (`vpool-metadata`, the map's node cache).
//!
//! - A synced batch is in the write-ahead log and fsynced before the call returns. A volatile
//!   one skips the log: it is in memory until some flush, and all tables are flushed
//!   together, so that what a dead process leaves is a prefix.
//! - A durable table is compacted by levels. A cache drops its oldest files when it reaches
//!   its size (FIFO), and is never rewritten.
//! - RocksDB checks a CRC of every block it reads. What lies in the log since the last flush
//!   is checked at open, where a bad record ends the log: RocksDB cannot tell a torn tail from
//!   rot in it. So an orderly close flushes, and the exposure is what was written since.

mod error;
mod options;
mod store;

pub use options::Limits;
pub use store::RocksStore;

#[cfg(test)]
mod tests;
