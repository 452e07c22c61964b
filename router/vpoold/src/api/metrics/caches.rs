//! The counters of caches.
//!
//! Owns: their names. Does not own: caches (`vpool-cache`).

use super::each;
use super::text::{Kind, Text};
use crate::daemon::PoolFigures;

pub(super) fn of_caches(text: &mut Text, pools: &[PoolFigures]) {
    let counter = Kind::Counter;
    let help = "Chunks found in memory";
    each(
        text,
        pools,
        "cache_memory_hits_total",
        counter,
        help,
        |one| one.pool.cache.memory_hits,
    );
    let help = "Chunks found on the SSD";
    each(text, pools, "cache_ssd_hits_total", counter, help, |one| {
        one.pool.cache.ssd_hits
    });
    let help = "Chunks found in no cache";
    each(text, pools, "cache_misses_total", counter, help, |one| {
        one.pool.cache.misses
    });
    let help = "Chunks written to the SSD";
    each(text, pools, "cache_inserted_total", counter, help, |one| {
        one.pool.cache.inserted
    });
    let help = "Chunks that were there under another address";
    each(
        text,
        pools,
        "cache_deduplicated_total",
        counter,
        help,
        |one| one.pool.cache.deduplicated,
    );
    let help = "Chunks that found no place in the queue";
    each(text, pools, "cache_dropped_total", counter, help, |one| {
        one.pool.cache.dropped
    });
    let help = "Chunks on the SSD that did not verify";
    each(text, pools, "cache_corrupt_total", counter, help, |one| {
        one.pool.cache.corrupt
    });
    let help = "Reads and writes of the SSD that failed";
    each(text, pools, "cache_errors_total", counter, help, |one| {
        one.pool.cache.read_errors + one.pool.cache.write_errors
    });
    let help = "Bytes of chunks in memory";
    each(
        text,
        pools,
        "cache_memory_bytes",
        Kind::Gauge,
        help,
        |one| one.pool.cache.memory_bytes as u64,
    );
    let help = "Bytes of chunks on the SSD";
    each(text, pools, "cache_ssd_bytes", Kind::Gauge, help, |one| {
        one.pool.cache.ssd_bytes
    });
}
