//! What the records about streams have in common: sealed ends, tails, the base.
//!
//! Owns: the base and its bytes, wherever it stands (journal, stream record, segment header).
//! Does not own: the integrity of those bytes; what holds them has the checksum or MAC.
//!
//! | bytes | base |
//! | --- | --- |
//! | 4 | count of sealed ends |
//! | 48 each | uid 16, epoch 8, segment 8, sequence 8, checkpoint 8 |
//! | 4 | count of tails |
//! | 32 each | uid 16, first sequence 8, last sequence 8 |

use crate::cursor::{Reader, Writer};
use crate::error::{Result, ensure};
use crate::ids::{Epoch, SegmentNo, Seq, StreamUid};

const SEALED_END_BYTES: usize = 48;
const TAIL_BYTES: usize = 32;

/// Where an older stream ends, decided once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedEnd {
    /// The stream.
    pub uid: StreamUid,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its last segment that counts; 0 = it left none.
    pub segment: SegmentNo,
    /// The last sequence in that segment (or that the stream started from, if none).
    pub seq: Seq,
    /// The number of its newest checkpoint known at the seal; 0 = none known.
    pub checkpoint: u64,
}

/// Journal records of an older stream that are not in the store yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The stream whose extents hold them.
    pub uid: StreamUid,
    /// The first sequence.
    pub first: Seq,
    /// The last sequence: what follows it in the extents was cut off, for ever.
    pub last: Seq,
}

/// What a stream starts from: the first record of its journal, part of its stream record and
/// of every segment header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// The sealed ends of the older streams, oldest first.
    pub sealed: Vec<SealedEnd>,
    /// The tails to be replayed over them, in order of their sequences.
    pub tails: Vec<Tail>,
}

impl Base {
    /// The fields alone, as they stand inside the formats that hold a base. A journal record's
    /// payload is [`Base::encode`](crate::journal).
    pub(crate) fn put(&self, to: &mut Writer) {
        to.count(self.sealed.len());
        for end in &self.sealed {
            to.u128(end.uid.0);
            to.u64(end.epoch.0);
            to.u64(end.segment.0);
            to.u64(end.seq.0);
            to.u64(end.checkpoint);
        }
        to.count(self.tails.len());
        for tail in &self.tails {
            to.u128(tail.uid.0);
            to.u64(tail.first.0);
            to.u64(tail.last.0);
        }
    }

    pub(crate) fn take(from: &mut Reader<'_>) -> Result<Base> {
        let count = from.count(SEALED_END_BYTES)?;
        let mut sealed = Vec::with_capacity(count);
        for _ in 0..count {
            sealed.push(SealedEnd {
                uid: StreamUid(from.u128()?),
                epoch: Epoch(from.u64()?),
                segment: SegmentNo(from.u64()?),
                seq: Seq(from.u64()?),
                checkpoint: from.u64()?,
            });
        }
        let count = from.count(TAIL_BYTES)?;
        let mut tails = Vec::with_capacity(count);
        for _ in 0..count {
            let tail = Tail {
                uid: StreamUid(from.u128()?),
                first: Seq(from.u64()?),
                last: Seq(from.u64()?),
            };
            ensure(
                tail.first <= tail.last,
                "base: a tail that ends before it starts",
            )?;
            tails.push(tail);
        }
        Ok(Base { sealed, tails })
    }
}
