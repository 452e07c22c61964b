//! The stores that images go to: a directory, Ceph's S3, OpenStack Swift.
//!
//! Owns: starting them, the way to them, on which one request of ten fails. Does not own: what
//! goes there. The directory has no such way to it: its requests all succeed.

use anyhow::Context;
use tokio::runtime::Runtime;
use vpool_test_stores::{CephRgw, Kind, Mode, Proxy, Swift};
use vpool_tests::daemon::World;

/// How many of a hundred requests fail.
const FAILING_PERCENT: u8 = 10;

/// Larger images, several of which are in the store, are too much for a store in memory.
const IN_MEMORY_MIB_MAX: u64 = 1024;

/// Bucket and container.
const BUCKET: &str = "images";

/// The pool on a store behind a network.
const FAR_POOL: &str = "cloud";

/// Where the pool of the images is.
pub(super) struct Place {
    /// For people and reports.
    pub(super) name: &'static str,
    far: Option<Far>,
    // It goes last.
    _ceph: Option<CephRgw>,
}

/// A store that is reached over a network, in a way that fails.
struct Far {
    runtime: Runtime,
    proxy: Proxy,
    location: Vec<String>,
}

impl Far {
    fn new(
        port: u16,
        location: impl FnOnce(String) -> anyhow::Result<Vec<String>>,
    ) -> anyhow::Result<Far> {
        let runtime = Runtime::new().context("start a runtime for the proxy")?;
        let proxy = runtime.block_on(Proxy::start(port))?;
        Ok(Far {
            location: location(proxy.endpoint())?,
            runtime,
            proxy,
        })
    }
}

impl Place {
    /// The pool that every daemon has.
    pub(super) fn directory() -> Place {
        Place {
            name: "fs",
            far: None,
            _ceph: None,
        }
    }

    /// A bucket; `None` where Ceph is not installed.
    pub(super) fn s3(image_mib: u64) -> anyhow::Result<Option<Place>> {
        let kind = match image_mib > IN_MEMORY_MIB_MAX {
            true => Kind::Bluestore,
            false => Kind::Memory,
        };
        let Some(ceph) = CephRgw::start_or_skip(kind) else {
            return Ok(None);
        };
        ceph.create_bucket(BUCKET)?;
        let far = Far::new(ceph.port(), |endpoint| {
            let keys = ceph.credentials_file();
            let keys = keys.to_str().context("a path in UTF-8")?.to_owned();
            let url = format!("{endpoint}/{BUCKET}/of-machines");
            let words = ["--s3", &url, "--credentials-file", &keys];
            Ok(words.map(str::to_owned).to_vec())
        })?;
        Ok(Some(Place {
            name: "s3",
            far: Some(far),
            _ceph: Some(ceph),
        }))
    }

    /// A container; `None` where Swift is not installed.
    pub(super) fn swift() -> anyhow::Result<Option<Place>> {
        let Some(swift) = Swift::shared() else {
            return Ok(None);
        };
        swift.create_container(BUCKET)?;
        // Swift names itself as it was called: all requests take the same way.
        let far = Far::new(swift.port(), |endpoint| {
            let keys = swift.credentials_file();
            let keys = keys.to_str().context("a path in UTF-8")?.to_owned();
            let url = format!("{endpoint}/auth/v1.0/{BUCKET}/of-machines");
            let words = ["--swift", &url, "--auth", "v1", "--credentials-file", &keys];
            Ok(words.map(str::to_owned).to_vec())
        })?;
        Ok(Some(Place {
            name: "swift",
            far: Some(far),
            _ceph: None,
        }))
    }

    /// Makes the pool where there is none yet; from then on requests fail.
    pub(super) fn open(&self, world: &World) -> anyhow::Result<()> {
        let Some(far) = &self.far else {
            return Ok(());
        };
        let location = far.location.iter().map(String::as_str);
        let create = ["pool", "create", FAR_POOL].into_iter().chain(location);
        world.vpool(&create.collect::<Vec<_>>())?;
        let failing = far.proxy.set_mode(Mode::failing(FAILING_PERCENT));
        far.runtime.block_on(failing)
    }

    /// A disk in the pool.
    pub(super) fn disk(&self, name: &str) -> String {
        match &self.far {
            Some(_) => format!("{FAR_POOL}:{name}"),
            None => name.to_owned(),
        }
    }

    /// Requests that failed so far; `None` where none can.
    pub(super) fn failed(&self) -> Option<u64> {
        self.far.as_ref().map(|far| far.proxy.requests_answered())
    }
}
