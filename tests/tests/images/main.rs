//! `vpool disk import` and `export`: images in and out, with the daemon killed in the middle, on a
//! directory, on S3 and on Swift of whose requests one in ten fails; what hostile images get; what an
//! interrupted import leaves.
//!
//! Owns: how images are made and looked at. Does not own: what must come of them (one file each), the images' formats
//! (`qemu-img` makes and compares them), the stores (`places`).
//!
//! `VPOOL_IMAGE_MIB` is how large the image is (256); a quarter of it holds data, the rest is a
//! hole.

mod copies;
mod hostile;
mod interrupted;
mod pipes;
mod places;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use vpool_tests::daemon::World;
use vpool_tests::need;

/// Nothing here takes longer, but what waits for ever.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Between two looks at what goes on meanwhile.
const PAUSE: Duration = Duration::from_millis(2);

/// A world with an image beside it.
struct Rig {
    world: World,
    dir: tempfile::TempDir,
}

impl Rig {
    fn new() -> anyhow::Result<Rig> {
        Ok(Rig {
            world: World::new("images")?,
            // Beside the data: images are too large for a file system in memory.
            dir: tempfile::tempdir_in(vpool_tests::daemon::target_dir()?)?,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    fn vpool(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Ok(self.world.vpool_command().args(arguments).output()?)
    }

    /// Runs a command that must succeed and prints JSON.
    fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.world.vpool(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }

    /// Checks the exit code and that something is said.
    fn check(&self, code: i32, arguments: &[&str], word: &str) -> anyhow::Result<()> {
        let output = self.vpool(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let good = output.status.code() == Some(code) && said.contains(word);
        ensure!(good, "{arguments:?}: {} {said}", output.status);
        Ok(())
    }

    fn start(&self, arguments: &[&str]) -> anyhow::Result<Child> {
        let mut command = self.world.vpool_command();
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command.spawn()?)
    }

    /// Waits until a draft of `name` holds something.
    fn half_filled(&self, name: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let list = self.json(&[
                "disk",
                "list",
                "--filter",
                &format!("name~{name}.importing-"),
            ])?;
            let log = &list["items"][0]["log"];
            if log["written_bytes"].as_u64() > Some(0) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < TIME_MAX,
                "no draft of {name} is written: {list}"
            );
            std::thread::sleep(PAUSE);
        }
    }

    fn disks(&self) -> anyhow::Result<String> {
        self.world.vpool(&["disk", "list", "-o", "name"])
    }
}

fn usable() -> bool {
    need::programs(&["qemu-img", "prlimit"])
}

fn size_mib() -> anyhow::Result<u64> {
    let text = std::env::var("VPOOL_IMAGE_MIB").unwrap_or_else(|_| "256".to_owned());
    text.parse().context("VPOOL_IMAGE_MIB is a number")
}

/// A sparse raw image: every fourth MiB holds bytes that do not pack; its end is in the middle of
/// a sector.
fn raw_image(path: &Path, mib: u64) -> anyhow::Result<()> {
    let file = File::create(path)?;
    let mut random = ChaCha8Rng::seed_from_u64(mib);
    let mut block = vec![0; 1 << 20];
    for number in (0..mib).step_by(4) {
        random.fill_bytes(&mut block);
        file.write_all_at(&block, number << 20)?;
    }
    file.write_all_at(b"the end", mib << 20)?;
    Ok(())
}

fn succeed(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {} {said}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn convert(from: &Path, format: &str, to: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("qemu-img");
    command
        .args(["convert", "-f", "raw", "-O", format])
        .arg(from)
        .arg(to);
    succeed(&mut command).map(drop)
}

fn compare(one: &Path, format: &str, other: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("qemu-img");
    command
        .args(["compare", "-f", "raw", "-F", format])
        .arg(one)
        .arg(other);
    succeed(&mut command).map(drop)
}

fn signal(child: &Child, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(child.id())?;
    Ok(kill_process(
        Pid::from_raw(pid).context("a process")?,
        signal,
    )?)
}

fn ended(child: Child) -> anyhow::Result<(Option<i32>, String, String)> {
    let output = child.wait_with_output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    ))
}

/// Waits until an export has written something.
fn wait_for_draft(directory: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let draft = entry.file_name().to_string_lossy().contains(".exporting-");
            // It may get its name between the two looks.
            if draft && entry.metadata().is_ok_and(|found| found.blocks() > 2048) {
                return Ok(());
            }
        }
        ensure!(begun.elapsed() < TIME_MAX, "no draft appears");
        std::thread::sleep(PAUSE);
    }
}
