//! The bench table: `bench --quick` in at most 5 minutes, `bench` in at most 45.
//!
//! Owns: the command line, where results go. Does not own: the bench (`vpool_tests::bench`).

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use serde_json::json;
use vpool_tests::bench::{self, Options};
use vpool_tests::report;

/// Measures vPool against qemu-nbd, nbdkit and Ceph RBD, and its own costs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Smaller and shorter: at most 5 minutes
    #[arg(long)]
    quick: bool,
    /// Peers beside the usual ones: rbd [default: the environment's PEERS]
    #[arg(long, value_parser = ["rbd"])]
    peers: Option<String>,
    /// Interleaved rounds, over which medians are taken
    #[arg(long)]
    rounds: Option<u32>,
    /// Milliseconds of each burst row
    #[arg(long)]
    row_ms: Option<u64>,
    /// Milliseconds of each steady row and cold row at most
    #[arg(long)]
    steady_ms: Option<u64>,
    /// Size of the disks in MiB
    #[arg(long)]
    disk_mib: Option<u64>,
    /// The journal of the steady rows in MiB
    #[arg(long)]
    journal_mib: Option<u64>,
    /// What is written to the disk of 64 TiB in MiB
    #[arg(long)]
    wide_mib: Option<u64>,
    /// Seconds in which the PUTs of disks that write little are counted
    #[arg(long)]
    trickle_s: Option<u64>,
    /// Size of the disk whose map is measured in GiB, and what is written to it then
    #[arg(long, num_args = 2, value_names = ["DISK", "WRITTEN"])]
    map_gib: Option<Vec<u64>>,
    /// Only rows whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Where files go, on the SSD to be measured [default: bench in the target directory]
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Arguments {
    fn rbd(&self) -> anyhow::Result<bool> {
        let asked = match &self.peers {
            Some(peers) => peers.clone(),
            None => std::env::var("PEERS").unwrap_or_default(),
        };
        ensure!(
            asked.is_empty() || asked == "rbd",
            "PEERS={asked} is not known: rbd is"
        );
        Ok(asked == "rbd")
    }

    fn options(&self) -> anyhow::Result<Options> {
        let ms = |ms: Option<u64>, default| ms.map_or(default, Duration::from_millis);
        let default = Options::new(self.quick)?;
        Ok(Options {
            rounds: self.rounds.unwrap_or(default.rounds),
            row_time: ms(self.row_ms, default.row_time),
            steady_time_max: ms(self.steady_ms, default.steady_time_max),
            disk_mib: self.disk_mib.unwrap_or(default.disk_mib),
            journal_mib: self.journal_mib.unwrap_or(default.journal_mib),
            wide_mib: self.wide_mib.unwrap_or(default.wide_mib),
            trickle_window: match self.trickle_s {
                Some(seconds) => Some(Duration::from_secs(seconds)),
                None => default.trickle_window,
            },
            map_gib: match self.map_gib.as_deref() {
                Some([disk, written]) => Some((*disk, *written)),
                _ => default.map_gib,
            },
            rbd: self.rbd()?,
            only: self.only.clone(),
            directory: self.dir.clone().unwrap_or(default.directory),
            ..default
        })
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let options = arguments.options()?;
    fs::create_dir_all(&options.directory).context("make the directory")?;

    let mut say = |line: &str| {
        // Progress that nobody reads is no reason to stop.
        let _unread = writeln!(std::io::stderr(), "{line}");
    };
    let done = bench::run(&options, &mut say)?;
    let name = if arguments.quick {
        "bench-quick"
    } else {
        "bench"
    };
    let settings = json!({
        "rounds": options.rounds,
        "row_ms": u64::try_from(options.row_time.as_millis())?,
        "steady_ms_max": u64::try_from(options.steady_time_max.as_millis())?,
        "disk_mib": options.disk_mib,
        "journal_mib_of_steady_rows": options.journal_mib,
        "image_mib": options.image_mib,
        "converted_mib": options.converted_mib,
        "listed_disks": options.listed_disks,
        "idle_disks": options.idle_disks,
        "wide_mib": options.wide_mib,
        "trickle_s": options.trickle_window.map(|window| window.as_secs()),
        "map_disk_and_written_gib": options.map_gib,
        "rbd": options.rbd,
        "only": options.only,
    });
    report::add(name, "settings", settings)?;
    let path = report::add(name, "figures", done.json)?;
    fs::write(path.with_extension("txt"), &done.table).context("write the table")?;
    writeln!(std::io::stdout(), "{}\n{}", done.table, path.display()).context("print the table")
}
