//! The front of a segment: whose log it is, where it stands, and what came before.
//!
//! Owns: the header's bytes. Does not own: the pool's secret of the MAC; the seal of chunks.
//!
//! | bytes | field (in an [`Envelope`], magic `VPOOLSEG`, version 1) |
//! | --- | --- |
//! | 16, 16, 16 | pool, disk, stream uid |
//! | 8, 8, 8 | epoch, generation, segment |
//! | 2, 2, 4 | part, parts, number of the data key |
//! | 1, 7 | sealed (0 or 1), zero |
//! | 8 | newest durable checkpoint of this stream |
//! | 8, 8 | frontier: segment, sequence |
//! | 8, 8, 8 | first sequence, last sequence, wall clock in ms |
//! | 32, 32 | part salt, object salt |
//! | | base, see `record.rs` |

use crate::cursor::{Reader, Writer};
use crate::envelope::{Envelope, Mac};
use crate::error::{Result, ensure};
use crate::ids::{DiskId, Epoch, Generation, PoolId, SegmentNo, Seq, StreamUid};
use crate::record::Base;

const ENVELOPE: Envelope = Envelope {
    magic: *b"VPOOLSEG",
    version: 1,
    what: "segment header",
};

/// The longest header, in bytes: room for a base of some 80,000 streams.
pub const SEGMENT_HEADER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a segment says of itself at its front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The pool.
    pub pool: PoolId,
    /// The vDisk.
    pub disk: DiskId,
    /// The stream.
    pub uid: StreamUid,
    /// The stream's epoch.
    pub epoch: Epoch,
    /// The grid's claim under which it was written.
    pub generation: Generation,
    /// The segment's number in its stream.
    pub segment: SegmentNo,
    /// Which part of its cut this is, from 0; one cut may be several segments.
    pub part: u16,
    /// How many parts the cut has, from 1.
    pub parts: u16,
    /// What the stream started from.
    pub base: Base,
    /// The number of the newest durable checkpoint of this stream; 0 = none.
    pub checkpoint: u64,
    /// How far the stream was in the store without a gap when this was packed.
    pub frontier: (SegmentNo, Seq),
    /// The first sequence of the cut.
    pub first_seq: Seq,
    /// The last sequence of the cut: the log's position once all its parts are there.
    pub last_seq: Seq,
    /// Wall clock at the seal, ms since 1970.
    pub wall_ms: u64,
    /// Whether chunks and index pages are encrypted.
    pub sealed: bool,
    /// Which data key of the disk.
    pub key: u32,
    /// Fresh random bytes of this part: its chunks' key is derived from them.
    pub part_salt: [u8; 32],
    /// Fresh random bytes of this object: its index pages' key is derived from them.
    pub object_salt: [u8; 32],
}

impl SegmentHeader {
    pub(super) fn check(&self) -> Result<()> {
        ensure(self.part < self.parts, "segment header: part")?;
        ensure(self.segment.0 > 0, "segment header: segment")?;
        ensure(self.frontier.0 < self.segment, "segment header: frontier")?;
        ensure(self.frontier.1 <= self.last_seq, "segment header: frontier")?;
        let follows = self.first_seq <= self.last_seq
            || self.last_seq.0.checked_add(1) == Some(self.first_seq.0);
        ensure(follows, "segment header: sequences")
    }

    /// The header's bytes, with its MAC.
    ///
    /// # Panics
    /// If the fields disagree (a part beyond the parts, a frontier at or above the segment, a
    /// segment 0) or the base is larger than [`SEGMENT_HEADER_BYTES_MAX`] allows.
    pub fn encode(&self, mac: Mac<'_>) -> Vec<u8> {
        assert_eq!(
            self.check(),
            Ok(()),
            "the packer makes headers that can be read"
        );
        let mut to = ENVELOPE.begin();
        to.u128(self.pool.0);
        to.u128(self.disk.0);
        to.u128(self.uid.0);
        to.u64(self.epoch.0);
        to.u64(self.generation.0);
        to.u64(self.segment.0);
        to.u16(self.part);
        to.u16(self.parts);
        to.u32(self.key);
        to.flag(self.sealed);
        to.zeros(7);
        self.put_log(&mut to);
        to.bytes(&self.part_salt);
        to.bytes(&self.object_salt);
        self.base.put(&mut to);
        let bytes = ENVELOPE.seal(to, mac);
        assert!(
            bytes.len() <= SEGMENT_HEADER_BYTES_MAX,
            "a stream's base is bounded"
        );
        bytes
    }

    fn put_log(&self, to: &mut Writer) {
        to.u64(self.checkpoint);
        to.u64(self.frontier.0.0);
        to.u64(self.frontier.1.0);
        to.u64(self.first_seq.0);
        to.u64(self.last_seq.0);
        to.u64(self.wall_ms);
    }

    /// Reads a header; `bytes` is exactly it.
    ///
    /// # Errors
    /// Any kind but `BadCheck` and `NeedMore`.
    pub fn decode(bytes: &[u8], mac: Mac<'_>) -> Result<Self> {
        Self::take(ENVELOPE.open(bytes, mac)?)
    }

    /// Reads the header at the front of `bytes`, and says how long it is.
    ///
    /// # Errors
    /// `NeedMore` with the bytes needed from the object's start, or as [`decode`](Self::decode).
    pub fn decode_front(bytes: &[u8], mac: Mac<'_>) -> Result<(Self, usize)> {
        let (from, length) = ENVELOPE.open_front(bytes, SEGMENT_HEADER_BYTES_MAX, mac)?;
        Ok((Self::take(from)?, length))
    }

    fn take(mut from: Reader<'_>) -> Result<Self> {
        let pool = PoolId(from.u128()?);
        let disk = DiskId(from.u128()?);
        let uid = StreamUid(from.u128()?);
        let epoch = Epoch(from.u64()?);
        let generation = Generation(from.u64()?);
        let segment = SegmentNo(from.u64()?);
        let part = from.u16()?;
        let parts = from.u16()?;
        let key = from.u32()?;
        let sealed = from.flag()?;
        from.zeros(7)?;
        let header = SegmentHeader {
            pool,
            disk,
            uid,
            epoch,
            generation,
            segment,
            part,
            parts,
            sealed,
            key,
            checkpoint: from.u64()?,
            frontier: (SegmentNo(from.u64()?), Seq(from.u64()?)),
            first_seq: Seq(from.u64()?),
            last_seq: Seq(from.u64()?),
            wall_ms: from.u64()?,
            part_salt: from.array()?,
            object_salt: from.array()?,
            base: Base::take(&mut from)?,
        };
        from.finish()?;
        header.check()?;
        Ok(header)
    }
}
