//! Tests of checkpoints: what may not be published.

use super::{Checkpoint, MapRoot, SETTINGS_BYTES_MAX, StreamEntry};
use crate::ids::{
    BranchId, DiskId, Epoch, Generation, PoolId, SegmentNo, Seq, Slot, StreamNo, StreamUid,
};
use crate::map::{ChunkAddress, Hint, LEVEL_MAX};
use crate::segment::Codec;

fn checkpoint() -> Checkpoint {
    Checkpoint {
        pool: PoolId(1),
        disk: DiskId(2),
        uid: StreamUid(3),
        epoch: Epoch(4),
        number: 1,
        branch: BranchId(0),
        size: 4096,
        root: Some(root(LEVEL_MAX, 1)),
        frontier: (SegmentNo(8), Seq(90)),
        merged: (SegmentNo(8), Seq(90)),
        mapped_blocks: 1,
        stored_bytes: 1,
        wall_ms: 0,
        streams: vec![stream(0), stream(1)],
        segment_table: None,
        dead_lists: None,
        snapshots: None,
        settings: vec![0; SETTINGS_BYTES_MAX],
    }
}

fn root(level: u8, segment: u64) -> MapRoot {
    let (stream, segment) = (StreamNo(0), SegmentNo(segment));
    MapRoot {
        level,
        address: ChunkAddress {
            stream,
            segment,
            slot: Slot(0),
        },
        hint: Hint {
            offset: 0,
            stored_bytes: 100,
            codec: Codec::Raw,
        },
    }
}

fn stream(number: u32) -> StreamEntry {
    StreamEntry {
        number: StreamNo(number),
        disk: DiskId(2),
        uid: StreamUid(3),
        epoch: Epoch(4),
        generation: Generation(1),
        end: None,
    }
}

#[test]
fn broken_checkpoints_are_not_published() {
    assert_eq!(checkpoint().check(), Ok(()));
    for (what, broken) in [
        (
            "number",
            Checkpoint {
                number: 0,
                ..checkpoint()
            },
        ),
        (
            "merged segment",
            Checkpoint {
                merged: (SegmentNo(9), Seq(90)),
                ..checkpoint()
            },
        ),
        (
            "merged sequence",
            Checkpoint {
                merged: (SegmentNo(8), Seq(91)),
                ..checkpoint()
            },
        ),
        (
            "level",
            Checkpoint {
                root: Some(root(LEVEL_MAX + 1, 1)),
                ..checkpoint()
            },
        ),
        (
            "no segment",
            Checkpoint {
                snapshots: Some(root(0, 0)),
                ..checkpoint()
            },
        ),
        (
            "stream twice",
            Checkpoint {
                streams: vec![stream(1), stream(1)],
                ..checkpoint()
            },
        ),
        (
            "descending",
            Checkpoint {
                streams: vec![stream(1), stream(0)],
                ..checkpoint()
            },
        ),
        (
            "settings",
            Checkpoint {
                settings: vec![0; SETTINGS_BYTES_MAX + 1],
                ..checkpoint()
            },
        ),
    ] {
        assert!(broken.check().is_err(), "{what}");
    }
}
