//! On real files and threads: readers, inserters and recycling at once.

use std::sync::Arc;

use vpool_format::{DiskId, PoolId};
use vpool_host::Host;
use vpool_seal::{DataKey, DiskKeys, PoolKey};

use super::{content, key};
use crate::limits::ZONE_BYTES_MIN;
use crate::{CacheConfig, CacheMemory, ChunkCache, Layers, SsdConfig};

const TASKS: u64 = 4;
const ROUNDS: u64 = 1500;

/// One task's work: inserts what all of them insert, and reads what any of them did.
async fn work(task: u64, cache: Arc<ChunkCache>, disks: [DiskKeys; 2]) -> u64 {
    let mut hits = 0;
    for round in 0..ROUNDS {
        let number = (round * 7 + task * 13) % 300;
        let disk = &disks[usize::from(number % 2 == 1)];
        let blocks = usize::try_from(number % 4).expect("small") + 1;
        let bytes = content(number % 100, blocks);
        let address = key(1, number);
        let found = match cache.read_cached_now(&address, disk) {
            Some(found) => Some(found),
            None => cache.get(&address, disk).await,
        };
        match found {
            Some(found) => {
                assert!(found == bytes, "wrong bytes at {number}");
                hits += 1;
            }
            None => cache.insert_copy(address, &bytes, disk.content_id(&bytes), disk, Layers::Both),
        }
        if round % 100 == 99 {
            cache.close().await;
        }
    }
    hits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_inserters_at_once_get_right_bytes() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let pool = PoolKey::generate(&mut |bytes| bytes.fill(3)).secrets(PoolId(1));
    let data = Arc::new(DataKey::generate(&mut |bytes: &mut [u8]| bytes.fill(4)));
    let disks = [None, Some(data)].map(|data| DiskKeys {
        pool: pool.clone(),
        data,
        disk: DiskId(1),
    });
    let ssd = SsdConfig {
        zone_bytes: ZONE_BYTES_MIN,
        read_deadline: std::time::Duration::from_secs(5),
        ..SsdConfig::new(
            directory.path().join("cache"),
            8 * u64::from(ZONE_BYTES_MIN),
        )
    };
    let config = CacheConfig {
        pool,
        memory: CacheMemory::new(100_000),
        ssd: Some(ssd),
    };
    let cache = Arc::new(ChunkCache::open(Host::real(), &config));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(work(task, cache.clone(), disks.clone())))
        .collect();
    let mut hits = 0;
    for task in tasks {
        hits += task.await.expect("no task panics");
    }
    let statistics = cache.statistics();
    assert!(hits > 100, "{statistics:?}");
    assert_eq!(
        (statistics.corrupt, statistics.read_errors),
        (0, 0),
        "{statistics:?}"
    );
    assert!(statistics.memory_bytes <= 100_000);
    assert!(statistics.ssd_bytes <= 8 * u64::from(ZONE_BYTES_MIN));
}
