//! T21: the kernel's file systems on our disk: random work on files, `kill -9`, recovery, check.
//!
//! Owns: the order of work, kills and checks. Does not own: what files must hold
//! (`vpool_tests::exerciser`), the mounts (`vpool_tests::mount`).
//!
//! `VPOOL_FS_KILLS` is the number of kills of each test (6), `VPOOL_SEED` the seed of what is
//! done to the files. Timing is the machine's, so a seed repeats a run only roughly.
#![expect(
    clippy::print_stdout,
    reason = "figures of a test, shown where asked for"
)]

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::json;
use vpool_tests::daemon::{Daemon, Flags, World, lock};
use vpool_tests::exerciser::{Exerciser, Open, Step};
use vpool_tests::mount::{Attached, Kind};
use vpool_tests::report;

/// As many operations come before a kill; what is done before it is noticed comes on top.
const OPERATIONS: Range<u64> = 200..5000;

/// Without its disk a file system fails long before: every 17th operation is a sync.
const OPERATIONS_AFTER_KILL_MAX: u64 = 20_000;

#[test]
fn ext4_over_kills() -> anyhow::Result<()> {
    over_kills(Kind::Ext4)
}

#[test]
fn xfs_over_kills() -> anyhow::Result<()> {
    over_kills(Kind::Xfs)
}

fn over_kills(kind: Kind) -> anyhow::Result<()> {
    if !kind.usable() {
        return Ok(());
    }
    let _alone = lock("kill")?;
    let begun = Instant::now();
    let kills = std::env::var("VPOOL_FS_KILLS").map_or(Ok(6), |text| text.parse::<u64>());
    let kills = kills.context("VPOOL_FS_KILLS is a number")?;
    let given = std::env::var("VPOOL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(kind.name()) >> 32);
    println!("{}: VPOOL_SEED={seed}", kind.name());

    let world = World::new("filesystem")?;
    let mut daemon = world.start(&Flags::default())?;
    world.vpool(&["disk", "create", "fs", "--size", "512M"])?;
    let mut exerciser = Exerciser::new(seed);
    let mut lengths = ChaCha8Rng::seed_from_u64(seed);
    let mut bound = 0;
    {
        let disk = Attached::new(&world.door("fs"))?;
        disk.format(kind)?;
        let mounted = disk.mount(kind)?;
        drop(exerciser.start(&mounted.path())?);
        mounted.unmount()?;
        disk.detach()?;
    }
    for kill in 0..=kills {
        let disk = Attached::new(&world.door("fs"))?;
        // Here the file system is recovered.
        let mounted = disk.mount(kind)?;
        let (open, checked) = exerciser
            .check(&mounted.path())
            .with_context(|| format!("seed {seed}, after kill {kill}"))?;
        bound += checked;
        if kill < kills {
            let before =
                OPERATIONS.start + lengths.next_u64() % (OPERATIONS.end - OPERATIONS.start);
            work_until_killed(&mut exerciser, &open, daemon, before)
                .with_context(|| format!("seed {seed}, before kill {kill}"))?;
            drop(open);
            mounted.unmount()?;
            disk.detach()?;
            daemon = world.start(&Flags::default())?;
        } else {
            drop(open);
            mounted.unmount()?;
            disk.inspect(kind)?;
            disk.detach()?;
            break;
        }
    }
    daemon.terminate()?;
    let complaints = world.log_complaints()?;
    ensure!(
        complaints.is_empty(),
        "in the daemon's log: {complaints:#?}"
    );
    let figures = json!({
        "seed": seed,
        "kills": kills,
        "work": exerciser.done(),
        "bytes_bound_and_found": bound,
        "seconds": begun.elapsed().as_secs(),
    });
    println!("{}: {figures:#}", kind.name());
    report::add("filesystems", kind.name(), figures)?;
    Ok(())
}

/// Works on the files; the daemon is killed in the middle of it, by another thread, after so
/// many operations.
fn work_until_killed(
    exerciser: &mut Exerciser,
    open: &Open,
    daemon: Daemon,
    operations: u64,
) -> anyhow::Result<()> {
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let counter = &done;
        let killer = scope.spawn(move || {
            while counter.load(Ordering::Acquire) < operations {
                std::thread::park();
            }
            daemon.kill()
        });
        let worked = loop {
            match exerciser.step(open) {
                Ok(Step::Done) => {}
                Ok(Step::Failed(error)) => break Ok(error),
                Err(error) => break Err(error),
            }
            let count = done.fetch_add(1, Ordering::AcqRel) + 1;
            if count == operations {
                killer.thread().unpark();
            }
            if count > operations + OPERATIONS_AFTER_KILL_MAX {
                break Err(anyhow::anyhow!("the file system works without its disk"));
            }
        };
        // Whatever went wrong here, the other thread must come to its end.
        let before = done.fetch_max(operations, Ordering::AcqRel);
        killer.thread().unpark();
        let killed = killer.join();
        let killed = killed.unwrap_or_else(|_| Err(anyhow::anyhow!("the killer panicked")));
        let error = worked?;
        ensure!(before >= operations, "the file system failed: {error}");
        killed
    })
}
