//! What the store under vPool can do by itself.
//!
//! Owns: PUTs and GETs of objects as large as segments, what files take on the disk, dropping
//! them from the page cache. Does not own: the stores and clients (`vpool-object`, `vpool-s3`),
//! which are the very ones that the daemon uses.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rustix::fs::{Advice, fadvise};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use vpool_object::fs::{DirectoryOptions, DirectoryStore};
use vpool_object::{Key, ObjectStore};
use vpool_s3::{S3Config, S3Store};

use super::figures::Figures;
use super::servers::Servers;
use super::{Options, columns, rows};

/// Objects are of the size of a segment.
const OBJECT_BYTES: usize = 16 << 20;

/// Requests in flight: as many as a pool has uploads.
const PARALLEL: u64 = 8;

/// MiB per second.
#[derive(Debug, Clone, Copy)]
struct Rates {
    put: f64,
    get: f64,
}

/// Puts as much as the journal's share, and gets it; both go into the table.
pub(super) fn measure(
    options: &Options,
    servers: Option<&Servers>,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let mut add = |column, rates: Rates| {
        figures.add(rows::PUT, rows::MIB_S, column, rates.put);
        figures.add(rows::GET, rows::MIB_S, column, rates.get);
    };
    let place = tempfile::tempdir_in(&options.directory).context("a directory for objects")?;
    let options_of_fs = DirectoryOptions::new("bench");
    let store = runtime.block_on(DirectoryStore::create(place.path(), options_of_fs))?;
    let objects = (options.journal_mib << 20) / u64::try_from(OBJECT_BYTES)?;
    let evict_all = || evict(place.path());
    add(
        columns::STORE,
        runtime.block_on(rates(store, objects, evict_all))?,
    );
    drop(place);
    if let Some(servers) = servers {
        let bucket = servers.bucket()?;
        let url = format!("{}/{bucket}", servers.ceph().endpoint);
        let config = S3Config::from_url(&url, servers.ceph().credentials_file())?;
        // What the gateway's own caches hold they hold for vPool too.
        let store = S3Store::connect(config)?;
        add(
            columns::STORE_RGW,
            runtime.block_on(rates(store, objects, || Ok(())))?,
        );
        servers.remove(&bucket)?;
    }
    if let Some(servers) = servers.filter(|servers| servers.has_swift()) {
        let container = servers.container()?;
        let store = servers.swift_client(&container)?;
        add(
            columns::STORE_SWIFT,
            runtime.block_on(rates(store, objects, || Ok(())))?,
        );
        servers.remove_container(&container)?;
    }
    Ok(())
}

/// Threads for a client.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start threads")
}

async fn rates(
    store: impl ObjectStore + 'static,
    objects: u64,
    evict_all: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<Rates> {
    let mut body = vec![0; OBJECT_BYTES];
    ChaCha8Rng::seed_from_u64(1).fill_bytes(&mut body);
    let body = Bytes::from(body);
    let store = Arc::new(store);
    let put = timed(objects, |key| {
        let (store, body) = (store.clone(), body.clone());
        async move { Ok(store.put(&key, body).await?) }
    })
    .await?;
    evict_all()?;
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
    for_each_file(directory, &mut |path| {
        let file = File::open(path).context("open an object")?;
        // Pages that are not written yet would stay.
        file.sync_all().context("sync an object")?;
        fadvise(&file, 0, None, Advice::DontNeed).context("evict an object")
    })
}

/// What the files below a directory take on the disk, in bytes; only those whose names end
/// so.
pub(super) fn allocated(directory: &Path, end: &str) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for_each_file(directory, &mut |path| {
        if path.to_string_lossy().ends_with(end) {
            bytes += fs::metadata(path).context("look at a file")?.blocks() * 512;
        }
        Ok(())
    })?;
    Ok(bytes)
}

/// How long the files below a directory are together.
pub(super) fn length(directory: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for_each_file(directory, &mut |path| {
        bytes += fs::metadata(path).context("look at a file")?.len();
        Ok(())
    })?;
    Ok(bytes)
}

fn for_each_file(
    directory: &Path,
    see: &mut dyn FnMut(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            for_each_file(&entry.path(), see)?;
        } else if kind.is_file() {
            see(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! What files take.

    use super::{allocated, length};
    use std::fs::File;
    use std::io::Write;

    #[test]
    fn files_below_a_directory() {
        let place = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(place.path().join("a")).expect("a directory");
        let mut file = File::create(place.path().join("a/b.cache")).expect("a file");
        file.write_all(&[1; 8192]).expect("space for it");
        file.set_len(1 << 30).expect("a hole");
        file.sync_all().expect("written");
        std::fs::write(place.path().join("c"), [1; 10]).expect("a file");
        let taken = allocated(place.path(), ".cache").expect("it can be read");
        assert!((8192..1 << 20).contains(&taken), "{taken}");
        let long = length(place.path()).expect("it can be read");
        assert_eq!(long, (1 << 30) + 10);
    }
}
