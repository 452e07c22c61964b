//! vPool and those that it is measured against, each with one disk.
//!
//! Owns: starting, bringing to rest and ending them. Does not own: what they are asked, how
//! vPool is started (`rig`).

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::columns::{NBDKIT, QEMU_NONE, QEMU_WRITEBACK, RBD};
use super::figures::Figures;
use super::fio::Disk;
use super::rig::{Place, Rig, flags};
use super::servers::Servers;
use super::{Options, store};
use crate::nbd::Door;

const START_TIME_MAX: Duration = Duration::from_secs(10);

/// vPool's disk.
const DISK: &str = "bench";

/// The image on the OSD.
const IMAGE: &str = "bench";

/// Who stands in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// vPool on this store.
    Vpool(Place),
    /// `qemu-nbd` with this `--cache`.
    Qemu(&'static str),
    /// `nbdkit memory`.
    Nbdkit,
    /// An RBD image of the cluster that the gateway stands on.
    Rbd,
}

impl Kind {
    /// The column's head.
    pub(super) fn column(self) -> &'static str {
        match self {
            Kind::Vpool(place) => place.column(),
            Kind::Qemu("none") => QEMU_NONE,
            Kind::Qemu(_) => QEMU_WRITEBACK,
            Kind::Nbdkit => NBDKIT,
            Kind::Rbd => RBD,
        }
    }

    /// Whether the bench goes on without it.
    pub(super) fn is_optional(self) -> bool {
        !matches!(self, Kind::Vpool(_))
    }
}

/// One of them, running.
#[derive(Debug)]
pub(super) struct Peer<'a> {
    kind: Kind,
    disk: Disk,
    rig: Option<Rig<'a>>,
    // In this order: the process ends before its directories go.
    _process: Option<Process>,
    _sockets: Option<TempDir>,
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

impl<'a> Peer<'a> {
    /// Starts it with an empty disk.
    pub(super) fn start(
        kind: Kind,
        options: &'a Options,
        servers: Option<&'a Servers>,
    ) -> anyhow::Result<Peer<'a>> {
        match kind {
            Kind::Vpool(place) => {
                let rig = Rig::start(options, servers, place, flags())?;
                rig.create(DISK, options.disk_mib)?;
                Ok(Peer {
                    kind,
                    disk: rig.disk(DISK),
                    rig: Some(rig),
                    _process: None,
                    _sockets: None,
                    place: None,
                })
            }
            Kind::Qemu(_) | Kind::Nbdkit => nbd_server(kind, options),
            Kind::Rbd => {
                let servers = servers.context("the servers are started for this peer")?;
                Ok(Peer {
                    kind,
                    disk: rbd(options, servers)?,
                    rig: None,
                    _process: None,
                    _sockets: None,
                    place: None,
                })
            }
        }
    }

    /// The column's head.
    pub(super) fn column(&self) -> &'static str {
        self.kind.column()
    }

    /// Its disk.
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// What is behind it, if it is vPool.
    pub(super) fn rig(&self) -> Option<&Rig<'a>> {
        self.rig.as_ref()
    }

    /// Ends what it still does in the background.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        if let Some(rig) = &self.rig {
            rig.sync()?;
        }
        if let (Kind::Qemu(_), Some(place)) = (self.kind, &self.place) {
            let disk = File::open(place.path().join("disk")).context("open the disk")?;
            disk.sync_all().context("sync the disk")?;
        }
        Ok(())
    }

    /// Drops what the page cache has of its disk; `false` where that is nothing it could
    /// be read from again.
    pub(super) fn evict(&self) -> anyhow::Result<bool> {
        match (self.kind, &self.place) {
            (Kind::Qemu(_), Some(place)) => {
                store::evict(place.path())?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Ends it.
    pub(super) fn finish(self, figures: &mut Figures) -> anyhow::Result<()> {
        self.rig.map_or(Ok(()), |rig| rig.finish(figures))
    }
}

fn nbd_server<'a>(kind: Kind, options: &Options) -> anyhow::Result<Peer<'a>> {
    fs::create_dir_all(&options.directory).context("make the directory")?;
    let place = tempfile::tempdir_in(&options.directory).context("make a directory")?;
    // The path of a socket has 107 bytes at most: the process runs in the directory, and
    // listens below another one.
    let sockets = tempfile::tempdir().context("make a directory for a socket")?;
    let door = Door {
        socket: sockets.path().join("s"),
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
            command.args(["-f", "-U"]).arg(&door.socket);
            command.args(["memory", &format!("{}M", options.disk_mib)]);
            command
        }
    };
    command.current_dir(place.path()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let process = command
        .spawn()
        .with_context(|| format!("start {}", kind.column()))?;
    let mut process = Process(process);
    listens(&mut process.0, &door.socket)?;
    Ok(Peer {
        kind,
        disk: Disk::Nbd(door),
        rig: None,
        _process: Some(process),
        _sockets: Some(sockets),
        place: Some(place),
    })
}

/// Makes an image anew, with the client's cache off.
fn rbd(options: &Options, servers: &Servers) -> anyhow::Result<Disk> {
    let conf = servers.conf()?;
    let text = fs::read_to_string(&conf).context("read the cluster's configuration")?;
    let (on, off) = ("rbd_cache = true", "rbd_cache = false");
    ensure!(
        text.contains(on) || text.contains(off),
        "the cluster's configuration does not set the cache of RBD"
    );
    let ours = conf.with_file_name("rbd.conf");
    fs::write(&ours, text.replace(on, off)).context("write a configuration")?;
    let ceph = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .arg("-c")
            .arg(&ours)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("start {program}"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {arguments:?}: {errors}");
        String::from_utf8(output.stdout).context("it writes UTF-8")
    };
    let size = format!("{}M", options.disk_mib);
    if !ceph("ceph", &["osd", "pool", "ls"])?
        .lines()
        .any(|pool| pool == "rbd")
    {
        ceph("ceph", &["osd", "pool", "create", "rbd", "16"])?;
        ceph("rbd", &["pool", "init", "rbd"])?;
    }
    if ceph("rbd", &["ls"])?.lines().any(|image| image == IMAGE) {
        ceph("rbd", &["rm", "--no-progress", IMAGE])?;
    }
    ceph("rbd", &["create", IMAGE, "--size", &size])?;
    Ok(Disk::Rbd {
        conf: ours,
        image: IMAGE,
    })
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
