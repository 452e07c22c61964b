//! T6: the store of a pool misbehaves in every way we know, one after the other, while clients
//! write; nothing is lost, nobody waits for the store, and afterwards the bucket alone holds all.
//!
//! Owns: the order of faults, and what is expected of each. Does not own: the faults
//! (`vpool_test_stores::proxy`), what a disk must hold (`vpool_tests::oracle`).
//!
//! `VPOOL_FAULT_SECONDS` is how long each fault lasts (2); with `VPOOL_FAULT` only those are played
//! whose name holds it. `VPOOL_FAULT_READS` is the share of reads in percent while a fault lasts
//! (10): what this host has written is in its caches. Once a fault has ended, the whole disk is read
//! and checked.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use vpool_api::{Pool, StoreCounts, StoreState};
use vpool_test_stores::{CephRgw, Mode, Proxy};
use vpool_tests::daemon::{Daemon, Flags, World, lock};
use vpool_tests::names::Names;
use vpool_tests::nbd::{Client, Door};
use vpool_tests::oracle::{Ended, Mix, Oracle};
use vpool_tests::report;

/// The disk of the oracle, in MiB.
const DISK_MIB: u64 = 64;

/// The store's name, which leads to the proxy.
const STORE: &str = "store.test";

/// Where no store is.
const NOBODY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 78);

/// About 8 MiB/s: every fault meets requests, and the store stays small.
const PACE: Duration = Duration::from_millis(4);

/// Between two writes whose time is taken.
const PROBE_PAUSE: Duration = Duration::from_millis(2);

/// Five times the figure to show: the p99 of writes while the journal has room.
const WRITE_P99_MS_MAX: f64 = 5.0 * 50.0;

/// The longest wait of a breaker is 15 s; five times that is stuck.
const RECOVERY_TIME_MAX: Duration = Duration::from_secs(75);

/// Failures that are no storm: as many as open the breaker, those that were in flight with
/// them, and later its trials.
const ERRORS_TO_LEARN_IT: u64 = 24;

#[test]
fn a_store_that_misbehaves() -> anyhow::Result<()> {
    let Some(ceph) = CephRgw::shared() else {
        return Ok(());
    };
    let _alone = lock("kill")?;
    let world = World::new("backend")?;
    let Err(error) = over_all_faults(ceph, &world) else {
        return Ok(());
    };
    let (data, sockets) = world.keep();
    Err(error.context(format!(
        "data in {}, log in {}",
        data.display(),
        sockets.display()
    )))
}

fn over_all_faults(ceph: &CephRgw, world: &World) -> anyhow::Result<()> {
    let begun = Instant::now();
    let seconds = std::env::var("VPOOL_FAULT_SECONDS").map_or(Ok(2), |text| text.parse::<u64>());
    let seconds = Duration::from_secs(seconds.context("VPOOL_FAULT_SECONDS is a number")?);
    ceph.create_bucket("faults")?;
    let runtime = Runtime::new().context("start a runtime for the proxy")?;
    let proxy = runtime.block_on(Proxy::start(ceph.port()))?;
    let names = Names::new()?;
    let endpoint = match names {
        Some(_) => proxy.endpoint().replace("127.0.0.1", STORE),
        None => proxy.endpoint(),
    };
    let mut rig = Rig {
        url: format!("{endpoint}/faults/all"),
        keys: ceph.credentials_file().to_string_lossy().into_owned(),
        runtime,
        proxy,
        names,
    };
    rig.set(&What::nothing())?;

    let flags = Flags {
        log: std::env::var("RUST_LOG").unwrap_or_else(|_| Flags::default().log),
        ..Flags::default()
    };
    let daemon = rig.start(world, &flags)?;
    world.vpool(&rig.at(&["pool", "create", "cloud"]))?;
    let size = format!("{DISK_MIB}M");
    world.vpool(&["disk", "create", "cloud:t6", "--size", &size])?;
    world.vpool(&["disk", "create", "cloud:probe", "--size", "16M"])?;
    let reads = std::env::var("VPOOL_FAULT_READS").map_or(Ok(10), |text| text.parse());
    let mix = Mix {
        reads: reads.context("VPOOL_FAULT_READS is a number")?,
        pause: PACE,
        ..Mix::default()
    };
    let mut oracle = Oracle::new(6, DISK_MIB << 20, mix, 6)?;
    let mut figures = serde_json::Map::new();
    let only = std::env::var("VPOOL_FAULT").unwrap_or_default();
    for fault in faults().iter().filter(|fault| fault.name.contains(&only)) {
        let name = fault.name;
        if rig.names.is_none() && fault.what.is_of_names() {
            continue;
        }
        let seen = meet(&mut rig, world, &mut oracle, fault, seconds);
        let seen = seen.with_context(|| format!("while the store's fault is `{name}`"))?;
        #[expect(clippy::print_stdout, reason = "figures, shown where asked for")]
        {
            println!("{name}: {seen}");
        }
        figures.insert(name.to_owned(), seen);
    }
    let verified = oracle.verify(&world.door("t6"))?;
    world.vpool(&["pool", "sync", "cloud"])?;
    daemon.terminate()?;
    let complaints = world.log_complaints()?;
    ensure!(
        complaints.is_empty(),
        "in the daemon's log: {complaints:#?}"
    );
    from_the_bucket_alone(&mut rig, world, &mut oracle)?;

    let figures = json!({
        "faults": figures,
        "violations": 0,
        "sectors_written": verified.written,
        "totals": oracle.totals(),
        "seconds": begun.elapsed().as_secs(),
    });
    report::add("backend", "ceph", figures)?;
    Ok(())
}

/// The store, and the way to it.
struct Rig {
    runtime: Runtime,
    proxy: Proxy,
    /// The daemon's own; `None` where this user may not give it any, and no fault of names is
    /// played.
    names: Option<Names>,
    url: String,
    keys: String,
}

impl Rig {
    /// What is in force when this returns. Connections that were open are cut.
    fn set(&mut self, what: &What) -> anyhow::Result<()> {
        let (mode, address, silent) = match what {
            What::Store(mode) => (mode.clone(), Some(Ipv4Addr::LOCALHOST), false),
            What::NoName => (Mode::Pass, None, false),
            What::SilentNameServer => (Mode::Pass, None, true),
            What::NameOfNobody => (Mode::Pass, Some(NOBODY), false),
        };
        if let Some(names) = &mut self.names {
            names.point(address.map(|address| (STORE, address)))?;
            names.server_is_silent(silent)?;
        }
        self.runtime.block_on(self.proxy.set_mode(mode))
    }

    /// A daemon that knows the store's name.
    fn start(&self, world: &World, flags: &Flags) -> anyhow::Result<Daemon> {
        let command = world.dev_command(flags);
        world.start_as(match &self.names {
            Some(names) => names.within(&command),
            None => command,
        })
    }

    /// A command with the location behind it.
    fn at<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let location = ["--s3", &self.url, "--credentials-file", &self.keys];
        [command, &location].concat()
    }
}

/// What is wrong.
enum What {
    /// The store, or the way to it.
    Store(Mode),
    /// The store's name is not known any more, as the resolver says at once.
    NoName,
    /// The store's name is not known any more, and the name server never answers.
    SilentNameServer,
    /// The store's name leads to where no store is.
    NameOfNobody,
}

impl What {
    fn nothing() -> What {
        What::Store(Mode::Pass)
    }

    fn is_of_names(&self) -> bool {
        !matches!(self, What::Store(_))
    }
}

/// A way to misbehave.
struct Fault {
    name: &'static str,
    what: What,
    /// Requests fail of it; else they only take longer, or look odd, or few fail.
    fails: bool,
}

/// All of them.
fn faults() -> Vec<Fault> {
    let fault = |name, what| Fault {
        name,
        what,
        fails: true,
    };
    let fails = |name, mode| fault(name, What::Store(mode));
    let odd = |name, mode| Fault {
        fails: false,
        ..fails(name, mode)
    };
    let error = |status, code| Mode::s3_error(status, code);
    let slow = Mode::Rate {
        bytes_per_second: 1000,
    };
    let torn = Mode::ResetRequest { after_bytes: 500 };
    vec![
        odd("none", Mode::Pass),
        odd("500 to 10 %", Mode::failing(10)),
        fails("500 to 50 %", Mode::failing(50)),
        fails("500", error("500 Internal Server Error", "InternalError")),
        fails("SlowDown", error("503 Service Unavailable", "SlowDown")),
        fails("hang", Mode::Hang),
        fails("refused", Mode::Refuse),
        fails("no HTTP", Mode::garbage()),
        fails("reset in an answer", Mode::ResetAnswer { after_bytes: 10 }),
        fails("reset in a request", torn),
        fails("short answer", Mode::ShortAnswer { after_bytes: 10 }),
        fails("error under 200", error("200 OK", "InternalError")),
        fails("done, then 500", Mode::done_but_failing()),
        fails("done, answer lost", Mode::LoseAnswer),
        odd("done twice", Mode::Twice),
        odd("other ETag", Mode::OtherEtag),
        odd("404 after a put", Mode::NotYet(Duration::from_secs(1))),
        fails("1 kB/s", slow),
        odd("300 ms late", Mode::Delay(Duration::from_millis(300))),
        fails("clock skew", error("403 Forbidden", "RequestTimeTooSkewed")),
        fault("no name", What::NoName),
        fault("silent name server", What::SilentNameServer),
        fault("name of nobody", What::NameOfNobody),
    ]
}

/// Lets clients write while the store has a fault, and waits until all of it is in the store
/// once it has none.
fn meet(
    rig: &mut Rig,
    world: &World,
    oracle: &mut Oracle,
    fault: &Fault,
    seconds: Duration,
) -> anyhow::Result<Value> {
    let before = counts(world)?;
    rig.set(&fault.what)?;
    let stop = AtomicBool::new(false);
    let (door, other) = (world.door("t6"), world.door("probe"));
    let (times, syncs, during, recovery) = thread::scope(|scope| {
        let writer = scope.spawn(|| oracle.run(&door, &stop));
        let prober = scope.spawn(|| probe(&other, &stop));
        let syncer = scope.spawn(|| sync_again_and_again(world, &stop));
        thread::sleep(seconds);
        stop.store(true, Ordering::Relaxed);
        let ended = join(writer);
        let times = join(prober);
        let during = counts(world);
        // The syncer may be waiting for the store: whatever went wrong, it comes back.
        rig.set(&What::nothing())?;
        let mended = Instant::now();
        let syncs = join(syncer)?;
        world.vpool(&["pool", "sync", "cloud"])?;
        let recovery = mended.elapsed();
        ensure!(ended? == Ended::Stopped, "the daemon went away");
        Ok((times?, syncs, during?, recovery))
    })?;
    oracle.verify(&door).context("after the fault had ended")?;
    let after = counts(world)?;
    ensure!(recovery < RECOVERY_TIME_MAX, "{recovery:?} to recover");
    ensure!(after.state == StoreState::Up, "it is still down: {after:?}");
    let p99 = report::percentile_ms(&times, 99).context("some writes")?;
    ensure!(p99 < WRITE_P99_MS_MAX, "writes take {p99} ms (p99)");

    let requests = after.requests - before.requests;
    let errors = after.errors - before.errors;
    let ideal = requests - errors;
    ensure!(ideal > 0, "nothing was shipped");
    ensure!(errors > 0 || !fault.fails, "nothing met the fault");
    // What is tried in vain is at most as much again, and what it takes to learn that it is.
    ensure!(
        errors <= ideal + ERRORS_TO_LEARN_IT + seconds.as_secs(),
        "{errors} requests in vain for {ideal} that were not"
    );
    Ok(json!({
        "write_ms_p50": report::percentile_ms(&times, 50),
        "write_ms_p99": p99,
        "syncs": syncs,
        "requests": requests,
        "failed": errors,
        "failed_while_it_lasted": during.errors - before.errors,
        "retries": after.retries - before.retries,
        "recovery_ms": u64::try_from(recovery.as_millis())?,
    }))
}

fn join<T>(thread: ScopedJoinHandle<'_, anyhow::Result<T>>) -> anyhow::Result<T> {
    let panicked = |_| Err(anyhow::anyhow!("a client panicked"));
    thread.join().unwrap_or_else(panicked)
}

/// Has everything shipped as soon as it is written, so that each fault meets many requests. The
/// answer is how often all was in the store.
fn sync_again_and_again(world: &World, stop: &AtomicBool) -> anyhow::Result<u64> {
    let mut syncs = 0;
    while !stop.load(Ordering::Relaxed) {
        world.vpool(&["disk", "sync", "cloud:t6"])?;
        syncs += 1;
    }
    Ok(syncs)
}

/// Takes the time of small writes, one after the other.
fn probe(door: &Door, stop: &AtomicBool) -> anyhow::Result<Vec<Duration>> {
    let mut client = Client::connect(door, 1)?;
    let mut times = Vec::new();
    let blocks = client.size() / 4096;
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let block = number.to_le_bytes().repeat(512);
        let begun = Instant::now();
        client.write(number * 7 % blocks * 4096, &block)?;
        times.push(begun.elapsed());
        thread::sleep(PROBE_PAUSE);
    }
    Ok(times)
}

fn counts(world: &World) -> anyhow::Result<StoreCounts> {
    let shown = world.vpool(&["pool", "show", "cloud", "-o", "json"])?;
    let pool: Pool = serde_json::from_str(&shown).with_context(|| shown.clone())?;
    pool.store.context("the pool's store is open")
}

/// Adopts the bucket in a new place that has nothing but the key, over a store that fails now
/// and then, and compares the whole disk.
fn from_the_bucket_alone(rig: &mut Rig, world: &World, oracle: &mut Oracle) -> anyhow::Result<()> {
    let heir = World::new("heir")?;
    std::fs::copy(world.data().join("grid.key"), heir.data().join("grid.key"))
        .context("copy the key")?;
    let daemon = rig.start(&heir, &Flags::default())?;
    rig.set(&What::Store(Mode::failing(10)))?;
    heir.vpool(&rig.at(&["pool", "adopt", "--yes", "--take-over"]))?;
    oracle
        .verify(&heir.door("t6"))
        .context("from the bucket alone")?;
    rig.set(&What::nothing())?;
    daemon.terminate()?;
    Ok(())
}
