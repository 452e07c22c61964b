//! vPool with a pool on one of the stores, and what it tells of itself.
//!
//! Owns: starting it, its disks, its counters, cleaning up behind it. Does not own: what is
//! measured on it, the daemon's process (`daemon`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use vpool_api::{DiskLog, Pool, StoreCounts};
use vpool_test_stores::{CephRgw, ceph};

use super::figures::Figures;
use super::fio::Disk;
use super::relay::Relay;
use super::{Options, columns, rows, store};
use crate::daemon::{Daemon, Flags, Usage, World};
use crate::nbd::{Client, Door};

/// What is added to each request of the slow store.
const SLOW: Duration = Duration::from_millis(100);

/// The OSD's: two pools at a time write to it, and buckets go when their pool does.
const SPACE_GIB: u32 = 16;

/// `--memory` in all rows.
const MEMORY_MIB: u16 = 1024;

/// The pool that every daemon has.
pub(super) const DEFAULT_POOL: &str = "default";

/// The pool on the gateway.
const RGW_POOL: &str = "rgw";

/// A Ceph cluster, and the slow way to it.
#[derive(Debug)]
pub(super) struct Servers {
    ceph: CephRgw,
    slow: Relay,
}

impl Servers {
    /// Starts them.
    pub(super) fn start() -> anyhow::Result<Servers> {
        let ceph = CephRgw::start_with(ceph::Kind::Bluestore, SPACE_GIB)?;
        let slow = Relay::start(ceph.port(), SLOW)?;
        Ok(Servers { ceph, slow })
    }

    /// The cluster.
    pub(super) fn ceph(&self) -> &CephRgw {
        &self.ceph
    }

    /// Its configuration.
    pub(super) fn conf(&self) -> anyhow::Result<PathBuf> {
        let file = self.ceph.credentials_file();
        let dir = file
            .parent()
            .context("it lies in the cluster's directory")?;
        Ok(dir.join("ceph.conf"))
    }

    /// A new bucket's name.
    pub(super) fn bucket(&self) -> anyhow::Result<String> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bench-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.ceph.create_bucket(&name)?;
        Ok(name)
    }

    /// Deletes a bucket with all that is in it: the disk is not large.
    pub(super) fn remove(&self, bucket: &str) -> anyhow::Result<()> {
        let output = Command::new("radosgw-admin")
            .arg("-c")
            .arg(self.conf()?)
            .args(["-n", "client.gateway", "bucket", "rm", "--purge-objects"])
            .args(["--bypass-gc", "--bucket", bucket])
            .output()
            .context("start radosgw-admin")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "remove bucket {bucket}: {errors}");
        Ok(())
    }
}

/// Which store the pool is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A directory.
    Fs,
    /// The gateway.
    Rgw,
    /// The gateway, later.
    Slow,
}

impl Place {
    /// vPool's column on it.
    pub(super) fn column(self) -> &'static str {
        match self {
            Place::Fs => columns::VPOOL,
            Place::Rgw => columns::VPOOL_RGW,
            Place::Slow => columns::VPOOL_SLOW,
        }
    }
}

/// The caches of vPool in all rows: the memory of the default, and an SSD cache and a
/// journal that leave the machine some space.
pub(super) fn flags() -> Flags {
    Flags {
        journal: "6G".to_owned(),
        memory: format!("{MEMORY_MIB}M"),
        cache: "2G".to_owned(),
        api_tcp: "off".to_owned(),
        log: "warn".to_owned(),
    }
}

/// A running daemon with a pool to measure.
#[derive(Debug)]
pub(super) struct Rig<'a> {
    // In this order: the process ends before its directories go.
    daemon: Option<Daemon>,
    world: World,
    place: Place,
    flags: Flags,
    bucket: Option<(&'a Servers, String)>,
    // Of the lives before this one.
    rss_bytes_max: u64,
}

impl<'a> Rig<'a> {
    /// Starts a daemon with an empty pool.
    pub(super) fn start(
        options: &Options,
        servers: Option<&'a Servers>,
        place: Place,
        flags: Flags,
    ) -> anyhow::Result<Rig<'a>> {
        let world = World::below(&options.directory, "rig")?;
        let daemon = world.start(&flags)?;
        let mut rig = Rig {
            daemon: Some(daemon),
            world,
            place,
            flags,
            bucket: None,
            rss_bytes_max: 0,
        };
        if place != Place::Fs {
            let servers = servers.context("the servers are started for this place")?;
            let bucket = servers.bucket()?;
            let endpoint = match place {
                Place::Slow => servers.slow.endpoint(),
                _ => servers.ceph.endpoint.clone(),
            };
            rig.add_s3_pool(RGW_POOL, servers, &endpoint, &bucket)?;
            rig.bucket = Some((servers, bucket));
        }
        Ok(rig)
    }

    /// Makes a pool in a bucket.
    pub(super) fn add_s3_pool(
        &self,
        name: &str,
        servers: &Servers,
        endpoint: &str,
        bucket: &str,
    ) -> anyhow::Result<()> {
        let url = format!("{endpoint}/{bucket}");
        let credentials = servers.ceph.credentials_file();
        let credentials = credentials.to_str().context("a path in UTF-8")?;
        self.vpool(&[
            "pool",
            "create",
            name,
            "--s3",
            &url,
            "--credentials-file",
            credentials,
        ])
    }

    /// The pool that is measured.
    pub(super) fn pool_name(&self) -> &'static str {
        match self.place {
            Place::Fs => DEFAULT_POOL,
            _ => RGW_POOL,
        }
    }

    /// Its column.
    pub(super) fn column(&self) -> &'static str {
        self.place.column()
    }

    /// Makes a disk of so many MiB.
    pub(super) fn create(&self, disk: &str, mib: u64) -> anyhow::Result<()> {
        let size = format!("{mib}M");
        let pool = self.pool_name();
        self.vpool(&["disk", "create", disk, "--pool", pool, "--size", &size])
    }

    /// Runs `vpool`.
    pub(super) fn vpool(&self, arguments: &[&str]) -> anyhow::Result<()> {
        self.world.vpool(arguments).map(|_output| ())
    }

    fn show<T: DeserializeOwned>(&self, noun: &str, name: &str) -> anyhow::Result<T> {
        let text = self.world.vpool(&[noun, "show", name, "-o", "json"])?;
        serde_json::from_str(&text).with_context(|| format!("read what is shown of {name}"))
    }

    /// How a client comes to a disk.
    pub(super) fn door(&self, disk: &str) -> Door {
        self.world.door(disk)
    }

    /// The same for fio.
    pub(super) fn disk(&self, disk: &str) -> Disk {
        Disk::Nbd(self.door(disk))
    }

    /// Returns when all that was written is in the store.
    pub(super) fn sync(&self) -> anyhow::Result<()> {
        self.vpool(&["pool", "sync", self.pool_name()])
    }

    /// How a pool stands.
    pub(super) fn pool(&self, name: &str) -> anyhow::Result<Pool> {
        let pool: Pool = self.show("pool", name)?;
        ensure!(pool.error.is_none(), "pool {name}: {:?}", pool.error);
        Ok(pool)
    }

    /// What was asked of the store.
    pub(super) fn counts(&self) -> anyhow::Result<StoreCounts> {
        let pool = self.pool(self.pool_name())?;
        pool.store.context("the store is open")
    }

    /// How the log of an open disk stands.
    pub(super) fn log(&self, disk: &str) -> anyhow::Result<DiskLog> {
        let shown: vpool_api::Disk = self.show("disk", disk)?;
        shown.log.with_context(|| format!("{disk} is open"))
    }

    /// What the process has used.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        self.daemon.as_ref().context("it runs")?.usage()
    }

    /// The data directory.
    pub(super) fn data(&self) -> &Path {
        self.world.data()
    }

    /// Ends the daemon in order and starts it again. The answer is by how many bytes the
    /// directory store grew meanwhile: at their end disks put what is only theirs, the map.
    pub(super) fn restart(&mut self) -> anyhow::Result<u64> {
        let objects = self.data().join("objects");
        let before = store::length(&objects)?;
        self.stop()?;
        let grown = store::length(&objects)?.saturating_sub(before);
        self.daemon = Some(self.world.start(&self.flags)?);
        Ok(grown)
    }

    /// The same; in between all that is cached goes, also from the machine's page cache.
    pub(super) fn restart_cold(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        std::fs::remove_dir_all(self.data().join("cache")).context("remove the caches")?;
        store::evict(&self.data().join("objects"))?;
        self.daemon = Some(self.world.start(&self.flags)?);
        Ok(())
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.rss_bytes_max = self.rss_bytes_max.max(self.usage()?.rss_bytes_max);
        let daemon = self.daemon.take().context("it runs")?;
        daemon.terminate().map(|_time| ())
    }

    /// A connection to a disk that has answered one read.
    pub(super) fn open(&self, disk: &str) -> anyhow::Result<Client> {
        let mut client = Client::connect(&self.door(disk), 1)?;
        client.read(0, 4096)?;
        Ok(client)
    }

    /// Ends it, with what it used of memory, and removes what it stored.
    pub(super) fn finish(mut self, figures: &mut Figures) -> anyhow::Result<()> {
        let most = self.usage()?.rss_bytes_max.max(self.rss_bytes_max);
        let above = mib(most)? - f64::from(MEMORY_MIB);
        figures.add(rows::RSS, "MiB", self.column(), above);
        // Not in order: what is not shipped yet is nobody's.
        drop(self.daemon.take());
        if let Some((servers, bucket)) = self.bucket.take() {
            servers.remove(&bucket)?;
        }
        Ok(())
    }
}

/// Bytes as MiB.
pub(super) fn mib(bytes: u64) -> anyhow::Result<f64> {
    let kib = u32::try_from(bytes >> 10).context("less than 4 TiB")?;
    Ok(f64::from(kib) / 1024.0)
}
