//! Tests of names: their spelling, and that nothing else is taken for one.

use super::{NAME_BYTES_MAX, Name};
use crate::ids::{DiskId, Epoch, Generation, SegmentNo, StreamUid};

fn names() -> Vec<(Name, &'static str)> {
    let (disk, epoch, uid) = (DiskId(0xd), Epoch(0xe), StreamUid(u128::MAX));
    vec![
        (
            Name::Claim {
                generation: Generation(1),
            },
            "claim/0000000000000001",
        ),
        (Name::Pool { number: 0xabc }, "pool/0000000000000abc"),
        (
            Name::Descriptor { disk, number: 2 },
            "disk/0000000000000000000000000000000d/descriptor/0000000000000002",
        ),
        (
            Name::Stream {
                disk,
                generation: Generation(3),
                epoch,
            },
            "disk/0000000000000000000000000000000d/stream/0000000000000003-000000000000000e",
        ),
        (
            Name::Segment {
                disk,
                epoch,
                uid,
                segment: SegmentNo(u64::MAX),
            },
            "disk/0000000000000000000000000000000d/000000000000000e-ffffffffffffffffffffffffffffffff/segment/ffffffffffffffff",
        ),
        (
            Name::Checkpoint {
                disk,
                epoch,
                uid,
                number: 4,
            },
            "disk/0000000000000000000000000000000d/000000000000000e-ffffffffffffffffffffffffffffffff/checkpoint/0000000000000004",
        ),
    ]
}

/// Names in existing buckets must stay what they are.
#[test]
fn spelling() {
    for (name, expect) in names() {
        assert_eq!(name.to_string(), expect);
        assert_eq!(Name::parse(expect), Some(name));
        assert!(expect.len() <= NAME_BYTES_MAX);
    }
}

#[test]
fn prefixes_cover_their_names() {
    let (disk, epoch, uid) = (DiskId(0xd), Epoch(0xe), StreamUid(u128::MAX));
    let of_disk = Name::of_disk(disk);
    for (name, spelt) in names() {
        let prefix = match name {
            Name::Claim { .. } => Name::CLAIMS.to_owned(),
            Name::Pool { .. } => Name::POOLS.to_owned(),
            Name::Descriptor { .. } => Name::descriptors(disk),
            Name::Stream { .. } => Name::streams(disk),
            Name::Segment { .. } => Name::segments(disk, epoch, uid),
            Name::Checkpoint { .. } => Name::checkpoints(disk, epoch, uid),
        };
        assert!(spelt.starts_with(&prefix), "{spelt} under {prefix}");
        assert_eq!(
            prefix.starts_with(Name::DISKS),
            prefix.starts_with(&of_disk)
        );
    }
}

#[test]
fn what_is_not_written_is_not_read() {
    for foreign in [
        "",
        "/",
        "claim",
        "claim/",
        "claim/1",
        "claim/000000000000000A",
        "claim/+000000000000001",
        "claim/0000000000000001/",
        "claim//0000000000000001",
        "/claim/0000000000000001",
        "pool/00000000000000010",
        "disk/d/descriptor/0000000000000002",
        "disk/0000000000000000000000000000000d",
        "disk/0000000000000000000000000000000d/descriptor",
        "disk/0000000000000000000000000000000d/descriptor/0000000000000002/0",
        "disk/0000000000000000000000000000000d/stream/0000000000000003",
        "disk/0000000000000000000000000000000d/segment/0000000000000003",
        "disk/0000000000000000000000000000000d/000000000000000e-ffffffffffffffffffffffffffffffff/other/0000000000000004",
        "disk/0000000000000000000000000000000d/000000000000000e-ffffffffffffffffffffffffffffffff/segment/0000000000000004/x",
        "disk/00000000000000000000000000000é0/descriptor/0000000000000002",
    ] {
        assert_eq!(Name::parse(foreign), None, "{foreign}");
    }
}
