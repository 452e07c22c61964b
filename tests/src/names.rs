//! Names that only one process resolves, and a name server that is not there or never answers.
//!
//! ```text
//! own mount namespace ─ /etc/hosts ──────▶ a file of ours, rewritten while the process runs
//!                     └ /etc/resolv.conf ─▶ 127.0.0.77, where nobody is, or nobody answers
//! ```
//!
//! Owns: the files, the namespace, the silent name server. Does not own: the process.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

use crate::need;

/// An address of the loopback network that nothing else uses.
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

/// Where the files are put over the system's; what follows takes the shell's place.
const SCRIPT: &str = r#"mount --bind "$1" /etc/hosts
mount --bind "$2" /etc/resolv.conf
shift 2
exec "$@""#;

/// The names of the processes that were started with [`within`](Self::within).
#[derive(Debug)]
pub struct Names {
    directory: TempDir,
    /// A name server that is asked and never answers.
    silent: Option<UdpSocket>,
}

impl Names {
    /// No name but `localhost`; `None` where this user may not do such things.
    pub fn new() -> anyhow::Result<Option<Names>> {
        if !need::root() || !need::programs(&["unshare", "mount"]) {
            return Ok(None);
        }
        let directory = tempfile::tempdir().context("make a directory for names")?;
        let mut names = Names {
            directory,
            silent: None,
        };
        let server = format!("nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n");
        fs::write(names.resolver(), server).context("write resolv.conf")?;
        names.point(None)?;
        Ok(Some(names))
    }

    fn hosts(&self) -> PathBuf {
        self.directory.path().join("hosts")
    }

    fn resolver(&self) -> PathBuf {
        self.directory.path().join("resolv.conf")
    }

    /// The same command, whose process sees these names and keeps its number.
    pub fn within(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("unshare");
        wrapped.args(["--mount", "sh", "-e", "-c", SCRIPT, "sh"]);
        wrapped.arg(self.hosts()).arg(self.resolver());
        wrapped.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            wrapped.env(key, value.unwrap_or(OsStr::new("")));
        }
        wrapped
    }

    /// One more name, and where it leads; or none.
    pub fn point(&mut self, name: Option<(&str, Ipv4Addr)>) -> anyhow::Result<()> {
        let more = name.map_or(String::new(), |(name, address)| {
            format!("{address} {name}\n")
        });
        // In place: a file under a mount is not replaced.
        fs::write(self.hosts(), format!("127.0.0.1 localhost\n{more}")).context("write hosts")
    }

    /// Whether the name server is one that never answers; else nobody is there, which is known
    /// at once.
    pub fn server_is_silent(&mut self, silent: bool) -> anyhow::Result<()> {
        self.silent = match silent {
            true => Some(UdpSocket::bind((NAME_SERVER, 53)).context("be a name server")?),
            false => None,
        };
        Ok(())
    }
}
