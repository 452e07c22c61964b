//! The store: opening, reading, writing.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, DB, Direction, FlushOptions, IteratorMode,
    Options, ReadOptions, WriteBatch, WriteOptions,
};
use vpool_host::{Batch, Durability, Files, LocalStore, Table, Write, real::RealFiles};

use crate::error::wrap;
use crate::options::{Limits, of_store, of_table};

/// A local store in a directory. All calls block.
pub struct RocksStore {
    db: DB,
    path: PathBuf,
    tables: Vec<Table>,
    synced: WriteOptions,
    volatile: WriteOptions,
}

impl fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksStore")
            .field("path", &self.path)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl RocksStore {
    /// Opens the store in the directory `path` with these tables; makes what is missing.
    /// Tables that are there and not asked for stay as they are.
    ///
    /// # Errors
    /// With the path, and what can be done about it: `ResourceBusy` if a process has it open,
    /// `InvalidData` if it is damaged, `StorageFull`, `PermissionDenied`,
    /// `ReadOnlyFilesystem`, `InvalidInput` if it is of an unknown kind, `Other`.
    pub fn open(path: &Path, tables: &[Table], limits: &Limits) -> io::Result<RocksStore> {
        RealFiles.create_dir_all(path).map_err(|error| {
            let what = format!("cannot make the directory {}: {error}", path.display());
            io::Error::new(error.kind(), what)
        })?;
        let options = of_store(limits);
        let families = families(path, tables, limits, &options)?;
        let db = DB::open_cf_descriptors(&options, path, families)
            .map_err(|error| wrap("open", path, error))?;
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        let mut volatile = WriteOptions::default();
        volatile.disable_wal(true);
        Ok(RocksStore {
            db,
            path: path.to_path_buf(),
            tables: tables.to_vec(),
            synced,
            volatile,
        })
    }

    /// Bytes of memory that the store takes now: write buffers, and blocks in the cache.
    ///
    /// # Errors
    /// If RocksDB does not know.
    pub fn memory_bytes(&self) -> io::Result<u64> {
        let of = |family: &ColumnFamily, name: &str| {
            self.db
                .property_int_value_cf(family, name)
                .map(Option::unwrap_or_default)
                .map_err(|error| wrap("read the properties of", &self.path, error))
        };
        let mut bytes = 0;
        let mut cached = 0;
        for table in &self.tables {
            let family = self.family(table.name)?;
            bytes += of(family, "rocksdb.cur-size-all-mem-tables")?;
            bytes += of(family, "rocksdb.estimate-table-readers-mem")?;
            // One cache, which each table reports.
            cached = of(family, "rocksdb.block-cache-usage")?;
        }
        Ok(bytes + cached)
    }

    fn family(&self, table: &'static str) -> io::Result<&ColumnFamily> {
        self.tables
            .iter()
            .any(|known| known.name == table)
            .then(|| self.db.cf_handle(table))
            .flatten()
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!(
                        "the store at {} was opened without a table {table:?}",
                        self.path.display()
                    ),
                )
            })
    }
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        let families: Vec<&ColumnFamily> = self
            .tables
            .iter()
            .filter_map(|table| self.db.cf_handle(table.name))
            .collect();
        let result = self.db.flush_cfs_opt(&families, &FlushOptions::default());
        if let Err(error) = result {
            // Nothing that must last is lost by it: that is in the log.
            tracing::warn!(path = %self.path.display(), %error, "cannot flush a store at close");
        }
    }
}

/// What the store is opened with: RocksDB wants to be told all that are there.
fn families(
    path: &Path,
    tables: &[Table],
    limits: &Limits,
    options: &Options,
) -> io::Result<Vec<ColumnFamilyDescriptor>> {
    let there = match path.join("CURRENT").try_exists()? {
        true => DB::list_cf(options, path).map_err(|error| wrap("open", path, error))?,
        false => Vec::new(),
    };
    let cache = Cache::new_lru_cache(limits.block_cache_bytes);
    let others = there
        .iter()
        .filter(|name| tables.iter().all(|table| table.name != name.as_str()))
        .map(|name| ColumnFamilyDescriptor::new(name, of_table(None, limits, &cache)));
    let ours = tables.iter().map(|table| {
        ColumnFamilyDescriptor::new(table.name, of_table(Some(table), limits, &cache))
    });
    Ok(others.chain(ours).collect())
}

impl LocalStore for RocksStore {
    fn get(&self, table: &'static str, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.db
            .get_cf(self.family(table)?, key)
            .map_err(|error| wrap("read from", &self.path, error))
    }

    fn write(&self, batch: Batch, durability: Durability) -> io::Result<()> {
        let mut writes = WriteBatch::default();
        for write in &batch.writes {
            match write {
                Write::Put(table, key, value) => writes.put_cf(self.family(table)?, key, value),
                Write::Delete(table, key) => writes.delete_cf(self.family(table)?, key),
            }
        }
        let options = match durability {
            Durability::Synced => &self.synced,
            Durability::Volatile => &self.volatile,
        };
        self.db
            .write_opt(writes, options)
            .map_err(|error| wrap("write to", &self.path, error))
    }

    fn scan(
        &self,
        table: &'static str,
        prefix: &[u8],
        from: Option<&[u8]>,
        count_max: usize,
    ) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let first = from.unwrap_or_default().max(prefix);
        let mut options = ReadOptions::default();
        options.set_iterate_range(rocksdb::PrefixRange(prefix));
        let mode = IteratorMode::From(first, Direction::Forward);
        self.db
            .iterator_cf_opt(self.family(table)?, options, mode)
            .take(count_max)
            .map(|pair| {
                let (key, value) = pair.map_err(|error| wrap("read from", &self.path, error))?;
                Ok((key.into_vec(), value.into_vec()))
            })
            .collect()
    }
}
