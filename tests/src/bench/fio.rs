//! One run of fio.
//!
//! Owns: its arguments, reading its JSON. Does not own: what is run when.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::nbd::Door;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent {
    /// For so long.
    Time(Duration),
    /// Until so much is read or written.
    Mib(u64),
}

/// What fio does.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// fio's `--rw`.
    pub(super) rw: &'static str,
    /// Bytes of a request.
    pub(super) block_kib: u32,
    /// Requests in flight.
    pub(super) depth: u32,
    /// Writes between flushes, 0 for none.
    pub(super) fsync: u32,
    /// The part of the disk, from its start.
    pub(super) span_mib: u64,
    /// How much.
    pub(super) extent: Extent,
}

impl Job {
    /// Writes a disk in full.
    pub(super) fn fill(disk_mib: u64) -> Job {
        Job {
            rw: "write",
            block_kib: 1024,
            depth: 4,
            fsync: 0,
            span_mib: disk_mib,
            extent: Extent::Mib(disk_mib),
        }
    }

    /// Reads a disk in full.
    pub(super) fn warm(disk_mib: u64) -> Job {
        Job {
            rw: "read",
            ..Job::fill(disk_mib)
        }
    }
}

/// What fio measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Requests per second.
    pub(super) iops: f64,
    /// MiB per second.
    pub(super) mib_s: f64,
    /// Time of completion that 99 of 100 requests keep, in microseconds.
    pub(super) p99_us: f64,
}

/// Runs one job on one disk.
pub(super) fn run(door: &Door, job: &Job, directory: &Path) -> anyhow::Result<Sample> {
    let mut command = fio("bench", directory);
    command
        .arg(format!("--uri={}", door.uri()))
        .arg(format!("--rw={}", job.rw))
        .arg(format!("--bs={}k", job.block_kib))
        .arg(format!("--iodepth={}", job.depth))
        .arg(format!("--size={}m", job.span_mib));
    if job.fsync > 0 {
        command.arg(format!("--fsync={}", job.fsync));
    }
    match job.extent {
        Extent::Time(time) => command
            .arg("--time_based")
            .arg(format!("--runtime={}ms", time.as_millis())),
        Extent::Mib(mib) => command.arg(format!("--io_size={mib}m")),
    };
    finish(command)
}

/// One job for each door, at the same time: random writes of 4 KiB, each flushed.
pub(super) fn run_many(doors: &[Door], time: Duration, directory: &Path) -> anyhow::Result<Sample> {
    // Options of the job `global` hold for all.
    let mut command = fio("global", directory);
    command
        .args(["--rw=randwrite", "--bs=4k", "--iodepth=1", "--fsync=1"])
        .args(["--size=16m", "--time_based", "--thread"])
        .arg(format!("--runtime={}ms", time.as_millis()));
    for (number, door) in doors.iter().enumerate() {
        command
            .arg(format!("--name=many{number}"))
            .arg(format!("--uri={}", door.uri()));
    }
    finish(command)
}

fn fio(name: &str, directory: &Path) -> Command {
    let mut command = Command::new("fio");
    command
        .args([
            "--output-format=json",
            "--group_reporting=1",
            "--randrepeat=0",
        ])
        .arg(format!("--name={name}"))
        .arg("--ioengine=nbd")
        .current_dir(directory);
    command
}

fn finish(mut command: Command) -> anyhow::Result<Sample> {
    let output = command.output().context("start fio")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "fio: {}\n{errors}", output.status);
    let text = String::from_utf8(output.stdout).context("fio writes UTF-8")?;
    // The engine says something of its own first.
    let json = text
        .find('{')
        .map(|at| &text[at..])
        .context("no JSON of fio")?;
    let parsed: Value = serde_json::from_str(json).context("read fio's JSON")?;
    let job = &parsed["jobs"][0];
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let sides = ["read", "write"].map(|side| &job[side]);
    let side = sides.iter().find(|side| number(&side["iops"]) > 0.0);
    let side = side.context("fio did nothing")?;
    Ok(Sample {
        iops: number(&side["iops"]),
        mib_s: number(&side["bw_bytes"]) / f64::from(1 << 20),
        p99_us: number(&side["clat_ns"]["percentile"]["99.000000"]) / 1000.0,
    })
}
