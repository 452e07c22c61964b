//! The cache as a whole, in a simulated world: one seed, one trace.

mod faults;
mod model;
mod restart;
mod rot;
mod sharing;
mod threads;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vpool_format::{DiskId, PoolId, SegmentNo, Slot, StreamUid};
use vpool_host::OpenMode;
use vpool_host::sim::{Dice, SimHost};
use vpool_seal::{DataKey, DiskKeys, PoolKey, PoolSecrets};

use crate::{CacheConfig, CacheMemory, ChunkCache, ChunkKey, Layers, SsdConfig};

const FILE: &str = "/ssd/pool.cache";
const ZONE_BYTES: u32 = 256 << 10;

/// A world with a pool, and the cache that lives in it now.
struct World {
    sim: SimHost,
    config: CacheConfig,
    cache: ChunkCache,
    pool: Arc<PoolSecrets>,
}

/// How often to repeat what is random: as often as said, times VPOOL_TIMES in long runs.
fn times(count: u64) -> u64 {
    let times = std::env::var("VPOOL_TIMES").ok();
    count * times.and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Runs a test in simulated time.
fn simulate<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be built")
        .block_on(test)
}

impl World {
    /// A cache of so many zones, and hardly any memory unless told otherwise.
    fn new(seed: u64, zones: u32) -> World {
        let sim = SimHost::new(seed);
        let pool = PoolKey::generate(&mut |bytes| bytes.fill(0x33)).secrets(PoolId(5));
        let ssd = SsdConfig {
            read_deadline: Duration::from_secs(10),
            zone_bytes: ZONE_BYTES,
            ..SsdConfig::new(FILE, u64::from(zones) * u64::from(ZONE_BYTES))
        };
        let config = CacheConfig {
            pool: pool.clone(),
            memory: CacheMemory::new(0),
            ssd: Some(ssd),
        };
        let cache = ChunkCache::open(sim.host(), &config);
        World {
            sim,
            config,
            cache,
            pool,
        }
    }

    /// The cache as a process finds it that starts now.
    fn reopen(&mut self) {
        self.cache = ChunkCache::open(self.sim.host(), &self.config);
    }

    /// Keys of a clear disk, or of one with its own data key.
    fn keys(&self, data_key: Option<u8>) -> DiskKeys {
        let data = data_key
            .map(|byte| Arc::new(DataKey::generate(&mut |bytes: &mut [u8]| bytes.fill(byte))));
        DiskKeys {
            pool: self.pool.clone(),
            data,
            disk: DiskId(1),
        }
    }

    fn insert(&self, key: ChunkKey, bytes: &[u8], keys: &DiskKeys) {
        self.cache
            .insert_copy(key, bytes, keys.content_id(bytes), keys, Layers::Both);
    }

    /// Lets all that was written reach the device, and the page cache be empty.
    fn settle(&self) {
        let file = self
            .sim
            .host()
            .files
            .open(FILE.as_ref(), OpenMode::Write)
            .expect("the file is there");
        file.sync().expect("no fault is injected");
        self.sim.disk().drop_caches();
    }

    fn file(&self) -> Vec<u8> {
        self.sim
            .disk()
            .contents(Path::new(FILE))
            .expect("the file is there")
    }
}

fn key(uid: u128, number: u64) -> ChunkKey {
    let slot = u16::try_from(number % 100).expect("small");
    ChunkKey {
        uid: StreamUid(uid),
        segment: SegmentNo(number / 100),
        slot: Slot(slot),
    }
}

/// Bytes that nobody else has: `blocks` blocks by a number.
fn content(number: u64, blocks: usize) -> Vec<u8> {
    let mut bytes = vec![0; blocks * 4096];
    Dice::new(number, "content").fill(&mut bytes);
    bytes
}
