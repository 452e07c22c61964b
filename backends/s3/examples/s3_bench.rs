//! Measures an S3 store as vPool uses it: segments put and read in parallel, small ranged
//! reads, and what of it is our own CPU time.
//!
//! `s3_bench URL/BUCKET/PREFIX CREDENTIALS_FILE [always|never] [PARALLEL] [MIB]`: bodies
//! signed or not, requests in flight (8), MiB put in all (1024).

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use vpool_object::{Key, ObjectStore};
use vpool_s3::{PayloadSigning, S3Config, S3Store};

const SEGMENT_BYTES: usize = 16 << 20;
const SMALL_BYTES: usize = 32 << 10;
const SMALL_READS: usize = 1_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    anyhow::ensure!(
        arguments.len() >= 2,
        "URL/BUCKET/PREFIX and a credentials file, please"
    );
    let argument = |index: usize, default: &str| {
        arguments
            .get(index)
            .map_or(default, String::as_str)
            .to_owned()
    };
    let mut config = S3Config::from_url(&arguments[0], &arguments[1])?;
    config.payload_signing = match argument(2, "always").as_str() {
        "always" => PayloadSigning::Always,
        "never" => PayloadSigning::Never,
        other => anyhow::bail!("{other:?} is neither always nor never"),
    };
    let parallel: usize = argument(3, "8").parse()?;
    let count = argument(4, "1024").parse::<usize>()? * (1 << 20) / SEGMENT_BYTES;
    let store = Arc::new(S3Store::connect(config)?);
    store.reach().await?;
    run(store, parallel, count).await
}

async fn run(store: Arc<S3Store>, parallel: usize, count: usize) -> anyhow::Result<()> {
    let segment: Bytes = (0..SEGMENT_BYTES)
        .map(|i| u8::try_from(i * 31 % 251).expect("less than 251"))
        .collect();
    let nonce = std::process::id();
    let keys: Vec<Key> = (0..count)
        .map(|i| Key::new(format!("bench/{nonce}/{i:05}")))
        .collect::<Result<_, _>>()?;

    let usage = Usage::begin();
    for_each(parallel, keys.clone(), |key| {
        let (store, segment) = (store.clone(), segment.clone());
        async move { store.put(&key, segment).await }
    })
    .await?;
    usage.report(&format!("put 16 MiB x{parallel}"), count * SEGMENT_BYTES);

    let usage = Usage::begin();
    for_each(parallel, keys.clone(), |key| {
        let (store, segment) = (store.clone(), segment.clone());
        async move {
            store
                .get(&key)
                .await
                .map(|body| assert!(body == segment, "wrong bytes"))
        }
    })
    .await?;
    usage.report(&format!("get 16 MiB x{parallel}"), count * SEGMENT_BYTES);

    for parallel in [1, parallel] {
        small_reads(&store, &keys, parallel).await?;
    }
    for result in store.delete_many(&keys).await {
        result?;
    }
    Ok(())
}

async fn small_reads(store: &Arc<S3Store>, keys: &[Key], parallel: usize) -> anyhow::Result<()> {
    let pieces = (0..SMALL_READS).map(|i| {
        // A full-period step over the places: no order that the store could foresee.
        let start = i * 7919 % (SEGMENT_BYTES / SMALL_BYTES) * SMALL_BYTES;
        let range = start as u64..(start + SMALL_BYTES) as u64;
        (keys[i * 31 % keys.len()].clone(), range)
    });
    let usage = Usage::begin();
    let mut times: Vec<Duration> = stream::iter(pieces)
        .map(|(key, range)| timed(store.clone(), key, range))
        .buffer_unordered(parallel)
        .try_collect()
        .await?;
    times.sort_unstable();
    let rate = SMALL_READS as f64 / usage.begin.elapsed().as_secs_f64();
    let (p50, p99) = (times[SMALL_READS / 2], times[SMALL_READS * 99 / 100]);
    let label = format!("get 32 KiB x{parallel}: {rate:.0}/s, p50 {p50:.1?}, p99 {p99:.1?}");
    usage.report(&label, SMALL_READS * SMALL_BYTES);
    Ok(())
}

async fn timed(store: Arc<S3Store>, key: Key, range: Range<u64>) -> vpool_object::Result<Duration> {
    let begin = Instant::now();
    store.get_range(&key, range).await?;
    Ok(begin.elapsed())
}

/// Runs a task per key, `parallel` at the same time, on all threads of the runtime.
async fn for_each<F>(parallel: usize, keys: Vec<Key>, task: impl Fn(Key) -> F) -> anyhow::Result<()>
where
    F: Future<Output = vpool_object::Result<()>> + Send + 'static,
{
    let mut tasks = stream::iter(keys)
        .map(|key| tokio::spawn(task(key)))
        .buffer_unordered(parallel);
    while let Some(joined) = tasks.next().await {
        joined??;
    }
    Ok(())
}

/// Wall and CPU time since a beginning.
struct Usage {
    begin: Instant,
    cpu: Duration,
}

impl Usage {
    fn begin() -> Usage {
        Usage {
            begin: Instant::now(),
            cpu: cpu_time(),
        }
    }

    #[expect(clippy::print_stdout, reason = "it is what the program is for")]
    fn report(&self, label: &str, bytes: usize) {
        let seconds = self.begin.elapsed().as_secs_f64();
        let cpu = (cpu_time() - self.cpu).as_secs_f64();
        let mb = bytes as f64 / 1e6;
        let gib = bytes as f64 / f64::from(1 << 30);
        println!(
            "{label}: {:.0} MB/s, {:.2} CPU-s/GiB of ours",
            mb / seconds,
            cpu / gib
        );
    }
}

/// User and system time of this process, from /proc in ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // The fields behind the program's name, which may hold blanks.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks: u64 = [11, 12]
        .iter()
        .filter_map(|i| fields.get(*i)?.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
