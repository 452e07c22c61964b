//! The bench table: `bench --quick` in at most 5 minutes, `bench` in at most 45.
//!
//! Owns: the command line, where results go. Does not own: the bench (`vpool_tests::bench`).

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use serde_json::json;
use vpool_tests::bench::{self, Options};
use vpool_tests::report;

/// Measures vPool against qemu-nbd and nbdkit, by fio over NBD unix sockets.
#[derive(Debug, Parser)]
struct Arguments {
    /// Smaller and shorter: at most 5 minutes
    #[arg(long)]
    quick: bool,
    /// Interleaved rounds, over which medians are taken [default: 5]
    #[arg(long)]
    rounds: Option<u32>,
    /// Milliseconds of each burst row [default: 700 if quick, else 3000]
    #[arg(long)]
    row_ms: Option<u64>,
    /// Size of the disks in MiB [default: 256 if quick, else 1024]
    #[arg(long)]
    disk_mib: Option<u64>,
    /// Only rows whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Where files go, on the SSD to be measured [default: bench in the target directory]
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut options = Options::new(arguments.quick)?;
    options.rounds = arguments.rounds.unwrap_or(options.rounds);
    options.disk_mib = arguments.disk_mib.unwrap_or(options.disk_mib);
    options.row_time = arguments
        .row_ms
        .map_or(options.row_time, Duration::from_millis);
    options.only = arguments.only;
    options.directory = arguments.dir.unwrap_or(options.directory);
    fs::create_dir_all(&options.directory).context("make the directory")?;

    let mut say = |line: &str| {
        // Progress that nobody reads is no reason to stop.
        let _unread = writeln!(std::io::stderr(), "{line}");
    };
    let figures = bench::run(&options, &mut say)?;
    let name = if arguments.quick {
        "bench-quick"
    } else {
        "bench"
    };
    let settings = json!({
        "rounds": options.rounds,
        "row_ms": u64::try_from(options.row_time.as_millis())?,
        "disk_mib": options.disk_mib,
        "journal_mib_of_steady_rows": options.journal_mib,
        "only": options.only,
    });
    report::add(name, "settings", settings)?;
    let path = report::add(name, "figures", figures.json())?;
    let table = figures.table();
    fs::write(path.with_extension("txt"), &table).context("write the table")?;
    writeln!(std::io::stdout(), "{table}\n{}", path.display()).context("print the table")
}
