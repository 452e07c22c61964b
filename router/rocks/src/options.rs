//! How RocksDB is set up: memory, files, log.

use rocksdb::{
    BlockBasedOptions, Cache, DBCompactionStyle, DBCompressionType, DBRecoveryMode,
    FifoCompactOptions, LogLevel, Options,
};
use vpool_host::{Table, TableKind};

/// What a store may take of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For blocks, indexes and filters that have been read, in bytes.
    pub block_cache_bytes: usize,
    /// For what is not flushed yet, of all tables together, in bytes (up to twice that while
    /// a flush is running).
    pub write_buffer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            block_cache_bytes: 64 << 20,
            write_buffer_bytes: 32 << 20,
        }
    }
}

/// Files that RocksDB keeps open at most; each takes some memory for its reader.
const OPEN_FILES_MAX: i32 = 256;
/// Threads for flushes and compactions.
const BACKGROUND_JOBS: i32 = 2;
/// RocksDB's own text log.
const LOG_FILE_BYTES: usize = 1 << 20;
const LOG_FILES: usize = 2;
/// Bits of a filter for each key: 1 % of lookups of absent keys read a block in vain.
const FILTER_BITS: f64 = 10.0;
/// A table file of a cache is a 1/16 of the cache, within reason: that much goes at once.
const CACHE_FILES: u64 = 16;
const CACHE_FILE_BYTES_MIN: u64 = 256 << 10;

/// The options of the whole store.
pub(crate) fn of_store(limits: &Limits) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // Volatile batches touch several tables: they are to be lost together.
    options.set_atomic_flush(true);
    // Never refuse to open after a power cut: the log ends where it is torn.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_paranoid_checks(true);
    options.set_db_write_buffer_size(limits.write_buffer_bytes);
    // The log is replayed at open and is what rot could hide in: keep it short.
    options.set_max_total_wal_size(limits.write_buffer_bytes as u64);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_max_log_file_size(LOG_FILE_BYTES);
    options.set_keep_log_file_num(LOG_FILES);
    options.set_log_level(LogLevel::Warn);
    options
}

/// The options of a table. `None` = a table that this build does not know, from another one.
pub(crate) fn of_table(table: Option<&Table>, limits: &Limits, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    // Indexes and filters count as blocks: all reading memory is under the one limit.
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_bloom_filter(FILTER_BITS, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    // Keys and values are small and of random bits, or compressed already.
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(limits.write_buffer_bytes / 2);
    options.set_max_write_buffer_number(2);
    // What we do not know we leave alone: a cache compacted by levels would not open again
    // as a cache.
    options.set_disable_auto_compactions(table.is_none());
    if let Some(Table {
        kind: TableKind::Cache { bytes },
        ..
    }) = table
    {
        let mut fifo = FifoCompactOptions::default();
        fifo.set_max_table_files_size(*bytes);
        options.set_compaction_style(DBCompactionStyle::Fifo);
        options.set_fifo_compaction_options(&fifo);
        // Nothing goes by age (which would want all files to be open at all times).
        options.set_ttl(0);
        let file = (bytes / CACHE_FILES).max(CACHE_FILE_BYTES_MIN);
        let file = usize::try_from(file).unwrap_or(usize::MAX);
        options.set_write_buffer_size(file.min(limits.write_buffer_bytes / 2));
    }
    options
}
