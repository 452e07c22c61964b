//! Pools: claimed when made, checked when opened, their journals recovered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use vpool_cache::{CacheConfig, ChunkCache, SsdConfig};
use vpool_format::bucket::Claim;
use vpool_format::{DiskId, Generation, PoolId};
use vpool_metadata::{Location, PoolEntry};
use vpool_seal::{PoolKey, PoolSecrets};

use super::unfinished::Unfinished;
use super::{OpenPool, Router, Slot, Store};
use crate::bucket::Bucket;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{FoundExtent, Journal, Loss};
use crate::limits;
use crate::name;
use crate::pool::{Pool, PoolParts};
use crate::shares;

/// A cache finds something, however little memory was left for its index.
const INDEX_ENTRIES_MIN: usize = 4096;

impl Router {
    /// Makes a pool at a location that nobody has claimed.
    pub async fn create_pool(
        self: &Arc<Self>,
        pool_name: &str,
        location: Location,
        store: Store,
    ) -> Result<PoolEntry> {
        let _turn = self.turn().await?;
        name::check("pool", pool_name)?;
        self.check_pool_name_free(pool_name)?;
        let place = describe(&location);
        let bucket = self.bucket(&store, &place);
        let (claim, secrets) = match bucket.claim().await? {
            Some((claim, tag)) => {
                // A creation that was interrupted after the claim is taken up again.
                let ours = claim.grid == self.grid
                    && claim.name == pool_name
                    && !self.pools.read().contains_key(&claim.pool);
                if !ours || !bucket.list_disks().await?.is_empty() {
                    return Err(bucket.claimed(&claim, self.grid));
                }
                let secrets = bucket.open_claim(&claim, &tag, &self.parts.grid_key)?;
                (claim, secrets)
            }
            None => {
                let (claim, secrets) = self.new_claim(pool_name);
                bucket.put_claim(&claim, &secrets).await?;
                (claim, secrets)
            }
        };
        let entry = PoolEntry {
            id: claim.pool,
            name: pool_name.to_owned(),
            location,
            generation: claim.generation,
            wrapped_key: claim.wrapped_pool_key,
        };
        self.sweep(entry.id).await;
        self.parts.metadata.create_pool(entry.clone()).await?;
        self.assemble_pool(entry.clone(), store, secrets, true)
            .await?;
        Ok(entry)
    }

    /// Forgets a pool without disks. Its objects stay: adopting the place brings the pool back.
    pub async fn delete_pool(&self, pool_name: &str) -> Result<()> {
        let _turn = self.turn().await?;
        let open = self.pool_named(pool_name)?;
        let _pool_turn = self.pool_turn(&open).await?;
        let deleted = self.parts.metadata.delete_pool(open.entry.id).await;
        deleted.map_err(|error| match error {
            vpool_metadata::Error::Conflict(why) => {
                Error::new(ErrorKind::Conflict, format!("{why}: delete them first"))
            }
            other => other.into(),
        })?;
        self.pools.write().remove(&open.entry.id);
        if let Err(error) = super::close_pool(&open, Duration::ZERO).await {
            tracing::warn!(pool = pool_name, %error, "the pool that was deleted did not close");
        }
        self.sweep(open.entry.id).await;
        Ok(())
    }

    /// Opens a pool that the metadata has.
    pub async fn open_pool(self: &Arc<Self>, entry: PoolEntry, store: Store) -> Result<()> {
        let key = self.parts.grid_key.unwrap(&entry.wrapped_key, entry.id).map_err(|error| {
            Error::new(
                ErrorKind::Conflict,
                format!(
                    "pool {}: the grid key is not the one that it was made with ({error}): put the \
                     right key file in place",
                    entry.name
                ),
            )
        })?;
        let answers = match self.check_place(&entry, &store).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(pool = %entry.name, %error,
                    "the store does not answer; disks open when it does");
                false
            }
            checked => checked.map(|()| true)?,
        };
        let secrets = key.secrets(entry.id);
        // Not before: a store that does not answer keeps nobody else waiting.
        let _turn = self.turn().await?;
        self.check_pool_name_free(&entry.name)?;
        // It may have been adopted, opened or forgotten meanwhile: two openings are two writers.
        let noted = self.parts.metadata.pools().await?;
        let noted = noted.into_iter().find(|noted| noted.id == entry.id);
        let same = noted.filter(|noted| noted.generation == entry.generation);
        let here = self.pools.read().contains_key(&entry.id);
        if let (Some(noted), false) = (same, here) {
            // A command ends what is in doubt: a forgetting that failed must not come true under
            // clients that write.
            self.parts.metadata.update_pool(noted).await?;
        } else {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "pool {} was opened, adopted or forgotten meanwhile",
                    entry.name
                ),
            ));
        }
        self.assemble_pool(entry, store, secrets, answers).await
    }

    pub(super) fn check_pool_name_free(&self, pool_name: &str) -> Result<()> {
        if self
            .pools
            .read()
            .values()
            .any(|open| open.entry.name == pool_name)
        {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("there is a pool {pool_name:?} already: choose another name"),
            ));
        }
        Ok(())
    }

    pub(super) fn bucket<'a>(&'a self, store: &'a Store, place: &'a str) -> Bucket<'a> {
        Bucket {
            store,
            host: &self.parts.host,
            lag: self.parts.tuning.store_lag,
            place,
        }
    }

    fn new_claim(&self, pool_name: &str) -> (Claim, Arc<PoolSecrets>) {
        let entropy = &self.parts.host.entropy;
        let mut fill = |bytes: &mut [u8]| entropy.fill(bytes);
        let key = PoolKey::generate(&mut fill);
        let pool = PoolId(entropy.id());
        let claim = Claim {
            grid: self.grid,
            generation: Generation(1),
            pool,
            name: pool_name.to_owned(),
            wrapped_pool_key: self.parts.grid_key.wrap(&key, pool, &mut fill),
            key_check: key.check_value(),
            created_ms: self.parts.host.clock.wall_ms(),
            settings: Vec::new(),
            nonce: entropy.id(),
        };
        let secrets = key.secrets(pool);
        (claim, secrets)
    }

    /// Recovers the journal and puts the pool in place. Disks with something in the journal are
    /// opened at once, so that it is shipped. Unless the store does not answer, changes of disks that
    /// were interrupted are completed first.
    pub(super) async fn assemble_pool(
        self: &Arc<Self>,
        entry: PoolEntry,
        store: Store,
        secrets: Arc<PoolSecrets>,
        answers: bool,
    ) -> Result<()> {
        let host = self.parts.host.clone();
        let path = self.journal_path(entry.id);
        let (shares, tuning, id) = (self.shares.clone(), self.parts.tuning.clone(), entry.id);
        let their_host = host.clone();
        let (journal, found) = host
            .blocking
            .run(move || Journal::open(&their_host, id, path, &shares, &tuning))
            .await?;
        let all = self.parts.metadata.pools().await?;
        let cache = self.open_cache(&entry, &secrets, &all);
        let pool = Pool::new(PoolParts {
            id: entry.id,
            name: entry.name.clone(),
            generation: entry.generation,
            host,
            store,
            journal: journal.clone(),
            metadata: self.parts.metadata.clone(),
            local: self.parts.local.clone(),
            cache,
            secrets,
            node_memory: self.node_memory.clone(),
            dirty: self.dirty.join(journal.room().clone()),
            images_max: (limits::IMAGES_MAX / all.len().max(1)).max(limits::IMAGES_MIN),
            tuning: self.parts.tuning.clone(),
        });
        let mut by_disk: BTreeMap<DiskId, Vec<FoundExtent>> = BTreeMap::new();
        for extent in found {
            by_disk.entry(extent.header.disk).or_default().push(extent);
        }
        let open = Arc::new(OpenPool {
            pool,
            location: Mutex::new(entry.location.clone()),
            entry: entry.clone(),
            disks: RwLock::default(),
            turn: Arc::default(),
            unfinished: Unfinished::default(),
        });
        let mut to_open = Vec::new();
        for disk in self.parts.metadata.disks(entry.id).await? {
            let mut extents = by_disk.remove(&disk.id).unwrap_or_default();
            if let Some(loss) = journal.loss() {
                let here = loss == Loss::FailedSync;
                self.parts.metadata.owe(disk.id, here).await?;
            }
            let streams = self.parts.metadata.streams(disk.id).await?;
            if streams.closed.is_some() && streams.base.is_some() {
                // Closed in order: whatever the headers still say is in the store. (Of a disk at
                // rest that is not known: it may have gone on in the same extent.)
                journal.retire(extents.drain(..).map(|extent| extent.slot));
            }
            let slot = Slot::new(disk.clone(), extents);
            if disk.deleting || !disk.described {
                open.unfinished.add(disk.id);
            }
            if !disk.deleting && !slot.extents.lock().is_empty() {
                to_open.push(slot.clone());
            }
            open.disks.write().insert(disk.id, slot);
        }
        // What is left belongs to disks that were deleted.
        journal.retire(by_disk.into_values().flatten().map(|extent| extent.slot));
        let begun = journal.clone();
        self.parts.host.blocking.run(move || begun.begin()).await;
        self.pools.write().insert(entry.id, open.clone());
        // Now that it is among them: who changes the shares sees it, or is seen here.
        self.give_share(&open);
        journal.start();
        if answers {
            let _turn = self.pool_turn(&open).await?;
            if let Err(error) = self.finish_all(&open).await {
                tracing::warn!(pool = %open.entry.name, %error, "changes of disks are not complete yet");
            }
        }
        self.see_to_all(&open);
        for slot in to_open {
            let (router, open) = (self.clone(), open.clone());
            tokio::spawn(async move { router.open_until_done(&open, &slot).await });
        }
        Ok(())
    }

    fn open_cache(
        &self,
        entry: &PoolEntry,
        secrets: &Arc<PoolSecrets>,
        all: &[PoolEntry],
    ) -> Arc<ChunkCache> {
        let names: Vec<&str> = all.iter().map(|pool| pool.name.as_str()).collect();
        let shares = self.pool_shares.lock();
        let memory_bytes = shares::own(self.parts.memory_bytes, &entry.name, &names, &shares);
        let given = shares.get(&entry.name).and_then(|share| share.cache_bytes);
        let cache_bytes = given.unwrap_or(self.parts.cache_bytes);
        drop(shares);
        let path = self
            .parts
            .data_dir
            .join("cache")
            .join(format!("{}.cache", entry.id));
        let bytes = |part: u64| usize::try_from(part).unwrap_or(usize::MAX);
        let ssd = (cache_bytes > 0).then(|| SsdConfig {
            // The index takes about 60 bytes an entry: an eighth of the memory.
            index_entries_max: bytes(memory_bytes / 8 / 60).max(INDEX_ENTRIES_MIN),
            ..SsdConfig::new(path, cache_bytes)
        });
        let config = CacheConfig {
            pool: secrets.clone(),
            memory: self.chunk_memory.clone(),
            ssd,
        };
        Arc::new(ChunkCache::open(self.parts.host.clone(), &config))
    }
}

/// A location as people write it.
pub(super) fn describe(location: &Location) -> String {
    match location {
        Location::Directory(path) => path.clone(),
        Location::S3 {
            endpoint: url,
            bucket: container,
            prefix,
            ..
        }
        | Location::Swift {
            auth_url: url,
            container,
            prefix,
            ..
        } => match prefix.as_str() {
            "" => format!("{url}/{container}"),
            prefix => format!("{url}/{container}/{prefix}"),
        },
    }
}
