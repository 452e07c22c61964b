//! A real OpenStack Swift, for as long as a test lives.
//!
//! Owns: start, end, containers, single servers being away, tokens being lost.
//! Does not own: how it is set up (`swift-store.py`), installing it (`install-swift.sh`).

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::port;
use crate::watcher::Watcher;

/// What sets it up. It is kept in the program, which may run in another checkout than the
/// one it was built in.
const SCRIPT: &str = include_str!("../swift-store.py");
const SCRIPT_NAME: &str = "swift-store.py";

/// Proxy, object, container and account server, memcached, Keystone.
const PORTS: u16 = 6;
const MEMCACHED: u16 = 4;
const KEYSTONE: u16 = 5;

/// A port may be lost between its choice and its use.
const START_ATTEMPTS_MAX: usize = 3;

/// Who gives tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Swift itself, with auth v1; it has its S3 door then too.
    Temp,
    /// Keystone v3.
    Keystone {
        /// How long tokens live.
        token_life: Duration,
    },
}

/// A running Swift, ended when this is dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct Swift {
    auth: Auth,
    port: u16,
    dir: PathBuf,
    python: PathBuf,
    _watcher: Watcher,
}

impl Swift {
    /// The Swift with auth v1 that all tests of this process share. `None`, with the reason
    /// printed, where it is not installed.
    ///
    /// # Panics
    /// When it does not start, and with `CI=true` when it is not installed.
    pub fn shared() -> Option<&'static Swift> {
        static SHARED: OnceLock<Option<Swift>> = OnceLock::new();
        SHARED
            .get_or_init(|| Self::start_or_skip(Auth::Temp))
            .as_ref()
    }

    /// One of its own for a test that disturbs it; else as [`shared`](Self::shared).
    ///
    /// # Panics
    /// As [`shared`](Self::shared) does.
    pub fn start_or_skip(auth: Auth) -> Option<Swift> {
        let installed = installed();
        if !installed
            .as_ref()
            .is_some_and(|dir| dir.join("stamp").exists())
        {
            crate::left_out(
                "Swift is not installed; tests/stores/install-swift.sh DIR installs it, where \
                 DIR is swift/ in the target directory, or VPOOL_SWIFT_DIR",
            );
            return None;
        }
        let started = installed
            .context("no target directory")
            .and_then(|dir| Self::start(&dir, auth));
        #[expect(clippy::panic, reason = "documented: a test cannot go on without it")]
        let started = started.unwrap_or_else(|error| panic!("Swift does not start: {error:#}"));
        Some(started)
    }

    fn start(installed: &Path, auth: Auth) -> anyhow::Result<Swift> {
        let mut attempt = 1;
        loop {
            match Self::attempt(installed, auth) {
                Err(error) if attempt < START_ATTEMPTS_MAX => {
                    attempt += 1;
                    drop(error);
                }
                result => return result,
            }
        }
    }

    fn attempt(installed: &Path, auth: Auth) -> anyhow::Result<Swift> {
        let port = port::free(PORTS)?;
        // Not among temporary files: it needs a file system with extended attributes.
        let dir = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(installed)?
            .keep();
        fs::write(dir.join(SCRIPT_NAME), SCRIPT)?;
        let python = installed.join("venv/bin/python");
        // The watcher first: from here on nothing is left behind.
        let swift = Swift {
            auth,
            port,
            _watcher: Watcher::start(&dir, |end| {
                end.arg(&python).arg(dir.join(SCRIPT_NAME)).arg("kill")
            })?,
            dir,
            python,
        };
        let mut arguments = vec![port.to_string()];
        if let Auth::Keystone { token_life } = auth {
            arguments.push(token_life.as_secs().to_string());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        swift.script("start", &arguments)?;
        Ok(swift)
    }

    /// The auth service's URL, up to its version.
    pub fn auth_url(&self) -> String {
        match self.auth {
            Auth::Temp => format!("http://127.0.0.1:{}/auth/v1.0", self.port),
            Auth::Keystone { .. } => format!("http://127.0.0.1:{}/v3", self.port + KEYSTONE),
        }
    }

    /// The port that the proxy listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT` of the proxy, which speaks S3 too with [`Auth::Temp`].
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A file with the user's credentials, as the Swift client reads it.
    pub fn credentials_file(&self) -> PathBuf {
        self.dir.join(match self.auth {
            Auth::Temp => "credentials-v1",
            Auth::Keystone { .. } => "credentials-v3",
        })
    }

    /// A file with the same user's S3 keys.
    pub fn s3_credentials_file(&self) -> PathBuf {
        self.dir.join("credentials-s3")
    }

    /// Makes a container; one that exists is fine.
    pub fn create_container(&self, name: &str) -> anyhow::Result<()> {
        self.script("put", &[name])
    }

    /// Makes an empty object of any name, also one that our client would not use.
    pub fn create_object(&self, container: &str, name: &str) -> anyhow::Result<()> {
        self.script("put", &[&format!("{container}/{name}")])
    }

    /// Ends one of the servers at once: `object`, `container`, `account` or `proxy`.
    pub fn server_stop(&self, name: &str) -> anyhow::Result<()> {
        self.script("server-stop", &[name])
    }

    /// Starts it again, on the same port.
    pub fn server_start(&self, name: &str) -> anyhow::Result<()> {
        self.script("server-start", &[name])
    }

    /// Runs `swift-object-updater` once: the containers hear of what was put and deleted
    /// while they were away.
    pub fn update(&self) -> anyhow::Result<()> {
        self.script("update", &[])
    }

    /// Has the proxy forget its own tokens, and what it knows of Keystone's; they are in
    /// memcached.
    pub fn lose_tokens(&self) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port + MEMCACHED))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(b"flush_all\r\n")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        ensure!(&answer == b"OK\r\n", "memcached says {answer:?}");
        Ok(())
    }

    /// Gives Keystone's user another password, which ends all tokens got with the old one.
    pub fn change_password(&self, password: &str) -> anyhow::Result<()> {
        self.script("password", &[password])
    }

    fn script(&self, command: &str, rest: &[&str]) -> anyhow::Result<()> {
        let output = Command::new(&self.python)
            .arg(self.dir.join(SCRIPT_NAME))
            .arg(command)
            .arg(&self.dir)
            .args(rest)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running {SCRIPT_NAME}"))?;
        if !output.status.success() {
            bail!(
                "{SCRIPT_NAME} {command}: {}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}

/// Where `install-swift.sh` was told to install it: `swift` in the target directory that this
/// program was built into.
fn installed() -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os("VPOOL_SWIFT_DIR") {
        return Some(dir.into());
    }
    let exe = std::env::current_exe().ok()?;
    let profile = exe.parent()?;
    let profile = match profile.ends_with("deps") {
        true => profile.parent()?,
        false => profile,
    };
    Some(profile.parent()?.join("swift"))
}
