//! A simulated world: one host with its disk, one object store, any number of lives of a router.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vpool_engine::limits::Tuning;
use vpool_engine::router::{Router, RouterParts, local_tables};
use vpool_host::sim::SimHost;
use vpool_host::{Table, TableKind};
use vpool_metadata::local::LocalMetadata;
use vpool_metadata::{Location, Metadata};
use vpool_object::ObjectStore;
use vpool_object::faults::{FaultControl, FaultStore};
use vpool_object::memory::MemoryStore;
use vpool_seal::GridKey;

/// What outlives a router.
pub struct World {
    pub host: SimHost,
    pub store: Arc<MemoryStore>,
    pub key: String,
    pub seed: u64,
    pub lives: u64,
    pub tuning: Tuning,
}

/// One life of a router.
pub struct Life {
    pub router: Arc<Router>,
    pub faults: FaultControl,
    pub object_store: Arc<dyn ObjectStore>,
}

pub fn small() -> Tuning {
    Tuning {
        extent_blocks: 64,
        cut_bytes: 96 << 10,
        cut_age: Duration::from_secs(20),
        cut_age_at_risk: Duration::from_secs(5),
        pending_bytes_max: 8 << 10,
        store_lag: Duration::ZERO,
    }
}

impl World {
    pub fn new(seed: u64) -> World {
        let host = SimHost::new(seed);
        let entropy = host.host().entropy;
        let key = GridKey::generate(&mut |bytes: &mut [u8]| entropy.fill(bytes));
        World {
            host,
            store: Arc::new(MemoryStore::new()),
            key: key.to_text().to_string(),
            seed,
            lives: 0,
            tuning: small(),
        }
    }

    /// Runs one life of a router on a runtime of its own. When `life` ends, everything the router
    /// was doing is dropped where it stands.
    pub fn live<T, F, Fut>(&mut self, life: F) -> T
    where
        F: FnOnce(Life) -> Fut,
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

    async fn start(&self) -> Life {
        let host = self.host.host();
        let meta = self.host.store(
            "meta",
            &[Table {
                name: "meta",
                kind: TableKind::Durable,
            }],
        );
        let metadata = LocalMetadata::open(meta, host.blocking.clone(), &*host.entropy)
            .await
            .expect("metadata");
        let metadata: Arc<dyn Metadata> = Arc::new(metadata);
        let (store, faults) = FaultStore::new(self.store.clone(), self.seed ^ (self.lives << 32));
        let router = Router::open(RouterParts {
            local: self.host.store("local", &local_tables(1 << 20)),
            host,
            metadata: metadata.clone(),
            data_dir: PathBuf::from("/data"),
            grid_key: GridKey::parse(&self.key).expect("the key"),
            journal_bytes: 16 * 64 * 4096,
            memory_bytes: 8 << 20,
            cache_bytes: 0,
            pool_shares: vpool_engine::shares::PoolShares::new(),
            tuning: self.tuning.clone(),
        })
        .await
        .expect("a router");
        let object_store: Arc<dyn ObjectStore> = store;
        for pool in metadata.pools().await.expect("pools") {
            router
                .open_pool(pool, object_store.clone())
                .await
                .expect("the pool opens");
        }
        Life {
            router,
            faults,
            object_store,
        }
    }
}

pub fn location() -> Location {
    Location::Directory("/objects".to_owned())
}
