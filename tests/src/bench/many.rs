//! Many disks at a time: writing and flushing, writing a little, idle.
//!
//! Owns: these rows. Does not own: fio, the daemon.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::figures::Figures;
use super::fio::{self, Extent, Job};
use super::rig::{Place, Rig, flags, mib};
use super::servers::Servers;
use super::{Options, columns, rows};
use crate::nbd::Door;

/// vDisks of the row that has many.
const MANY: usize = 64;

/// vDisks that write a little.
const TRICKLES: usize = 100;

/// Counts are taken so often, after as long a time that is not counted.
const WINDOWS: u32 = 3;

/// Idle disks that are there before memory is looked at.
const IDLE_BEFORE: usize = 24;

fn make(rig: &Rig<'_>, name: &str, count: usize) -> anyhow::Result<Vec<Door>> {
    let names = (0..count).map(|number| format!("{name}{number}"));
    names
        .map(|name| {
            rig.create(&name, 16)?;
            Ok(rig.door(&name))
        })
        .collect()
}

/// Many disks that write and flush, against one with as many connections.
pub(super) fn flushing(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    if !options.wants(rows::MANY_DISKS) {
        return Ok(());
    }
    let rig = Rig::start(options, None, Place::Fs, flags())?;
    let many = make(&rig, "many", MANY)?;
    rig.create("one", 1024)?;
    let one = vec![rig.door("one"); many.len()];
    let job = Job {
        rw: "randwrite",
        block_kib: 4,
        depth: 1,
        fsync: 1,
        span_mib: 16,
        extent: Extent::Time(options.row_time),
        ..Job::default()
    };
    // The first time all are opened, which is no steady state.
    for measured in [false, true] {
        for (row, doors) in [(rows::ONE_DISK, &one), (rows::MANY_DISKS, &many)] {
            let done = fio::start_many(doors, &job, None, &options.directory)?.finish()?;
            if measured {
                figures.add(row, rows::IOPS, columns::VPOOL, done.sample(rows::IOPS));
            }
        }
    }
    rig.finish(figures)
}

/// A hundred disks that write one block a second each: what the store is asked.
pub(super) fn trickle(
    options: &Options,
    servers: Option<&Servers>,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    if !options.wants(rows::TRICKLE_PUTS) {
        return Ok(());
    }
    let Some(window) = options.trickle_window else {
        let why = "only in the full form: a disk that writes little ships once a minute";
        figures.absent(rows::TRICKLE_PUTS, why);
        figures.absent(rows::TRICKLE_FILL, why);
        return Ok(());
    };
    let place = if servers.is_some() {
        Place::Rgw
    } else {
        Place::Fs
    };
    let rig = Rig::start(options, servers, place, flags())?;
    let doors = make(&rig, "quiet", TRICKLES)?;
    let job = Job {
        rw: "randwrite",
        block_kib: 4,
        depth: 1,
        span_mib: 16,
        // Longer than what is looked at; it is ended when that is over.
        extent: Extent::Time(window * (WINDOWS + 2)),
        ..Job::default()
    };
    let running = fio::start_many(&doors, &job, Some(1), &options.directory)?;
    std::thread::sleep(window);
    let mut before = (Instant::now(), rig.counts()?);
    for _ in 0..WINDOWS {
        std::thread::sleep(window);
        let now = (Instant::now(), rig.counts()?);
        let puts = u32::try_from(now.1.puts - before.1.puts)?;
        let hours = (now.0 - before.0).as_secs_f64() / 3600.0;
        figures.add(
            rows::TRICKLE_PUTS,
            "per hour",
            rig.column(),
            f64::from(puts) / hours,
        );
        if puts > 0 {
            let kib = mib(now.1.sent_bytes - before.1.sent_bytes)? * 1024.0;
            figures.add(
                rows::TRICKLE_FILL,
                "KiB",
                rig.column(),
                kib / f64::from(puts),
            );
        }
        before = now;
    }
    drop(running);
    rig.finish(figures)
}

/// Disks that are attached and do nothing: what they ask of the store and take of memory.
pub(super) fn idle(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    if !options.wants(rows::IDLE_REQUESTS) && !options.wants(rows::IDLE_MEMORY) {
        return Ok(());
    }
    let rig = Rig::start(options, None, Place::Fs, flags())?;
    let doors = make(&rig, "idle", IDLE_BEFORE + options.idle_disks)?;
    let (first, others) = doors.split_at(IDLE_BEFORE);
    let use_once = |doors: &[Door]| {
        let clients = doors.iter().map(|door| {
            let mut client = rig.open(&door.export)?;
            client.write(0, &[1; 4096])?;
            client.flush()?;
            Ok(client)
        });
        let clients: anyhow::Result<Vec<_>> = clients.collect();
        rig.sync()?;
        clients
    };
    // What the process takes once, for whichever disk comes first, is not theirs.
    let _held = use_once(first)?;
    let before = rig.usage()?.rss_bytes;
    let _others_held = use_once(others)?;
    let disks = u32::try_from(others.len()).context("not that many")?;
    let kib = (mib(rig.usage()?.rss_bytes)? - mib(before)?) * 1024.0 / f64::from(disks);
    figures.add(rows::IDLE_MEMORY, "KiB", columns::VPOOL, kib);
    let asked = rig.counts()?.requests;
    std::thread::sleep(options.idle_time);
    let asked = u32::try_from(rig.counts()?.requests - asked)?;
    figures.add(
        rows::IDLE_REQUESTS,
        "in all",
        columns::VPOOL,
        f64::from(asked),
    );
    rig.finish(figures)
}

/// Waits until a value has not changed for a while; the answer is the value.
pub(super) fn settled<T: PartialEq>(
    mut value: impl FnMut() -> anyhow::Result<T>,
    time_max: Duration,
) -> anyhow::Result<T> {
    const SAME: Duration = Duration::from_millis(600);
    let begun = Instant::now();
    let mut last = (Instant::now(), value()?);
    while last.0.elapsed() < SAME {
        ensure!(begun.elapsed() < time_max, "it does not come to rest");
        std::thread::sleep(Duration::from_millis(50));
        let now = value()?;
        if now != last.1 {
            last = (Instant::now(), now);
        }
    }
    Ok(last.1)
}

#[cfg(test)]
mod tests {
    //! Rest, and none.

    use super::settled;
    use std::time::{Duration, Instant};

    #[test]
    fn rest() {
        let begun = Instant::now();
        let rising = || Ok(begun.elapsed().as_millis().min(200));
        let value = settled(rising, Duration::from_secs(10)).expect("it comes to rest");
        assert_eq!(value, 200);
        let for_ever = || Ok(begun.elapsed());
        assert!(settled(for_ever, Duration::from_secs(1)).is_err());
    }
}
