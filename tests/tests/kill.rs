//! T1: the daemon is killed under load, again and again, and nothing acknowledged is lost.
//!
//! Owns: the order of kills, restarts and checks. Does not own: what is checked
//! (`vpool_tests::oracle`), the processes (`vpool_tests::daemon`).
//!
//! `VPOOL_CYCLES` is the number of cycles of each test (25 and 12), `VPOOL_SEED` the seed of what is
//! drawn: lengths of lives, journal sizes, requests. Timing is the machine's, so a seed
//! repeats a run only roughly.
#![expect(
    clippy::print_stdout,
    reason = "figures of a test, shown where asked for"
)]

use std::hash::{BuildHasher, RandomState};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Value, json};
use vpool_tests::daemon::{Daemon, Flags, World, lock};
use vpool_tests::nbd::{Client, Door};
use vpool_tests::oracle::{Ended, Mix, Oracle, Totals, Verified};
use vpool_tests::report;

/// Lives of one world: afterwards it is left, since nothing deletes objects yet.
const CYCLES_PER_WORLD: u64 = 5;

/// The least journal makes writers wait for the store; the largest never fills.
const JOURNALS: [&str; 3] = ["128M", "256M", "1G"];

/// The disks of a world: name, size in MiB, encrypted.
const DISKS: [(&str, u64, bool); 2] = [("plain", 256, false), ("sealed", 64, true)];

/// A restart that takes five times the figure to show fails.
const RESTART_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a client waits for the server to come back.
const PATIENCE: Duration = Duration::from_secs(60);

/// The client ends with the daemon; the disk is checked after each restart.
#[test]
fn killed_with_its_clients() -> anyhow::Result<()> {
    let mut run = Run::begin("killed_with_its_clients", 25)?;
    // One at a time: the figures are of a machine with nothing else to do.
    let _alone = lock("kill")?;
    run.worlds(|run, bench, cycles| {
        let mut daemon = bench.start(run)?;
        for _ in 0..cycles {
            bench.storm()?;
            let life = run.draw_life();
            bench.live_and_die(run, daemon, life)?;
            run.cycles += 1;
            if run.one_in(4) {
                bench.lose_caches()?;
                run.caches_lost += 1;
            }
            daemon = bench.start(run)?;
            bench.verify(run)?;
        }
        daemon.terminate().map(|_| ())
    })
}

/// The clients outlive the daemon: they reconnect, send again what was not acknowledged, and
/// go on.
#[test]
fn killed_under_its_clients() -> anyhow::Result<()> {
    let mut run = Run::begin("killed_under_its_clients", 12)?;
    // One at a time: the figures are of a machine with nothing else to do.
    let _alone = lock("kill")?;
    run.worlds(|run, bench, cycles| {
        let mut daemon = bench.start(run)?;
        let until = run.cycles + cycles;
        while run.cycles < until {
            bench.storm()?;
            let ends = 1 + run.rng.next_u64() % (until - run.cycles).min(3);
            daemon = bench.live_on(run, daemon, ends)?;
            run.cycles += ends;
            bench.verify(run)?;
        }
        daemon.terminate().map(|_| ())
    })
}

/// How one life goes.
#[derive(Debug, Clone, Copy)]
struct Life {
    time: Duration,
    terminate: bool,
    sync: Option<Sync>,
}

/// `vpool disk sync` while clients write.
#[derive(Debug, Clone, Copy)]
enum Sync {
    /// It returns before the end.
    Whole,
    /// The end comes while it is under way.
    Cut,
}

/// The figures of one test.
struct Run {
    name: &'static str,
    seed: u64,
    rng: ChaCha8Rng,
    begun: Instant,
    cycles_wanted: u64,
    cycles: u64,
    kills: u64,
    terminations: u64,
    syncs: u64,
    caches_lost: u64,
    restarts: Vec<Duration>,
    ends_in_order: Vec<Duration>,
    totals: Vec<Totals>,
    checked: Vec<Verified>,
}

impl Run {
    fn begin(name: &'static str, cycles: u64) -> anyhow::Result<Run> {
        let wanted = std::env::var("VPOOL_CYCLES").map_or(Ok(cycles), |text| text.parse());
        let given = std::env::var("VPOOL_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(name) >> 32);
        println!("{name}: VPOOL_SEED={seed}");
        Ok(Run {
            name,
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            begun: Instant::now(),
            cycles_wanted: wanted.context("VPOOL_CYCLES is a number")?,
            cycles: 0,
            kills: 0,
            terminations: 0,
            syncs: 0,
            caches_lost: 0,
            restarts: Vec::new(),
            ends_in_order: Vec::new(),
            totals: Vec::new(),
            checked: Vec::new(),
        })
    }

    /// Runs all cycles, in as many worlds as they need, and writes the report. The world of a
    /// failure is kept.
    fn worlds(
        &mut self,
        mut cycles_in: impl FnMut(&mut Run, &mut Bench, u64) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut left = self.cycles_wanted;
        self.begun = Instant::now();
        while left > 0 {
            let now = left.min(CYCLES_PER_WORLD);
            left -= now;
            let mut bench = Bench::new(self)?;
            let result = cycles_in(self, &mut bench, now).and_then(|()| bench.healthy());
            self.totals
                .extend(bench.disks.iter().map(|disk| disk.oracle.totals()));
            if let Err(error) = result {
                self.report(1)?;
                let (data, sockets) = bench.world.keep();
                return Err(error.context(format!(
                    "{}, seed {}, cycle {}; data in {}, log in {}",
                    self.name,
                    self.seed,
                    self.cycles,
                    data.display(),
                    sockets.display()
                )));
            }
        }
        self.report(0)
    }

    fn report(&self, violations: u64) -> anyhow::Result<()> {
        let sum = |of: fn(&Totals) -> u64| self.totals.iter().map(of).sum::<u64>();
        let ms = |of: &[Duration], percent| report::percentile_ms(of, percent).unwrap_or(0.0);
        let figures: Value = json!({
            "cycles": self.cycles,
            "violations": violations,
            "kills": self.kills,
            "terminations": self.terminations,
            "syncs": self.syncs,
            "caches_lost": self.caches_lost,
            "seconds": self.begun.elapsed().as_secs(),
            "restart_to_first_io_ms_p50_max": ms(&self.restarts, 50),
            "restart_to_first_io_ms_p99_max": ms(&self.restarts, 99),
            "end_in_order_ms_max": ms(&self.ends_in_order, 100),
            "writes": sum(|totals| totals.writes),
            "written_mib": sum(|totals| totals.written_bytes) >> 20,
            "zeroings": sum(|totals| totals.zeroings),
            "flushes": sum(|totals| totals.flushes),
            "reads_checked": sum(|totals| totals.reads),
            "broken_off": sum(|totals| totals.broken),
            "sent_again": sum(|totals| totals.resent),
            "reconnections": sum(|totals| totals.reconnections),
            "applied_in_part": sum(|totals| totals.partial),
            "images_checked": self.checked.len() * 2,
            "sectors_checked": 2 * self.checked.iter().map(|v| v.written + v.zeroes).sum::<u64>(),
        });
        println!("{}: {figures:#}", self.name);
        let path = report::sum("kill", self.name, &figures)?;
        println!("{}: {}", self.name, path.display());
        Ok(())
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.rng.next_u64().is_multiple_of(count)
    }

    fn draw_ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.rng.next_u64() % (to - from))
    }

    fn draw_life(&mut self) -> Life {
        Life {
            time: self.draw_ms(50, 1500),
            terminate: self.one_in(5),
            sync: match self.rng.next_u64() % 6 {
                0 | 1 => Some(Sync::Whole),
                2 => Some(Sync::Cut),
                _ => None,
            },
        }
    }
}

/// One disk with its client.
struct Disk {
    door: Door,
    name: &'static str,
    oracle: Oracle,
}

/// One world with its disks.
struct Bench {
    world: World,
    disks: Vec<Disk>,
    made: bool,
}

impl Bench {
    fn new(run: &mut Run) -> anyhow::Result<Bench> {
        let world = World::new("kill")?;
        let mut disks = Vec::new();
        for ((name, mib, _), number) in DISKS.into_iter().zip(1..) {
            disks.push(Disk {
                door: world.door(name),
                name,
                oracle: Oracle::new(number, mib << 20, Mix::default(), run.rng.next_u64())?,
            });
        }
        Ok(Bench {
            world,
            disks,
            made: false,
        })
    }

    /// Starts the daemon, makes the disks the first time, and counts the time to first I/O.
    fn start(&mut self, run: &mut Run) -> anyhow::Result<Daemon> {
        let flags = Flags {
            journal: JOURNALS[usize::try_from(run.rng.next_u64() % 3)?].to_owned(),
            ..Flags::default()
        };
        let daemon = self.world.start(&flags)?;
        if !self.made {
            for (name, mib, encrypted) in DISKS {
                let size = format!("{mib}M");
                let mut arguments = vec!["disk", "create", name, "--size", &size];
                arguments.extend(encrypted.then_some("--encrypt"));
                self.world.vpool(&arguments)?;
            }
            self.made = true;
            return Ok(daemon);
        }
        for disk in &self.disks {
            Client::connect(&disk.door, 1)?.read(0, 4096)?;
        }
        let time = daemon.started().elapsed();
        run.restarts.push(time);
        ensure!(
            time < RESTART_TIME_MAX,
            "{time:?} from restart to first I/O"
        );
        Ok(daemon)
    }

    fn storm(&mut self) -> anyhow::Result<()> {
        for disk in &mut self.disks {
            disk.oracle.storm(&disk.door).with_context(|| disk.name)?;
        }
        Ok(())
    }

    fn verify(&mut self, run: &mut Run) -> anyhow::Result<()> {
        for disk in &mut self.disks {
            let verified = disk.oracle.verify(&disk.door).with_context(|| disk.name)?;
            run.checked.push(verified);
        }
        Ok(())
    }

    /// All of it may vanish while the daemon is down.
    fn lose_caches(&self) -> anyhow::Result<()> {
        std::fs::remove_dir_all(self.world.data().join("cache")).context("remove the caches")
    }

    /// Writes until the daemon's end.
    fn live_and_die(&mut self, run: &mut Run, daemon: Daemon, life: Life) -> anyhow::Result<()> {
        let never = AtomicBool::new(false);
        let world = &self.world;
        thread::scope(|scope| {
            let write = |disk: &mut Disk| {
                let ended = disk
                    .oracle
                    .run(&disk.door, &never)
                    .with_context(|| disk.name)?;
                ensure!(ended == Ended::Broken, "{} stopped by itself", disk.name);
                Ok(())
            };
            let writers = self
                .disks
                .iter_mut()
                .map(|disk| scope.spawn(move || write(disk)));
            let writers: Vec<_> = writers.collect();
            let ended = end_of_life(run, world, daemon, life);
            join(writers)?;
            ended
        })
    }

    /// Writes over some ends of the daemon, then stops.
    fn live_on(&mut self, run: &mut Run, daemon: Daemon, ends: u64) -> anyhow::Result<Daemon> {
        let stop = AtomicBool::new(false);
        let lives: Vec<Life> = (0..ends).map(|_| run.draw_life()).collect();
        let after = run.draw_ms(100, 600);
        let world = &self.world;
        thread::scope(|scope| {
            let write = |disk: &mut Disk| {
                let written = disk.oracle.run_over_restarts(&disk.door, &stop, PATIENCE);
                written.with_context(|| disk.name)
            };
            let writers = self
                .disks
                .iter_mut()
                .map(|disk| scope.spawn(move || write(disk)));
            let writers: Vec<_> = writers.collect();
            let lived = lives.into_iter().try_fold(daemon, |daemon, life| {
                end_of_life(run, world, daemon, life)?;
                let flags = Flags {
                    journal: JOURNALS[usize::try_from(run.rng.next_u64() % 3)?].to_owned(),
                    ..Flags::default()
                };
                let daemon = world.start(&flags)?;
                for (name, ..) in DISKS {
                    Client::connect(&world.door(name), 1)?.read(0, 4096)?;
                }
                run.restarts.push(daemon.started().elapsed());
                Ok(daemon)
            });
            if lived.is_ok() {
                thread::sleep(after);
            }
            stop.store(true, Ordering::Relaxed);
            join(writers)?;
            lived
        })
    }

    fn healthy(&self) -> anyhow::Result<()> {
        let complaints = self.world.log_complaints()?;
        ensure!(
            complaints.is_empty(),
            "in the daemon's log: {complaints:#?}"
        );
        Ok(())
    }
}

/// Lets the daemon live for its time, and ends it.
fn end_of_life(run: &mut Run, world: &World, daemon: Daemon, life: Life) -> anyhow::Result<()> {
    thread::sleep(life.time / 2);
    let mut syncing = Vec::new();
    for (name, ..) in DISKS.iter().filter(|_| life.sync.is_some()) {
        let mut command = world.vpool_command();
        command
            .args(["disk", "sync", name])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        syncing.push(command.spawn().context("start vpool")?);
        run.syncs += 1;
    }
    if matches!(life.sync, Some(Sync::Whole)) {
        for child in syncing.drain(..) {
            let output = child.wait_with_output().context("wait for vpool")?;
            ensure!(
                output.status.success(),
                "disk sync: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    thread::sleep(life.time / 2);
    if life.terminate {
        run.terminations += 1;
        run.ends_in_order.push(daemon.terminate()?);
    } else {
        run.kills += 1;
        daemon.kill()?;
    }
    for child in syncing {
        // It fails where it was cut off, and only says so.
        let _cut = child.wait_with_output().context("wait for vpool")?;
    }
    Ok(())
}

/// The first failure of the writers, after all have ended.
fn join(writers: Vec<ScopedJoinHandle<'_, anyhow::Result<()>>>) -> anyhow::Result<()> {
    let mut first = Ok(());
    for writer in writers {
        let result = writer
            .join()
            .unwrap_or_else(|_| Err(anyhow::anyhow!("a writer panicked")));
        first = first.and(result);
    }
    first
}
