//! The chunk cache of a pool: memory before SSD, keyed by address, deduplicated by content.
//!
//! Owns: what is kept at the door (DESIGN §3 Reads). Does not own: the object store, which
//! chunks are worth inserting, single flights of identical reads.
//!
//! ```text
//!            get_now, read_now                 get, read_cached_now
//! reader ──▶ memory (S3-FIFO, sharded) ──miss──▶ index ─▶ one read ─▶ verify ─▶ memory
//! insert ──▶ memory, and a bounded queue ─▶ writer ─▶ zones, first in first out
//! ```
//!
//! Rules:
//! - Every hit is verified: a clear chunk by its keyed content id, an encrypted one by its tag.
//!   One that does not verify is forgotten, counted, and a miss (P7).
//! - Nothing here ever fails or waits for the SSD beyond a deadline: a cache that is full, slow,
//!   broken or absent is a cache that holds less.
//! - Chunks of encrypted disks are sealed on the SSD, and shared within one data key only.

mod cache;
mod index;
mod key;
pub mod limits;
mod memory;
mod open_zone;
mod rebuild;
mod recycle;
mod ssd;
mod statistics;
mod writer;
mod zone;

pub use cache::{CacheConfig, ChunkCache, Layers, SsdConfig};
pub use key::ChunkKey;
pub use memory::CacheMemory;
pub use statistics::Statistics;

#[cfg(test)]
mod tests;
