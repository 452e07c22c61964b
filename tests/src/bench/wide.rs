//! What the map costs: a disk of 64 TiB written here and there, one of 100 GiB in use.
//!
//! Owns: these rows. Does not own: fio, the daemon; the map alone is measured by
//! `vpool-map`'s own bench.

use std::time::Instant;

use super::figures::Figures;
use super::fio::{self, Extent, Job};
use super::rig::{Place, Rig, flags, mib};
use super::{Options, columns, rows};
use crate::nbd::Client;

const DISK: &str = "wide";

/// 64 TiB in MiB.
const WIDE_MIB: u64 = 64 << 20;

/// A disk of 64 TiB with scattered blocks: opened again, and with nothing local.
pub(super) fn scattered(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    let rows = [
        rows::WIDE_OPEN,
        rows::WIDE_OPEN_COLD,
        rows::WIDE_MEMORY,
        rows::WIDE_MAP,
    ];
    if !rows.iter().any(|row| options.wants(row)) {
        return Ok(());
    }
    let mut rig = Rig::start(options, None, Place::Fs, flags())?;
    rig.create(DISK, WIDE_MIB)?;
    // Kept open, so that its counters stay.
    let held = rig.open(DISK)?;
    let job = Job {
        rw: "randwrite",
        block_kib: 4,
        depth: 32,
        span_mib: WIDE_MIB,
        extent: Extent::Mib(options.wide_mib, None),
        scattered: true,
        ..Job::default()
    };
    fio::run(&rig.disk(DISK), &job, &options.directory)?;
    add_map(&mut rig, held, rows::WIDE_MAP, figures)?;
    for row in [rows::WIDE_OPEN, rows::WIDE_OPEN_COLD] {
        if row == rows::WIDE_OPEN_COLD {
            rig.restart_cold()?;
        }
        let before = rig.usage()?.rss_bytes;
        let begun = Instant::now();
        let held = rig.open(DISK)?;
        figures.add(row, "s", columns::VPOOL, begun.elapsed().as_secs_f64());
        if row == rows::WIDE_OPEN {
            let taken = mib(rig.usage()?.rss_bytes)? - mib(before)?;
            figures.add(rows::WIDE_MEMORY, "MiB", columns::VPOOL, taken);
        }
        drop(held);
    }
    rig.finish(figures)
}

/// Random writes of 4 KiB to a disk of 100 GiB that is full.
pub(super) fn in_use(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    if !options.wants(rows::MAP) {
        return Ok(());
    }
    if !matches!(options.map_gib, Some((100, _))) {
        let why = "only in the full form: the disk is written in full before";
        figures.absent(rows::MAP, why);
    }
    let Some((disk_gib, write_gib)) = options.map_gib else {
        return Ok(());
    };
    let mut rig = Rig::start(options, None, Place::Fs, flags())?;
    rig.create(DISK, disk_gib << 10)?;
    // What is in the blocks is nothing to the map, and 100 GiB are much for this disk.
    let fill = Job {
        compressible: true,
        ..Job::fill(disk_gib << 10)
    };
    fio::run(&rig.disk(DISK), &fill, &options.directory)?;
    rig.sync()?;
    // The map of what was filled is merged and put before anything is counted.
    rig.restart()?;
    let held = rig.open(DISK)?;
    let job = Job {
        rw: "randwrite",
        block_kib: 4,
        depth: 32,
        extent: Extent::Mib(write_gib << 10, None),
        scattered: true,
        ..fill
    };
    fio::run(&rig.disk(DISK), &job, &options.directory)?;
    let row = match disk_gib {
        100 => rows::MAP,
        _ => rows::MAP_OTHER,
    };
    add_map(&mut rig, held, row, figures)?;
    rig.finish(figures)
}

/// Bytes of map for each byte that clients wrote since the disk was opened, those that are
/// put at its end among them. The daemon is started again meanwhile.
fn add_map(
    rig: &mut Rig<'_>,
    held: Client,
    row: &str,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    rig.sync()?;
    let log = rig.log(DISK)?;
    drop(held);
    let map_bytes = log.map_bytes + rig.restart()?;
    let ratio = mib(map_bytes)? / mib(log.written_bytes)?;
    figures.add(row, "x", columns::VPOOL, ratio);
    Ok(())
}
