//! A Ceph cluster with its S3 and Swift gateway, for as long as a test lives.
//!
//! Owns: start, end, buckets, the gateway being away for a while.
//! Does not own: how the cluster is set up (`ceph-rgw.sh`), installing it
//! (`install-ceph.sh`).

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use anyhow::{Context, bail, ensure};

use crate::watcher::Watcher;
use crate::{http, port};

/// What sets a cluster up. It is kept in the program, which may run in another checkout than the
/// one it was built in.
const SCRIPT: &str = include_str!("../ceph-rgw.sh");
const SCRIPT_NAME: &str = "ceph-rgw.sh";

/// The user that the script makes.
const ACCESS_KEY: &str = "vpool-test-access";
const SECRET_KEY: &str = "vpool-test-secret";
const SWIFT_USER: &str = "vpool:swift";
const SWIFT_KEY: &str = "vpool-test-swift";

/// The gateway's, the monitor's, and the gateway's with TLS.
const PORTS: u16 = 3;

/// More than any test writes.
const SPACE_GIB: u32 = 8;

/// A port may be lost between its choice and its use.
const START_ATTEMPTS_MAX: usize = 3;

/// What the cluster's disk is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Memory: starts in two seconds.
    Memory,
    /// A file, as in a real cluster: starts in about five seconds.
    Bluestore,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Memory => "memstore",
            Kind::Bluestore => "bluestore",
        }
    }
}

/// A running cluster, ended when this is dropped, or when the process ends in whatever
/// way: a watcher process waits for that.
#[derive(Debug)]
pub struct CephRgw {
    /// `http://127.0.0.1:PORT`, path style.
    pub endpoint: String,
    /// `https://127.0.0.1:PORT` of the same, with a certificate of [`ca_file`](Self::ca_file).
    pub tls_endpoint: String,
    /// The S3 access key of a user who may do everything.
    pub access_key: String,
    /// That user's secret key.
    pub secret_key: String,
    port: u16,
    space_gib: u32,
    dir: PathBuf,
    _watcher: Watcher,
    swift: Mutex<Option<SwiftSession>>,
}

/// Buckets are made through the gateway's other door, which needs no signature.
#[derive(Debug, Clone)]
struct SwiftSession {
    account_path: String,
    token: String,
}

impl CephRgw {
    /// The cluster that all tests of this process share. `None`, with the reason printed,
    /// where Ceph is not installed.
    ///
    /// # Panics
    /// When it does not start, and with `CI=true` when it is not installed: in CI nothing
    /// is left out in silence.
    pub fn shared() -> Option<&'static CephRgw> {
        static SHARED: OnceLock<Option<CephRgw>> = OnceLock::new();
        SHARED
            .get_or_init(|| Self::start_or_skip(Kind::Memory))
            .as_ref()
    }

    /// A cluster of its own for a test that disturbs it; else as [`shared`](Self::shared).
    ///
    /// # Panics
    /// As [`shared`](Self::shared) does.
    pub fn start_or_skip(kind: Kind) -> Option<CephRgw> {
        if !installed() {
            crate::left_out("Ceph is not installed; tests/stores/install-ceph.sh installs it");
            return None;
        }
        let started = Self::start_on(kind);
        #[expect(clippy::panic, reason = "documented: a test cannot go on without it")]
        let started = started.unwrap_or_else(|error| panic!("Ceph does not start: {error:#}"));
        Some(started)
    }

    /// Starts a cluster in memory, in a new directory and on free ports.
    pub fn start() -> anyhow::Result<CephRgw> {
        Self::start_on(Kind::Memory)
    }

    /// Starts a cluster of a kind, in a new directory and on free ports.
    pub fn start_on(kind: Kind) -> anyhow::Result<CephRgw> {
        Self::start_with(kind, SPACE_GIB)
    }

    /// The same, with so much space; it is taken when it is used.
    pub fn start_with(kind: Kind, space_gib: u32) -> anyhow::Result<CephRgw> {
        let mut attempt = 1;
        loop {
            match Self::attempt(kind, space_gib) {
                Err(error) if attempt < START_ATTEMPTS_MAX && installed() => {
                    attempt += 1;
                    drop(error);
                }
                result => return result,
            }
        }
    }

    fn attempt(kind: Kind, space_gib: u32) -> anyhow::Result<CephRgw> {
        let port = port::free(PORTS)?;
        let dir = tempfile::Builder::new()
            .prefix("vpool-ceph-")
            .tempdir()?
            .keep();
        fs::write(dir.join(SCRIPT_NAME), SCRIPT)?;
        // The watcher first: from here on nothing is left behind.
        let cluster = CephRgw {
            endpoint: format!("http://127.0.0.1:{port}"),
            tls_endpoint: format!("https://127.0.0.1:{}", port + 2),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            port,
            space_gib,
            _watcher: Watcher::start(&dir, |end| {
                end.arg("bash").arg(dir.join(SCRIPT_NAME)).arg("kill")
            })?,
            dir,
            swift: Mutex::new(None),
        };
        cluster.script(&["start"], &[&port.to_string(), kind.name()])?;
        Ok(cluster)
    }

    /// A file with the user's keys, as the S3 client reads it.
    pub fn credentials_file(&self) -> PathBuf {
        self.dir.join("credentials")
    }

    /// A file with the same user's Swift credentials, as the Swift client reads it.
    pub fn swift_credentials_file(&self) -> PathBuf {
        self.dir.join("swift-credentials")
    }

    /// The issuer of the gateway's certificate, in PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("tls/ca.pem")
    }

    /// The port that the gateway listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes a bucket; one that exists is fine.
    pub fn create_bucket(&self, name: &str) -> anyhow::Result<()> {
        self.put_empty(name)
    }

    /// Makes an empty object of any name, also one that our client would not use.
    pub fn create_object(&self, bucket: &str, name: &str) -> anyhow::Result<()> {
        self.put_empty(&format!("{bucket}/{name}"))
    }

    fn put_empty(&self, name: &str) -> anyhow::Result<()> {
        let session = self.swift_session()?;
        let path = format!("{}/{name}", session.account_path);
        let token = ("X-Auth-Token", session.token.as_str());
        let answer = http::request(self.port, "PUT", &path, &[token])?;
        ensure!(
            matches!(answer.status, 201 | 202),
            "making {name}: {}",
            answer.status
        );
        Ok(())
    }

    /// Ends the gateway at once; the objects stay.
    pub fn gateway_stop(&self) -> anyhow::Result<()> {
        self.script(&["gateway-stop"], &[])
    }

    /// Starts the gateway again, on the same port.
    pub fn gateway_start(&self) -> anyhow::Result<()> {
        self.script(&["gateway-start"], &[])
    }

    /// Gives the user another key pair.
    pub fn add_key(&self, access_key: &str, secret_key: &str) -> anyhow::Result<()> {
        self.script(&["key-add"], &[access_key, secret_key])
    }

    /// Takes a key pair from the user: requests with it are refused from now on.
    pub fn remove_key(&self, access_key: &str) -> anyhow::Result<()> {
        self.script(&["key-remove"], &[access_key])
    }

    fn swift_session(&self) -> anyhow::Result<SwiftSession> {
        let mut known = self.swift.lock().expect("no holder panics");
        if let Some(session) = &*known {
            return Ok(session.clone());
        }
        let fields = [("X-Auth-User", SWIFT_USER), ("X-Auth-Key", SWIFT_KEY)];
        let answer = http::request(self.port, "GET", "/auth/v1.0", &fields)?;
        let field = |name| {
            answer
                .field(name)
                .with_context(|| format!("no {name} in the answer"))
        };
        let url = field("X-Storage-Url")?;
        let path = url
            .splitn(4, '/')
            .nth(3)
            .context("a storage URL without a path")?;
        let session = SwiftSession {
            account_path: format!("/{path}"),
            token: field("X-Auth-Token")?.to_owned(),
        };
        *known = Some(session.clone());
        Ok(session)
    }

    fn script(&self, command: &[&str], rest: &[&str]) -> anyhow::Result<()> {
        let output = Command::new("bash")
            .arg(self.dir.join(SCRIPT_NAME))
            .args(command)
            .arg(&self.dir)
            .args(rest)
            .env("SIZE_GIB", self.space_gib.to_string())
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running {SCRIPT_NAME}"))?;
        if !output.status.success() {
            bail!(
                "{SCRIPT_NAME} {command:?}: {}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}

fn installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    ["radosgw", "ceph-mon", "ceph-osd", "ceph"]
        .iter()
        .all(|program| std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
}
