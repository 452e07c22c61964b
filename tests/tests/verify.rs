//! T22: fio writes at random and verifies by checksum, over two connections; once more after
//! a kill.
//!
//! Skipped where fio is missing; where `CI` is true that is a failure.
#![expect(clippy::print_stdout, reason = "why a test is skipped")]

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use vpool_tests::daemon::{Flags, World, lock};
use vpool_tests::nbd::Door;

/// Each job verifies its own half of the disk, over a connection of its own.
const JOBS: u32 = 2;

const JOB_MIB: u32 = 96;

/// What fio reports where bytes differ.
const MISMATCH: &str = "verify: bad";

#[test]
fn fio_verifies() -> anyhow::Result<()> {
    if !installed()? {
        return Ok(());
    }
    let _alone = lock("kill")?;
    let world = World::new("verify")?;
    let flags = Flags {
        journal: "256M".to_owned(),
        ..Flags::default()
    };
    let daemon = world.start(&flags)?;
    let size = format!("{}M", JOBS * JOB_MIB);
    world.vpool(&["disk", "create", "plain", "--size", &size])?;
    world.vpool(&["disk", "create", "sealed", "--size", &size, "--encrypt"])?;
    for disk in ["plain", "sealed"] {
        let door = world.door(disk);
        // Half reads, and at the end all that was written is read and verified. (Not in
        // loops: fio 3.33 then finds faults on any server.)
        fio(
            world.data(),
            &door,
            &["--rw=randrw", "--fsync=32", "--randseed=3"],
        )?;
        fio(
            world.data(),
            &door,
            &["--rw=randwrite", "--fsync=64", "--randseed=7"],
        )?;
    }
    daemon.kill()?;
    let daemon = world.start(&flags)?;
    for disk in ["plain", "sealed"] {
        let only = ["--rw=randwrite", "--verify_only=1", "--randseed=7"];
        fio(world.data(), &world.door(disk), &only)?;
    }
    daemon.terminate()?;
    let complaints = world.log_complaints()?;
    ensure!(
        complaints.is_empty(),
        "in the daemon's log: {complaints:#?}"
    );
    Ok(())
}

fn installed() -> anyhow::Result<bool> {
    let engines = Command::new("fio")
        .arg("--enghelp")
        .stderr(Stdio::null())
        .output();
    let usable = engines.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("nbd"));
    let required = std::env::var("CI").is_ok_and(|value| value == "true");
    ensure!(
        usable || !required,
        "fio with its nbd engine is not installed"
    );
    if !usable {
        println!("SKIPPED: fio with its nbd engine is not installed");
    }
    Ok(usable)
}

fn fio(directory: &Path, door: &Door, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("fio")
        .args(["--name=verify", "--ioengine=nbd", "--thread"])
        .arg(format!("--uri={}", door.uri()))
        .arg(format!("--size={JOB_MIB}m"))
        .arg(format!("--offset_increment={JOB_MIB}m"))
        .arg(format!("--numjobs={JOBS}"))
        .args(["--bsrange=4k-64k", "--iodepth=16"])
        .args([
            "--verify=crc32c",
            "--verify_fatal=1",
            "--verify_state_save=0",
        ])
        .args(arguments)
        .current_dir(directory)
        .output()
        .context("start fio")?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let text = text.as_ref();
    ensure!(
        output.status.success() && !text.contains(MISMATCH),
        "fio {arguments:?} on {}: {}\n{text}",
        door.export,
        output.status
    );
    Ok(())
}
