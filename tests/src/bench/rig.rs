//! vPool with a pool on one of the stores, and what it tells of itself.
//!
//! Owns: starting it, its disks, its counters, cleaning up behind it. Does not own: what is
//! measured on it, the daemon's process (`daemon`).

use std::path::Path;

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use vpool_api::{DiskLog, Pool, StoreCounts};

use super::figures::Figures;
use super::fio::Disk;
use super::servers::Servers;
use super::{Options, columns, rows, store};
use crate::daemon::{Daemon, Flags, Usage, World};
use crate::nbd::{Client, Door};

/// `--memory` in all rows.
const MEMORY_MIB: u16 = 1024;

/// The pool that every daemon has.
pub(super) const DEFAULT_POOL: &str = "default";

/// The pool on a store of the servers.
const FAR_POOL: &str = "far";

/// Which store the pool is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A directory.
    Fs,
    /// The gateway.
    Rgw,
    /// The gateway, later.
    Slow,
    /// OpenStack Swift.
    Swift,
}

impl Place {
    /// vPool's column on it.
    pub(super) fn column(self) -> &'static str {
        match self {
            Place::Fs => columns::VPOOL,
            Place::Rgw => columns::VPOOL_RGW,
            Place::Slow => columns::VPOOL_SLOW,
            Place::Swift => columns::VPOOL_SWIFT,
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
            let bucket = match place {
                Place::Swift => servers.container()?,
                _ => servers.bucket()?,
            };
            match place {
                Place::Swift => rig.add_swift_pool(FAR_POOL, servers, &bucket)?,
                Place::Slow => {
                    rig.add_s3_pool(FAR_POOL, servers, &servers.slow_endpoint(), &bucket)?;
                }
                _ => rig.add_s3_pool(FAR_POOL, servers, &servers.ceph().endpoint, &bucket)?,
            }
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
        let credentials = servers.ceph().credentials_file();
        let credentials = credentials.to_str().context("a path in UTF-8")?;
        let place = ["--s3", &url, "--credentials-file", credentials];
        self.vpool(&[&["pool", "create", name], &place[..]].concat())
    }

    /// Makes a pool in a container.
    fn add_swift_pool(&self, name: &str, servers: &Servers, container: &str) -> anyhow::Result<()> {
        let (url, credentials) = servers.swift_location(container)?;
        let credentials = credentials.to_str().context("a path in UTF-8")?;
        let place = ["--swift", &url, "--auth", "v1"];
        let keys = ["--credentials-file", credentials];
        self.vpool(&[&["pool", "create", name], &place[..], &keys[..]].concat())
    }

    /// The pool that is measured.
    pub(super) fn pool_name(&self) -> &'static str {
        match self.place {
            Place::Fs => DEFAULT_POOL,
            _ => FAR_POOL,
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

    /// Where it runs.
    pub(super) fn world(&self) -> &World {
        &self.world
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
            match self.place {
                Place::Swift => servers.remove_container(&bucket)?,
                _ => servers.remove(&bucket)?,
            }
        }
        Ok(())
    }
}

/// Bytes as MiB.
pub(super) fn mib(bytes: u64) -> anyhow::Result<f64> {
    let kib = u32::try_from(bytes >> 10).context("less than 4 TiB")?;
    Ok(f64::from(kib) / 1024.0)
}
