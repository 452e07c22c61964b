//! One run of fio.
//!
//! Owns: its arguments, reading its JSON. Does not own: what is run when.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::figures::Sample;
use super::rows::IOPS;
use crate::nbd::Door;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Extent {
    /// For so long.
    Time(Duration),
    /// Until so much is read or written, or this time is over.
    Mib(u64, Option<Duration>),
}

/// What fio works on.
#[derive(Debug, Clone)]
pub(super) enum Disk {
    /// An NBD export.
    Nbd(Door),
    /// An RBD image, by librbd without anything between.
    Rbd {
        /// The cluster's configuration.
        conf: PathBuf,
        /// `rbd` is its pool.
        image: &'static str,
    },
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
    /// Nothing is remembered of places used: for spans whose map would fill the memory.
    pub(super) scattered: bool,
    /// One pattern in all blocks, which packs to nearly nothing.
    pub(super) compressible: bool,
}

impl Default for Job {
    fn default() -> Job {
        Job {
            rw: "read",
            block_kib: 1024,
            depth: 8,
            fsync: 0,
            span_mib: 1,
            extent: Extent::Mib(1, None),
            scattered: false,
            compressible: false,
        }
    }
}

impl Job {
    /// Writes a disk in full.
    pub(super) fn fill(disk_mib: u64) -> Job {
        Job {
            rw: "write",
            span_mib: disk_mib,
            extent: Extent::Mib(disk_mib, None),
            ..Job::default()
        }
    }

    /// Reads a disk in full.
    pub(super) fn warm(disk_mib: u64) -> Job {
        Job {
            rw: "read",
            ..Job::fill(disk_mib)
        }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--rw={}", self.rw),
            format!("--bs={}k", self.block_kib),
            format!("--iodepth={}", self.depth),
            format!("--size={}m", self.span_mib),
        ];
        if self.fsync > 0 {
            arguments.push(format!("--fsync={}", self.fsync));
        }
        if self.scattered {
            arguments.extend(["--norandommap", "--random_generator=tausworthe64"].map(Into::into));
        }
        if self.compressible {
            arguments.push("--buffer_pattern=\"vPool bench \"".into());
        }
        match self.extent {
            Extent::Time(time) => {
                arguments.push("--time_based".into());
                arguments.push(runtime(time));
            }
            Extent::Mib(mib, time) => {
                arguments.push(format!("--io_size={mib}m"));
                arguments.extend(time.map(runtime));
            }
        }
        arguments
    }
}

fn runtime(time: Duration) -> String {
    format!("--runtime={}ms", time.as_millis())
}

/// What fio measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// Requests per second.
    pub(super) iops: f64,
    /// MiB per second.
    pub(super) mib_s: f64,
    /// Time of completion that 99 of 100 requests keep, in microseconds.
    pub(super) p99_us: f64,
    /// How much was read or written.
    pub(super) mib: f64,
}

impl Measured {
    /// In the unit of a row.
    pub(super) fn sample(self, unit: &str) -> Sample {
        let value = if unit == IOPS { self.iops } else { self.mib_s };
        Sample {
            value,
            p99_us: Some(self.p99_us),
        }
    }
}

/// A fio under way; killed when dropped.
#[derive(Debug)]
pub(super) struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // One that has ended already is what is wanted.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

impl Running {
    /// Waits for its end.
    pub(super) fn finish(mut self) -> anyhow::Result<Measured> {
        let child = self.0.take().context("taken here only")?;
        let output = child.wait_with_output().context("wait for fio")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "fio: {}\n{errors}", output.status);
        parse(&String::from_utf8(output.stdout).context("fio writes UTF-8")?)
    }
}

/// Runs one job on one disk.
pub(super) fn run(disk: &Disk, job: &Job, directory: &Path) -> anyhow::Result<Measured> {
    start(disk, job, directory)?.finish()
}

/// Starts one job on one disk.
pub(super) fn start(disk: &Disk, job: &Job, directory: &Path) -> anyhow::Result<Running> {
    let mut command = fio("bench", directory);
    command.args(job.arguments());
    match disk {
        Disk::Nbd(door) => command
            .arg("--ioengine=nbd")
            .arg(format!("--uri={}", door.uri())),
        Disk::Rbd { conf, image } => command
            .args(["--ioengine=rbd", "--clientname=admin", "--pool=rbd"])
            .arg(format!("--rbdname={image}"))
            .env("CEPH_CONF", conf),
    };
    spawn(command)
}

/// One job for each door, at the same time.
pub(super) fn start_many(
    doors: &[Door],
    job: &Job,
    rate_iops: Option<u32>,
    directory: &Path,
) -> anyhow::Result<Running> {
    // Options of the job `global` hold for all.
    let mut command = fio("global", directory);
    command.args(job.arguments());
    command.args(["--ioengine=nbd", "--thread"]);
    command.args(rate_iops.map(|rate| format!("--rate_iops={rate}")));
    for (number, door) in doors.iter().enumerate() {
        command
            .arg(format!("--name=many{number}"))
            .arg(format!("--uri={}", door.uri()));
    }
    spawn(command)
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
        .current_dir(directory);
    command
}

fn spawn(mut command: Command) -> anyhow::Result<Running> {
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(Running(Some(command.spawn().context("start fio")?)))
}

/// Reads fio's report.
fn parse(text: &str) -> anyhow::Result<Measured> {
    // The engine says something of its own first.
    let json = text
        .find('{')
        .map(|at| &text[at..])
        .context("no JSON of fio")?;
    let parsed: Value = serde_json::from_str(json).context("read fio's JSON")?;
    let job = &parsed["jobs"][0];
    ensure!(job["error"] == 0, "fio's job failed with {}", job["error"]);
    let number = |value: &Value| value.as_f64().context("a number of fio");
    for side in ["read", "write"].map(|side| &job[side]) {
        if number(&side["io_bytes"])? > 0.0 {
            return Ok(Measured {
                iops: number(&side["iops"])?,
                mib_s: number(&side["bw_bytes"])? / f64::from(1 << 20),
                p99_us: number(&side["clat_ns"]["percentile"]["99.000000"])? / 1000.0,
                mib: number(&side["io_bytes"])? / f64::from(1 << 20),
            });
        }
    }
    anyhow::bail!("fio did nothing")
}

#[cfg(test)]
mod tests {
    //! Arguments and reports.

    use super::{Extent, Job, parse};
    use std::time::Duration;

    #[test]
    fn jobs_as_arguments() {
        let job = Job {
            rw: "randwrite",
            block_kib: 4,
            depth: 32,
            fsync: 32,
            span_mib: 8,
            extent: Extent::Mib(7, Some(Duration::from_secs(2))),
            scattered: true,
            ..Job::default()
        };
        let line = job.arguments().join(" ");
        assert_eq!(
            line,
            "--rw=randwrite --bs=4k --iodepth=32 --size=8m --fsync=32 --norandommap \
             --random_generator=tausworthe64 --io_size=7m --runtime=2000ms"
        );
        let timed = Job {
            extent: Extent::Time(Duration::from_millis(500)),
            ..Job::warm(3)
        };
        assert!(
            timed
                .arguments()
                .join(" ")
                .ends_with("--time_based --runtime=500ms")
        );
    }

    #[test]
    fn reports() {
        let side = |bytes: u64| {
            format!(
                r#"{{"io_bytes": {bytes}, "iops": 256.0, "bw_bytes": 1048576,
                    "clat_ns": {{"percentile": {{"99.000000": 5000}}}}}}"#
            )
        };
        let report = |read: u64, write: u64, error: u32| {
            let (read, write) = (side(read), side(write));
            format!(r#"nbd: {{"jobs": [{{"error": {error}, "read": {read}, "write": {write}}}]}}"#)
        };
        let measured = parse(&report(0, 2 << 20, 0)[5..]).expect("a report");
        assert!((measured.mib - 2.0).abs() < 1e-9);
        assert!((measured.p99_us - 5.0).abs() < 1e-9);
        assert!((measured.sample("IOPS").value - 256.0).abs() < 1e-9);
        assert!((measured.sample("MiB/s").value - 1.0).abs() < 1e-9);
        assert!(parse(&report(0, 0, 0)[5..]).is_err(), "nothing was done");
        assert!(parse(&report(1, 0, 5)[5..]).is_err(), "it failed");
        assert!(parse("no such thing").is_err());
    }
}
