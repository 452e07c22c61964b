//! The client: keeps requests in flight, and knows what it was promised.
//!
//! Owns: sending, matching of answers, sending again after a reconnection. Does not own:
//! the check of the whole image (`verify.rs`).

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;
use vpool_nbd_wire::{Command, CommandFlags, Errno, Request};

use super::model::{Model, ZEROES};
use super::requests::{Ask, Mix, below};
use super::sector::{self, Author, SECTOR_BYTES};
use super::violation::{Happened, Trace, Violation, ViolationKind};
use crate::nbd::{Client, Completion, Door, Incoming, is_away};

/// Requests in flight.
const DEPTH: usize = 8;

/// Connections to the disk: one sequence, whatever the connection.
const CONNECTIONS: usize = 2;

/// Between two attempts to reach a server that is away.
const RETRY_PAUSE: Duration = Duration::from_millis(2);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As told: all is acknowledged, and flushed.
    Stopped,
    /// The server went away; what was in flight is pending.
    Broken,
}

/// What a writer has done so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Totals {
    /// Writes acknowledged.
    pub writes: u64,
    /// Their bytes.
    pub written_bytes: u64,
    /// Trims and write-zeroes acknowledged.
    pub zeroings: u64,
    /// Reads checked while writing.
    pub reads: u64,
    /// Flushes acknowledged.
    pub flushes: u64,
    /// Requests that a connection's end left unanswered.
    pub broken: u64,
    /// Requests sent again after a reconnection.
    pub resent: u64,
    /// Reconnections after the server had gone away.
    pub reconnections: u64,
    /// Requests found applied in part after a kill: allowed, the log holds them in pieces.
    pub partial: u64,
}

/// One writer of one disk, over any number of lives of its daemon.
#[derive(Debug)]
pub struct Oracle {
    pub(super) author: Author,
    pub(super) model: Model,
    pub(super) trace: Trace,
    pub(super) totals: Totals,
    /// By sequence, which is the cookie: issued and not acknowledged.
    pub(super) in_flight: BTreeMap<u64, Ask>,
    mix: Mix,
    rng: ChaCha8Rng,
    last_seq: u64,
    payload: Vec<u8>,
}

impl Oracle {
    /// For a new disk of `bytes`, all zeroes; `disk` tells it from other disks.
    pub fn new(disk: u64, bytes: u64, mix: Mix, seed: u64) -> anyhow::Result<Oracle> {
        let sectors = usize::try_from(bytes)? / SECTOR_BYTES;
        Ok(Oracle {
            author: Author { disk, writer: 1 },
            model: Model::new(sectors),
            trace: Trace::new(disk),
            totals: Totals::default(),
            in_flight: BTreeMap::new(),
            mix,
            rng: ChaCha8Rng::seed_from_u64(seed ^ disk),
            last_seq: 0,
            payload: Vec::new(),
        })
    }

    /// What was done so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Connects, sends again what is pending, and goes on until `stop` is set, or the
    /// server goes away.
    pub fn run(&mut self, door: &Door, stop: &AtomicBool) -> anyhow::Result<Ended> {
        let mut client = match Client::connect(door, CONNECTIONS) {
            Ok(client) => client,
            Err(error) if is_away(&error) => return Ok(Ended::Broken),
            Err(error) => return Err(error),
        };
        if !self.send_again(&mut client)? {
            return Ok(self.broken());
        }
        while !stop.load(Ordering::Relaxed) {
            while self.in_flight.len() < DEPTH {
                std::thread::sleep(self.mix.pause);
                let Some(ask) = self.draw() else { break };
                self.last_seq += 1;
                if !self.issue(&mut client, self.last_seq, ask)? {
                    return Ok(self.broken());
                }
            }
            if !self.complete(&client)? {
                return Ok(self.broken());
            }
        }
        if !self.drain(&client)? {
            return Ok(self.broken());
        }
        self.last_seq += 1;
        let flush = Ask {
            command: Command::Flush,
            flags: CommandFlags(0),
            range: 0..0,
        };
        let flushed = self.issue(&mut client, self.last_seq, flush)? && self.drain(&client)?;
        Ok(if flushed {
            Ended::Stopped
        } else {
            self.broken()
        })
    }

    /// [`run`](Self::run), but going on over the ends of the server for as long as it comes
    /// back within `patience`.
    pub fn run_over_restarts(
        &mut self,
        door: &Door,
        stop: &AtomicBool,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let mut away_since: Option<Instant> = None;
        loop {
            let before = self.totals;
            if self.run(door, stop)? == Ended::Stopped {
                return Ok(());
            }
            let served = self.totals.writes > before.writes;
            let since = match away_since {
                Some(since) if !served => since,
                _ => {
                    self.totals.reconnections += 1;
                    Instant::now()
                }
            };
            if since.elapsed() > patience {
                bail!("the server has not come back within {patience:?}");
            }
            away_since = Some(since);
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    /// Overlapping writes, all in flight at once over all connections: which one wins is
    /// the server's choice, but it is made by the time they are answered, and a later kill
    /// may not change it. Returns whether the server stayed.
    pub fn storm(&mut self, door: &Door) -> anyhow::Result<Ended> {
        let mut client = Client::connect(door, CONNECTIONS).context("connect for a storm")?;
        if !self.send_again(&mut client)? || !self.drain(&client)? {
            return Ok(self.broken());
        }
        let sectors = u64::try_from(self.model.sectors())?.min(256);
        let first = self.last_seq + 1;
        for _ in 0..DEPTH * 4 {
            self.last_seq += 1;
            let start = below(&mut self.rng, sectors - 8);
            let length = 1 + below(&mut self.rng, (sectors - start).min(128));
            let ask = Ask {
                command: Command::Write,
                flags: CommandFlags(0),
                range: start..start + length,
            };
            self.send(&mut client, self.last_seq, &ask)?;
            self.trace
                .note(Happened::Issued, "storm", self.last_seq, start, length);
        }
        for _ in 0..DEPTH * 4 {
            let Incoming::Completion(completion) = client.next()? else {
                bail!("the server went away in a storm, where nobody killed it");
            };
            if let Err(errno) = completion.result {
                return Err(self.failed(0, "a write of a storm", errno).into());
            }
        }
        let found = client.read(0, sectors * 512)?;
        self.settle_storm(&found, first)?;
        Ok(Ended::Stopped)
    }

    /// Takes what a storm left as settled, if it is one of its versions or older ones that
    /// it did not cover.
    fn settle_storm(&mut self, found: &[u8], first: u64) -> Result<(), Violation> {
        for (at, bytes) in found.chunks(SECTOR_BYTES).enumerate() {
            let lba = u64::try_from(at).expect("64 bits");
            let content = sector::identify(self.author, lba, bytes);
            match content {
                sector::Content::Version(seq) if (first..=self.last_seq).contains(&seq) => {
                    self.model.settle(at, seq);
                }
                _ => self.check_sector(at, content)?,
            }
        }
        Ok(())
    }

    /// A request that is apart from all in flight; `None` where luck does not have it.
    fn draw(&mut self) -> Option<Ask> {
        let sectors = u64::try_from(self.model.sectors()).expect("64 bits");
        for _ in 0..16 {
            let ask = self.mix.draw(&mut self.rng, sectors);
            if self
                .in_flight
                .values()
                .all(|other| ask.is_apart_from(other))
            {
                return Some(ask);
            }
        }
        // Never where nothing is in flight, so that there is always something to wait for.
        None
    }

    /// What was in flight when the last connection ended, in its order.
    fn send_again(&mut self, client: &mut Client) -> anyhow::Result<bool> {
        let pending = std::mem::take(&mut self.in_flight);
        self.totals.resent += u64::try_from(pending.len())?;
        let mut sent = true;
        for (seq, ask) in pending {
            // Once the connection has ended the rest stays pending.
            sent = sent && self.issue(client, seq, ask.clone())?;
            self.in_flight.entry(seq).or_insert(ask);
        }
        Ok(sent)
    }

    /// Sends a request and counts it as in flight; whether the connection took it.
    fn issue(&mut self, client: &mut Client, seq: u64, ask: Ask) -> anyhow::Result<bool> {
        let length = ask.range.end - ask.range.start;
        self.trace
            .note(Happened::Issued, ask.name(), seq, ask.range.start, length);
        if ask.changes() {
            let version = match ask.command {
                Command::Write => seq,
                _ => ZEROES,
            };
            self.model.issue(indexes(&ask.range), version);
        }
        // Noted before it is sent: a part of it may arrive whatever happens to the rest.
        let sent = self.send(client, seq, &ask);
        self.in_flight.insert(seq, ask);
        match sent {
            Ok(()) => Ok(true),
            Err(error) if is_end(&error) => Ok(false),
            Err(error) => Err(error).context("send a request"),
        }
    }

    fn send(&mut self, client: &mut Client, seq: u64, ask: &Ask) -> io::Result<()> {
        self.payload.clear();
        if ask.command == Command::Write {
            let sectors = indexes(&ask.range).len();
            self.payload.resize(sectors * SECTOR_BYTES, 0);
            let places = ask.range.clone();
            for (lba, bytes) in places.zip(self.payload.chunks_mut(SECTOR_BYTES)) {
                sector::fill(self.author, lba, seq, bytes);
            }
        }
        let request = Request {
            flags: ask.flags,
            command: ask.command,
            cookie: seq,
            offset: ask.range.start * 512,
            length: (ask.range.end - ask.range.start) * 512,
        };
        let count = u64::try_from(client.connections()).expect("64 bits");
        let on = usize::try_from(seq % count).expect("below a count");
        client.send(on, &request, &self.payload)
    }

    /// Takes one answer; whether the connections are still there.
    fn complete(&mut self, client: &Client) -> anyhow::Result<bool> {
        let ended = match client.next().with_context(|| self.waiting())? {
            Incoming::Completion(completion) => match self.take(completion)? {
                true => return Ok(true),
                false => 0,
            },
            Incoming::Ended(error) if is_end(&error) => 1,
            Incoming::Ended(error) => return Err(error).context("receive a reply"),
        };
        // What the connections still bring is acknowledged like the rest.
        client.finish();
        for _ in ended..client.connections() {
            while let Incoming::Completion(completion) = client.next()? {
                self.take(completion)?;
            }
        }
        Ok(false)
    }

    fn drain(&mut self, client: &Client) -> anyhow::Result<bool> {
        while !self.in_flight.is_empty() {
            if !self.complete(client)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(&mut self, completion: Completion) -> anyhow::Result<bool> {
        let Completion { cookie, result } = completion;
        let ask = self.in_flight.get(&cookie).cloned();
        let ask = ask.with_context(|| format!("an answer to {cookie}, which was not asked"))?;
        let data = match result {
            Ok(data) => data,
            // The server is about to end: as if the connection had.
            Err(Errno::SHUTDOWN) => return Ok(false),
            Err(errno) => return Err(self.failed(ask.range.start, ask.name(), errno).into()),
        };
        self.in_flight.remove(&cookie);
        let length = ask.range.end - ask.range.start;
        self.trace.note(
            Happened::Acknowledged,
            ask.name(),
            cookie,
            ask.range.start,
            length,
        );
        match ask.command {
            Command::Read => {
                self.check_read(&ask, &data)?;
                self.totals.reads += 1;
            }
            Command::Flush => self.totals.flushes += 1,
            Command::Write => {
                self.model.acknowledge(indexes(&ask.range));
                self.totals.writes += 1;
                self.totals.written_bytes += length * 512;
            }
            _ => {
                self.model.acknowledge(indexes(&ask.range));
                self.totals.zeroings += 1;
            }
        }
        Ok(true)
    }

    fn check_read(&mut self, ask: &Ask, data: &[u8]) -> Result<(), Violation> {
        let range = indexes(&ask.range);
        if data.len() != range.len() * SECTOR_BYTES {
            let detail = format!("{} bytes for {} sectors", data.len(), range.len());
            return Err(self
                .trace
                .violation(ViolationKind::Failed, ask.range.start, detail));
        }
        for (at, bytes) in range.zip(data.chunks(SECTOR_BYTES)) {
            let lba = u64::try_from(at).expect("64 bits");
            self.check_sector(at, sector::identify(self.author, lba, bytes))?;
        }
        Ok(())
    }

    /// What is in flight, for people.
    fn waiting(&self) -> String {
        let asks = self.in_flight.iter().map(|(seq, ask)| {
            let (from, to) = (ask.range.start, ask.range.end);
            format!("{} {seq} of sectors {from}..{to}", ask.name())
        });
        format!("in flight: {}", asks.collect::<Vec<_>>().join(", "))
    }

    /// The connection is gone: what is in flight is pending.
    fn broken(&mut self) -> Ended {
        self.totals.broken += u64::try_from(self.in_flight.len()).expect("64 bits");
        for (seq, ask) in &self.in_flight {
            let length = ask.range.end - ask.range.start;
            self.trace
                .note(Happened::Broken, ask.name(), *seq, ask.range.start, length);
        }
        Ended::Broken
    }

    pub(super) fn failed(&self, lba: u64, what: &str, errno: Errno) -> Violation {
        let detail = format!("NBD error {} on {what}", errno.0);
        self.trace.violation(ViolationKind::Failed, lba, detail)
    }
}

/// Sectors as indexes of the model.
pub(super) fn indexes(range: &Range<u64>) -> Range<usize> {
    let index = |lba: u64| usize::try_from(lba).expect("within the model");
    index(range.start)..index(range.end)
}

/// Whether a connection just ended, as it does where the server is killed.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}
