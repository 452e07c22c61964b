//! How fast the cache answers and takes: prints nanoseconds per call, one caller.
//!
//! `cargo run --release -p vpool-cache --example cache_speed [directory]`

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vpool_cache::{CacheConfig, CacheMemory, ChunkCache, ChunkKey, Layers, SsdConfig};
use vpool_format::{DiskId, PoolId, SegmentNo, Slot, StreamUid};
use vpool_host::Host;
use vpool_seal::{DataKey, DiskKeys, PoolKey};

const CHUNKS: u64 = 8192;
const CHUNK_BYTES: usize = 32768;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let directory = match std::env::args().nth(1) {
        Some(directory) => directory.into(),
        None => std::env::temp_dir(),
    };
    let path = directory.join(format!("cache_speed.{}", std::process::id()));
    let pool = PoolKey::generate(&mut |bytes| bytes.fill(1)).secrets(PoolId(1));
    let data = Arc::new(DataKey::generate(&mut |bytes: &mut [u8]| bytes.fill(2)));
    let mut ssd = SsdConfig::new(&path, 1 << 30);
    ssd.read_deadline = Duration::from_secs(1);
    for (form, data) in [("clear", None), ("encrypted", Some(data))] {
        let keys = DiskKeys {
            pool: pool.clone(),
            data,
            disk: DiskId(1),
        };
        let config = CacheConfig {
            pool: pool.clone(),
            memory: CacheMemory::new(1 << 30),
            ssd: Some(ssd.clone()),
        };
        memory(
            form,
            &ChunkCache::open(
                Host::real(),
                &CacheConfig {
                    ssd: None,
                    ..config.clone()
                },
            ),
            &keys,
        );
        let config = CacheConfig {
            memory: CacheMemory::new(0),
            ..config
        };
        ssd_layer(form, &ChunkCache::open(Host::real(), &config), &keys).await;
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

fn memory(form: &str, cache: &ChunkCache, keys: &DiskKeys) {
    let chunks: Vec<Vec<u8>> = (0..CHUNKS).map(chunk).collect();
    let ids: Vec<_> = chunks.iter().map(|chunk| keys.content_id(chunk)).collect();
    measure(&format!("{form}: insert 32 KiB into memory"), CHUNKS, |i| {
        let at = usize::try_from(i).expect("small");
        cache.insert_copy(key(i), &chunks[at], ids[at], keys, Layers::Both);
    });
    let mut buf = vec![0; CHUNK_BYTES];
    for (name, length) in [("4 KiB", 4096), ("512 B", 512), ("32 KiB", CHUNK_BYTES)] {
        measure(&format!("{form}: read_now {name}"), 2_000_000, |i| {
            let part = usize::try_from(i % 8).expect("small") * 4096;
            let at = if length > 4096 { 0 } else { part };
            black_box(cache.read_now(&key(mixed(i)), at, &mut buf[..length]));
        });
    }
    // Few enough chunks that the processor's own caches hold them.
    measure(
        &format!("{form}: read_now 4 KiB, 16 chunks"),
        2_000_000,
        |i| {
            black_box(cache.read_now(&key(mixed(i) % 16), 0, &mut buf[..4096]));
        },
    );
    measure(&format!("{form}: get_now"), 2_000_000, |i| {
        black_box(cache.get_now(&key(mixed(i))));
    });
    measure(&format!("{form}: read_now, a miss"), 2_000_000, |i| {
        black_box(cache.read_now(&key(CHUNKS + i), 0, &mut buf[..4096]));
    });
}

async fn ssd_layer(form: &str, cache: &ChunkCache, keys: &DiskKeys) {
    cache.close().await;
    let start = Instant::now();
    for number in 0..CHUNKS {
        let chunk = chunk(number);
        cache.insert_copy(
            key(number),
            &chunk,
            keys.content_id(&chunk),
            keys,
            Layers::Ssd,
        );
        if number % 512 == 511 {
            cache.close().await;
        }
    }
    tell(&format!("{form}: insert 32 KiB to the SSD"), start, CHUNKS);
    let mut hits = 0;
    let start = Instant::now();
    for i in 0..50_000 {
        hits += u64::from(cache.read_cached_now(&key(mixed(i)), keys).is_some());
    }
    tell(
        &format!("{form}: read_cached_now 32 KiB ({hits} hits)"),
        start,
        50_000,
    );
    let mut hits = 0;
    let start = Instant::now();
    for i in 0..20_000 {
        hits += u64::from(cache.get(&key(mixed(i)), keys).await.is_some());
    }
    tell(
        &format!("{form}: get 32 KiB from the SSD ({hits} hits)"),
        start,
        20_000,
    );
    println!("{:?}", cache.statistics());
}

fn measure(what: &str, count: u64, mut work: impl FnMut(u64)) {
    let start = Instant::now();
    for i in 0..count {
        work(i);
    }
    tell(what, start, count);
}

fn tell(what: &str, start: Instant, count: u64) {
    let each = start.elapsed().as_nanos() / u128::from(count);
    println!("{what:<52} {each:>8} ns");
}

fn key(number: u64) -> ChunkKey {
    let slot = u16::try_from(number % 512).expect("small");
    ChunkKey {
        uid: StreamUid(0x1234_5678),
        segment: SegmentNo(1 + number / 512),
        slot: Slot(slot),
    }
}

/// A chunk in no order.
fn mixed(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & (CHUNKS - 1)
}

fn chunk(number: u64) -> Vec<u8> {
    let mut word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0; CHUNK_BYTES];
    for part in bytes.chunks_mut(8) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        part.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}
