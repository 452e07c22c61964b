//! The payloads of control records: base, frontier, remote client.
//!
//! Owns: their bytes. Does not own: their integrity (the group's checksums) and what a
//! vDisk's record does to the vDisk.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 1 | kind, as in the record header |
//! | 1 | 1 | version, 1 |
//! | 2 | 2 | zero |
//! | 4 | 4 | length of the fields |
//! | 8 | | fields |
//!
//! Base: see `record.rs`. Frontier: uid 16, segment 8, sequence 8, checkpoint 8.
//! Remote client: seen 8, length of the name 4, name.

use super::RecordKind;
use crate::cursor::{Reader, Writer};
use crate::error::{FormatError, FormatErrorKind, Result, ensure};
use crate::ids::{SegmentNo, Seq, StreamUid};
use crate::record::Base;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;

/// The longest name of a client's machine, in bytes of UTF-8.
pub const REMOTE_MACHINE_BYTES_MAX: usize = 255;

/// How far a stream is in the store without a gap, as its journal remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frontier {
    /// The stream.
    pub uid: StreamUid,
    /// The last segment without a gap before it; 0 = none.
    pub segment: SegmentNo,
    /// The last sequence in that segment.
    pub seq: Seq,
    /// The number of the stream's newest durable checkpoint; 0 = none.
    pub checkpoint: u64,
}

/// A client on another machine has the disk open: after a lossy reopen its first flush fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteClient {
    /// The machine, at most [`REMOTE_MACHINE_BYTES_MAX`] bytes.
    pub machine: String,
    /// Wall clock when it was seen, ms since 1970.
    pub seen_ms: u64,
}

fn begin(kind: RecordKind) -> Writer {
    let mut to = Writer::default();
    to.u8(kind.number());
    to.u8(VERSION);
    to.zeros(HEADER_BYTES - 2);
    to
}

fn finish(mut to: Writer) -> Vec<u8> {
    let length = u32::try_from(to.len() - HEADER_BYTES).expect("a control record fits a group");
    to.put_at(4, &length.to_le_bytes());
    to.into_bytes()
}

fn open<'a>(payload: &'a [u8], kind: RecordKind, what: &'static str) -> Result<Reader<'a>> {
    let mut from = Reader::new(payload, what);
    if from.u8()? != kind.number() {
        return Err(FormatError::new(FormatErrorKind::BadMagic, what));
    }
    if from.u8()? != VERSION {
        return Err(FormatError::new(FormatErrorKind::BadVersion, what));
    }
    from.zeros(2)?;
    let length = from.count(1)?;
    if length != payload.len() - HEADER_BYTES {
        return Err(FormatError::length(what));
    }
    Ok(from)
}

impl Base {
    /// The payload of a [`RecordKind::Base`] record.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = begin(RecordKind::Base);
        self.put(&mut to);
        finish(to)
    }

    /// Reads the payload of a [`RecordKind::Base`] record, without padding.
    ///
    /// # Errors
    /// `BadMagic`, `BadVersion`, `BadLength` or `BadValue`.
    pub fn decode(payload: &[u8]) -> Result<Self> {
        let mut from = open(payload, RecordKind::Base, "base record")?;
        let base = Base::take(&mut from)?;
        from.finish()?;
        Ok(base)
    }
}

impl Frontier {
    /// The payload of a [`RecordKind::Frontier`] record.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = begin(RecordKind::Frontier);
        to.u128(self.uid.0);
        to.u64(self.segment.0);
        to.u64(self.seq.0);
        to.u64(self.checkpoint);
        finish(to)
    }

    /// Reads the payload of a [`RecordKind::Frontier`] record, without padding.
    ///
    /// # Errors
    /// `BadMagic`, `BadVersion`, `BadLength` or `BadValue`.
    pub fn decode(payload: &[u8]) -> Result<Self> {
        let mut from = open(payload, RecordKind::Frontier, "frontier record")?;
        let frontier = Frontier {
            uid: StreamUid(from.u128()?),
            segment: SegmentNo(from.u64()?),
            seq: Seq(from.u64()?),
            checkpoint: from.u64()?,
        };
        from.finish()?;
        Ok(frontier)
    }
}

impl RemoteClient {
    /// Whether the name can be recorded.
    ///
    /// # Errors
    /// `BadValue` for an empty name or one that is too long.
    pub fn check(&self) -> Result<()> {
        let bytes = self.machine.len();
        ensure(
            (1..=REMOTE_MACHINE_BYTES_MAX).contains(&bytes),
            "remote client record: machine",
        )
    }

    /// The payload of a [`RecordKind::RemoteClient`] record.
    ///
    /// # Panics
    /// If [`check`](Self::check) fails: whoever lets the client in asks it first.
    pub fn encode(&self) -> Vec<u8> {
        assert_eq!(
            self.check(),
            Ok(()),
            "the name was checked when the client came"
        );
        let mut to = begin(RecordKind::RemoteClient);
        to.u64(self.seen_ms);
        to.blob(self.machine.as_bytes());
        finish(to)
    }

    /// Reads the payload of a [`RecordKind::RemoteClient`] record, without padding.
    ///
    /// # Errors
    /// `BadMagic`, `BadVersion`, `BadLength` or `BadValue`.
    pub fn decode(payload: &[u8]) -> Result<Self> {
        let mut from = open(payload, RecordKind::RemoteClient, "remote client record")?;
        let seen_ms = from.u64()?;
        let machine = from.text(REMOTE_MACHINE_BYTES_MAX)?.to_owned();
        from.finish()?;
        let client = RemoteClient { machine, seen_ms };
        client.check()?;
        Ok(client)
    }
}
