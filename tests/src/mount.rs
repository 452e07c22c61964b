//! A file system of this host's kernel on one of our disks, through nbdfuse and a loop device.
//!
//! ```text
//! mount ─ ext4, xfs ─▶ /dev/loopN ─▶ file of nbdfuse ─ NBD ─▶ daemon
//! ```
//!
//! Owns: the mounts, the loop device, the process, and taking them away in whatever order they
//! still let themselves. Does not own: what is in the file system.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::nbd::Door;
use crate::need;

/// nbdfuse serves, or ends, within this time.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// A kind of file system, with its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ext4.
    Ext4,
    /// xfs.
    Xfs,
}

impl Kind {
    /// As the kernel calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
        }
    }

    fn format(self) -> &'static [&'static str] {
        match self {
            Kind::Ext4 => &["mkfs.ext4", "-q", "-F"],
            Kind::Xfs => &["mkfs.xfs", "-q", "-f"],
        }
    }

    /// Looks without changing anything.
    fn inspect(self) -> &'static [&'static str] {
        match self {
            Kind::Ext4 => &["e2fsck", "-f", "-n"],
            Kind::Xfs => &["xfs_repair", "-n"],
        }
    }

    /// Whether this machine has all that is needed; else the test that asks is left out.
    pub fn usable(self) -> bool {
        need::root()
            && need::programs(&["nbdfuse", "losetup", "mount", "umount"])
            && need::programs(&[self.format()[0], self.inspect()[0]])
            && need::file(Path::new("/dev/fuse"), "a kernel with FUSE")
            && need::file(Path::new("/dev/loop-control"), "a kernel with loop devices")
            && need::filesystem(self.name())
    }
}

/// A disk as a block device of this host.
#[derive(Debug)]
pub struct Attached {
    nbdfuse: Child,
    fuse: TempDir,
    device: Option<String>,
}

impl Attached {
    /// Attaches the disk of `door`.
    pub fn new(door: &Door) -> anyhow::Result<Attached> {
        let fuse = tempfile::tempdir().context("make a mount point")?;
        let nbdfuse = Command::new("nbdfuse")
            .arg(fuse.path())
            .arg(door.uri())
            .stdin(Stdio::null())
            .spawn()
            .context("start nbdfuse")?;
        let mut attached = Attached {
            nbdfuse,
            fuse,
            device: None,
        };
        let file = attached.fuse.path().join("nbd");
        let begun = Instant::now();
        while !file.exists() {
            let ended = attached.nbdfuse.try_wait().context("look at nbdfuse")?;
            ensure!(ended.is_none(), "nbdfuse ended: {ended:?}");
            ensure!(begun.elapsed() < TIME_MAX, "nbdfuse does not serve");
            std::thread::sleep(PAUSE);
        }
        let file = file.to_string_lossy();
        let options = ["-f", "--show", "--direct-io=on"];
        let device = succeed(Command::new("losetup").args(options).arg(&*file))?;
        attached.device = Some(device.trim().to_owned());
        Ok(attached)
    }

    /// Its name in `/dev`.
    pub fn device(&self) -> &str {
        self.device.as_deref().unwrap_or_default()
    }

    /// Makes a file system on it.
    pub fn format(&self, kind: Kind) -> anyhow::Result<()> {
        let words = kind.format();
        succeed(Command::new(words[0]).args(&words[1..]).arg(self.device())).map(|_| ())
    }

    /// Fails where the file system, which is not mounted, has any flaw.
    pub fn inspect(&self, kind: Kind) -> anyhow::Result<()> {
        let words = kind.inspect();
        succeed(Command::new(words[0]).args(&words[1..]).arg(self.device())).map(|_| ())
    }

    /// Mounts the file system on it.
    pub fn mount(&self, kind: Kind) -> anyhow::Result<Mounted> {
        let directory = tempfile::tempdir().context("make a mount point")?;
        let mut command = Command::new("mount");
        command.args(["-t", kind.name(), self.device()]);
        succeed(command.arg(directory.path()))?;
        Ok(Mounted {
            directory,
            mounted: true,
        })
    }

    /// Takes everything away in order.
    pub fn detach(mut self) -> anyhow::Result<()> {
        let device = self.device.take().context("a device")?;
        succeed(Command::new("losetup").args(["-d", &device]))?;
        // The loop device lets go of the file a moment after it was told to.
        let begun = Instant::now();
        while let Err(error) = succeed(Command::new("umount").arg(self.fuse.path())) {
            if begun.elapsed() > TIME_MAX {
                return Err(error);
            }
            std::thread::sleep(PAUSE);
        }
        while self
            .nbdfuse
            .try_wait()
            .context("look at nbdfuse")?
            .is_none()
        {
            ensure!(begun.elapsed() < TIME_MAX, "nbdfuse does not end");
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // What is gone already, or cannot be taken away, is not this test's any more: what it
        // has to say it has said by `detach`.
        if let Some(device) = self.device.take() {
            let _gone = quietly(Command::new("losetup").args(["-d", &device]));
        }
        let _gone = quietly(Command::new("umount").arg("--lazy").arg(self.fuse.path()));
        let _ended = self.nbdfuse.kill();
        let _status = self.nbdfuse.wait();
    }
}

/// A mounted file system; taken away at the end.
#[derive(Debug)]
pub struct Mounted {
    directory: TempDir,
    mounted: bool,
}

impl Mounted {
    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Unmounts it. Without its disk that works too, and loses what was not synced.
    pub fn unmount(mut self) -> anyhow::Result<()> {
        succeed(Command::new("umount").arg(self.directory.path()))?;
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.mounted {
            let _gone = quietly(
                Command::new("umount")
                    .arg("--lazy")
                    .arg(self.directory.path()),
            );
        }
    }
}

fn quietly(command: &mut Command) -> std::io::Result<std::process::Output> {
    command.stdin(Stdio::null()).output()
}

/// Runs a command that must succeed; the answer is its output.
fn succeed(command: &mut Command) -> anyhow::Result<String> {
    let output = quietly(command).with_context(|| format!("start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
