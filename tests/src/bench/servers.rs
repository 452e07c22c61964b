//! The stores that are servers: a Ceph cluster with its gateway, and OpenStack Swift.
//!
//! Owns: starting them, buckets and containers of their own for each pool, the slow way to the
//! gateway. Does not own: pools on them (`rig`), their own rates (`store`).

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use vpool_object::ObjectStore;
use vpool_swift::{SwiftConfig, SwiftStore};
use vpool_test_stores::{Auth, CephRgw, Swift, ceph};

use super::relay::Relay;
use super::store;

/// What is added to each request of the slow store.
const SLOW: Duration = Duration::from_millis(100);

/// The OSD's: two pools at a time write to it, and buckets go when their pool does.
const SPACE_GIB: u32 = 16;

/// Objects that are deleted at once.
const DELETED_AT_ONCE: usize = 500;

/// All of them.
#[derive(Debug)]
pub(super) struct Servers {
    ceph: CephRgw,
    slow: Relay,
    swift: Option<Swift>,
}

impl Servers {
    /// Starts them; Swift only where it is installed.
    pub(super) fn start() -> anyhow::Result<Servers> {
        let ceph = CephRgw::start_with(ceph::Kind::Bluestore, SPACE_GIB)?;
        let slow = Relay::start(ceph.port(), SLOW)?;
        let swift = Swift::start_or_skip(Auth::Temp);
        Ok(Servers { ceph, slow, swift })
    }

    /// The cluster.
    pub(super) fn ceph(&self) -> &CephRgw {
        &self.ceph
    }

    /// Where the gateway takes longer.
    pub(super) fn slow_endpoint(&self) -> String {
        self.slow.endpoint()
    }

    /// Whether Swift is there.
    pub(super) fn has_swift(&self) -> bool {
        self.swift.is_some()
    }

    fn swift(&self) -> anyhow::Result<&Swift> {
        self.swift.as_ref().context("Swift is installed")
    }

    /// The cluster's configuration.
    pub(super) fn conf(&self) -> anyhow::Result<PathBuf> {
        let file = self.ceph.credentials_file();
        let dir = file
            .parent()
            .context("it lies in the cluster's directory")?;
        Ok(dir.join("ceph.conf"))
    }

    /// A new bucket's name.
    pub(super) fn bucket(&self) -> anyhow::Result<String> {
        let name = fresh();
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

    /// A new container's name.
    pub(super) fn container(&self) -> anyhow::Result<String> {
        let name = fresh();
        self.swift()?.create_container(&name)?;
        Ok(name)
    }

    /// A container as `--swift` takes it, and the file with the credentials.
    pub(super) fn swift_location(&self, container: &str) -> anyhow::Result<(String, PathBuf)> {
        let swift = self.swift()?;
        let url = format!("{}/{container}", swift.auth_url());
        Ok((url, swift.credentials_file()))
    }

    /// The client that the daemon uses.
    pub(super) fn swift_client(&self, container: &str) -> anyhow::Result<SwiftStore> {
        let (url, credentials) = self.swift_location(container)?;
        let config = SwiftConfig::from_url(&url, credentials)?;
        Ok(SwiftStore::connect(config)?)
    }

    /// Deletes all that is in a container; that it is there itself costs nothing.
    pub(super) fn remove_container(&self, container: &str) -> anyhow::Result<()> {
        let client = self.swift_client(container)?;
        store::runtime()?.block_on(async {
            loop {
                let page = client.list("", None, DELETED_AT_ONCE).await?;
                let keys: Vec<_> = page.objects.into_iter().map(|found| found.key).collect();
                if keys.is_empty() {
                    return Ok(());
                }
                for deleted in client.delete_many(&keys).await {
                    deleted.with_context(|| format!("empty container {container}"))?;
                }
            }
        })
    }
}

/// A name that no other bucket or container of this run has.
fn fresh() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("bench-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
