//! The bench: fio against vPool and its peers, side by side, and what vPool costs.
//!
//! ```text
//! round (5) ─▶ burst     each peer started anew, its disk written in full;
//!                        each row: every peer, one after the other, then at rest again
//!          ─▶ journal    vPool with a full journal, and cold, beside its stores' own rates
//!          ─▶ many, pools, wide    what else is promised
//!          ─▶ command, images       what a person waits for
//! once      ─▶ trickle, lists of 10,000 disks, map of 100 GiB
//! figures   ─▶ medians, minima, maxima ─▶ table, JSON, one line for each target
//! ```
//!
//! Owns: what is measured, in which order. Does not own: the peers (`peers`, `rig`), fio
//! (`fio`), the stores' own rates (`store`), the arithmetic (`figures`), what is good (`targets`).
//!
//! *burst* rows: the journal does not fill, and all is shipped before the next peer's turn.
//! *steady* rows: the journal's share is written three times over, and the first time is not
//! counted.

mod burst;
mod columns;
mod command;
mod figures;
mod fio;
mod images;
mod journal;
mod many;
mod peers;
mod pools;
mod relay;
mod rig;
mod rows;
mod servers;
mod store;
mod targets;
mod wide;

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::daemon::target_dir;
use figures::Figures;
use servers::Servers;

/// Is told what happens.
type Say<'a> = &'a mut dyn FnMut(&str);

/// How the bench is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What takes at most 5 minutes.
    pub quick: bool,
    /// Interleaved rounds; medians are over these.
    pub rounds: u32,
    /// How long each burst row takes for each peer.
    pub row_time: Duration,
    /// How long a steady or cold row takes at most.
    pub steady_time_max: Duration,
    /// Size of the disks.
    pub disk_mib: u64,
    /// The pool's share of the journal in the steady rows.
    pub journal_mib: u64,
    /// The image of which there are copies.
    pub image_mib: u64,
    /// What the image holds that is converted.
    pub converted_mib: u64,
    /// Disks that are listed.
    pub listed_disks: usize,
    /// Disks that are attached and idle.
    pub idle_disks: usize,
    /// How long it is seen what these ask.
    pub idle_time: Duration,
    /// What is written to the disk of 64 TiB.
    pub wide_mib: u64,
    /// How long a count of PUTs takes; `None`: they are not counted.
    pub trickle_window: Option<Duration>,
    /// Size of the disk whose map is measured, and what is written to it once it is full, in
    /// GiB; `None`: it is not.
    pub map_gib: Option<(u64, u64)>,
    /// Also against Ceph RBD.
    pub rbd: bool,
    /// Where files go; removed at the end.
    pub directory: PathBuf,
    /// Only rows whose name contains this.
    pub only: Option<String>,
}

impl Options {
    /// At most 5 minutes, or at most 45.
    pub fn new(quick: bool) -> anyhow::Result<Options> {
        let ms = |quickly, fully| Duration::from_millis(if quick { quickly } else { fully });
        Ok(Options {
            quick,
            rounds: 5,
            row_time: ms(250, 700),
            steady_time_max: ms(1500, 3000),
            disk_mib: if quick { 256 } else { 512 },
            journal_mib: if quick { 192 } else { 1024 },
            image_mib: if quick { 32 } else { 64 },
            converted_mib: if quick { 64 } else { 256 },
            listed_disks: if quick { 1000 } else { 10_000 },
            idle_disks: if quick { 64 } else { 128 },
            idle_time: ms(1000, 5000),
            wide_mib: if quick { 16 } else { 1024 },
            trickle_window: (!quick).then_some(Duration::from_secs(60)),
            map_gib: (!quick).then_some((100, 12)),
            rbd: false,
            directory: target_dir()?.join("bench"),
            only: None,
        })
    }

    fn wants(&self, row: &str) -> bool {
        self.only.as_ref().is_none_or(|part| row.contains(part))
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// The table, and one line for each target.
    pub table: String,
    /// The same with all samples.
    pub json: Value,
}

/// Runs all rounds.
pub fn run(options: &Options, say: Say<'_>) -> anyhow::Result<Report> {
    ensure!(options.rounds > 0, "at least one round");
    let begun = Instant::now();
    let mut figures = Figures::default();
    let servers = servers(options, &mut figures, say)?;
    for round in 1..=options.rounds {
        say(&format!(
            "round {round} of {}, after {} s",
            options.rounds,
            begun.elapsed().as_secs()
        ));
        one_round(options, servers.as_ref(), round, &mut figures, say)?;
    }
    say(&format!("once, after {} s", begun.elapsed().as_secs()));
    many::trickle(options, servers.as_ref(), &mut figures).context("disks that write little")?;
    say(&format!("lists, after {} s", begun.elapsed().as_secs()));
    command::lists(options, &mut figures).context("lists")?;
    say(&format!("the map, after {} s", begun.elapsed().as_secs()));
    wide::in_use(options, &mut figures).context("the map of a disk in use")?;
    figures.seconds = begun.elapsed().as_secs();
    let targets = targets::all();
    Ok(Report {
        table: figures.table(&targets),
        json: figures.json(&targets),
    })
}

fn one_round(
    options: &Options,
    servers: Option<&Servers>,
    round: u32,
    figures: &mut Figures,
    say: Say<'_>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut spent = String::new();
    let mut lap = |name: &str| {
        // Writing to a string cannot fail.
        let _written = write!(spent, " {name} {}", begun.elapsed().as_secs());
    };
    burst::round(options, servers, round, figures, say).context("burst rows")?;
    lap("burst");
    journal::round(options, servers, figures).context("steady and cold rows")?;
    lap("journal");
    many::flushing(options, figures).context("many disks")?;
    many::idle(options, figures).context("idle disks")?;
    lap("many");
    pools::imports(options, figures).context("imports")?;
    pools::neighbour(options, servers, figures).context("a dead store")?;
    lap("pools");
    wide::scattered(options, figures).context("a disk of 64 TiB")?;
    lap("wide");
    command::starts(options, figures).context("starts of commands")?;
    images::round(options, round, figures).context("images")?;
    lap("images");
    say(&format!("  seconds of the round so far:{spent}"));
    Ok(())
}

/// The cluster, where it is wanted and can be had; else the table says why not.
fn servers(
    options: &Options,
    figures: &mut Figures,
    say: Say<'_>,
) -> anyhow::Result<Option<Servers>> {
    let why = "they have no journal: their burst rows are it";
    figures.absent("steady rows of peers", why);
    let why =
        "all reads of qemu-nbd none are cold; memory never is; the OSD's cache cannot be emptied";
    figures.absent("cold rows of the other peers", why);
    if !options.rbd {
        figures.absent(columns::RBD, "only with PEERS=rbd");
    }
    let swift = [columns::VPOOL_SWIFT, columns::STORE_SWIFT];
    let mut far = vec![columns::VPOOL_RGW, columns::STORE_RGW];
    far.extend(swift);
    if options.quick {
        let why = "only in the full form";
        figures.absent(columns::VPOOL_SLOW, why);
        figures.absent(columns::QEMU_WRITEBACK, why);
        for others in [
            "the other write rows, steady",
            rows::IMPORT_PLAIN,
            rows::IMPORT_COMPARED,
        ] {
            figures.absent(others, why);
        }
        if !options.rbd {
            for column in far {
                figures.absent(column, "only in the full form, or with PEERS=rbd");
            }
            return Ok(None);
        }
    } else {
        let others = "the other write rows, steady, on a slow store";
        figures.absent(others, "left out for time");
    }
    match Servers::start() {
        Ok(servers) => {
            for column in swift.into_iter().filter(|_| !servers.has_swift()) {
                let why = "Swift is not installed (tests/stores/install-swift.sh)";
                figures.absent(column, why);
            }
            Ok(Some(servers))
        }
        Err(error) => {
            say(&format!("without Ceph: {error:#}"));
            far.extend([columns::VPOOL_SLOW, columns::RBD]);
            for column in far {
                let why = format!("Ceph does not start (tests/stores/install-ceph.sh): {error:#}");
                figures.absent(column, &why);
            }
            Ok(None)
        }
    }
}
