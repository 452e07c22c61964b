//! T25, at the NBD door of a real daemon: clients that want to cost much get little, and others
//! are served as before.
//!
//! Owns: the load, and what it may cost. Does not own: the limits (`vpool_nbd::Limits`), single
//! cases of hostile bytes (tests of `vpool-nbd`).

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use vpool_nbd_wire::{
    ClientFlags, Command, CommandFlags, Errno, GREETING_BYTES, OptionCode, OptionHeader, Request,
};
use vpool_tests::daemon::{Flags, World, lock};
use vpool_tests::nbd::{Client, Door, Incoming, attach, encoded};
use vpool_tests::{need, report};

/// Half of them say nothing, the other half chose an export and say nothing more.
const IDLE: usize = 5000;

/// Clients of each other kind.
const SLOW: usize = 64;
const DEAF: usize = 32;
const BOASTERS: usize = 50;

/// What all of it together may cost.
const COST_BYTES_MAX: u64 = 256 << 20;

/// The largest write of the protocol that the daemon takes.
const WRITE_BYTES_MAX: u64 = 32 << 20;

/// A p99 below this says nothing about a machine that others use too.
const CALM_MS: f64 = 4.0;

/// Five times the figure to show: twice as slow as alone.
const SLOWDOWN_MAX: f64 = 10.0;

/// The largest write goes into the smallest journal, which never has room for it at once: piece by
/// piece, from the memory that it was received in.
#[test]
fn the_largest_write_on_the_smallest_journal() -> anyhow::Result<()> {
    let world = World::new("largest")?;
    let daemon = world.start(&Flags {
        journal: "128M".into(),
        ..Flags::default()
    })?;
    let mut client = Client::connect(&world.door("demo"), 1)?;
    let length = usize::try_from(WRITE_BYTES_MAX)?;
    let data: Vec<u8> = (0..length)
        .map(|at| u8::try_from(at / 4096 % 251).expect("below 251"))
        .collect();
    for start in [0, WRITE_BYTES_MAX, 0] {
        client.write(start, &data)?;
    }
    client.flush()?;
    for start in [0, WRITE_BYTES_MAX] {
        ensure!(client.read(start, WRITE_BYTES_MAX)? == data, "at {start}");
    }
    drop(client);
    daemon.terminate()?;
    Ok(())
}

#[test]
fn hostile_clients_cost_little() -> anyhow::Result<()> {
    if !need::that(
        need::allow_files(u64::try_from(IDLE)? + 1000),
        "the limit of open files is too low",
    ) {
        return Ok(());
    }
    let _alone = lock("kill")?;
    let begun = Instant::now();
    let world = World::new("hostile")?;
    let daemon = world.start(&Flags::default())?;
    world.vpool(&["disk", "create", "door", "--size", "256M"])?;
    let door = world.door("door");
    let mut bystander = Bystander::new(&door)?;
    let alone = bystander.p99_ms()?;
    let base = daemon.usage()?.rss_bytes;

    let mut figures = serde_json::Map::new();
    let mut look = |name: &str| -> anyhow::Result<()> {
        let ms = bystander.p99_ms()?;
        let cost = daemon.usage()?.rss_bytes.saturating_sub(base);
        ensure!(
            cost <= COST_BYTES_MAX,
            "{} MiB of memory for {name} clients",
            cost >> 20
        );
        ensure!(
            ms <= alone.max(CALM_MS) * SLOWDOWN_MAX,
            "{ms} ms (p99) beside {name} clients, {alone} ms alone"
        );
        let seen = json!({ "p99_ms": ms, "memory_kib_added": cost >> 10 });
        figures.insert(name.to_owned(), seen);
        Ok(())
    };
    let (silent, mut idle) = idle(&door)?;
    look("idle")?;
    let slow = slow_senders(&door)?;
    look("slow")?;
    let deaf = deaf_readers(&door)?;
    look("deaf")?;
    boasters(&door)?;
    absurd_lengths(&door)?;
    look("absurd")?;
    // Who was only idle is still served.
    for stream in idle.iter_mut().step_by(250) {
        still_served(stream)?;
    }
    drop((silent, idle, slow, deaf));
    daemon.terminate()?;
    let complaints = world.log_complaints()?;
    ensure!(
        complaints.is_empty(),
        "in the daemon's log: {complaints:#?}"
    );
    let figures = json!({
        "idle": IDLE,
        "slow": SLOW,
        "deaf": DEAF,
        "memory_kib_alone": base >> 10,
        "p99_ms_alone": alone,
        "beside": figures,
        "seconds": begun.elapsed().as_secs(),
    });
    println!("hostile: {figures:#}");
    report::add("hostile", "nbd", figures)?;
    Ok(())
}

/// A client that behaves.
struct Bystander {
    client: Client,
    next: u64,
}

impl Bystander {
    fn new(door: &Door) -> anyhow::Result<Bystander> {
        let mut client = Client::connect(door, 1)?;
        // What is read is data, not a hole that costs nothing.
        let data = 1_u64.to_le_bytes().repeat(1 << 17);
        for at in 0..16 {
            client.write(at << 20, &data)?;
        }
        Ok(Bystander { client, next: 0 })
    }

    /// Writes and reads blocks one after the other; each must come back.
    fn p99_ms(&mut self) -> anyhow::Result<f64> {
        let mut times = Vec::new();
        for _ in 0..500 {
            self.next += 1;
            let block = self.next.to_le_bytes().repeat(512);
            let at = self.next * 4096 % self.client.size();
            let begun = Instant::now();
            self.client.write(at, &block)?;
            ensure!(self.client.read(at, 4096)? == block, "other bytes at {at}");
            times.push(begun.elapsed());
        }
        report::percentile_ms(&times, 99).context("some times")
    }
}

/// Connections that do nothing: those that said nothing, and those that chose an export.
fn idle(door: &Door) -> anyhow::Result<(Vec<UnixStream>, Vec<UnixStream>)> {
    let (mut silent, mut idle) = (Vec::new(), Vec::new());
    for number in 0..IDLE {
        let at = || format!("client {number}");
        if number % 2 == 0 {
            silent.push(UnixStream::connect(&door.socket).with_context(at)?);
        } else {
            idle.push(attach(door).with_context(at)?.0);
        }
    }
    Ok((silent, idle))
}

fn request(command: Command, offset: u64, length: u64) -> Request {
    Request {
        flags: CommandFlags(0),
        command,
        cookie: 1,
        offset,
        length,
    }
}

/// They announce the largest write and then send it byte by byte.
fn slow_senders(door: &Door) -> anyhow::Result<Vec<UnixStream>> {
    let header = encoded(&request(Command::Write, 0, WRITE_BYTES_MAX))?;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let (mut stream, _) = attach(door)?;
        stream.write_all(&header)?;
        slow.push(stream);
    }
    for _ in 0..10 {
        for stream in &mut slow {
            stream.write_all(&[1])?;
        }
    }
    Ok(slow)
}

/// They ask for much and take none of it.
fn deaf_readers(door: &Door) -> anyhow::Result<Vec<UnixStream>> {
    let reads = encoded(&request(Command::Read, 0, 8 << 20))?.repeat(500);
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        let (mut stream, _) = attach(door)?;
        stream.set_write_timeout(Some(Duration::from_millis(50)))?;
        match stream.write_all(&reads) {
            // The server takes no more than it can serve.
            Err(error) if is_timeout(&error) => {}
            other => other?,
        }
        deaf.push(stream);
    }
    Ok(deaf)
}

/// They announce an option of 4 GiB and begin to send it; the server must not wait for the end.
fn boasters(door: &Door) -> anyhow::Result<()> {
    let flags = ClientFlags {
        fixed_newstyle: true,
        no_zeroes: true,
    };
    let header = OptionHeader {
        code: OptionCode::GO,
        length: u32::MAX,
    };
    for _ in 0..BOASTERS {
        let mut stream = UnixStream::connect(&door.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.read_exact(&mut [0; GREETING_BYTES])?;
        stream.write_all(&flags.encode())?;
        stream.write_all(&header.encode())?;
        let sent = (0..64).try_for_each(|_| stream.write_all(&[0; 64 << 10]));
        ensure!(
            sent.is_err() || ended(&mut stream)?,
            "an option of 4 GiB is waited for"
        );
    }
    Ok(())
}

/// Lengths that no disk has.
fn absurd_lengths(door: &Door) -> anyhow::Result<()> {
    for _ in 0..20 {
        let mut client = Client::connect(door, 1)?;
        client.send(0, &request(Command::Read, 0, u32::MAX.into()), &[])?;
        match client.next()? {
            Incoming::Completion(completion) => ensure!(
                completion.result.as_ref().err() == Some(&Errno::INVAL),
                "a read of 4 GiB is answered: {:?}",
                completion.result.map(|data| data.len())
            ),
            Incoming::Ended(error) => return Err(error).context("a read of 4 GiB"),
        }
        let (mut stream, _) = attach(door)?;
        stream.write_all(&encoded(&request(Command::Write, 0, u32::MAX.into()))?)?;
        ensure!(ended(&mut stream)?, "a write of 4 GiB is waited for");
    }
    Ok(())
}

/// Whether the server ends the connection, after whatever it has to say first.
fn ended(stream: &mut UnixStream) -> anyhow::Result<bool> {
    let mut words = [0; 4096];
    loop {
        match stream.read(&mut words) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(true),
            Err(error) if is_timeout(&error) => return Ok(false),
            Err(error) => return Err(error).context("receive"),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// One flush, answered.
fn still_served(stream: &mut UnixStream) -> anyhow::Result<()> {
    stream.write_all(&encoded(&request(Command::Flush, 0, 0))?)?;
    let mut reply = [0; 4];
    stream
        .read_exact(&mut reply)
        .context("an idle client was cut off")?;
    Ok(())
}
