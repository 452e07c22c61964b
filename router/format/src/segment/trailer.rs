//! The end of a segment: where everything is, and the sub-cuts between which replay can stop.
//!
//! Owns: the bytes of cut table and trailer, under one MAC. Does not own: the pool's secret.
//!
//! The cut table stands directly before the trailer; entries of 40 bytes:
//! last sequence 8, wall clock in ms 8, mark 16, count of slots 4, first slot 2, zero 2.
//!
//! | offset | bytes | trailer |
//! | --- | --- | --- |
//! | 0 | 8 | magic `VPOOLEND` |
//! | 8 | 2 | version, 1 |
//! | 10 | 1 | sealed, 0 or 1 |
//! | 11 | 1 | zero |
//! | 12 | 4 | header bytes |
//! | 16 | 8 | index offset |
//! | 24 | 4 | count of pages |
//! | 28 | 4 | count of slots |
//! | 32 | 4 | cut table bytes |
//! | 36 | 4 | zero |
//! | 40 | 8 | object bytes |
//! | 48 | 32 | object salt |
//! | 80 | 32 | part salt |
//! | 112 | 16 | stream uid |
//! | 128 | 8 | segment |
//! | 136 | 8 | first sequence |
//! | 144 | 8 | last sequence |
//! | 152 | 16 | MAC over cut table and everything before |

use super::index::{index_bytes, page_count};
use super::{SEGMENT_BYTES_MAX, SLOTS_MAX};
use crate::cursor::{Reader, Writer};
use crate::envelope::{MAC_BYTES, Mac, equal};
use crate::error::{FormatError, FormatErrorKind, Result, ensure};
use crate::ids::{SegmentNo, Seq, StreamUid};

const MAGIC: [u8; 8] = *b"VPOOLEND";
const VERSION: u16 = 1;
const WHAT: &str = "segment trailer";
const FIELDS_BYTES: usize = 152;

/// The size of a trailer, MAC included.
pub const TRAILER_BYTES: usize = FIELDS_BYTES + MAC_BYTES;

/// The size of an entry of the cut table.
pub const CUT_BYTES: usize = 40;

/// The most sub-cuts of one segment; a packer with more marks starts another segment.
pub const CUTS_MAX: usize = 4096;

/// A piece of a segment's log between whose neighbours replay can stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubCut {
    /// Its first slot; not below the end of the one before.
    pub first_slot: u16,
    /// How many slots it has; may be none.
    pub slots: u32,
    /// The log's position after it; not below the one before.
    pub last_seq: Seq,
    /// Wall clock, ms since 1970; a label only.
    pub wall_ms: u64,
    /// The snapshot that it ends with; zero if none.
    pub mark: [u8; 16],
}

impl SubCut {
    fn put(&self, to: &mut Writer) {
        to.u64(self.last_seq.0);
        to.u64(self.wall_ms);
        to.bytes(&self.mark);
        to.u32(self.slots);
        to.u16(self.first_slot);
        to.zeros(2);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        let last_seq = Seq(from.u64()?);
        let wall_ms = from.u64()?;
        let mark = from.array()?;
        let slots = from.u32()?;
        let first_slot = from.u16()?;
        from.zeros(2)?;
        Ok(SubCut {
            first_slot,
            slots,
            last_seq,
            wall_ms,
            mark,
        })
    }
}

/// The last bytes of a segment's object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// The stream.
    pub uid: StreamUid,
    /// The segment's number in its stream.
    pub segment: SegmentNo,
    /// The first sequence of the cut, as in the header.
    pub first_seq: Seq,
    /// The last sequence of the cut, as in the header.
    pub last_seq: Seq,
    /// Whether chunks and index pages are encrypted, as in the header.
    pub sealed: bool,
    /// The size of the header: where the first chunk stands.
    pub header_bytes: u32,
    /// Where the index stands in the object: after the last chunk.
    pub index_offset: u64,
    /// Slots of the index, at most [`SLOTS_MAX`].
    pub slot_count: u32,
    /// The size of the whole object, at most [`SEGMENT_BYTES_MAX`].
    pub object_bytes: u64,
    /// The object's salt, as in the header.
    pub object_salt: [u8; 32],
    /// The part's salt, as in the header.
    pub part_salt: [u8; 32],
}

impl Trailer {
    /// Pages of the index.
    pub const fn page_count(&self) -> u32 {
        page_count(self.slot_count)
    }

    /// The size of an object with this index and `cuts` sub-cuts: what
    /// [`object_bytes`](Self::object_bytes) must be.
    pub const fn object_bytes_of(index_offset: u64, slot_count: u32, cuts: usize) -> u64 {
        index_offset
            .saturating_add(index_bytes(slot_count))
            .saturating_add((cuts as u64).saturating_mul(CUT_BYTES as u64))
            .saturating_add(TRAILER_BYTES as u64)
    }

    /// The bytes from the index's start to the object's end: a tail that holds all of it.
    pub const fn tail_bytes(&self) -> u64 {
        self.object_bytes - self.index_offset
    }

    pub(super) fn check(&self, cuts: usize) -> Result<()> {
        ensure(self.segment.0 > 0, "segment trailer: segment")?;
        ensure(self.slot_count <= SLOTS_MAX, "segment trailer: slots")?;
        ensure(cuts <= CUTS_MAX, "segment trailer: cuts")?;
        ensure(
            u64::from(self.header_bytes) <= self.index_offset,
            "segment trailer: offsets",
        )?;
        ensure(
            self.object_bytes <= SEGMENT_BYTES_MAX,
            "segment trailer: object bytes",
        )?;
        let expect = Self::object_bytes_of(self.index_offset, self.slot_count, cuts);
        ensure(self.object_bytes == expect, "segment trailer: object bytes")?;
        let follows = self.first_seq <= self.last_seq
            || self.last_seq.0.checked_add(1) == Some(self.first_seq.0);
        ensure(follows, "segment trailer: sequences")
    }

    pub(super) fn check_cuts(&self, cuts: &[SubCut]) -> Result<()> {
        let mut slots_end = 0;
        let mut seq = Seq(0);
        for cut in cuts {
            let first = u32::from(cut.first_slot);
            ensure(first >= slots_end, "cut table: slots overlap")?;
            slots_end = first
                .checked_add(cut.slots)
                .ok_or(FormatError::value("cut table: slots"))?;
            ensure(slots_end <= self.slot_count, "cut table: slots")?;
            ensure(cut.last_seq >= seq, "cut table: sequences")?;
            seq = cut.last_seq;
        }
        ensure(seq <= self.last_seq, "cut table: sequences")
    }

    /// Cut table and trailer: the last bytes of the object. `mac` is over both, and over
    /// whatever the caller ties them to, which its function puts in front.
    ///
    /// # Panics
    /// If the fields disagree ([`object_bytes_of`](Self::object_bytes_of)), or there are more
    /// than [`CUTS_MAX`] cuts, or cuts that overlap, descend or pass the slots.
    pub fn encode(&self, cuts: &[SubCut], mac: Mac<'_>) -> Vec<u8> {
        assert_eq!(
            self.check(cuts.len()),
            Ok(()),
            "the packer makes trailers that can be read"
        );
        assert_eq!(
            self.check_cuts(cuts),
            Ok(()),
            "the packer makes cuts that can be read"
        );
        let cut_bytes = cuts.len() * CUT_BYTES;
        let mut to = Writer::with_capacity(cut_bytes + TRAILER_BYTES);
        for cut in cuts {
            cut.put(&mut to);
        }
        to.bytes(&MAGIC);
        to.u16(VERSION);
        to.flag(self.sealed);
        to.zeros(1);
        to.u32(self.header_bytes);
        to.u64(self.index_offset);
        to.u32(self.page_count());
        to.u32(self.slot_count);
        to.count(cut_bytes);
        to.zeros(4);
        to.u64(self.object_bytes);
        to.bytes(&self.object_salt);
        to.bytes(&self.part_salt);
        to.u128(self.uid.0);
        to.u64(self.segment.0);
        to.u64(self.first_seq.0);
        to.u64(self.last_seq.0);
        let tag = mac(to.as_slice());
        to.bytes(&tag);
        to.into_bytes()
    }

    /// Reads cut table and trailer from `tail`, the last bytes of an object of `object_bytes`
    /// as the store says (more of the object before them does no harm).
    ///
    /// # Errors
    /// `NeedMore` with how many of the last bytes are needed, else any kind but `BadCheck`.
    pub fn decode_tail(
        tail: &[u8],
        object_bytes: u64,
        mac: Mac<'_>,
    ) -> Result<(Self, Vec<SubCut>)> {
        if object_bytes < TRAILER_BYTES as u64 || (tail.len() as u64) > object_bytes {
            return Err(FormatError::length(WHAT));
        }
        let need = |bytes| Err(FormatError::new(FormatErrorKind::NeedMore { bytes }, WHAT));
        let Some(start) = tail.len().checked_sub(TRAILER_BYTES) else {
            return need(TRAILER_BYTES as u64);
        };
        let (trailer, pages, cut_bytes) = Self::take(&tail[start..])?;
        if trailer.object_bytes != object_bytes
            || cut_bytes > CUTS_MAX * CUT_BYTES
            || !cut_bytes.is_multiple_of(CUT_BYTES)
        {
            return Err(FormatError::length(WHAT));
        }
        // The bytes were not verified yet, but these two bounds make it a harmless question.
        let wanted = (cut_bytes + TRAILER_BYTES) as u64;
        if wanted > object_bytes {
            return Err(FormatError::length(WHAT));
        }
        let Some(cuts_start) = start.checked_sub(cut_bytes) else {
            return need(wanted);
        };
        let (signed, tag) = tail[cuts_start..]
            .split_last_chunk::<MAC_BYTES>()
            .ok_or(FormatError::length(WHAT))?;
        if !equal(&mac(signed), tag) {
            return Err(FormatError::new(FormatErrorKind::BadChecksum, WHAT));
        }
        ensure(pages == trailer.page_count(), "segment trailer: pages")?;
        trailer.check(cut_bytes / CUT_BYTES)?;
        let cuts = take_cuts(&tail[cuts_start..start])?;
        trailer.check_cuts(&cuts)?;
        Ok((trailer, cuts))
    }

    /// The fields, the count of pages and the cut table's size, nothing verified.
    fn take(bytes: &[u8]) -> Result<(Self, u32, usize)> {
        let mut from = Reader::new(bytes, WHAT);
        if from.array()? != MAGIC {
            return Err(FormatError::new(FormatErrorKind::BadMagic, WHAT));
        }
        if from.u16()? != VERSION {
            return Err(FormatError::new(FormatErrorKind::BadVersion, WHAT));
        }
        let sealed = from.flag()?;
        from.zeros(1)?;
        let header_bytes = from.u32()?;
        let index_offset = from.u64()?;
        let pages = from.u32()?;
        let slot_count = from.u32()?;
        let cut_bytes = usize::try_from(from.u32()?).map_err(|_| FormatError::length(WHAT))?;
        from.zeros(4)?;
        let trailer = Trailer {
            sealed,
            header_bytes,
            index_offset,
            slot_count,
            object_bytes: from.u64()?,
            object_salt: from.array()?,
            part_salt: from.array()?,
            uid: StreamUid(from.u128()?),
            segment: SegmentNo(from.u64()?),
            first_seq: Seq(from.u64()?),
            last_seq: Seq(from.u64()?),
        };
        Ok((trailer, pages, cut_bytes))
    }
}

fn take_cuts(table: &[u8]) -> Result<Vec<SubCut>> {
    let mut from = Reader::new(table, "cut table");
    let count = table.len() / CUT_BYTES;
    let mut cuts = Vec::with_capacity(count);
    for _ in 0..count {
        cuts.push(SubCut::take(&mut from)?);
    }
    from.finish()?;
    Ok(cuts)
}
