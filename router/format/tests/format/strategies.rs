//! Any value of each format that its writer may hand in.

mod bucket;
mod journal;
mod store;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use vpool_format::{Base, DiskId, Epoch, PoolId, SealedEnd, SegmentNo, Seq, StreamUid, Tail};

pub(crate) use bucket::{claim, descriptor, name, pool_record, stream_record};
pub(crate) use journal::{extent, group};
pub(crate) use store::{checkpoint, index_page, inner, leaf, segment_header, trailer};

/// Ids of pool, disk and stream.
fn ids() -> impl Strategy<Value = (PoolId, DiskId, StreamUid)> {
    any::<(u128, u128, u128)>()
        .prop_map(|(pool, disk, uid)| (PoolId(pool), DiskId(disk), StreamUid(uid)))
}

/// A first sequence and a last one; `moves` = the last is not below the first.
fn sequences(moves: bool) -> impl Strategy<Value = (Seq, Seq)> {
    any::<(u64, u64)>().prop_map(move |(one, other)| {
        let (first, last) = (one.min(other), one.max(other));
        if moves || first > 0 && first != last {
            (Seq(first), Seq(last))
        } else {
            (Seq(first), Seq(first.saturating_sub(1)))
        }
    })
}

pub(crate) fn base() -> impl Strategy<Value = Base> {
    let end = any::<(u128, u64, u64, u64, u64)>().prop_map(|(uid, epoch, segment, seq, last)| {
        SealedEnd {
            uid: StreamUid(uid),
            epoch: Epoch(epoch),
            segment: SegmentNo(segment),
            seq: Seq(seq),
            checkpoint: last,
        }
    });
    let tail = (any::<u128>(), sequences(true)).prop_map(|(uid, (first, last))| Tail {
        uid: StreamUid(uid),
        first,
        last,
    });
    (vec(end, 0..8), vec(tail, 0..8)).prop_map(|(sealed, tails)| Base { sealed, tails })
}

fn settings() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}
