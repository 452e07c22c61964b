//! The check of the whole image, read twice.
//!
//! Owns: reading it, and settling what it holds. Does not own: what is right (`model.rs`).

use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use vpool_nbd_wire::{Command, CommandFlags, Request};

use super::sector::{self, Content, SECTOR_BYTES};
use super::violation::{Happened, Violation, ViolationKind};
use super::writer::{Oracle, indexes};
use crate::nbd::{Client, Door, Incoming};

/// Bytes of one read.
const READ_BYTES: usize = 1 << 20;

/// Reads in flight.
const DEPTH: usize = 4;

/// What a check has seen.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Verified {
    /// Sectors that hold a version.
    pub written: u64,
    /// Sectors of zeroes.
    pub zeroes: u64,
    /// How long the first reading took.
    #[serde(skip)]
    pub time: Duration,
}

impl Oracle {
    /// Reads the whole disk twice, while nothing writes. Each sector must hold what was
    /// acknowledged last, or what was under way; what it holds is settled, and nothing is
    /// pending any more.
    pub fn verify(&mut self, door: &Door) -> anyhow::Result<Verified> {
        let mut client = Client::connect(door, 1).context("connect to verify")?;
        let bytes = self.model.sectors() * SECTOR_BYTES;
        if client.size() != u64::try_from(bytes)? {
            let detail = format!("the disk has {} bytes now, not {bytes}", client.size());
            return Err(self
                .trace
                .violation(ViolationKind::Failed, 0, detail)
                .into());
        }
        let begun = Instant::now();
        let first = self.read_image(&mut client)?;
        let time = begun.elapsed();
        let mut verified = Verified {
            written: 0,
            zeroes: 0,
            time,
        };
        let contents = self.identify_image(&first);
        self.count_partial(&contents);
        for (at, content) in contents.into_iter().enumerate() {
            match content {
                Content::Zeroes => verified.zeroes += 1,
                _ => verified.written += 1,
            }
            self.check_sector(at, content)?;
        }
        self.in_flight.clear();
        self.compare(&first, &self.read_image(&mut client)?)?;
        Ok(verified)
    }

    fn identify_image(&self, image: &[u8]) -> Vec<Content> {
        let sectors = image.chunks(SECTOR_BYTES).zip(0..);
        sectors
            .map(|(bytes, lba)| sector::identify(self.author, lba, bytes))
            .collect()
    }

    /// Takes what a sector holds as settled, if it may hold it.
    pub(super) fn check_sector(&mut self, at: usize, content: Content) -> Result<(), Violation> {
        match self.model.check(at, content) {
            Ok(version) => {
                self.model.settle(at, version);
                Ok(())
            }
            Err(kind) => {
                let lba = u64::try_from(at).expect("64 bits");
                let found = match content {
                    Content::Version(seq) => seq,
                    _ => 0,
                };
                self.trace.note(Happened::Found, "violation", found, lba, 1);
                let detail = format!("found {content:?}, expected {}", self.model.expected(at));
                Err(self.trace.violation(kind, lba, detail))
            }
        }
    }

    /// Counts the pending writes that were applied in part.
    fn count_partial(&mut self, contents: &[Content]) {
        for (seq, ask) in &self.in_flight {
            if ask.command != Command::Write {
                continue;
            }
            let sectors = &contents[indexes(&ask.range)];
            let new = |content: &&Content| **content == Content::Version(*seq);
            let applied = sectors.iter().filter(new).count();
            if applied != 0 && applied != sectors.len() {
                self.totals.partial += 1;
            }
        }
    }

    fn compare(&self, first: &[u8], second: &[u8]) -> Result<(), Violation> {
        if first == second {
            return Ok(());
        }
        let pairs = first.chunks(SECTOR_BYTES).zip(second.chunks(SECTOR_BYTES));
        let at = pairs.take_while(|(one, other)| one == other).count();
        let lba = u64::try_from(at).expect("64 bits");
        let again = sector::identify(self.author, lba, &second[at * SECTOR_BYTES..][..512]);
        let detail = format!(
            "the second read found {again:?}, the first {}",
            self.model.expected(at)
        );
        Err(self.trace.violation(ViolationKind::Unstable, lba, detail))
    }

    fn read_image(&self, client: &mut Client) -> anyhow::Result<Vec<u8>> {
        let mut image = vec![0; self.model.sectors() * SECTOR_BYTES];
        let reads = image.len().div_ceil(READ_BYTES);
        let (mut sent, mut received) = (0, 0);
        while received < reads {
            while sent < reads && sent - received < DEPTH {
                let at = sent * READ_BYTES;
                let request = Request {
                    flags: CommandFlags(0),
                    command: Command::Read,
                    cookie: u64::try_from(sent)?,
                    offset: u64::try_from(at)?,
                    length: u64::try_from(READ_BYTES.min(image.len() - at))?,
                };
                client.send(0, &request, &[]).context("ask for the image")?;
                sent += 1;
            }
            let completion = match client.next()? {
                Incoming::Completion(completion) => completion,
                Incoming::Ended(error) => return Err(error).context("read the image"),
            };
            let at = usize::try_from(completion.cookie)? * READ_BYTES;
            let lba = u64::try_from(at / SECTOR_BYTES)?;
            let data = match completion.result {
                Ok(data) => data,
                Err(errno) => return Err(self.failed(lba, "a read of the image", errno).into()),
            };
            let place = &mut image[at..][..READ_BYTES.min(self.model.sectors() * 512 - at)];
            if data.len() != place.len() {
                let detail = format!("{} bytes for a read of {}", data.len(), place.len());
                return Err(self
                    .trace
                    .violation(ViolationKind::Failed, lba, detail)
                    .into());
            }
            place.copy_from_slice(&data);
            received += 1;
        }
        Ok(image)
    }
}
