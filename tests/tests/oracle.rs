//! The oracle notices each kind of damage that it is there for.
//!
//! Another client does to the disk what a bug in the daemon would do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use vpool_tests::daemon::{Flags, World};
use vpool_tests::nbd::{Client, Door};
use vpool_tests::oracle::{Ended, Mix, Oracle, Violation, ViolationKind};

const SECTOR: u64 = 512;

const DISK_BYTES: u64 = 4 << 20;

/// Only writes, so that soon every sector holds a version.
const WRITES: Mix = Mix {
    reads: 0,
    trims: 0,
    flushes: 2,
    fua: 0,
    unaligned: 20,
    hot: 0,
    pause: Duration::ZERO,
};

#[test]
fn damage_is_noticed() -> anyhow::Result<()> {
    let world = World::new("oracle")?;
    let daemon = world.start(&Flags::default())?;
    world.vpool(&["disk", "create", "one", "--size", "4M"])?;
    world.vpool(&["disk", "create", "two", "--size", "4M"])?;
    let (door, other) = (world.door("one"), world.door("two"));
    let mut oracle = Oracle::new(1, DISK_BYTES, WRITES, 1)?;
    write_for(&mut oracle, &door, 400)?;
    write_for(&mut Oracle::new(2, DISK_BYTES, WRITES, 2)?, &other, 400)?;
    let verified = oracle.verify(&door)?;
    ensure!(verified.zeroes < 1000, "most is written: {verified:?}");

    let mut client = Client::connect(&door, 1)?;
    let mut foreign = Client::connect(&other, 1)?;
    let at = written_by_both(&mut client, &mut foreign)?;
    let right = client.read(at, SECTOR)?;
    let mut flipped = right.clone();
    flipped[300] ^= 4;
    let neighbour = client.read((at + SECTOR) % DISK_BYTES, SECTOR)?;
    let cases = [
        (vec![0; 512], ViolationKind::LostToZeroes),
        (flipped, ViolationKind::Torn),
        (neighbour, ViolationKind::CrossTalk),
        (foreign.read(at, SECTOR)?, ViolationKind::CrossTalk),
    ];
    for (wrong, kind) in cases {
        client.write(at, &wrong)?;
        expect(&mut oracle, &door, kind, at)?;
        client.write(at, &right)?;
        oracle.verify(&door).context("put right")?;
    }

    // Written again, and the older version comes back; then the newer, which a check ruled out.
    let older = client.read(0, DISK_BYTES)?;
    write_for(&mut oracle, &door, 400)?;
    oracle.verify(&door)?;
    let newer = client.read(0, DISK_BYTES)?;
    let differs = (0..DISK_BYTES / SECTOR).find(|lba| sector(&older, *lba) != sector(&newer, *lba));
    let lba = differs.context("something was written")?;
    let was_zero = sector(&older, lba).iter().all(|byte| *byte == 0);
    client.write(lba * SECTOR, sector(&older, lba))?;
    let kind = match was_zero {
        true => ViolationKind::LostToZeroes,
        false => ViolationKind::LostWrite,
    };
    expect(&mut oracle, &door, kind, lba * SECTOR)?;
    daemon.terminate().map(|_| ())
}

#[test]
fn a_version_from_the_future_is_noticed() -> anyhow::Result<()> {
    let world = World::new("oracle")?;
    let daemon = world.start(&Flags::default())?;
    world.vpool(&["disk", "create", "one", "--size", "4M"])?;
    let door = world.door("one");
    // Two histories of the same writer: the longer one is another's future.
    let mut oracle = Oracle::new(3, DISK_BYTES, WRITES, 1)?;
    write_for(&mut Oracle::new(3, DISK_BYTES, WRITES, 1)?, &door, 400)?;
    expect(&mut oracle, &door, ViolationKind::TimeTravel, u64::MAX)?;
    daemon.terminate().map(|_| ())
}

fn sector(image: &[u8], lba: u64) -> &[u8] {
    let at = usize::try_from(lba * SECTOR).expect("a small image");
    &image[at..at + 512]
}

/// Writes for so many milliseconds.
fn write_for(oracle: &mut Oracle, door: &Door, ms: u64) -> anyhow::Result<()> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| oracle.run(door, &stop));
        std::thread::sleep(Duration::from_millis(ms));
        stop.store(true, Ordering::Relaxed);
        let ended = writer.join().expect("the writer does not panic")?;
        ensure!(ended == Ended::Stopped, "the server went away");
        Ok(())
    })
}

/// The offset of a sector that both disks hold a version in, as does the next of the first.
fn written_by_both(one: &mut Client, two: &mut Client) -> anyhow::Result<u64> {
    let (one, two) = (one.read(0, DISK_BYTES)?, two.read(0, DISK_BYTES)?);
    let written = |image: &[u8], lba| sector(image, lba)[0] != 0;
    let mut all = 1..DISK_BYTES / SECTOR - 1;
    let lba = all.find(|lba| written(&one, *lba) && written(&one, lba + 1) && written(&two, *lba));
    lba.map(|lba| lba * SECTOR).context("both wrote enough")
}

/// A check must fail so; `at` is where, unless that does not matter (`u64::MAX`).
fn expect(oracle: &mut Oracle, door: &Door, kind: ViolationKind, at: u64) -> anyhow::Result<()> {
    let error = oracle.verify(door).err();
    let error = error.with_context(|| format!("{kind:?} was not noticed"))?;
    let violation = error.downcast_ref::<Violation>();
    let violation = violation.with_context(|| format!("another error: {error:#}"))?;
    ensure!(violation.kind == kind, "expected {kind:?}: {violation}");
    ensure!(
        at == u64::MAX || violation.lba * SECTOR == at,
        "{violation}"
    );
    let events = violation
        .events
        .as_ref()
        .context("the events were written")?;
    std::fs::remove_file(events).context("remove the events")
}
