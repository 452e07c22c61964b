//! The bench: fio over NBD unix sockets, against vPool and its peers, side by side.
//!
//! ```text
//! round (5) ─▶ each peer started anew, its disk written in full
//!                └─▶ each row: every peer, one after the other, then at rest again
//!          ─▶ steady: vPool with a small journal, beside the store's own PUT rate
//!          ─▶ cold: caches gone, beside the store's own GET rate
//! figures ─▶ medians, minima, maxima ─▶ table, JSON, one line for each target
//! ```
//!
//! Owns: what is measured, in which order. Does not own: the peers (`peers`), fio (`fio`),
//! the store's own rate (`store`), the arithmetic (`figures`).
//!
//! *burst* rows: the journal does not fill, and all is shipped before the next peer's turn.
//! *steady* rows: the journal's share is written three times over, and the first time is not
//! counted.

mod figures;
mod fio;
mod peers;
mod rows;
mod store;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::daemon::{Daemon, Flags, World, target_dir};
pub use figures::Figures;
use fio::{Extent, Job};
use peers::Peer;
use rows::ROWS;
use store::Rates;

/// Objects of the store's own rate are of the size of a segment.
const OBJECT_BYTES: usize = 16 << 20;

/// vDisks of the row that has many.
const MANY: u32 = 64;

/// How the bench is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Interleaved rounds; medians are over these.
    pub rounds: u32,
    /// How long each burst row takes for each peer.
    pub row_time: Duration,
    /// Size of the disks.
    pub disk_mib: u64,
    /// The journal of the steady rows.
    pub journal_mib: u64,
    /// Also what no target is measured by.
    pub all_peers: bool,
    /// Where files go; removed at the end.
    pub directory: PathBuf,
    /// Only rows whose name contains this.
    pub only: Option<String>,
}

impl Options {
    /// At most 5 minutes, or at most 45.
    pub fn new(quick: bool) -> anyhow::Result<Options> {
        Ok(Options {
            rounds: 5,
            row_time: Duration::from_millis(if quick { 700 } else { 3000 }),
            disk_mib: if quick { 256 } else { 1024 },
            journal_mib: if quick { 256 } else { 1024 },
            all_peers: !quick,
            directory: target_dir()?.join("bench"),
            only: None,
        })
    }

    fn wants(&self, row: &str) -> bool {
        self.only.as_ref().is_none_or(|part| row.contains(part))
    }
}

/// Runs all rounds. `say` is told what happens.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> anyhow::Result<Figures> {
    ensure!(options.rounds > 0, "at least one round");
    let mut figures = Figures::default();
    let begun = Instant::now();
    for round in 1..=options.rounds {
        say(&format!(
            "round {round} of {}, after {} s",
            options.rounds,
            begun.elapsed().as_secs()
        ));
        burst(options, round, &mut figures, say).context("burst rows")?;
        steady(options, &mut figures).context("steady rows")?;
        many(options, &mut figures).context("many disks")?;
    }
    figures.seconds = begun.elapsed().as_secs();
    Ok(figures)
}

/// One round of the rows that all peers run.
fn burst(
    options: &Options,
    round: u32,
    figures: &mut Figures,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<()> {
    let wanted: Vec<_> = ROWS.iter().filter(|row| options.wants(row.name)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut peers = Vec::new();
    for kind in peers::kinds(options.all_peers) {
        match Peer::start(kind, options) {
            Ok(peer) => peers.push(peer),
            Err(error) if kind.is_optional() => {
                if round == 1 {
                    say(&format!("without {}: {error:#}", kind.name()));
                }
            }
            Err(error) => return Err(error).with_context(|| kind.name()),
        }
    }
    for peer in &peers {
        fio::run(
            peer.door(),
            &Job::fill(options.disk_mib),
            &options.directory,
        )?;
        peer.settle()?;
        fio::run(
            peer.door(),
            &Job::warm(options.disk_mib),
            &options.directory,
        )?;
    }
    for row in wanted {
        // Who is first changes from round to round.
        let first = usize::try_from(round)? % peers.len();
        for peer in peers[first..].iter().chain(&peers[..first]) {
            if !options.all_peers && !figures::is_needed(row.name, peer.name()) {
                continue;
            }
            let job = row.job(options.disk_mib, Extent::Time(options.row_time));
            let sample = fio::run(peer.door(), &job, &options.directory)
                .with_context(|| format!("{} on {}", row.name, peer.name()))?;
            figures.add(row.name, row.unit, peer.name(), sample);
            peer.settle()?;
        }
    }
    for peer in peers {
        if let Some(usage) = peer.usage()? {
            figures.rss_bytes_max = figures.rss_bytes_max.max(usage.rss_bytes_max);
        }
    }
    Ok(())
}

/// vPool with a full journal, and cold, beside what its store can do.
fn steady(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    let mut any = false;
    for row in rows::STEADY {
        if options.wants(row.name) {
            any = true;
            let (world, daemon) = small_world(options)?;
            let door = world.door("bench");
            for measured in [false, true] {
                let share = options.journal_mib;
                let mib = if measured { 2 * share } else { share };
                let job = row.job(options.disk_mib, Extent::Mib(mib));
                let sample = fio::run(&door, &job, &options.directory)?;
                if measured {
                    figures.add(row.name, row.unit, peers::VPOOL, sample);
                }
            }
            drop(daemon);
        }
    }
    let cold: Vec<_> = rows::COLD
        .iter()
        .filter(|row| options.wants(row.name))
        .collect();
    if any || !cold.is_empty() {
        let rates = store::measure(options)?;
        figures.add(rows::PUT, rows::MIB_S, Rates::NAME, rates.put.into());
        figures.add(rows::GET, rows::MIB_S, Rates::NAME, rates.get.into());
    }
    for row in cold {
        let sample = cold_read(options, row)?;
        figures.add(row.name, row.unit, peers::VPOOL, sample);
    }
    Ok(())
}

/// A world whose journal is what the steady rows fill, with a disk.
fn small_world(options: &Options) -> anyhow::Result<(World, Daemon)> {
    let world = World::below(&options.directory, "steady")?;
    let flags = Flags {
        journal: format!("{}M", options.journal_mib),
        ..peers::flags()
    };
    let daemon = world.start(&flags)?;
    let size = format!("{}M", options.disk_mib);
    world.vpool(&["disk", "create", "bench", "--size", &size])?;
    Ok((world, daemon))
}

/// A read of a whole disk of which nothing is in memory or on the SSD but its objects.
fn cold_read(options: &Options, row: &rows::Row) -> anyhow::Result<fio::Sample> {
    let (world, daemon) = small_world(options)?;
    let door = world.door("bench");
    fio::run(&door, &Job::fill(options.disk_mib), &options.directory)?;
    world.vpool(&["disk", "sync", "bench"])?;
    daemon.terminate()?;
    std::fs::remove_dir_all(world.data().join("cache")).context("remove the caches")?;
    store::evict(&world.data().join("objects"))?;
    let daemon = world.start(&peers::flags())?;
    let sample = fio::run(
        &door,
        &row.job(options.disk_mib, Extent::Mib(options.disk_mib)),
        &options.directory,
    )?;
    drop(daemon);
    Ok(sample)
}

/// Many disks that write and flush, against one with as many connections.
fn many(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    if !options.wants(rows::MANY_DISKS) {
        return Ok(());
    }
    let world = World::below(&options.directory, "many")?;
    let daemon = world.start(&peers::flags())?;
    let names: Vec<String> = (0..MANY).map(|number| format!("many{number}")).collect();
    for name in &names {
        world.vpool(&["disk", "create", name, "--size", "16M"])?;
    }
    world.vpool(&["disk", "create", "one", "--size", "1G"])?;
    let doors: Vec<_> = names.iter().map(|name| world.door(name)).collect();
    let one = vec![world.door("one"); doors.len()];
    // The first time all are opened, which is no steady state.
    for measured in [false, true] {
        for (row, doors) in [(rows::ONE_DISK, &one), (rows::MANY_DISKS, &doors)] {
            let sample = fio::run_many(doors, options.row_time, &options.directory)?;
            if measured {
                figures.add(row, rows::IOPS, peers::VPOOL, sample);
            }
        }
    }
    drop(daemon);
    Ok(())
}
