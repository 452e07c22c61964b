//! A guest goes on over kills of the daemon, and finds what it synced after both were killed.
//!
//! Owns: what the guest does, and when which process is killed. Does not own: the machine
//! (`vpool_tests::guest`).
//!
//! `VPOOL_GUEST_KILLS` is how often the daemon is killed under the guest (2).

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::json;
use vpool_tests::daemon::{Daemon, Flags, World, lock};
use vpool_tests::guest::{Guest, Parts};
use vpool_tests::{need, report};

/// Makes a file system, and then syncs files, and blocks of one file in place, for ever. Each
/// line that begins with SYNCED is printed after the sync that it tells of. The clock ticks
/// beside it, from memory, so that a guest that waits for its disk can be told from a dead one.
const WRITER: &str = r#"
fail() { echo "FAILED $1"; poweroff -f; }
echo "CACHE $(cat /sys/block/vda/queue/write_cache)"
/sbin/mke2fs -q -t ext4 -F $disk || fail mke2fs
mount -t ext4 $disk /mnt || fail mount
sync
(while :; do echo "TICK"; usleep 200000; done) &
n=0
while :; do
    n=$((n + 1))
    dd if=/dev/urandom of=/tmp/r bs=1k count=$((n % 96 + 1)) 2>/dev/null
    sum=$(md5sum </tmp/r)
    # Written and not synced: nothing is promised about it but a file system that holds.
    cp /tmp/r /mnt/scratch$((n % 16)) || fail copy
    dd if=/tmp/r of=/mnt/file$n bs=16k conv=fsync 2>/dev/null || fail write
    echo "SYNCED file$n ${sum%% *}"
    printf '%-4096s' $n | dd of=/mnt/blocks bs=4k seek=$((n % 8)) conv=notrunc,fsync \
        2>/dev/null || fail overwrite
    echo "SYNCED block $((n % 8)) $n"
done
"#;

/// Mounts what is there, which recovers the file system, and prints what it holds.
const READER: &str = r#"
fail() { echo "FAILED $1"; poweroff -f; }
mount -t ext4 $disk /mnt || fail mount
(cd /mnt && md5sum file*) | while read sum name; do echo "HOLDS $name $sum"; done
k=0
while [ $k -lt 8 ]; do
    echo "HOLDS block $k $(dd if=/mnt/blocks bs=4k skip=$k count=1 2>/dev/null | tr -d ' \000')"
    k=$((k + 1))
done
umount /mnt || fail umount
echo "END"
poweroff -f
"#;

/// Blocks that the scripts write in place, in turn.
const BLOCKS: u64 = 8;

/// What a kernel says of a disk or a file system that fails.
const COMPLAINTS: [&str; 6] = [
    "FAILED",
    "I/O error",
    "EXT4-fs error",
    "EXT4-fs warning",
    "read-only",
    "Kernel panic",
];

/// Steps that take longer have hung: an emulated machine on a busy host is slow.
const STEP_TIME_MAX: Duration = Duration::from_secs(120);

/// So many ticks without a sync are a guest that waits.
const TICKS_OF_A_PAUSE: u32 = 5;

#[test]
fn a_guest_outlives_its_daemon_and_finds_what_it_synced() -> anyhow::Result<()> {
    let Some(parts) = Parts::find()? else {
        return Ok(());
    };
    if !need::programs(&["nbdcopy", "e2fsck"]) {
        return Ok(());
    }
    let _alone = lock("kill")?;
    let begun = Instant::now();
    let kills = std::env::var("VPOOL_GUEST_KILLS").map_or(Ok(2), |text| text.parse::<u32>());
    let kills = kills.context("VPOOL_GUEST_KILLS is a number")?;
    let world = World::new("guest")?;
    let scratch = tempfile::tempdir().context("make a directory for the guest")?;
    let mut daemon = world.start(&Flags::default())?;
    world.vpool(&["disk", "create", "vm", "--size", "512M"])?;
    let door = world.door("vm");

    let mut guest = Guest::boot(&parts, WRITER, &door, scratch.path())?;
    let mut synced = Synced::default();
    guest.wait(STEP_TIME_MAX, |line| {
        sound(line)?;
        let cache = line.strip_prefix("CACHE ");
        ensure!(
            cache.is_none_or(|cache| cache == "write back"),
            "the guest does not flush: {line}"
        );
        Ok(cache.map(|_| ()))
    })?;
    synced.grow(&mut guest, 20)?;
    let mut pauses = Vec::new();
    for _ in 0..kills {
        let (restarted, pause) = kill_under(&world, daemon, &mut guest, &mut synced)?;
        daemon = restarted;
        pauses.push(pause);
        synced.grow(&mut guest, 15)?;
    }

    let rest = guest.kill()?;
    daemon.kill()?;
    for line in &rest {
        synced.take(line)?;
    }
    let daemon = world.start(&Flags::default())?;
    let held = read_again(&parts, &world, scratch.path())?;
    let (files, blocks) = synced.check(&held)?;

    // Recovered by the kernel's mount and unmounted: now it must be without a flaw.
    let image = scratch.path().join("image");
    succeed(Command::new("nbdcopy").arg(door.uri()).arg(&image))?;
    succeed(Command::new("e2fsck").args(["-f", "-n"]).arg(&image))?;
    daemon.terminate()?;
    let complaints = world.log_complaints()?;
    ensure!(
        complaints.is_empty(),
        "in the daemon's log: {complaints:#?}"
    );
    let figures = json!({
        "kills_under_the_guest": kills,
        "kills_of_both": 1,
        "files_synced_and_found": files,
        "blocks_synced_in_place_and_found": blocks,
        "pause_ms_max": report::percentile_ms(&pauses, 100),
        "seconds": begun.elapsed().as_secs(),
    });
    println!("guest: {figures:#}");
    report::add("guest", "ext4", figures)?;
    Ok(())
}

/// What the guest has said it synced.
#[derive(Debug, Default)]
struct Synced {
    /// Sums by name.
    files: BTreeMap<String, String>,
    /// The newest number of each block, of those that a file gets in place.
    blocks: BTreeMap<u64, u64>,
    count: u64,
}

impl Synced {
    /// Takes a line of the console.
    fn take(&mut self, line: &str) -> anyhow::Result<()> {
        sound(line)?;
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["SYNCED", "block", block, number] => {
                self.blocks.insert(block.parse()?, number.parse()?);
            }
            ["SYNCED", name, sum] if sum.len() == 32 => {
                self.files.insert(name.to_owned(), sum.to_owned());
            }
            // The last line of a machine that was killed may be cut off.
            _ => return Ok(()),
        }
        self.count += 1;
        Ok(())
    }

    /// Waits for so many more.
    fn grow(&mut self, guest: &mut Guest, more: u64) -> anyhow::Result<()> {
        let until = self.count + more;
        guest.wait(STEP_TIME_MAX, |line| {
            self.take(line)?;
            Ok((self.count >= until).then_some(()))
        })
    }

    /// Compares with what was found; the answer is how many files and blocks are right.
    fn check(&self, held: &Synced) -> anyhow::Result<(usize, usize)> {
        for (name, sum) in &self.files {
            let found = held.files.get(name);
            ensure!(
                found == Some(sum),
                "{name} was synced with {sum}, found {found:?}"
            );
        }
        for (block, number) in &self.blocks {
            let found = held.blocks.get(block);
            // The write that was under way may have been the same block's.
            ensure!(
                found.is_some_and(|found| found == number || *found == number + BLOCKS),
                "block {block} was synced with {number}, found {found:?}"
            );
        }
        ensure!(
            self.files.len() >= 20 && self.blocks.len() == 8,
            "the guest did too little: {self:?}"
        );
        Ok((self.files.len(), self.blocks.len()))
    }
}

/// Fails where the guest complains.
fn sound(line: &str) -> anyhow::Result<()> {
    let complaint = COMPLAINTS
        .iter()
        .find(|complaint| line.contains(**complaint));
    ensure!(complaint.is_none(), "the guest says: {line}");
    Ok(())
}

/// Kills the daemon, sees the guest alive and waiting, and starts the daemon again. The answer
/// is it, and for how long no sync was completed.
fn kill_under(
    world: &World,
    daemon: Daemon,
    guest: &mut Guest,
    synced: &mut Synced,
) -> anyhow::Result<(Daemon, Duration)> {
    daemon.kill()?;
    let killed = Instant::now();
    let mut ticks = 0;
    guest.wait(STEP_TIME_MAX, |line| {
        let before = synced.count;
        synced.take(line)?;
        // What was on its way to us before the kill.
        if synced.count > before {
            ticks = 0;
        } else if line == "TICK" {
            ticks += 1;
        }
        Ok((ticks >= TICKS_OF_A_PAUSE).then_some(()))
    })?;
    let daemon = world.start(&Flags::default())?;
    synced.grow(guest, 1)?;
    Ok((daemon, killed.elapsed()))
}

/// Boots again on the same disk; the answer is what it holds.
fn read_again(parts: &Parts, world: &World, scratch: &std::path::Path) -> anyhow::Result<Synced> {
    let mut guest = Guest::boot(parts, READER, &world.door("vm"), scratch)?;
    let mut held = Synced::default();
    guest.wait(STEP_TIME_MAX, |line| {
        // The same words, as if it were synced.
        held.take(&line.replacen("HOLDS", "SYNCED", 1))?;
        Ok((line == "END").then_some(()))
    })?;
    guest.wait_for_end()?;
    Ok(held)
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
