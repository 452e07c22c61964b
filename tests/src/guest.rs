//! A virtual machine on one of our disks: QEMU without hardware support, Debian's kernel, and a
//! script in place of an init.
//!
//! ```text
//! script ─ initramfs ─▶ QEMU (TCG) ── virtio-blk ── NBD, with reconnection ──▶ daemon
//!                         │ console
//!                         ▼
//!                       lines, as the test waits for them
//! ```
//!
//! Owns: the initramfs, the process, its console. Does not own: what is done in the guest (the
//! tests), where kernel and busybox come from (`tests/guest/install.sh`).

mod archive;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::daemon::target_dir;
use crate::nbd::Door;
use crate::need;
use archive::Archive;

/// A guest that is silent for so long is stuck. Its clock ticks on the console.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// QEMU holds requests for so long while the server is away, and fails them afterwards.
const RECONNECT_DELAY_S: u32 = 120;

/// Comes before each script: mounts what every script needs, and names the disk.
const PREAMBLE: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /mnt
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp
insmod /virtio_blk.ko
disk=/dev/vda
";

/// What a guest is made of: found, or the test that asks is left out.
#[derive(Debug, Clone)]
pub struct Parts {
    directory: PathBuf,
    formatter: PathBuf,
}

impl Parts {
    /// `None`, with the reason printed, where something is missing; with `CI=true` that is a
    /// failure.
    pub fn find() -> anyhow::Result<Option<Parts>> {
        let directory = target_dir()?.join("guest");
        if !need::programs(&["qemu-system-x86_64", "mke2fs", "ldd"]) {
            return Ok(None);
        }
        for part in ["vmlinuz", "virtio_blk.ko", "busybox"] {
            if !need::file(&directory.join(part), "`make test` as root") {
                return Ok(None);
            }
        }
        let places = ["/usr/sbin/mke2fs", "/sbin/mke2fs"].map(PathBuf::from);
        let formatter = places.into_iter().find(|path| path.is_file());
        Ok(Some(Parts {
            directory,
            formatter: formatter.context("mke2fs is in /sbin")?,
        }))
    }

    /// Everything that a script runs with, in the kernel's format.
    fn initramfs(&self, script: &str) -> anyhow::Result<Vec<u8>> {
        let mut archive = Archive::default();
        archive.add_file("bin/busybox", &self.directory.join("busybox"), true)?;
        archive.add_file(
            "virtio_blk.ko",
            &self.directory.join("virtio_blk.ko"),
            false,
        )?;
        archive.add_file("sbin/mke2fs", &self.formatter, true)?;
        for library in libraries_of(&self.formatter)? {
            let name = library.strip_prefix("/").context("ldd names whole paths")?;
            archive.add_file(&name.to_string_lossy(), &library, true)?;
        }
        archive.add("init", (PREAMBLE.to_owned() + script).as_bytes(), true)?;
        Ok(archive.finish())
    }
}

/// The shared libraries of a program, and the loader that loads them.
fn libraries_of(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output();
    let output = output.context("start ldd")?;
    ensure!(output.status.success(), "ldd {}", program.display());
    let text = String::from_utf8(output.stdout).context("paths in UTF-8")?;
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).collect())
}

/// A running machine; killed when this is dropped.
#[derive(Debug)]
pub struct Guest {
    qemu: Child,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
    /// All that came on the console, for errors.
    console: Vec<String>,
}

impl Guest {
    /// Boots a machine that runs `script` on the disk of `door`; files go to `directory`.
    pub fn boot(
        parts: &Parts,
        script: &str,
        door: &Door,
        directory: &Path,
    ) -> anyhow::Result<Guest> {
        let initramfs = directory.join("initramfs");
        fs::write(&initramfs, parts.initramfs(script)?).context("write the initramfs")?;
        let disk = format!(
            "driver=nbd,node-name=d0,server.type=unix,server.path={},export={},\
             reconnect-delay={RECONNECT_DELAY_S},discard=unmap,cache.direct=on",
            door.socket.display(),
            door.export
        );
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(["-M", "q35", "-accel", "tcg,thread=multi,tb-size=128"])
            .args(["-cpu", "qemu64", "-m", "256", "-smp", "1"])
            .args(["-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-serial", "stdio"])
            .arg("-kernel")
            .arg(parts.directory.join("vmlinuz"))
            .arg("-initrd")
            .arg(&initramfs)
            .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"])
            .args(["-blockdev", &disk])
            .args(["-device", "virtio-blk-pci,drive=d0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("start QEMU")?;
        let stdout = qemu.stdout.take().context("the output is piped")?;
        let (sender, lines) = channel();
        let reader = std::thread::spawn(move || {
            // A console is bytes: what a kernel prints in trouble need not be UTF-8.
            for line in BufReader::new(stdout).split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line);
                if sender.send(line.trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
        Ok(Guest {
            qemu,
            lines,
            reader: Some(reader),
            console: Vec::new(),
        })
    }

    /// The next line of the console; `None` at its end.
    pub fn line(&mut self) -> anyhow::Result<Option<String>> {
        match self.lines.recv_timeout(SILENCE_MAX) {
            Ok(line) => {
                self.console.push(line.clone());
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!(
                    "no line for {SILENCE_MAX:?} on the console:\n{}",
                    self.end()
                )
            }
        }
    }

    /// Waits for a line that `wanted` takes, `time_max` at most; the answer is what it made of
    /// the line. It sees every line; an error of it is the answer.
    pub fn wait<T>(
        &mut self,
        time_max: Duration,
        mut wanted: impl FnMut(&str) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        while let Some(line) = self.line()? {
            match wanted(&line) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => return Err(error.context(self.end())),
            }
            ensure!(
                begun.elapsed() < time_max,
                "not within {time_max:?}:\n{}",
                self.end()
            );
        }
        bail!("the machine has ended:\n{}", self.end())
    }

    /// `kill -9`, and what was on the console until then.
    pub fn kill(mut self) -> anyhow::Result<Vec<String>> {
        let ended = self.qemu.try_wait().context("look at QEMU")?;
        ensure!(ended.is_none(), "QEMU ended by itself:\n{}", self.end());
        self.qemu.kill().context("kill QEMU")?;
        self.qemu.wait().context("wait for QEMU")?;
        let mut rest = Vec::new();
        while let Some(line) = self.line()? {
            rest.push(line);
        }
        Ok(rest)
    }

    /// Waits until the machine has switched itself off.
    pub fn wait_for_end(mut self) -> anyhow::Result<()> {
        while self.line()?.is_some() {}
        let status = self.qemu.wait().context("wait for QEMU")?;
        ensure!(status.success(), "QEMU: {status}\n{}", self.end());
        Ok(())
    }

    fn end(&self) -> String {
        let from = self.console.len().saturating_sub(40);
        self.console[from..].join("\n")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ended = self.qemu.kill();
        let _status = self.qemu.wait();
        if let Some(reader) = self.reader.take() {
            // It ends with QEMU's output; a panic of it ended the lines, which was noticed.
            let _joined = reader.join();
        }
    }
}
