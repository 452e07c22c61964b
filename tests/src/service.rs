//! The daemon as a service: `vpoold run` on a file, and a service manager that listens.
//!
//! Owns: the file, the manager's socket. Does not own: what either must hold (the tests).

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::daemon::World;

/// A message: names and values.
pub type Message = BTreeMap<String, String>;

/// A place with a configuration file and a service manager.
#[derive(Debug)]
pub struct Service {
    /// Where the daemon lives.
    pub world: World,
    beside: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Service {
    /// A new place; the file has small sizes, and what `more` says: keys of the top, then tables.
    pub fn new(name: &str, more: &str) -> anyhow::Result<Service> {
        let beside = tempfile::tempdir().context("make a directory")?;
        let socket = UnixDatagram::bind(beside.path().join("notify")).context("make a socket")?;
        let service = Service {
            world: World::new(name)?,
            beside,
            socket,
        };
        service.configure(more)?;
        Ok(service)
    }

    /// Writes the file anew.
    pub fn configure(&self, more: &str) -> anyhow::Result<()> {
        let text = format!(
            "data_dir = {:?}\njournal_size = \"256M\"\nmemory = \"256M\"\ncache_size = \"256M\"\n\
             api.socket = {:?}\napi.tcp = \"off\"\nnbd.socket = {:?}\n{more}\n",
            self.world.data(),
            self.world.api_socket(),
            self.world.nbd_socket(),
        );
        fs::write(self.file(), text).context("write the configuration")
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.beside.path().join("vpoold.toml")
    }

    /// A path beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.beside.path().join(name)
    }

    /// `vpoold run`, told of the manager, which wants to hear of it within `watchdog`.
    pub fn command(&self, watchdog: Duration) -> Command {
        let mut command = self.world.vpoold_command();
        command
            .arg("run")
            .arg("--config")
            .arg(self.file())
            .env_remove("RUST_LOG")
            .env("NOTIFY_SOCKET", self.beside("notify"))
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        command
    }

    /// The next message for which `wanted` holds; what comes before it is dropped.
    pub fn hear(
        &self,
        within: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> anyhow::Result<Message> {
        let end = Instant::now() + within;
        let mut heard = Vec::new();
        while let Some(message) = self.next(end)? {
            if wanted(&message) {
                return Ok(message);
            }
            heard.push(message);
        }
        bail!("the daemon did not say it within {within:?}; it said {heard:?}")
    }

    /// All that is said in this time.
    pub fn listen(&self, time: Duration) -> anyhow::Result<Vec<Message>> {
        let end = Instant::now() + time;
        let mut heard = Vec::new();
        while let Some(message) = self.next(end)? {
            heard.push(message);
        }
        Ok(heard)
    }

    fn next(&self, end: Instant) -> anyhow::Result<Option<Message>> {
        let left = end.saturating_duration_since(Instant::now());
        // Zero would be for ever.
        let left = left.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(left)).context("wait")?;
        let mut bytes = [0; 4096];
        let length = match self.socket.recv(&mut bytes) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("listen to the daemon"),
        };
        let text = std::str::from_utf8(&bytes[..length]).context("a message is UTF-8")?;
        let pairs = text.lines().map(|line| {
            let pair = line.split_once('=').context("a line is NAME=VALUE");
            pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
        });
        pairs.collect::<anyhow::Result<Message>>().map(Some)
    }
}

/// Whether a message says this.
pub fn says(message: &Message, name: &str, value: &str) -> bool {
    message.get(name).is_some_and(|there| there == value)
}
