//! The two local databases: `meta/`, which must last, and `cache/map/`, which may vanish.
//!
//! Owns: their tables, their shares of memory and space, what happens when one cannot be
//! opened. Does not own: what is kept in them (`vpool-metadata`, the engine).

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use vpool_engine::router::local_tables;
use vpool_host::{Batch, Durability, Host, LocalStore, Table, TableKind};
use vpool_metadata::local::{LocalMetadata, TABLE as METADATA};
use vpool_rocks::{Limits, RocksStore};

use crate::api::ANSWERS;
use crate::data_dir::DataDir;
use crate::tasks::TABLE as TASKS;

/// Facts about this daemon that are nobody else's business.
const FACTS: Table = Table {
    name: "daemon",
    kind: TableKind::Durable,
};

/// The metadata is small.
const META_LIMITS: Limits = Limits {
    block_cache_bytes: 8 << 20,
    write_buffer_bytes: 8 << 20,
};

/// Of the memory, so much goes to the database of map nodes, within reason.
const MAP_MEMORY_DIVISOR: u64 = 16;
const MAP_CACHE_BYTES: (u64, u64) = (8 << 20, 64 << 20);
const MAP_BUFFER_BYTES: usize = 32 << 20;

/// Of the SSD cache, so much goes to the database of map nodes, within reason.
const MAP_SPACE_DIVISOR: u64 = 16;
const MAP_SPACE_BYTES: (u64, u64) = (128 << 20, 8 << 30);

/// `meta/`.
#[derive(Debug)]
pub(crate) struct Meta {
    store: Arc<RocksStore>,
}

impl Meta {
    /// Opens it; makes it where the directory is new.
    pub(crate) fn open(dir: &DataDir, host: &Host) -> anyhow::Result<Meta> {
        let new = !dir.holds_something("meta")?;
        if new && dir.holds_something("journal")? {
            bail!(
                "{meta} is gone, but {journal} holds writes that were acknowledged and may not \
                 be in any store: put meta/ back. To give those writes up and go on with what \
                 the stores hold, move journal/ away",
                meta = dir.join("meta").display(),
                journal = dir.join("journal").display(),
            );
        }
        let path = dir.private("meta", host)?;
        let store = RocksStore::open(&path, &[METADATA, FACTS, TASKS, ANSWERS], &META_LIMITS)
            .map(Arc::new)
            .context("cannot open the metadata")?;
        Ok(Meta { store })
    }

    /// The metadata in it.
    pub(crate) async fn metadata(&self, host: &Host) -> anyhow::Result<Arc<LocalMetadata>> {
        let store: Arc<dyn LocalStore> = self.store.clone();
        let metadata = LocalMetadata::open(store, host.blocking.clone(), &*host.entropy)
            .await
            .context("cannot read the metadata")?;
        Ok(Arc::new(metadata))
    }

    /// The database, for those who have tables of their own in it.
    pub(crate) fn store(&self) -> Arc<dyn LocalStore> {
        self.store.clone()
    }

    /// Whether something was noted.
    pub(crate) fn knows(&self, fact: &str) -> anyhow::Result<bool> {
        let value = self
            .store
            .get(FACTS.name, fact.as_bytes())
            .context("read the metadata")?;
        Ok(value.is_some())
    }

    /// Notes something for ever.
    pub(crate) fn note(&self, fact: &str) -> anyhow::Result<()> {
        let mut batch = Batch::default();
        batch.put(FACTS.name, fact.as_bytes(), *b"yes");
        self.store
            .write(batch, Durability::Synced)
            .context("write the metadata")
    }
}

/// `cache/map/` and what it takes.
#[derive(Debug)]
pub(crate) struct MapCache {
    /// The tables that the engine asks for.
    pub(crate) store: Arc<dyn LocalStore>,
    /// Memory that it takes.
    pub(crate) memory_bytes: u64,
    /// Space that it takes.
    pub(crate) space_bytes: u64,
}

impl MapCache {
    /// Opens it. One that cannot be opened is made anew: it holds only copies.
    pub(crate) fn open(
        dir: &DataDir,
        host: &Host,
        memory_bytes: u64,
        space_bytes: u64,
    ) -> anyhow::Result<MapCache> {
        let (least, most) = MAP_CACHE_BYTES;
        let block_cache_bytes = (memory_bytes / MAP_MEMORY_DIVISOR).clamp(least, most);
        let limits = Limits {
            block_cache_bytes: usize::try_from(block_cache_bytes).expect("64 MiB at most"),
            write_buffer_bytes: MAP_BUFFER_BYTES,
        };
        let (least, most) = MAP_SPACE_BYTES;
        let bytes = (space_bytes / MAP_SPACE_DIVISOR).clamp(least, most);
        let tables = local_tables(bytes);
        dir.private("cache", host)?;
        let path = dir.private("cache/map", host)?;
        let store = open_or_begin_anew(&path, &tables, &limits)
            .with_context(|| format!("cannot open the cache {}", path.display()))?;
        Ok(MapCache {
            store: Arc::new(store),
            memory_bytes: block_cache_bytes + MAP_BUFFER_BYTES as u64,
            space_bytes: bytes,
        })
    }
}

fn open_or_begin_anew(path: &Path, tables: &[Table], limits: &Limits) -> io::Result<RocksStore> {
    match RocksStore::open(path, tables, limits) {
        // Beginning anew would not help, or would hide who else is there.
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::ResourceBusy
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            tracing::warn!(path = %path.display(), %error,
                "the cache of map nodes cannot be opened; it is made anew and fills again");
            fs::remove_dir_all(path)?;
            RocksStore::open(path, tables, limits)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    //! What may vanish does, what must last is never made anew.

    use super::{MapCache, Meta};
    use crate::data_dir::DataDir;
    use std::fs;
    use vpool_host::{Batch, Durability, Host};

    fn world() -> (tempfile::TempDir, DataDir, Host) {
        let dir = tempfile::tempdir().expect("a directory");
        let host = Host::real();
        let data_dir = DataDir::open(dir.path(), &host).expect("a new directory");
        (dir, data_dir, host)
    }

    fn spoil(dir: &std::path::Path) {
        let current = dir.join("CURRENT");
        let manifest = fs::read_to_string(&current).expect("RocksDB's own file");
        fs::write(dir.join(manifest.trim()), "no manifest").expect("it is writable");
    }

    #[test]
    fn a_damaged_cache_is_made_anew() {
        let (_dir, data_dir, host) = world();
        let open = || MapCache::open(&data_dir, &host, 1 << 30, 0);
        let cache = open().expect("a new one");
        let mut batch = Batch::default();
        batch.put("nodes", *b"key", *b"value");
        cache
            .store
            .write(batch, Durability::Volatile)
            .expect("it takes writes");
        drop(cache);
        spoil(&data_dir.join("cache/map"));
        let cache = open().expect("made anew");
        assert_eq!(cache.store.get("nodes", b"key").expect("it answers"), None);
        drop(cache);
        fs::remove_dir_all(data_dir.join("cache")).expect("it is there");
        open().expect("made anew");
    }

    #[test]
    fn damaged_metadata_is_an_error() {
        let (_dir, data_dir, host) = world();
        drop(Meta::open(&data_dir, &host).expect("a new one"));
        spoil(&data_dir.join("meta"));
        let error = format!(
            "{:#}",
            Meta::open(&data_dir, &host).expect_err("it is damaged")
        );
        assert!(error.contains("damaged"), "{error}");
    }

    #[test]
    fn a_journal_without_metadata_is_not_passed_over() {
        let (_dir, data_dir, host) = world();
        data_dir.private("journal", &host).expect("a directory");
        fs::write(data_dir.join("journal/x"), "x").expect("a file");
        let error = Meta::open(&data_dir, &host)
            .expect_err("meta/ is gone")
            .to_string();
        assert!(error.contains("journal"), "{error}");
        assert!(!data_dir.join("meta").exists());
    }

    #[test]
    fn facts_last() {
        let (_dir, data_dir, host) = world();
        let meta = Meta::open(&data_dir, &host).expect("a new one");
        assert!(!meta.knows("demo").expect("it answers"));
        meta.note("demo").expect("it takes writes");
        drop(meta);
        let meta = Meta::open(&data_dir, &host).expect("the same one");
        assert!(meta.knows("demo").expect("it answers"));
    }
}
