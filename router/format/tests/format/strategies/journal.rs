//! Any extent header and group.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::strategy::Just;
use vpool_format::journal::{ExtentHeader, GroupHeader, RecordHeader, RecordKind, fits};
use vpool_format::{Epoch, Seq};

use super::ids;

pub(crate) fn extent() -> impl Strategy<Value = ExtentHeader> {
    (
        ids(),
        any::<(u64, u64, u64, u64)>(),
        any::<[u8; 32]>(),
        any::<bool>(),
    )
        .prop_map(
            |((pool, disk, uid), (epoch, number, lap, seq), salt, sealed)| ExtentHeader {
                pool,
                disk,
                uid,
                epoch: Epoch(epoch),
                number,
                lap,
                salt,
                sealed,
                first_seq: Seq(seq),
            },
        )
}

fn record() -> impl Strategy<Value = RecordHeader> {
    let payload = prop_oneof![Just(1), Just(512), Just(4096), Just(4097), 1..200_000u32];
    (1..=12u8, any::<u64>(), any::<u32>(), payload).prop_map(|(kind, offset, length, payload)| {
        let kind = RecordKind::from_number(kind).expect("1 to 12 are kinds");
        let offset = offset >> 1;
        let (length, payload_bytes) = match kind {
            RecordKind::Write => (u64::from(payload), payload),
            RecordKind::Discard | RecordKind::WriteZeroes => (u64::from(length) + 1, 0),
            _ => (u64::from(length), payload % 9000),
        };
        RecordHeader {
            kind,
            seq: Seq(0),
            offset,
            length,
            payload_bytes,
        }
    })
}

/// A group of as many of some records as fit.
pub(crate) fn group() -> impl Strategy<Value = GroupHeader> {
    let numbers = (any::<(u64, u64, u64)>(), 0..1u64 << 40, 0..100u64);
    (vec(record(), 0..130), any::<bool>(), numbers).prop_map(|(all, sealed, numbers)| {
        let ((check, number, wall_ms), first, behind) = numbers;
        let mut records: Vec<RecordHeader> = Vec::new();
        let mut blocks = 0;
        let mut seq = first;
        for mut record in all {
            let more = blocks + record.payload_blocks() as usize;
            if fits(records.len() + 1, more, sealed) {
                record.seq = Seq(seq);
                seq += record.offset % 2;
                blocks = more;
                records.push(record);
            }
        }
        let words = (0..u32::try_from(blocks).expect("bounded by the capacity")).map(|block| {
            block.wrapping_mul(0x9e37_79b9) ^ u32::try_from(wall_ms >> 32).expect("32 bits")
        });
        let tag = |word: u32| {
            let bytes = word.to_le_bytes();
            std::array::from_fn(|place| bytes[place % 4])
        };
        GroupHeader {
            check,
            number,
            first_seq: Seq(first),
            last_seq: Seq(seq),
            durable: Seq(first.saturating_sub(behind)),
            wall_ms,
            payload_blocks: u32::try_from(blocks).expect("bounded by the capacity"),
            records,
            checksums: words.clone().collect(),
            tags: if sealed {
                words.map(tag).collect()
            } else {
                vec![]
            },
        }
    })
}
