//! `vpool bench`: one fio run on one disk.
//!
//! Owns: what may be measured on which disk, fio's arguments, reading its report. Does not own:
//! the load itself (fio).

use std::process::Stdio;

use serde::Serialize;
use serde_json::Value as Json;
use tokio::process::Command;
use vpool_api::attach::uri;
use vpool_api::{Connection, Disk};

use crate::arguments::Bench;
use crate::client::Client;
use crate::disks::path;
use crate::failure::{Exit, Failure};
use crate::images::nbd;
use crate::output::Output;
use crate::output::columns::{Column, Listed, Place};
use crate::output::value::Value;
use crate::progress::Bar;

/// What fio measured.
#[derive(Debug, Serialize)]
struct Measured {
    disk: String,
    mode: String,
    block_bytes: u64,
    depth: u32,
    requests_per_second: f64,
    bytes_per_second: f64,
    p50_seconds: f64,
    p99_seconds: f64,
    bytes: u64,
}

/// Measures and prints.
pub(crate) async fn run(client: &Client, output: &Output, bench: Bench) -> Result<(), Failure> {
    let connection: Connection = client.get(&path(&bench.named.disk, "/connection")).await?;
    client.check_data_is_here(&connection).await?;
    let disk: Disk = match bench.mode.contains("write") {
        true => empty_disk(client, &bench, &connection).await?,
        false => client.get(&path(&bench.named.disk, "")).await?,
    };
    let block_bytes = bench
        .block_size
        .unwrap_or(match bench.mode.starts_with("rand") {
            true => 4 << 10,
            false => 1 << 20,
        });
    let span = bench.span.min(disk.size_bytes);
    if span < block_bytes {
        return Err(Failure::usage(format!(
            "the part of the disk ({span} bytes) is smaller than one request ({block_bytes} bytes)"
        )));
    }
    let name = format!("{}:{}", disk.pool, disk.name);
    let bar = Bar::waiting(&format!(
        "bench {name} {} for {} s",
        bench.mode, bench.seconds
    ));
    let report = fio(&arguments(&bench, block_bytes, span, &connection)).await?;
    drop(bar);
    let measured = parse(&report, name, &bench, block_bytes)
        .ok_or_else(|| Failure::failed("fio's report makes no sense"))?;
    output.one(&measured)
}

/// The disk, if nothing was ever written to it.
async fn empty_disk(
    client: &Client,
    bench: &Bench,
    connection: &Connection,
) -> Result<Disk, Failure> {
    // How its log stands is known of a disk that is open: this opens it, as its only client.
    let attached = nbd::Disk::new(connection);
    attached.attach().await?;
    let disk: Disk = client.get(&path(&bench.named.disk, "")).await?;
    check_empty(&disk)?;
    Ok(disk)
}

/// Refuses to write where anything was ever written, or where anybody but this client is.
fn check_empty(disk: &Disk) -> Result<(), Failure> {
    let name = format!("{}:{}", disk.pool, disk.name);
    let refused = |why: &str| {
        let failure = Failure::new(
            Exit::Conflict,
            format!("disk {name} {why}: it is not written"),
        );
        failure.with_hint("make a new one for it: vpool disk create bench --size 4G")
    };
    match &disk.log {
        Some(log) if log.last == 0 && disk.attached == 1 => Ok(()),
        Some(log) if log.last == 0 => Err(refused("has clients")),
        Some(_) => Err(refused("holds data")),
        None => Err(refused("is not open, and may hold data")),
    }
}

fn arguments(bench: &Bench, block_bytes: u64, span: u64, connection: &Connection) -> Vec<String> {
    // The URI comes as a word for a shell.
    let uri = uri(connection);
    let uri = uri.trim_matches('\'').to_owned();
    [
        "--name=vpool-bench".to_owned(),
        "--output-format=json".to_owned(),
        "--ioengine=nbd".to_owned(),
        format!("--uri={uri}"),
        format!("--rw={}", bench.mode),
        format!("--bs={block_bytes}"),
        format!("--size={span}"),
        format!("--iodepth={}", bench.depth),
        "--time_based".to_owned(),
        format!("--runtime={}", bench.seconds),
    ]
    .to_vec()
}

async fn fio(arguments: &[String]) -> Result<String, Failure> {
    let child = Command::new("fio")
        .args(arguments)
        .env("LC_ALL", "C")
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = child.await.map_err(|error| {
        Failure::failed(format!("cannot start fio: {error}"))
            .with_hint("install it: apt-get install fio, or dnf install fio fio-engine-nbd")
    })?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let failure = Failure::failed(format!("fio: {}: {}", output.status, errors.trim()));
        return Err(match errors.contains("ioengine") {
            true => failure.with_hint("this fio has no nbd engine: dnf install fio-engine-nbd"),
            false => failure,
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads fio's JSON, in front of which its engine may say something of its own.
fn parse(text: &str, disk: String, bench: &Bench, block_bytes: u64) -> Option<Measured> {
    let report: Json = serde_json::from_str(&text[text.find('{')?..]).ok()?;
    let side = match bench.mode.contains("write") {
        true => &report["jobs"][0]["write"],
        false => &report["jobs"][0]["read"],
    };
    let percentile = |name: &str| Some(side["clat_ns"]["percentile"][name].as_f64()? / 1e9);
    Some(Measured {
        disk,
        mode: bench.mode.clone(),
        block_bytes,
        depth: bench.depth,
        requests_per_second: side["iops"].as_f64()?,
        bytes_per_second: side["bw_bytes"].as_f64()?,
        p50_seconds: percentile("50.000000")?,
        p99_seconds: percentile("99.000000")?,
        bytes: side["io_bytes"].as_u64()?,
    })
}

/// A column of measurements.
const fn column(name: &'static str, value: fn(&Measured) -> Value) -> Column<Measured> {
    let place = Place::List;
    Column { name, place, value }
}

impl Listed for Measured {
    const COLUMNS: &'static [Column<Measured>] = &[
        column("disk", |measured| measured.disk.as_str().into()),
        column("mode", |measured| measured.mode.as_str().into()),
        column("block", |measured| Value::Bytes(measured.block_bytes)),
        column("depth", |measured| Value::Count(measured.depth.into())),
        column("iops", |measured| {
            Value::Number(measured.requests_per_second)
        }),
        column("rate", |measured| Value::Rate(measured.bytes_per_second)),
        column("p50_ms", |measured| {
            format!("{:.3}", measured.p50_seconds * 1e3).into()
        }),
        column("p99_ms", |measured| {
            format!("{:.3}", measured.p99_seconds * 1e3).into()
        }),
        column("bytes", |measured| Value::Bytes(measured.bytes)),
    ];

    fn name(&self) -> String {
        self.disk.clone()
    }
}

#[cfg(test)]
mod tests {
    //! Reports, arguments, and which disks are written.

    use super::{arguments, check_empty, parse};
    use crate::arguments::{Arguments, Bench, Noun};
    use clap::Parser;
    use vpool_api::{Connection, Disk, DiskLog};

    fn bench(line: &str) -> Bench {
        match Arguments::try_parse_from(line.split(' '))
            .expect("good")
            .noun
        {
            Noun::Bench(bench) => bench,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arguments_of_fio() {
        let connection = Connection {
            export: "p:a b".into(),
            nbd_socket: "/s".into(),
            nbd_tcp: None,
            nbd_tls: false,
        };
        let bench = bench("vpool bench a --mode randwrite --seconds 3");
        let line = arguments(&bench, 4096, 8192, &connection).join(" ");
        for piece in [
            "--uri=nbd+unix:///p:a%20b?socket=/s",
            "--rw=randwrite",
            "--runtime=3",
            "--size=8192",
        ] {
            assert!(line.contains(piece), "{piece}: {line}");
        }
    }

    #[test]
    fn reports() {
        let text = r#"nbd: hello {"jobs": [{"read": {"iops": 10.0, "bw_bytes": 40960, "io_bytes": 4096,
            "clat_ns": {"percentile": {"50.000000": 1000000, "99.000000": 2000000}}}}]}"#;
        let bench = bench("vpool bench a");
        let measured = parse(text, "p:a".into(), &bench, 4096).expect("a report");
        assert!((measured.p99_seconds - 0.002).abs() < 1e-9);
        assert_eq!(measured.bytes, 4096);
        for bad in ["", "{}", "{\"jobs\": []}", "no { such"] {
            assert!(parse(bad, "p:a".into(), &bench, 4096).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_empty_disks_are_written() {
        let disk = |last: Option<u64>, attached| Disk {
            id: String::new(),
            pool: "p".into(),
            name: "a".into(),
            size_bytes: 512,
            encrypted: false,
            created_ms: 0,
            created_at: String::new(),
            description: None,
            read_only: false,
            open: last.is_some(),
            attached,
            log: last.map(|last| DiskLog {
                last,
                durable: last,
                shipped: last,
                unshipped_bytes: 0,
                written_bytes: 0,
                shipped_bytes: 0,
                map_bytes: 0,
            }),
            error: None,
        };
        assert!(check_empty(&disk(Some(0), 1)).is_ok());
        for full in [disk(Some(1), 1), disk(Some(0), 2), disk(None, 0)] {
            assert!(check_empty(&full).is_err(), "{full:?}");
        }
    }
}
