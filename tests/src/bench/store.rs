//! What the store under vPool can do by itself.
//!
//! Owns: PUTs and GETs of objects as large as segments, dropping files from the page cache.
//! Does not own: the store (`vpool-object`), which is the very one that the daemon uses.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rustix::fs::{Advice, fadvise};
use tokio::task::JoinSet;
use vpool_object::fs::{DirectoryOptions, DirectoryStore};
use vpool_object::{Key, ObjectStore};

use super::{OBJECT_BYTES, Options};

/// Requests in flight.
const PARALLEL: u64 = 8;

/// MiB per second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    /// Of PUTs, each durable.
    pub(super) put: f64,
    /// Of GETs of what is not in the page cache.
    pub(super) get: f64,
}

impl Rates {
    /// The column of the table.
    pub(super) const NAME: &'static str = "store";
}

/// Puts as much as the steady rows write, and gets it.
pub(super) fn measure(options: &Options) -> anyhow::Result<Rates> {
    let place = tempfile::tempdir_in(&options.directory).context("a directory for objects")?;
    let objects = ((2 * options.journal_mib) << 20) / u64::try_from(OBJECT_BYTES)?;
    let mut body = vec![0; OBJECT_BYTES];
    ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut body);
    let body = Bytes::from(body);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start threads")?;
    runtime.block_on(async {
        let store = DirectoryStore::create(place.path(), DirectoryOptions::new("bench")).await?;
        let store = Arc::new(store);
        let put = timed(objects, |key| {
            let (store, body) = (store.clone(), body.clone());
            async move { Ok(store.put(&key, body).await?) }
        })
        .await?;
        evict(place.path())?;
        let get = timed(objects, |key| {
            let store = store.clone();
            async move {
                let bytes = store.get(&key).await?;
                ensure!(bytes.len() == OBJECT_BYTES, "a short object");
                Ok(())
            }
        })
        .await?;
        Ok(Rates { put, get })
    })
}

/// Runs a request for each key, some in flight; the answer is MiB per second.
async fn timed<F>(objects: u64, request: impl Fn(Key) -> F) -> anyhow::Result<f64>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..objects {
        if number >= PARALLEL {
            running.join_next().await.context("some are running")???;
        }
        running.spawn(request(Key::new(format!("bench/{number}"))?));
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    let bytes = objects * u64::try_from(OBJECT_BYTES)?;
    let mib = u32::try_from(bytes >> 20).context("less than 4 PiB")?;
    Ok(f64::from(mib) / begun.elapsed().as_secs_f64())
}

/// Drops what is below a directory from the page cache.
pub(super) fn evict(directory: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            evict(&entry.path())?;
        } else if kind.is_file() {
            let file = File::open(entry.path()).context("open an object")?;
            // Pages that are not written yet would stay.
            file.sync_all().context("sync an object")?;
            fadvise(&file, 0, None, Advice::DontNeed).context("evict an object")?;
        }
    }
    Ok(())
}
