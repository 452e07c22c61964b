//! A broken promise, with what led to it.
//!
//! Owns: the kinds, the trace of the last events. Does not own: finding them.

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::report;

/// Events kept for a violation.
const EVENTS_MAX: usize = 1000;

/// Which promise was broken. The number is an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ViolationKind {
    /// A sector of another disk, place or writer.
    CrossTalk = 10,
    /// Bytes that nobody wrote: torn or corrupt.
    Torn = 11,
    /// Older than what was acknowledged.
    LostWrite = 12,
    /// Newer than what was ever issued, or a version that an earlier check had ruled out.
    TimeTravel = 13,
    /// Zeroes where data was acknowledged.
    LostToZeroes = 14,
    /// Two reads of a disk at rest differ.
    Unstable = 15,
    /// The disk answers with an error, or with the wrong length.
    Failed = 16,
}

/// A broken promise.
#[derive(Debug)]
pub struct Violation {
    /// Which.
    pub kind: ViolationKind,
    /// The first sector where it shows, in sectors of 512 bytes.
    pub lba: u64,
    /// What was found and expected.
    pub detail: String,
    /// Where the last 1,000 events were written to, if they could be.
    pub events: Option<PathBuf>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            kind, lba, detail, ..
        } = self;
        write!(f, "{kind:?} at sector {lba}: {detail}")?;
        match &self.events {
            Some(path) => write!(f, " (last events: {})", path.display()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Violation {}

/// Something that happened between client and disk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happened {
    /// A request was sent (again, after a reconnection).
    Issued,
    /// A request was answered.
    Acknowledged,
    /// The connection ended with the request unanswered.
    Broken,
    /// A check found this version.
    Found,
}

#[derive(Debug)]
struct Event {
    at: Duration,
    happened: Happened,
    what: &'static str,
    seq: u64,
    lba: u64,
    sectors: u64,
}

/// The last events, oldest first.
#[derive(Debug)]
pub(crate) struct Trace {
    begun: Instant,
    disk: u64,
    events: VecDeque<Event>,
}

impl Trace {
    /// An empty one.
    pub(crate) fn new(disk: u64) -> Trace {
        Trace {
            begun: Instant::now(),
            disk,
            events: VecDeque::with_capacity(EVENTS_MAX),
        }
    }

    /// Notes an event; the oldest may go.
    pub(crate) fn note(
        &mut self,
        happened: Happened,
        what: &'static str,
        seq: u64,
        lba: u64,
        sectors: u64,
    ) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            at: self.begun.elapsed(),
            happened,
            what,
            seq,
            lba,
            sectors,
        });
    }

    /// The violation, with the events written to a file.
    pub(crate) fn violation(&self, kind: ViolationKind, lba: u64, detail: String) -> Violation {
        let written = self.write();
        let (events, detail) = match written {
            Ok(path) => (Some(path), detail),
            Err(error) => (None, format!("{detail} (events not written: {error:#})")),
        };
        Violation {
            kind,
            lba,
            detail,
            events,
        }
    }

    fn write(&self) -> anyhow::Result<PathBuf> {
        let process = std::process::id();
        let name = format!("violation-{process}-disk-{}.txt", self.disk);
        let path = report::directory()?.join(name);
        let mut text = Vec::new();
        for event in &self.events {
            let Event {
                at,
                happened,
                what,
                seq,
                lba,
                sectors,
            } = event;
            writeln!(
                text,
                "{:>12.6} {happened:?} {what} seq {seq} sectors {lba}+{sectors}",
                at.as_secs_f64()
            )?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}
