//! T25, at the API: clients that want to cost much get little, and others are served as before.
//!
//! Owns: the load, and what it may cost. Does not own: the limits (`vpoold`).

use std::io::{Read, Write};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use vpool_tests::daemon::lock;
use vpool_tests::{need, report};

use super::Place;
use super::http::{Door, Stream, answer};

/// At each of the two doors.
const IDLE: usize = 4000;

/// Clients that send byte by byte, at each door.
const SLOW: usize = 200;

/// Listeners that read nothing.
const DEAF: usize = 60;

/// What all of it together may cost.
const COST_BYTES_MAX: u64 = 256 << 20;

/// A p99 below this says nothing about a machine that others use too.
const CALM_MS: f64 = 10.0;

/// Five times the figure to show: twice as slow as alone.
const SLOWDOWN_MAX: f64 = 10.0;

#[test]
fn hostile_clients_cost_little() -> anyhow::Result<()> {
    let files = u64::try_from(2 * IDLE + 2000)?;
    if !need::that(
        need::allow_files(files),
        "the limit of open files is too low",
    ) {
        return Ok(());
    }
    let _alone = lock("kill")?;
    let place = Place::new()?;
    let daemon = place.start()?;
    let doors = [place.unix(), place.tcp()?];
    let alone = p99_ms(&doors)?;
    let base = daemon.usage()?.rss_bytes;
    let mut figures = serde_json::Map::new();
    let mut look = |name: &str| -> anyhow::Result<()> {
        let ms = p99_ms(&doors)?;
        let cost = daemon.usage()?.rss_bytes_max.saturating_sub(base);
        ensure!(
            cost <= COST_BYTES_MAX,
            "{} MiB of memory: {name}",
            cost >> 20
        );
        ensure!(
            ms <= alone.max(CALM_MS) * SLOWDOWN_MAX,
            "{ms} ms (p99) beside {name} clients, {alone} ms alone"
        );
        let seen = json!({ "p99_ms": ms, "memory_kib_added_max": cost >> 10 });
        figures.insert(name.to_owned(), seen);
        Ok(())
    };
    for door in &doors {
        deep(door)?;
        boast(door, "content-length: 1073741824\r\n", |stream| {
            send(stream, b"0123456789abcdef")
        })?;
        boast(door, "transfer-encoding: chunked\r\n", |stream| {
            let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 65536], b"\r\n".to_vec()].concat();
            send(stream, &chunk)
        })?;
        long_heads(door)?;
    }
    look("absurd")?;
    let idle = idle(&doors)?;
    look("idle")?;
    let slow = slow(&doors)?;
    look("slow")?;
    let deaf = deaf(&place.unix())?;
    look("deaf")?;
    drop((idle, slow, deaf));
    let complaints = place.world.log_complaints()?;
    ensure!(
        complaints.is_empty(),
        "in the daemon's log: {complaints:#?}"
    );
    let figures = json!({
        "idle": 2 * IDLE, "slow": 2 * SLOW, "deaf": DEAF,
        "memory_kib_alone": base >> 10, "p99_ms_alone": alone, "beside": figures,
    });
    println!("api: {figures:#}");
    report::add("hostile", "api", figures)?;
    Ok(())
}

/// Of a client that behaves, with a connection for each request.
fn p99_ms(doors: &[Door]) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..100 {
        for door in doors {
            let begun = Instant::now();
            door.get("/api/v1/disks")?;
            times.push(begun.elapsed());
        }
    }
    report::percentile_ms(&times, 99).context("some times")
}

/// JSON of 10,000 levels, in both ways of nesting, as a body and in a field.
fn deep(door: &Door) -> anyhow::Result<()> {
    for text in [
        "[".repeat(10_000),
        "{\"a\":".repeat(10_000),
        format!("{{\"name\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000)),
    ] {
        let head = own_head(door);
        let answer = door.send("POST", "/api/v1/disks", &head, text.as_bytes())?;
        ensure!(
            answer.status == 400 && answer.json["code"] == "invalid",
            "{answer:?}"
        );
    }
    Ok(())
}

fn own_head(door: &Door) -> String {
    match door {
        Door::Unix(_) => "host: x\r\n".to_owned(),
        Door::Tcp(address, token) => {
            format!("host: {address}\r\nauthorization: Bearer {token}\r\n")
        }
    }
}

/// A body of 1 GiB, announced and sent; it is not waited for.
fn boast(
    door: &Door,
    length: &str,
    send: impl Fn(&mut Box<dyn Stream>) -> u64,
) -> anyhow::Result<()> {
    let mut stream = door.connect()?;
    let head = own_head(door);
    write!(stream, "POST /api/v1/disks HTTP/1.1\r\n{head}{length}\r\n")?;
    let sent = send(&mut stream);
    ensure!(sent < 1 << 30, "1 GiB is taken");
    // The answer may be lost where the connection was cut while it was sent to.
    if let Ok(answer) = answer(&mut stream) {
        ensure!(answer.status == 413, "{answer:?}");
    }
    Ok(())
}

/// Sends until nothing is taken any more; how much that was.
fn send(stream: &mut Box<dyn Stream>, bytes: &[u8]) -> u64 {
    let block = bytes.repeat((1 << 20) / bytes.len());
    let mut sent = 0;
    while sent < 1 << 30 && stream.write_all(&block).is_ok() {
        sent += block.len() as u64;
    }
    sent
}

/// A head that does not end, and one of very many lines.
fn long_heads(door: &Door) -> anyhow::Result<()> {
    for line in ["x".repeat(1 << 20), "a: b\r\n".repeat(1 << 18)] {
        let mut stream = door.connect()?;
        // It is cut off while it is sent, or answered.
        let _cut = write!(stream, "GET /healthz HTTP/1.1\r\nx: {line}\r\n\r\n").is_err();
        let mut answer = Vec::new();
        let _cut = stream.read_to_end(&mut answer).is_err();
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.is_empty() || answer.contains(" 431 "), "{answer}");
    }
    let path = format!("/api/v1/disks/{}", "x".repeat(20_000));
    let answer = door.ask("GET", &path, &Value::Null)?;
    ensure!(
        answer.status == 400 && answer.text.len() < 1000,
        "{answer:?}"
    );
    Ok(())
}

/// Connections that say nothing.
fn idle(doors: &[Door]) -> anyhow::Result<Vec<Box<dyn Stream>>> {
    let mut idle = Vec::new();
    for number in 0..IDLE {
        for door in doors {
            idle.push(door.connect().with_context(|| format!("client {number}"))?);
        }
    }
    Ok(idle)
}

/// Some are slow with the head, some with the body.
fn slow(doors: &[Door]) -> anyhow::Result<Vec<Box<dyn Stream>>> {
    let mut slow = Vec::new();
    for number in 0..SLOW {
        for door in doors {
            let mut stream = door.connect()?;
            if number % 2 == 0 {
                let head = own_head(door);
                let head = format!("POST /api/v1/disks HTTP/1.1\r\n{head}content-length: 60000");
                stream.write_all(format!("{head}\r\n\r\n{{").as_bytes())?;
            } else {
                stream.write_all(b"GET /healthz HT")?;
            }
            slow.push(stream);
        }
    }
    for stream in &mut slow {
        stream.write_all(b" ")?;
    }
    Ok(slow)
}

/// They listen to events and take none of them, while many happen.
fn deaf(door: &Door) -> anyhow::Result<Vec<Box<dyn Stream>>> {
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        let mut stream = door.connect()?;
        write!(stream, "GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n")?;
        deaf.push(stream);
    }
    for number in 0..300 {
        let name = format!("{}{number}", "x".repeat(200));
        door.post("/api/v1/disks", &json!({"name": name, "size_bytes": 512}))?;
        let deleted = door.ask("DELETE", &format!("/api/v1/disks/{name}"), &Value::Null)?;
        ensure!(deleted.status == 204, "{deleted:?}");
    }
    Ok(deaf)
}
