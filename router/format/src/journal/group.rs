//! The descriptor block of a group: what its records are, and a checksum per payload block.
//!
//! Owns: the descriptor's bytes and its capacity. Does not own: the payload, and when a group
//! is cut. Writing on the hot path is [`GroupEncoder`](super::GroupEncoder).
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 4 | magic `vGRP` |
//! | 4 | 2 | version, 1 |
//! | 6 | 1 | sealed, 0 or 1 |
//! | 7 | 1 | zero |
//! | 8 | 8 | check: the first 8 bytes of the extent's salt |
//! | 16 | 8 | number of the group in its extent |
//! | 24 | 8 | first sequence |
//! | 32 | 8 | last sequence: the log's position after this group |
//! | 40 | 8 | sequence up to which the log was known durable |
//! | 48 | 8 | wall clock, ms since 1970 |
//! | 56 | 4 | count of payload blocks, `p` |
//! | 60 | 2 | count of records, `r` |
//! | 62 | 2 | zero |
//! | 64 + 32 i | 32 | record `i` of `r`, growing upwards |
//! | … | | zero |
//! | 4092 − e (i + 1) | e | payload block `i` of `p`, growing downwards; `e` = 4, sealed 20 |
//! | 4092 | 4 | CRC-32C of everything before |
//!
//! Payload entry: CRC-32C of the block as it is on disk (4), then, if sealed, its tag (16).
//! Record: kind 1, zero 3, payload bytes 4, sequence 8, offset 8, length 8.

use super::group_encoder::GroupEncoder;
use super::{CRC_OFFSET, crc32c};
use crate::BLOCK_BYTES;
use crate::cursor::Reader;
use crate::error::{FormatError, FormatErrorKind, Result, ensure};
use crate::ids::Seq;

pub(super) const MAGIC: [u8; 4] = *b"vGRP";
pub(super) const VERSION: u16 = 1;
pub(super) const RECORDS_OFFSET: usize = 64;
pub(super) const RECORD_BYTES: usize = 32;
const ROOM_BYTES: usize = CRC_OFFSET - RECORDS_OFFSET;
pub(super) const BLOCK_BYTES_U32: u32 = 4096;
const WHAT: &str = "journal group";

const _: () = assert!(BLOCK_BYTES_U32 as usize == BLOCK_BYTES);

/// The most records that a descriptor holds (without payload).
pub const GROUP_RECORDS_MAX: usize = ROOM_BYTES / RECORD_BYTES;

/// The most payload blocks that a descriptor can speak for (one record, not sealed).
pub const GROUP_PAYLOAD_BLOCKS_MAX: usize =
    (ROOM_BYTES - RECORD_BYTES) / payload_entry_bytes(false);

/// The bytes of a descriptor that each payload block takes.
pub(super) const fn payload_entry_bytes(sealed: bool) -> usize {
    if sealed { 20 } else { 4 }
}

/// Whether one descriptor holds `records` records with `payload_blocks` blocks of payload in
/// all, in an extent that is `sealed` or not.
pub const fn fits(records: usize, payload_blocks: usize, sealed: bool) -> bool {
    records <= GROUP_RECORDS_MAX
        && payload_blocks <= GROUP_PAYLOAD_BLOCKS_MAX
        && records * RECORD_BYTES + payload_blocks * payload_entry_bytes(sealed) <= ROOM_BYTES
}

/// What a record does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RecordKind {
    /// Bytes at an offset; the payload is the bytes.
    Write = 1,
    /// The range may read as zeroes and takes no space.
    Discard = 2,
    /// The range reads as zeroes.
    WriteZeroes = 3,
    /// A flush was asked for here.
    FlushMark = 4,
    /// The disk has `offset` bytes from here on.
    Resize = 5,
    /// What the stream starts from; payload [`Base`](crate::Base).
    Base = 6,
    /// How far the stream is in the store; payload [`Frontier`](super::Frontier).
    Frontier = 7,
    /// A snapshot is placed here.
    Snapshot = 8,
    /// A snapshot is deleted.
    SnapshotDelete = 9,
    /// A new branch starts from an older state.
    Rollback = 10,
    /// The disk's settings change.
    Settings = 11,
    /// A client of another machine is here; payload [`RemoteClient`](super::RemoteClient).
    RemoteClient = 12,
}

impl RecordKind {
    /// The kind numbered `number`, if there is one.
    pub const fn from_number(number: u8) -> Option<RecordKind> {
        Some(match number {
            1 => RecordKind::Write,
            2 => RecordKind::Discard,
            3 => RecordKind::WriteZeroes,
            4 => RecordKind::FlushMark,
            5 => RecordKind::Resize,
            6 => RecordKind::Base,
            7 => RecordKind::Frontier,
            8 => RecordKind::Snapshot,
            9 => RecordKind::SnapshotDelete,
            10 => RecordKind::Rollback,
            11 => RecordKind::Settings,
            12 => RecordKind::RemoteClient,
            _ => return None,
        })
    }

    /// The number of the kind in the journal.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// One record of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// What it does.
    pub kind: RecordKind,
    /// Its place in the log.
    pub seq: Seq,
    /// Where on the disk, in bytes; `Resize`: the new size in bytes.
    pub offset: u64,
    /// Bytes of the disk that it covers; not 0 for `Write`, `Discard` and `WriteZeroes`.
    pub length: u64,
    /// Bytes of its payload; `Write`: equal to `length`; `Discard` and `WriteZeroes`: 0.
    pub payload_bytes: u32,
}

impl RecordHeader {
    /// The payload blocks that the record takes: each record's payload starts on a new block.
    pub const fn payload_blocks(&self) -> u32 {
        self.payload_bytes.div_ceil(BLOCK_BYTES_U32)
    }

    /// Whether the fields agree with each other.
    ///
    /// # Errors
    /// `BadValue`, naming what is wrong.
    pub fn check(&self) -> Result<()> {
        ensure(
            self.offset.checked_add(self.length).is_some(),
            "journal record: range",
        )?;
        let payload = u64::from(self.payload_bytes);
        match self.kind {
            RecordKind::Write => ensure(
                self.length > 0 && payload == self.length,
                "journal record: write length",
            ),
            RecordKind::Discard | RecordKind::WriteZeroes => ensure(
                self.length > 0 && payload == 0,
                "journal record: range without payload",
            ),
            RecordKind::FlushMark
            | RecordKind::Resize
            | RecordKind::Base
            | RecordKind::Frontier
            | RecordKind::Snapshot
            | RecordKind::SnapshotDelete
            | RecordKind::Rollback
            | RecordKind::Settings
            | RecordKind::RemoteClient => Ok(()),
        }
    }

    pub(super) fn put(&self, to: &mut [u8; RECORD_BYTES]) {
        to[0] = self.kind.number();
        to[1..4].fill(0);
        to[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        to[8..16].copy_from_slice(&self.seq.0.to_le_bytes());
        to[16..24].copy_from_slice(&self.offset.to_le_bytes());
        to[24..32].copy_from_slice(&self.length.to_le_bytes());
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        let kind = RecordKind::from_number(from.u8()?)
            .ok_or(FormatError::value("journal record: kind"))?;
        from.zeros(3)?;
        let payload_bytes = from.u32()?;
        let record = RecordHeader {
            kind,
            payload_bytes,
            seq: Seq(from.u64()?),
            offset: from.u64()?,
            length: from.u64()?,
        };
        record.check()?;
        Ok(record)
    }
}

/// A group's descriptor, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupHeader {
    /// [`ExtentHeader::check`](super::ExtentHeader::check) of the extent's use.
    pub check: u64,
    /// The ordinal of the group in its extent, from 0.
    pub number: u64,
    /// The first sequence of the group; at most `last_seq + 1` (a group that moves nothing).
    pub first_seq: Seq,
    /// The log's position after this group; no record is above it.
    pub last_seq: Seq,
    /// The log was known durable up to here when the group was written; at most `last_seq`.
    pub durable: Seq,
    /// Wall clock, ms since 1970; a label only.
    pub wall_ms: u64,
    /// Payload blocks that follow the descriptor.
    pub payload_blocks: u32,
    /// The records, their sequences not descending.
    pub records: Vec<RecordHeader>,
    /// CRC-32C of each payload block as it is on disk.
    pub checksums: Vec<u32>,
    /// The tag of each payload block; empty unless the extent is sealed.
    pub tags: Vec<[u8; 16]>,
}

impl GroupHeader {
    /// The group's size in blocks, descriptor included.
    pub const fn blocks(&self) -> u32 {
        1 + self.payload_blocks
    }

    /// Whether the group is of a sealed extent, given that it has payload.
    const fn sealed(&self) -> bool {
        !self.tags.is_empty()
    }

    /// Writes the descriptor. A sealed group without payload is the same as one not sealed.
    ///
    /// # Panics
    /// If the group does not [`fits`], or its fields disagree: bugs of the caller.
    pub fn encode_into(&self, block: &mut [u8; BLOCK_BYTES]) {
        let sealed = self.sealed();
        let mut encoder = GroupEncoder::new(
            block,
            self.check,
            self.number,
            self.durable,
            self.wall_ms,
            sealed,
        );
        for record in &self.records {
            encoder.push(*record);
        }
        for checksum in &self.checksums {
            encoder.checksum(*checksum);
        }
        for tag in &self.tags {
            encoder.tag(*tag);
        }
        let blocks = encoder.finish(self.first_seq, self.last_seq);
        assert_eq!(
            blocks,
            self.blocks(),
            "payload blocks are those of the records"
        );
    }

    /// Reads a descriptor block of exactly [`BLOCK_BYTES`]. With `expect_check`, a group of
    /// another use of the extent is refused.
    ///
    /// # Errors
    /// `BadCheck` for a whole group of another use, else any kind but `NeedMore`.
    pub fn decode(block: &[u8], expect_check: Option<u64>) -> Result<Self> {
        let block: &[u8; BLOCK_BYTES] = block.try_into().map_err(|_| FormatError::length(WHAT))?;
        let mut from = Reader::new(&block[..CRC_OFFSET], WHAT);
        if from.array()? != MAGIC {
            return Err(FormatError::new(FormatErrorKind::BadMagic, WHAT));
        }
        if from.u16()? != VERSION {
            return Err(FormatError::new(FormatErrorKind::BadVersion, WHAT));
        }
        if block[CRC_OFFSET..] != crc32c(&block[..CRC_OFFSET]).to_le_bytes() {
            return Err(FormatError::new(FormatErrorKind::BadChecksum, WHAT));
        }
        let sealed = from.flag()?;
        from.zeros(1)?;
        let check = from.u64()?;
        if expect_check.is_some_and(|expect| expect != check) {
            return Err(FormatError::new(FormatErrorKind::BadCheck, WHAT));
        }
        let mut group = GroupHeader {
            check,
            number: from.u64()?,
            first_seq: Seq(from.u64()?),
            last_seq: Seq(from.u64()?),
            durable: Seq(from.u64()?),
            wall_ms: from.u64()?,
            payload_blocks: from.u32()?,
            records: Vec::new(),
            checksums: Vec::new(),
            tags: Vec::new(),
        };
        let records = usize::from(from.u16()?);
        from.zeros(2)?;
        group.take_records(records, &mut from)?;
        group.take_payload_entries(sealed, &block[RECORDS_OFFSET + records * RECORD_BYTES..])?;
        Ok(group)
    }

    fn take_records(&mut self, count: usize, from: &mut Reader<'_>) -> Result<()> {
        ensure(count <= GROUP_RECORDS_MAX, "journal group: record count")?;
        self.records.reserve_exact(count);
        for _ in 0..count {
            self.records.push(RecordHeader::take(from)?);
        }
        let blocks: u64 = self
            .records
            .iter()
            .map(|one| u64::from(one.payload_blocks()))
            .sum();
        ensure(
            blocks == u64::from(self.payload_blocks),
            "journal group: payload blocks",
        )?;
        check_sequences(self.first_seq, self.last_seq, self.durable)?;
        ensure(
            self.records.is_sorted_by_key(|one| one.seq),
            "journal group: sequence order",
        )?;
        let last = self.records.last().map_or(Seq(0), |one| one.seq);
        ensure(
            last <= self.last_seq,
            "journal group: record above the last sequence",
        )
    }

    /// `rest` = what follows the records, up to the block's end.
    fn take_payload_entries(&mut self, sealed: bool, rest: &[u8]) -> Result<()> {
        let count = usize::try_from(self.payload_blocks).map_err(|_| FormatError::length(WHAT))?;
        ensure(
            fits(self.records.len(), count, sealed),
            "journal group: capacity",
        )?;
        // An empty sealed group would be a second spelling of an empty one.
        ensure(
            !sealed || count > 0,
            "journal group: sealed without payload",
        )?;
        let room = rest.len() - (BLOCK_BYTES - CRC_OFFSET);
        let (unused, entries) = rest[..room].split_at(room - count * payload_entry_bytes(sealed));
        ensure(
            unused.iter().all(|byte| *byte == 0),
            "journal group: unused bytes",
        )?;
        self.checksums.reserve_exact(count);
        self.tags.reserve_exact(if sealed { count } else { 0 });
        for entry in entries.rchunks_exact(payload_entry_bytes(sealed)) {
            let mut entry = Reader::new(entry, WHAT);
            self.checksums.push(entry.u32()?);
            if sealed {
                self.tags.push(entry.array()?);
            }
            entry.finish()?;
        }
        Ok(())
    }
}

/// The relation of a group's three sequences.
pub(super) fn check_sequences(first: Seq, last: Seq, durable: Seq) -> Result<()> {
    let follows = first <= last || last.0.checked_add(1) == Some(first.0);
    ensure(follows && durable <= last, "journal group: sequences")
}
