//! Any record of the bucket, and any name.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any};
use vpool_format::bucket::{Claim, Descriptor, PoolRecord, StreamRecord};
use vpool_format::names::Name;
use vpool_format::{DiskId, Epoch, Generation, GridId, PoolId, SegmentNo, StreamUid};

use super::{base, ids, settings};

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..100)
}

pub(crate) fn stream_record() -> impl Strategy<Value = StreamRecord> {
    (ids(), any::<u64>(), 1..=u64::MAX, base()).prop_map(
        |((pool, disk, uid), generation, epoch, base)| StreamRecord {
            pool,
            disk,
            generation: Generation(generation),
            epoch: Epoch(epoch),
            uid,
            base,
        },
    )
}

pub(crate) fn descriptor() -> impl Strategy<Value = Descriptor> {
    let numbers = (1..=u64::MAX, any::<(u64, u64, u64, bool)>());
    let parent = option::of(any::<(u128, [u8; 16])>());
    (
        ids(),
        numbers,
        ".{1,60}",
        parent,
        option::of(key()),
        settings(),
    )
        .prop_map(
            |((pool, disk, _), (number, numbers), name, parent, wrapped_key, settings)| {
                let (size, created_ms, wall_ms, deleted) = numbers;
                let parent = parent.map(|(disk, snapshot)| (DiskId(disk), snapshot));
                Descriptor {
                    pool,
                    disk,
                    number,
                    name,
                    size,
                    deleted,
                    parent,
                    wrapped_key,
                    created_ms,
                    wall_ms,
                    settings,
                }
            },
        )
}

pub(crate) fn claim() -> impl Strategy<Value = Claim> {
    let ids = any::<(u128, u128, u128, [u8; 16], u64)>();
    (ids, 1..=u64::MAX, ".{1,60}", key(), settings()).prop_map(
        |((grid, pool, nonce, key_check, created_ms), generation, name, key, settings)| Claim {
            grid: GridId(grid),
            generation: Generation(generation),
            pool: PoolId(pool),
            name,
            wrapped_pool_key: key,
            key_check,
            created_ms,
            settings,
            nonce,
        },
    )
}

pub(crate) fn pool_record() -> impl Strategy<Value = PoolRecord> {
    (
        any::<(u128, u64, u64)>(),
        1..=u64::MAX,
        ".{1,60}",
        key(),
        settings(),
    )
        .prop_map(
            |((pool, generation, wall_ms), number, name, key, settings)| PoolRecord {
                pool: PoolId(pool),
                number,
                generation: Generation(generation),
                name,
                wrapped_pool_key: key,
                settings,
                wall_ms,
            },
        )
}

pub(crate) fn name() -> impl Strategy<Value = Name> {
    (0..6u8, any::<(u128, u128, u64, u64)>()).prop_map(|(kind, (disk, uid, one, two))| {
        let (disk, uid, epoch) = (DiskId(disk), StreamUid(uid), Epoch(one));
        match kind {
            0 => Name::Claim {
                generation: Generation(one),
            },
            1 => Name::Pool { number: one },
            2 => Name::Descriptor { disk, number: one },
            3 => Name::Stream {
                disk,
                generation: Generation(two),
                epoch,
            },
            4 => Name::Segment {
                disk,
                epoch,
                uid,
                segment: SegmentNo(two),
            },
            _ => Name::Checkpoint {
                disk,
                epoch,
                uid,
                number: two,
            },
        }
    })
}
