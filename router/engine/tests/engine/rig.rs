//! A simulated world for trouble: one host, any number of stores, and starts that may fail.
//!
//! Owns: [`Rig`], what outlives a router; [`Life`], one life of it. Does
//! not own: what is done in a life, and the oracle ([`crate::bytes`]).

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vpool_block::{BlockDevice, BlockError, ErrorKind as BlockKind};
use vpool_engine::error::Error;
use vpool_engine::limits::Tuning;
use vpool_engine::router::{Router, RouterParts, local_tables};
use vpool_engine::vdisk::device::Device;
use vpool_host::sim::SimHost;
use vpool_host::{LocalStore, Table, TableKind};
use vpool_metadata::local::LocalMetadata;
use vpool_metadata::{Location, Metadata};
use vpool_object::ObjectStore;
use vpool_object::faults::{FaultControl, FaultStore};
use vpool_object::memory::MemoryStore;
use vpool_seal::GridKey;

use crate::world::small;

/// Stands between the metadata and its store, where a test wants to be.
pub type WrapMeta = Box<dyn Fn(Arc<dyn LocalStore>) -> Arc<dyn LocalStore> + Send>;

/// What outlives a router.
pub struct Rig {
    pub host: SimHost,
    /// The stores by the directory that stands for them.
    pub stores: BTreeMap<String, Arc<MemoryStore>>,
    pub key: String,
    pub seed: u64,
    pub lives: u64,
    pub tuning: Tuning,
    pub journal_bytes: u64,
    pub memory_bytes: u64,
    pub cache_bytes: u64,
    pub wrap_meta: Option<WrapMeta>,
}

/// A store as one life of a router reaches it.
#[derive(Clone)]
pub struct Site {
    pub store: Arc<dyn ObjectStore>,
    pub faults: FaultControl,
}

/// One life of a router.
pub struct Life {
    pub router: Arc<Router>,
    pub metadata: Arc<dyn Metadata>,
    pub sites: BTreeMap<String, Site>,
    /// How the pools opened that the metadata has, by name.
    pub opened: Vec<(String, Result<(), Error>)>,
}

/// The directory of the only store.
pub const PLACE: &str = "/objects";

pub fn place(directory: &str) -> Location {
    Location::Directory(directory.to_owned())
}

/// A grid key drawn from a seed.
pub fn key_of(seed: u64) -> String {
    let entropy = SimHost::new(seed).host().entropy;
    GridKey::generate(&mut |bytes: &mut [u8]| entropy.fill(bytes))
        .to_text()
        .to_string()
}

impl Rig {
    pub fn new(seed: u64) -> Rig {
        if std::env::var("RUST_LOG").is_ok() {
            let filter = tracing_subscriber::EnvFilter::from_default_env();
            // Only the first of a run is needed.
            drop(
                tracing_subscriber::fmt()
                    .with_env_filter(filter)
                    .without_time()
                    .try_init(),
            );
        }
        let store = Arc::new(MemoryStore::new());
        Rig {
            host: SimHost::new(seed),
            stores: BTreeMap::from([(PLACE.to_owned(), store)]),
            key: key_of(seed ^ 0x6b65_7900_0000),
            seed,
            lives: 0,
            tuning: small(),
            journal_bytes: 16 * 64 * 4096,
            memory_bytes: 8 << 20,
            cache_bytes: 0,
            wrap_meta: None,
        }
    }

    /// The only store.
    pub fn store(&self) -> &Arc<MemoryStore> {
        &self.stores[PLACE]
    }

    /// A second machine that has never seen anything but the same stores and the same key.
    pub fn elsewhere(&self, seed: u64) -> Rig {
        let mut rig = Rig::new(seed);
        rig.stores = self.stores.clone();
        rig.key.clone_from(&self.key);
        rig.tuning = self.tuning.clone();
        rig.journal_bytes = self.journal_bytes;
        rig
    }

    /// Runs one life that must start.
    pub fn live<T, F, Fut>(&mut self, life: F) -> T
    where
        F: FnOnce(Life) -> Fut,
        Fut: Future<Output = T>,
    {
        self.try_live(|started| life(started.expect("the router starts")))
    }

    /// Runs one life on a runtime of its own. When `life` ends, everything the router was doing
    /// is dropped where it stands.
    pub fn try_live<T, F, Fut>(&mut self, life: F) -> T
    where
        F: FnOnce(Result<Life, String>) -> Fut,
        Fut: Future<Output = T>,
    {
        self.lives += 1;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let started = self.start().await;
            let ended = life(started).await;
            self.host.clock().park();
            ended
        })
    }

    async fn start(&self) -> Result<Life, String> {
        let host = self.host.host();
        let mut meta = self.host.store(
            "meta",
            &[Table {
                name: "meta",
                kind: TableKind::Durable,
            }],
        );
        if let Some(wrap) = &self.wrap_meta {
            meta = wrap(meta);
        }
        let metadata = LocalMetadata::open(meta, host.blocking.clone(), &*host.entropy)
            .await
            .map_err(|error| error.to_string())?;
        let metadata: Arc<dyn Metadata> = Arc::new(metadata);
        let sites: BTreeMap<String, Site> = self
            .stores
            .iter()
            .zip(1u64..)
            .map(|((directory, store), number)| {
                let seed = self.seed ^ (self.lives << 32) ^ (number << 56);
                let (store, faults) = FaultStore::new(store.clone(), seed);
                (directory.clone(), Site { store, faults })
            })
            .collect();
        let router = Router::open(RouterParts {
            local: self.host.store("local", &local_tables(1 << 20)),
            host,
            metadata: metadata.clone(),
            data_dir: PathBuf::from("/data"),
            grid_key: GridKey::parse(&self.key).expect("the key"),
            journal_bytes: self.journal_bytes,
            memory_bytes: self.memory_bytes,
            cache_bytes: self.cache_bytes,
            pool_shares: vpool_engine::shares::PoolShares::new(),
            tuning: self.tuning.clone(),
        })
        .await
        .map_err(|error| error.to_string())?;
        let mut opened = Vec::new();
        for pool in metadata.pools().await.map_err(|error| error.to_string())? {
            let directory = match &pool.location {
                Location::Directory(directory) => directory,
                // Whatever it is called, it is this.
                Location::S3 { .. } | Location::Swift { .. } => PLACE,
            };
            let store = sites[directory].store.clone();
            opened.push((pool.name.clone(), router.open_pool(pool, store).await));
        }
        Ok(Life {
            router,
            metadata,
            sites,
            opened,
        })
    }

    /// The path of the only journal.
    pub fn journal(&self) -> PathBuf {
        self.only_file("journal")
    }

    /// The only file in a directory of the router.
    pub fn only_file(&self, directory: &str) -> PathBuf {
        let path = PathBuf::from("/data").join(directory);
        let mut files = self.host.host().files.list(&path).expect("the directory");
        files.retain(|file| file.extension().is_none_or(|kind| kind != "state"));
        assert_eq!(files.len(), 1, "one file in {}", path.display());
        let file = &files[0];
        if file.is_absolute() {
            file.clone()
        } else {
            path.join(file)
        }
    }
}

/// After a failed sync the first flush of each disk fails, once: what was acknowledged may be
/// gone, and that is said.
pub async fn hear_of_a_loss(device: &Device) {
    if let Err(error) = device.flush().await {
        assert!(error.to_string().contains("may be lost"), "{error}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        device.flush().await.expect("it has been said");
    }
}

impl Life {
    /// The only store.
    pub fn site(&self) -> &Site {
        &self.sites[PLACE]
    }

    /// The faults of the only store.
    pub fn faults(&self) -> &FaultControl {
        &self.site().faults
    }

    /// Makes the pool `default` on the only store.
    pub async fn create_pool(&self) {
        let store = self.site().store.clone();
        self.router
            .create_pool("default", place(PLACE), store)
            .await
            .expect("a pool");
    }
}

/// What `future` answers within `limit`, or `None`; it goes on and may be asked again.
pub async fn within<F: Future + Unpin>(limit: Duration, future: &mut F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}

/// Asserts the kind of an error and that its text names all of `words`.
pub fn check_error(error: &Error, kind: vpool_engine::error::ErrorKind, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}

/// Asserts that a request failed with one of these kinds.
pub fn check_block_error(error: &BlockError, kinds: &[BlockKind]) {
    assert!(kinds.contains(&error.kind()), "{:?}: {error}", error.kind());
}
