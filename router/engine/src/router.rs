//! The storage router of one host: its pools, its disks, who is attached.
//!
//! Owns: opening pools, creating, opening, deleting and closing disks, the list of exports. Does
//! not own: the API, the doors, configuration (`vpoold`).

mod adopt;
mod attachments;
mod changes;
mod disks;
mod forget;
mod location;
mod pools;
mod turns;
mod unfinished;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use vpool_block::{Attached, BlockError, ExportName, Exports};
use vpool_cache::CacheMemory;
use vpool_format::{DiskId, GridId, PoolId};
use vpool_host::{Host, LocalStore, Table, TableKind};
use vpool_metadata::{DiskEntry, Location, Metadata, PoolEntry, THIS_HOST};
use vpool_object::ObjectStore;
use vpool_seal::GridKey;

use crate::chunks::nodes::NodeMemory;
use crate::dirty::DirtyMemory;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{FoundExtent, JournalShares};
use crate::limits::{self, BLOCK, Tuning};
use crate::name;
use crate::pool::Pool;
use crate::shares::PoolShares;
use crate::vdisk::device::Device;
use crate::vdisk::{Status, VDisk};

use attachments::Attachments;
use unfinished::Unfinished;

pub use adopt::Adopted;
pub use attachments::Attachment;
pub use changes::{DiskChange, Resized};

/// What a router is given.
#[derive(Debug)]
pub struct RouterParts {
    /// The host.
    pub host: Host,
    /// The metadata.
    pub metadata: Arc<dyn Metadata>,
    /// A local store with the tables of [`local_tables`], all of which may vanish.
    pub local: Arc<dyn LocalStore>,
    /// Holds `journal/` and `cache/`.
    pub data_dir: PathBuf,
    /// The key that wraps the pools' keys.
    pub grid_key: GridKey,
    /// Bytes of SSD for all journals.
    pub journal_bytes: u64,
    /// Bytes of memory: three eighths for chunks, three for what is not in the map yet, one for
    /// map nodes, one for the index of the SSD cache. What is each pool's own is divided by the
    /// number of pools when it is opened.
    pub memory_bytes: u64,
    /// Bytes of SSD for each pool's cache; 0 = none.
    pub cache_bytes: u64,
    /// What pools are given by name.
    pub pool_shares: PoolShares,
    /// Sizes and times.
    pub tuning: Tuning,
}

/// The tables of the local store, of at most about `bytes` in all.
pub fn local_tables(bytes: u64) -> [Table; 2] {
    [
        Table {
            name: crate::chunks::nodes::TABLE,
            kind: TableKind::Cache {
                bytes: bytes / 8 * 7,
            },
        },
        Table {
            name: crate::chunks::salts::TABLE,
            kind: TableKind::Cache { bytes: bytes / 8 },
        },
    ]
}

/// The router.
#[derive(Debug)]
pub struct Router {
    parts: RouterParts,
    grid: GridId,
    shares: Arc<JournalShares>,
    dirty: Arc<DirtyMemory>,
    chunk_memory: Arc<CacheMemory>,
    node_memory: Arc<NodeMemory>,
    pools: RwLock<BTreeMap<PoolId, Arc<OpenPool>>>,
    pool_shares: Mutex<PoolShares>,
    /// One change of the set of pools at a time.
    turn: tokio::sync::Mutex<()>,
    closing: watch::Sender<bool>,
}

/// A pool with its disks.
#[derive(Debug)]
struct OpenPool {
    pool: Arc<Pool>,
    /// As it was opened; how its place is reached may be another way since.
    entry: PoolEntry,
    location: Mutex<Location>,
    disks: RwLock<BTreeMap<DiskId, Arc<Slot>>>,
    /// One change of the disks at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    unfinished: Unfinished,
}

impl OpenPool {
    fn entry(&self) -> PoolEntry {
        PoolEntry {
            location: self.location.lock().clone(),
            ..self.entry.clone()
        }
    }
}

/// A disk, open or not.
#[derive(Debug)]
struct Slot {
    entry: Mutex<DiskEntry>,
    opened: tokio::sync::Mutex<Option<Arc<VDisk>>>,
    /// For those who may not wait while it is being opened.
    seen: Mutex<Option<Arc<VDisk>>>,
    extents: Mutex<Vec<FoundExtent>>,
    attachments: Arc<Attachments>,
    error: Mutex<Option<Error>>,
    deleted: AtomicBool,
    /// The metadata may not have what `entry` says: it is noted again before the bucket is told.
    in_doubt: AtomicBool,
}

impl Slot {
    fn new(entry: DiskEntry, extents: Vec<FoundExtent>) -> Arc<Slot> {
        let deleting = entry.deleting;
        Arc::new(Slot {
            entry: Mutex::new(entry),
            opened: tokio::sync::Mutex::new(None),
            seen: Mutex::new(None),
            extents: Mutex::new(extents),
            attachments: Arc::default(),
            error: Mutex::new(None),
            deleted: AtomicBool::new(deleting),
            in_doubt: AtomicBool::new(false),
        })
    }
}

/// How a pool stands.
#[derive(Debug, Clone)]
pub struct PoolStatus {
    /// Its entry.
    pub entry: PoolEntry,
    /// How many disks it has.
    pub disks: usize,
    /// Journal bytes in use.
    pub journal_used_bytes: u64,
    /// Journal bytes that there may be, over all pools.
    pub journal_max_bytes: u64,
    /// Bytes acknowledged and not in the store.
    pub unshipped_bytes: u64,
    /// What its caches have done.
    pub cache: vpool_cache::Statistics,
    /// Why its journal takes no writes, if so.
    pub error: Option<String>,
}

/// How a disk stands.
#[derive(Debug, Clone)]
pub struct DiskStatus {
    /// Its entry.
    pub entry: DiskEntry,
    /// Its pool's name.
    pub pool: String,
    /// Whether it is open here.
    pub open: bool,
    /// Clients attached.
    pub attached: usize,
    /// Their machines, in words.
    pub clients: Vec<String>,
    /// How it stands, if it is open.
    pub status: Option<Status>,
    /// Why it does not serve, if so.
    pub error: Option<String>,
}

impl Router {
    /// A router without pools yet: [`open_pool`](Self::open_pool) each that the metadata has.
    pub async fn open(mut parts: RouterParts) -> Result<Arc<Router>> {
        let grid = parts.metadata.grid().await?;
        let extent_bytes = u64::from(parts.tuning.extent_blocks) * BLOCK as u64;
        let extents = (parts.journal_bytes / extent_bytes).max(limits::JOURNAL_EXTENTS_MIN);
        let extents = u32::try_from(extents).unwrap_or(u32::MAX);
        let dirty = DirtyMemory::new(parts.memory_bytes / 8 * 3);
        let chunk_bytes = usize::try_from(parts.memory_bytes / 8 * 3).unwrap_or(usize::MAX);
        let chunk_memory = CacheMemory::new(chunk_bytes);
        let node_memory = NodeMemory::new(parts.memory_bytes / 8);
        let files = parts.host.files.clone();
        let dirs = [parts.data_dir.join("journal"), parts.data_dir.join("cache")];
        parts
            .host
            .blocking
            .run(move || dirs.iter().try_for_each(|dir| files.create_dir_all(dir)))
            .await
            .map_err(|e| {
                crate::error::io(
                    format_args!("create directories in {}", parts.data_dir.display()),
                    &e,
                )
            })?;
        let router = Arc::new(Router {
            pool_shares: Mutex::new(std::mem::take(&mut parts.pool_shares)),
            parts,
            grid,
            shares: Arc::new(JournalShares::new(extents)),
            dirty,
            chunk_memory,
            node_memory,
            pools: RwLock::default(),
            turn: tokio::sync::Mutex::new(()),
            closing: watch::Sender::new(false),
        });
        for pool in router.parts.metadata.left().await? {
            router.sweep(pool).await;
        }
        Ok(router)
    }

    /// Gives pools other shares; what of it a pool takes at its opening only waits for that.
    pub fn set_pool_shares(&self, shares: PoolShares) {
        *self.pool_shares.lock() = shares;
        for open in self.pools.read().values() {
            self.give_share(open);
        }
    }

    fn give_share(&self, open: &OpenPool) {
        let shares = self.pool_shares.lock();
        let share = shares.get(&open.entry.name).copied().unwrap_or_default();
        drop(shares);
        open.pool.journal().set_share(share.journal_percent);
        open.pool.dirty().set_share(share.memory_percent);
        open.pool.chunks().cache().set_share(share.memory_percent);
    }

    /// The pools that are open, by name.
    pub fn pools(&self) -> Vec<PoolStatus> {
        let extent_bytes = u64::from(self.parts.tuning.extent_blocks) * BLOCK as u64;
        let mut pools: Vec<PoolStatus> = self
            .pools
            .read()
            .values()
            .map(|open| {
                let (used, max) = open.pool.journal().usage();
                let disks: Vec<Arc<Slot>> = open.disks.read().values().cloned().collect();
                let unshipped = disks.iter().filter_map(|slot| slot.seen.lock().clone());
                PoolStatus {
                    entry: open.entry(),
                    disks: disks.len(),
                    journal_used_bytes: u64::from(used) * extent_bytes,
                    journal_max_bytes: u64::from(max) * extent_bytes,
                    unshipped_bytes: unshipped.map(|disk| disk.status().unshipped_bytes).sum(),
                    cache: open.pool.chunks().cache().statistics(),
                    error: open
                        .pool
                        .journal()
                        .check_healthy()
                        .err()
                        .map(|e| e.to_string()),
                }
            })
            .collect();
        pools.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
        pools
    }

    /// The pool of that name; without one the only pool, or `default`.
    pub fn pool_entry(&self, name: Option<&str>) -> Result<PoolEntry> {
        self.pool_or_only(name).map(|open| open.entry())
    }

    fn pool_named(&self, name: &str) -> Result<Arc<OpenPool>> {
        let pools = self.pools.read();
        let found = pools.values().find(|open| open.entry.name == name).cloned();
        found.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("there is no pool {name:?}: `vpool pool list` shows those there are"),
            )
        })
    }

    fn pool_or_only(&self, name: Option<&str>) -> Result<Arc<OpenPool>> {
        if let Some(name) = name {
            return self.pool_named(name);
        }
        let pools = self.pools.read();
        let mut all = pools.values();
        match (all.next(), all.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err(Error::new(
                ErrorKind::NotFound,
                "there is no pool yet: `vpool pool create` makes one",
            )),
            _ => pools
                .values()
                .find(|open| open.entry.name == "default")
                .cloned()
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::Invalid,
                        "there are several pools: name one with --pool",
                    )
                }),
        }
    }

    /// Finds a disk by `[POOL:]NAME`.
    fn find(&self, full: &str) -> Result<(Arc<OpenPool>, Arc<Slot>)> {
        let (pool, disk) = name::split(full);
        let pools: Vec<Arc<OpenPool>> = match pool {
            Some(pool) => vec![self.pool_named(pool)?],
            None => self.pools.read().values().cloned().collect(),
        };
        let mut found = Vec::new();
        for open in pools {
            let disks = open.disks.read();
            let slot = disks
                .values()
                .find(|slot| slot.entry.lock().name == disk)
                .cloned();
            drop(disks);
            found.extend(slot.map(|slot| (open, slot)));
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no disk {full:?}: `vpool disk list` shows those there are"),
            )),
            _ => Err(Error::new(
                ErrorKind::Invalid,
                format!("several pools have a disk {full:?}: write POOL:{disk}"),
            )),
        }
    }

    /// Closes everything: completes what was accepted, ships for at most `limit`, keeps the rest
    /// in the journal.
    pub async fn shutdown(&self, limit: Duration) -> Result<()> {
        self.closing.send_replace(true);
        let _turn = self.turn.lock().await;
        let pools: Vec<Arc<OpenPool>> = self.pools.read().values().cloned().collect();
        let closed = pools.iter().map(|open| async move {
            let _turn = open.turn.lock().await;
            close_pool(open, limit).await
        });
        let closed = futures::future::join_all(closed).await;
        closed.into_iter().collect()
    }
}

/// Closes a pool's disks, its cache, and its journal if all that was acknowledged is durable.
async fn close_pool(open: &OpenPool, limit: Duration) -> Result<()> {
    let slots: Vec<Arc<Slot>> = open.disks.read().values().cloned().collect();
    let mut closing = Vec::new();
    for slot in slots {
        closing.push(async move {
            // Held until it is closed: nobody opens it a second time meanwhile.
            let mut opened = slot.opened.lock().await;
            match opened.take() {
                Some(disk) => disk.close(limit).await.map(|_| ()),
                None => Ok(()),
            }
        });
    }
    let closed: Result<()> = futures::future::join_all(closing)
        .await
        .into_iter()
        .collect();
    open.pool.chunks().cache().close().await;
    closed?;
    let journal = open.pool.journal().clone();
    let blocking = &open.pool.host().blocking;
    blocking.run(move || journal.close()).await
}

#[async_trait]
impl Exports for Router {
    async fn list(&self) -> Vec<ExportName> {
        let mut names = Vec::new();
        for open in self.pools.read().values() {
            for slot in open.disks.read().values() {
                let entry = slot.entry.lock();
                names.push(ExportName {
                    name: format!("{}:{}", open.entry.name, entry.name),
                    description: format!("{} bytes", entry.size),
                });
            }
        }
        names.sort_by(|a, b| a.name.cmp(&b.name));
        names
    }

    async fn attach(
        &self,
        name: &str,
        remote: Option<&str>,
    ) -> std::result::Result<Attached, BlockError> {
        let device = self.device_for(name, remote).await?;
        Ok(Arc::new(device))
    }
}

impl Router {
    /// Opens a disk for a client of this host. The empty name is the only disk, or `demo`.
    pub async fn device(&self, full: &str) -> Result<Device> {
        self.device_for(full, None).await
    }

    /// The same for a client that may be on another machine.
    pub async fn device_for(&self, full: &str, remote: Option<&str>) -> Result<Device> {
        let (open, slot) = match full {
            "" => self.default_disk()?,
            _ => self.find(full)?,
        };
        let attachment = slot.attachments.add(remote.unwrap_or(THIS_HOST).into());
        let disk = self.opened(&open, &slot, false).await?;
        // Changed only while nobody is attached, which is no longer so.
        let read_only = slot.entry.lock().settings.read_only;
        if let Some(machine) = remote {
            // Before its first write: what a power cut may lose is owed to it.
            let metadata = &self.parts.metadata;
            metadata
                .attached(disk.entry().id, machine.to_owned())
                .await?;
        }
        Ok(Device::new(disk, read_only, attachment))
    }

    fn default_disk(&self) -> Result<(Arc<OpenPool>, Arc<Slot>)> {
        let mut all = Vec::new();
        for open in self.pools.read().values() {
            all.extend(
                open.disks
                    .read()
                    .values()
                    .map(|slot| (open.clone(), slot.clone())),
            );
        }
        let demo = all
            .iter()
            .position(|(_, slot)| slot.entry.lock().name == "demo");
        match (all.len(), demo) {
            (1, _) => Ok(all.remove(0)),
            (_, Some(demo)) => Ok(all.swap_remove(demo)),
            _ => Err(Error::new(
                ErrorKind::NotFound,
                "name an export: there is no default disk",
            )),
        }
    }
}

/// A store as the router uses it.
pub type Store = Arc<dyn ObjectStore>;
