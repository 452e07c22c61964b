//! vPool and those that it is measured against, each with one disk behind an NBD socket.
//!
//! Owns: starting, bringing to rest and ending them. Does not own: what they are asked.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::Options;
use crate::daemon::{Daemon, Flags, Usage, World};
use crate::nbd::Door;

/// vPool's column.
pub(super) const VPOOL: &str = "vPool fs";
/// A raw file with direct I/O: the SSD as it is.
pub(super) const QEMU_NONE: &str = "qemu-nbd none";
/// A raw file through the page cache.
pub(super) const QEMU_WRITEBACK: &str = "qemu-nbd writeback";
/// Memory: what the protocol and this machine can do.
pub(super) const NBDKIT: &str = "nbdkit memory";

const START_TIME_MAX: Duration = Duration::from_secs(10);

/// The caches of vPool in all rows: the memory of the default, and an SSD cache that leaves
/// the machine some space.
pub(super) fn flags() -> Flags {
    Flags {
        journal: "16G".to_owned(),
        memory: "1G".to_owned(),
        cache: "4G".to_owned(),
        log: "warn".to_owned(),
    }
}

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `vpoold dev` on a directory.
    Vpool,
    /// `qemu-nbd` with this `--cache`.
    Qemu(&'static str),
    /// `nbdkit memory`.
    Nbdkit,
}

/// The columns.
pub(super) fn kinds(all: bool) -> Vec<Kind> {
    let mut kinds = vec![Kind::Vpool, Kind::Qemu("none"), Kind::Nbdkit];
    if all {
        kinds.insert(2, Kind::Qemu("writeback"));
    }
    kinds
}

impl Kind {
    /// The column's head.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Vpool => VPOOL,
            Kind::Qemu("none") => QEMU_NONE,
            Kind::Qemu(_) => QEMU_WRITEBACK,
            Kind::Nbdkit => NBDKIT,
        }
    }

    /// Whether the bench goes on without it.
    pub(super) fn is_optional(self) -> bool {
        self != Kind::Vpool
    }
}

/// One of them, running.
#[derive(Debug)]
pub(super) struct Peer {
    kind: Kind,
    door: Door,
    // In this order: the processes end before their directories go.
    daemon: Option<Daemon>,
    _process: Option<Process>,
    world: Option<World>,
    place: Option<TempDir>,
}

/// Killed when dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Peer {
    /// Starts it with an empty disk.
    pub(super) fn start(kind: Kind, options: &Options) -> anyhow::Result<Peer> {
        let size = format!("{}M", options.disk_mib);
        if kind == Kind::Vpool {
            let world = World::below(&options.directory, "burst")?;
            let daemon = world.start(&flags())?;
            world.vpool(&["disk", "create", "bench", "--size", &size])?;
            return Ok(Peer {
                kind,
                door: world.door("bench"),
                daemon: Some(daemon),
                _process: None,
                world: Some(world),
                place: None,
            });
        }
        fs::create_dir_all(&options.directory).context("make the directory")?;
        let place = tempfile::tempdir_in(&options.directory).context("make a directory")?;
        // Sockets have short names, wherever the directory is: the process runs in it.
        let door = Door {
            socket: place.path().join("s"),
            export: String::new(),
        };
        let mut command = match kind {
            Kind::Qemu(cache) => {
                let disk = File::create(place.path().join("disk")).context("make a disk")?;
                disk.set_len(options.disk_mib << 20)
                    .context("make a disk")?;
                let mut command = Command::new("qemu-nbd");
                let cache = format!("--cache={cache}");
                command.args(["-f", "raw", "--aio=io_uring", &cache]);
                command.args(["--persistent", "--shared=64", "-k"]);
                command.arg(&door.socket).arg("disk");
                command
            }
            _ => {
                let mut command = Command::new("nbdkit");
                command.args(["-f", "-U", "s", "memory", &size]);
                command
            }
        };
        command.current_dir(place.path()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = command
            .spawn()
            .with_context(|| format!("start {}", kind.name()))?;
        let mut process = Process(process);
        listens(&mut process.0, &door.socket)?;
        Ok(Peer {
            kind,
            door,
            daemon: None,
            _process: Some(process),
            world: None,
            place: Some(place),
        })
    }

    /// The column's head.
    pub(super) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Its disk.
    pub(super) fn door(&self) -> &Door {
        &self.door
    }

    /// Ends what it still does in the background.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        if let Some(world) = &self.world {
            world.vpool(&["disk", "sync", "bench"])?;
        }
        if let (Kind::Qemu(_), Some(place)) = (self.kind, &self.place) {
            let disk = File::open(place.path().join("disk")).context("open the disk")?;
            disk.sync_all().context("sync the disk")?;
        }
        Ok(())
    }

    /// What vPool has used.
    pub(super) fn usage(&self) -> anyhow::Result<Option<Usage>> {
        self.daemon.as_ref().map(Daemon::usage).transpose()
    }
}

/// Waits until somebody listens.
fn listens(process: &mut Child, socket: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(error).context("the directory's path is too long for a socket");
            }
            Err(error) if begun.elapsed() > START_TIME_MAX => return Err(error.into()),
            Err(_) => {}
        }
        if let Some(status) = process.try_wait().context("look at a peer")? {
            bail!("it ended: {status}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
