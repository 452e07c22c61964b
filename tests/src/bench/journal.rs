//! vPool with a full journal, and with empty caches, beside what its stores can do.
//!
//! Owns: filling and emptying the journal, cold reads. Does not own: the stores' own rates
//! (`store`).

use std::time::Instant;

use super::figures::Figures;
use super::fio::{self, Extent, Job};
use super::rig::{Place, Rig, flags, mib};
use super::rows::{self, ROWS};
use super::servers::Servers;
use super::{Options, store};
use crate::daemon::Flags;

const DISK: &str = "bench";

/// One round.
pub(super) fn round(
    options: &Options,
    servers: Option<&Servers>,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let mut places = vec![Place::Fs];
    if servers.is_some() {
        places.push(Place::Rgw);
    }
    if servers.is_some() && !options.quick {
        places.push(Place::Slow);
    }
    if servers.is_some_and(Servers::has_swift) {
        places.push(Place::Swift);
    }
    let mut any = false;
    for place in places {
        any |= steady(options, servers, place, figures)?;
        any |= cold(options, servers, place, figures)?;
    }
    if any {
        store::measure(options, servers, figures)?;
    }
    Ok(())
}

/// Three times the journal's share: once to fill it, then twice for each row, or for the
/// longest time. At the end it is filled once more and emptied. `false` if none of it is wanted.
fn steady(
    options: &Options,
    servers: Option<&Servers>,
    place: Place,
    figures: &mut Figures,
) -> anyhow::Result<bool> {
    let few = options.quick || place == Place::Slow;
    let of_place = |name| match place {
        // For time: how its journal is emptied, and cold reads.
        Place::Swift => false,
        _ => !few || rows::STEADY_QUICK.contains(&name),
    };
    let wanted: Vec<_> = ROWS
        .iter()
        .filter(|row| row.writes() && of_place(row.name) && options.wants(&row.steady()))
        .collect();
    if wanted.is_empty() && !options.wants(rows::DRAIN) {
        return Ok(false);
    }
    let flags = Flags {
        journal: format!("{}M", options.journal_mib),
        ..flags()
    };
    let rig = Rig::start(options, servers, place, flags)?;
    rig.create(DISK, options.disk_mib)?;
    let share_mib = rig.pool(rig.pool_name())?.journal_max_bytes >> 20;
    let disk = rig.disk(DISK);
    for row in wanted {
        // A row before that was slower than the store has emptied it.
        fill_journal(options, &rig)?;
        let extent = Extent::Mib(2 * share_mib, Some(options.steady_time_max));
        let job = row.job(options.disk_mib, extent);
        let measured = fio::run(&disk, &job, &options.directory)?;
        let sample = measured.sample(rows::MIB_S);
        figures.add(&row.steady(), rows::MIB_S, rig.column(), sample);
    }
    fill_journal(options, &rig)?;
    let (begun, unshipped) = (Instant::now(), rig.log(DISK)?.unshipped_bytes);
    rig.sync()?;
    let rate = mib(unshipped)? / begun.elapsed().as_secs_f64();
    figures.add(rows::DRAIN, rows::MIB_S, rig.column(), rate);
    rig.finish(figures)?;
    Ok(true)
}

/// Writes as much as the journal has room for; what is shipped meanwhile is room again.
fn fill_journal(options: &Options, rig: &Rig<'_>) -> anyhow::Result<()> {
    let pool = rig.pool(rig.pool_name())?;
    let room_mib = pool
        .journal_max_bytes
        .saturating_sub(pool.journal_used_bytes)
        >> 20;
    if room_mib == 0 {
        return Ok(());
    }
    let fill = Job {
        extent: Extent::Mib(room_mib, None),
        ..Job::fill(options.disk_mib)
    };
    fio::run(&rig.disk(DISK), &fill, &options.directory).map(|_measured| ())
}

/// Reads of a disk of which nothing is in memory or on the SSD but its objects. `false` if
/// none is wanted.
fn cold(
    options: &Options,
    servers: Option<&Servers>,
    place: Place,
    figures: &mut Figures,
) -> anyhow::Result<bool> {
    let large = ROWS
        .iter()
        .filter(|row| rows::COLD_ROWS.contains(&row.name) && options.wants(&row.cold()));
    let large: Vec<_> = large.collect();
    let random = options.wants(rows::COLD_GETS) || options.wants(rows::COLD_RANDOM);
    if large.is_empty() && !random {
        return Ok(false);
    }
    let mut rig = Rig::start(options, servers, place, flags())?;
    rig.create(DISK, options.disk_mib)?;
    fio::run(
        &rig.disk(DISK),
        &Job::fill(options.disk_mib),
        &options.directory,
    )?;
    for row in large {
        rig.restart_cold()?;
        let extent = Extent::Mib(options.disk_mib, Some(options.steady_time_max));
        let job = row.job(options.disk_mib, extent);
        let measured = fio::run(&rig.disk(DISK), &job, &options.directory)?;
        let sample = measured.sample(row.unit);
        figures.add(&row.cold(), row.unit, rig.column(), sample);
    }
    if random {
        rig.restart_cold()?;
        // Opening it is counted elsewhere.
        let opened = rig.open(DISK)?;
        let before = rig.counts()?.gets;
        let job = rows::cold_random(options.disk_mib, options.row_time);
        let measured = fio::run(&rig.disk(DISK), &job, &options.directory)?;
        let gets = u32::try_from(rig.counts()?.gets - before)?;
        let reads = measured.mib * 256.0;
        figures.add(
            rows::COLD_GETS,
            "GETs",
            rig.column(),
            f64::from(gets) / reads,
        );
        let sample = measured.sample(rows::IOPS);
        figures.add(rows::COLD_RANDOM, rows::IOPS, rig.column(), sample);
        drop(opened);
    }
    rig.finish(figures)?;
    Ok(true)
}
