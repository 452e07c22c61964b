//! T22: writes at random, verified by checksum, over two connections; once more after a kill.
//! What is trimmed reads as zeroes.
//!
//! Owns: which client does what. Does not own: what a disk must hold (`vpool_tests::oracle`, and
//! fio).
//!
//! `VPOOL_VERIFY_SECONDS` is how long each test writes (once over the disk; 8 s).

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use vpool_tests::daemon::{Daemon, Flags, World, lock};
use vpool_tests::nbd::{Client, Door};
use vpool_tests::oracle::{Ended, Mix, Oracle};
use vpool_tests::{need, report};

/// Each job verifies its own half of the disk, over a connection of its own.
const JOBS: u32 = 2;

const JOB_MIB: u32 = 96;

/// What fio reports where bytes differ.
const MISMATCH: &str = "verify: bad";

/// Much that must be in order with everything else.
const MIX: Mix = Mix {
    reads: 25,
    trims: 8,
    flushes: 10,
    fua: 30,
    unaligned: 20,
    hot: 40,
    pause: Duration::ZERO,
};

#[test]
fn fio_verifies() -> anyhow::Result<()> {
    if !usable() {
        return Ok(());
    }
    let _alone = lock("kill")?;
    let begun = Instant::now();
    let world = World::new("verify")?;
    let daemon = world.start(&flags())?;
    let size = format!("{}M", JOBS * JOB_MIB);
    world.vpool(&["disk", "create", "plain", "--size", &size])?;
    world.vpool(&["disk", "create", "sealed", "--size", &size, "--encrypt"])?;
    let time = time(Duration::ZERO)?;
    let mut runs = 0;
    let mut last = String::new();
    while runs == 0 || begun.elapsed() < time {
        // What fio wrote before with another seed is no version of it any more.
        last = format!("--randseed={}", 7 + runs);
        for disk in ["plain", "sealed"] {
            let door = world.door(disk);
            // Half reads, and at the end all that was written is read and verified. (Not in
            // loops: fio 3.33 then finds faults on any server.)
            fio(world.data(), &door, &["--rw=randrw", "--fsync=32", &last])?;
            fio(
                world.data(),
                &door,
                &["--rw=randwrite", "--fsync=64", &last],
            )?;
        }
        runs += 1;
    }
    daemon.kill()?;
    let daemon = world.start(&flags())?;
    for disk in ["plain", "sealed"] {
        let only = ["--rw=randwrite", "--verify_only=1", &last];
        fio(world.data(), &world.door(disk), &only)?;
    }
    // What is trimmed reads as zeroes, also after another kill.
    let door = world.door("plain");
    trim(world.data(), &door)?;
    let zeroes = all_zeroes(&door)?;
    daemon.kill()?;
    let daemon = world.start(&flags())?;
    ensure!(all_zeroes(&door)? == zeroes, "the disk's size changed");
    end(&world, daemon)?;
    let figures = json!({
        "mismatches": 0,
        "runs": runs * 4,
        "mib_each": JOBS * JOB_MIB,
        "kills": 2,
        "trimmed_and_zero_bytes": zeroes,
        "seconds": begun.elapsed().as_secs(),
    });
    report::add("verify", "fio", figures)?;
    Ok(())
}

/// FUA, flushes, trims and write-zeroes among writes, over two connections to one disk.
#[test]
fn a_mix_with_fua_and_trims() -> anyhow::Result<()> {
    let _alone = lock("kill")?;
    let begun = Instant::now();
    let world = World::new("verify")?;
    let mut daemon = world.start(&flags())?;
    world.vpool(&["disk", "create", "mixed", "--size", "64M"])?;
    let door = world.door("mixed");
    let mut oracle = Oracle::new(22, 64 << 20, MIX, 22)?;
    let mut zeroes = 0;
    for _ in 0..2 {
        let time = time(Duration::from_secs(8))? / 2;
        let stop = AtomicBool::new(false);
        let ended = thread::scope(|scope| {
            let writer = scope.spawn(|| oracle.run(&door, &stop));
            thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
            let panicked = |_| Err(anyhow::anyhow!("the writer panicked"));
            writer.join().unwrap_or_else(panicked)
        })?;
        ensure!(ended == Ended::Stopped, "the daemon went away");
        oracle.verify(&door)?;
        daemon.kill()?;
        daemon = world.start(&flags())?;
        zeroes = oracle.verify(&door)?.zeroes;
    }
    ensure!(zeroes > 0, "nothing was trimmed");
    end(&world, daemon)?;
    let figures = json!({
        "violations": 0,
        "totals": oracle.totals(),
        "kills": 2,
        "seconds": begun.elapsed().as_secs(),
    });
    report::add("verify", "mix", figures)?;
    Ok(())
}

fn flags() -> Flags {
    Flags {
        journal: "256M".to_owned(),
        ..Flags::default()
    }
}

/// How long a test goes on writing.
fn time(default: Duration) -> anyhow::Result<Duration> {
    match std::env::var("VPOOL_VERIFY_SECONDS") {
        Ok(text) => {
            let seconds = text.parse().context("VPOOL_VERIFY_SECONDS is a number")?;
            Ok(Duration::from_secs(seconds))
        }
        Err(_) => Ok(default),
    }
}

fn end(world: &World, daemon: Daemon) -> anyhow::Result<()> {
    daemon.terminate()?;
    let complaints = world.log_complaints()?;
    ensure!(
        complaints.is_empty(),
        "in the daemon's log: {complaints:#?}"
    );
    Ok(())
}

/// Whether there is a fio that speaks NBD.
fn usable() -> bool {
    if !need::programs(&["fio"]) {
        return false;
    }
    let engines = Command::new("fio")
        .arg("--enghelp")
        .stderr(Stdio::null())
        .output();
    need::that(
        engines.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("nbd")),
        "fio has no nbd engine",
    )
}

/// Reads the whole disk, which must hold nothing; the answer is its length.
fn all_zeroes(door: &Door) -> anyhow::Result<u64> {
    let mut client = Client::connect(door, 1)?;
    let piece = 1 << 20;
    for at in (0..client.size()).step_by(1 << 20) {
        let bytes = client.read(at, piece.min(client.size() - at))?;
        let found = bytes.iter().position(|byte| *byte != 0);
        ensure!(found.is_none(), "byte {found:?} behind {at} is not zero");
    }
    Ok(client.size())
}

fn trim(directory: &Path, door: &Door) -> anyhow::Result<()> {
    let output = Command::new("fio")
        .args(["--name=trim", "--ioengine=nbd", "--thread", "--rw=randtrim"])
        .arg(format!("--uri={}", door.uri()))
        .arg(format!("--size={}m", JOBS * JOB_MIB))
        .args(["--bs=64k", "--iodepth=16"])
        .current_dir(directory)
        .output()
        .context("start fio")?;
    ensure!(
        output.status.success(),
        "fio: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
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
