//! A pool on this host: its store, journal, caches, keys, and the slots that its disks share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use vpool_format::names::Name;
use vpool_format::{Generation, PoolId};
use vpool_host::{Host, LocalStore};
use vpool_metadata::Metadata;
use vpool_object::{ErrorKind as StoreKind, Key, ObjectStore};
use vpool_seal::PoolSecrets;

use crate::chunks::nodes::{NodeMemory, Nodes};
use crate::chunks::{Chunks, object_key};
use crate::dirty::PoolDirty;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::Journal;
use crate::limits::{self, Tuning};
use crate::vdisk::shipping::Room;

/// What a pool is made of.
#[derive(Debug)]
pub struct PoolParts {
    /// Its id.
    pub id: PoolId,
    /// Its name.
    pub name: String,
    /// The generation of the claim.
    pub generation: Generation,
    /// The host.
    pub host: Host,
    /// The object store, with its prefix and decorators.
    pub store: Arc<dyn ObjectStore>,
    /// The journal.
    pub journal: Arc<Journal>,
    /// The metadata.
    pub metadata: Arc<dyn Metadata>,
    /// The local store of what may vanish.
    pub local: Arc<dyn LocalStore>,
    /// The chunk cache.
    pub cache: Arc<vpool_cache::ChunkCache>,
    /// The secrets.
    pub secrets: Arc<PoolSecrets>,
    /// Bytes of decoded map nodes in memory.
    pub node_memory: Arc<NodeMemory>,
    /// The memory for what is not in the map yet.
    pub dirty: PoolDirty,
    /// Segments in memory at most.
    pub images_max: usize,
    /// Sizes and times.
    pub tuning: Tuning,
}

/// A pool.
#[derive(Debug)]
pub struct Pool {
    id: PoolId,
    name: String,
    generation: Generation,
    host: Host,
    store: Arc<dyn ObjectStore>,
    journal: Arc<Journal>,
    metadata: Arc<dyn Metadata>,
    chunks: Arc<Chunks>,
    nodes: Arc<Nodes>,
    secrets: Arc<PoolSecrets>,
    tuning: Tuning,
    dirty: PoolDirty,
    claim_checked: tokio::sync::Mutex<Option<tokio::time::Instant>>,
    upload_slots: Semaphore,
    pack_slots: Semaphore,
    image_slots: Arc<Semaphore>,
    merge_slots: Semaphore,
    read_ahead_slots: Arc<Semaphore>,
}

impl Pool {
    /// Puts a pool together.
    pub fn new(parts: PoolParts) -> Arc<Pool> {
        let salts = crate::chunks::salts::Salts::new(parts.local.clone());
        let chunks = Arc::new(Chunks::new(
            parts.store.clone(),
            parts.cache,
            salts,
            parts.tuning.store_lag,
        ));
        let nodes = Arc::new(Nodes::new(
            chunks.clone(),
            parts.local,
            parts.secrets.clone(),
            parts.node_memory,
        ));
        Arc::new(Pool {
            id: parts.id,
            name: parts.name,
            generation: parts.generation,
            host: parts.host,
            store: parts.store,
            journal: parts.journal,
            metadata: parts.metadata,
            chunks,
            nodes,
            secrets: parts.secrets,
            tuning: parts.tuning,
            dirty: parts.dirty,
            claim_checked: tokio::sync::Mutex::new(None),
            upload_slots: Semaphore::new(8),
            pack_slots: Semaphore::new(2),
            image_slots: Arc::new(Semaphore::new(parts.images_max)),
            merge_slots: Semaphore::new(2),
            read_ahead_slots: Arc::new(Semaphore::new(8)),
        })
    }

    /// The id.
    pub fn id(&self) -> PoolId {
        self.id
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The generation of the claim under which this router writes.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The object store.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The journal.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// The metadata.
    pub fn metadata(&self) -> &Arc<dyn Metadata> {
        &self.metadata
    }

    /// The chunks.
    pub fn chunks(&self) -> &Arc<Chunks> {
        &self.chunks
    }

    /// The map nodes.
    pub fn nodes(&self) -> &Arc<Nodes> {
        &self.nodes
    }

    /// The secrets.
    pub fn secrets(&self) -> &Arc<PoolSecrets> {
        &self.secrets
    }

    /// Sizes and times.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// The memory for what is not in the map yet.
    pub fn dirty(&self) -> &PoolDirty {
        &self.dirty
    }

    /// What writers find: in the journal, and in memory.
    pub fn room(&self) -> Room {
        if !self.journal.has_room() || self.dirty.is_full() {
            Room::None
        } else if self.journal.is_filling() || self.dirty.is_pressed() {
            Room::Some
        } else {
            Room::Plenty
        }
    }

    /// One for each segment on its way.
    pub fn upload_slots(&self) -> &Semaphore {
        &self.upload_slots
    }

    /// One for each cut in memory.
    pub fn pack_slots(&self) -> &Semaphore {
        &self.pack_slots
    }

    /// One for each segment in memory, from its cut until the store has it.
    pub fn image_slots(&self) -> &Arc<Semaphore> {
        &self.image_slots
    }

    /// One for each merge.
    pub fn merge_slots(&self) -> &Semaphore {
        &self.merge_slots
    }

    /// One for each read ahead.
    pub fn read_ahead_slots(&self) -> &Arc<Semaphore> {
        &self.read_ahead_slots
    }

    /// Looks whether this is still the place where the pool was made, and whether another grid has
    /// claimed it since; not more often than every [`limits::CLAIM_CHECK`]. A store that does not
    /// answer says nothing about it.
    pub async fn check_claim(&self) -> Result<()> {
        let mut checked = self.claim_checked.lock().await;
        let now = tokio::time::Instant::now();
        if checked.is_some_and(|at| now - at < limits::CLAIM_CHECK) {
            return Ok(());
        }
        let next = Generation(self.generation.0 + 1);
        let claim = |generation| object_key(&Name::Claim { generation });
        let (own, newer) = (claim(self.generation)?, claim(next)?);
        let (own, newer) = futures::join!(self.store.head(&own), self.store.head(&newer));
        match newer {
            Ok(_) => Err(Error::new(
                ErrorKind::Fenced,
                format!(
                    "pool {} was adopted by another router (generation {next}): this one ships and \
                     serves no more; what it had not shipped is still in its journal",
                    self.name
                ),
            )),
            Err(error) => {
                if error.kind() == StoreKind::NotFound {
                    match own {
                        Ok(_) => *checked = Some(now),
                        Err(error) if error.kind() == StoreKind::NotFound => {
                            return Err(self.without_claim(&error));
                        }
                        Err(_) => {}
                    }
                }
                Ok(())
            }
        }
    }

    /// It may come back, as where a mount is missing: until then nothing is written there.
    fn without_claim(&self, error: &vpool_object::Error) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "pool {}: the claim of this router (generation {}) is not there any more: nothing \
                 is shipped before it is: {error}",
                self.name, self.generation
            ),
        )
    }

    /// Puts an object until it is there, however long the store is away (P8). A put whose
    /// answer was lost is repeated with the same bytes. `given_up` ends the trying. Other bytes under the name mean that
    /// somebody else writes as this stream: nothing more may be shipped.
    pub async fn put_for_ever(&self, key: &Key, body: Bytes, given_up: &AtomicBool) -> Result<()> {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.store.put(key, body.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == StoreKind::Conflict => {
                    return Err(Error::new(
                        ErrorKind::Fenced,
                        format!(
                            "pool {}: object {key} holds bytes that this router did not write: \
                             another grid may be writing here; `vpool pool show {}` names the \
                             claim ({error})",
                            self.name, self.name
                        ),
                    ));
                }
                Err(_) if given_up.load(Ordering::Acquire) => {
                    return Err(Error::new(
                        ErrorKind::ShuttingDown,
                        format!("object {key} is not stored any more: its disk is gone"),
                    ));
                }
                Err(error) => {
                    tracing::warn!(pool = %self.name, %key, %error, retry_in = ?pause,
                        "an object could not be stored yet; writes go on while the journal has room");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            }
        }
    }
}
