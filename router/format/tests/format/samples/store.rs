//! Samples of segments, map nodes and checkpoints.

use vpool_format::checkpoint::{Checkpoint, MapRoot, StreamEntry};
use vpool_format::map::{Child, ChunkAddress, Hint, Node, Run};
use vpool_format::segment::{
    Codec, Content, IndexEntry, IndexPage, SegmentHeader, SubCut, Trailer,
};
use vpool_format::{
    BranchId, DiskId, Epoch, Generation, PoolId, SegmentNo, Seq, Slot, StreamNo, StreamUid,
};

use super::{Guard, Sample, base, mac, salt, sample};

pub(super) fn all() -> Vec<Sample> {
    let cuts = cuts();
    let trailer = trailer(cuts.len());
    let object_bytes = trailer.object_bytes;
    vec![
        sample(
            "segment-header",
            Guard::Mac,
            segment_header(),
            |value| value.encode(&mac),
            |bytes| SegmentHeader::decode(bytes, &mac),
        ),
        sample(
            "index-page",
            Guard::None,
            index_page(),
            IndexPage::encode,
            IndexPage::decode,
        ),
        sample(
            "trailer",
            Guard::Mac,
            (trailer, cuts),
            |(trailer, cuts)| trailer.encode(cuts, &mac),
            move |bytes| Trailer::decode_tail(bytes, object_bytes, &mac),
        ),
        sample("map-leaf", Guard::None, leaf(), Node::encode, Node::decode),
        sample(
            "map-inner",
            Guard::None,
            inner(),
            Node::encode,
            Node::decode,
        ),
        sample(
            "checkpoint",
            Guard::Mac,
            checkpoint(),
            |value| value.encode(&mac),
            |bytes| Checkpoint::decode(bytes, &mac),
        ),
    ]
}

fn segment_header() -> SegmentHeader {
    SegmentHeader {
        pool: PoolId(1),
        disk: DiskId(2),
        uid: StreamUid(3),
        epoch: Epoch(4),
        generation: Generation(5),
        segment: SegmentNo(6),
        part: 1,
        parts: 3,
        base: base(),
        checkpoint: 7,
        frontier: (SegmentNo(4), Seq(8)),
        first_seq: Seq(9),
        last_seq: Seq(10),
        wall_ms: 1_700_000_000_001,
        sealed: true,
        key: 11,
        part_salt: salt(0x10),
        object_salt: salt(0x40),
    }
}

fn index_page() -> IndexPage {
    let data = |block, blocks, stored_bytes, codec| IndexEntry {
        block,
        blocks,
        content: Content::Data,
        codec,
        stored_bytes,
        content_id: [0xe0; 16],
    };
    let hole = |content, block, blocks| IndexEntry {
        block,
        blocks,
        content,
        codec: Codec::Raw,
        stored_bytes: 0,
        content_id: [0; 16],
    };
    let node = IndexEntry {
        block: 0,
        blocks: 1,
        content: Content::MapNode,
        codec: Codec::Zstd,
        stored_bytes: 700,
        content_id: [0; 16],
    };
    IndexPage {
        first_slot: 128,
        first_position: 0x1234_5678,
        entries: vec![
            data(0, 8, 32768 + 16, Codec::Raw),
            data((1 << 40) - 1, 1, 1, Codec::Zstd),
            hole(Content::Zero, 100, 1),
            hole(Content::Discard, 0, 1 << 40),
            node,
        ],
    }
}

fn cuts() -> Vec<SubCut> {
    let cut = |first_slot, slots, last_seq, mark| SubCut {
        first_slot,
        slots,
        last_seq: Seq(last_seq),
        wall_ms: 1_700_000_000_002,
        mark: [mark; 16],
    };
    vec![cut(0, 60, 9, 0), cut(60, 0, 9, 0xaa), cut(60, 5, 10, 0)]
}

fn trailer(cuts: usize) -> Trailer {
    Trailer {
        uid: StreamUid(3),
        segment: SegmentNo(6),
        first_seq: Seq(9),
        last_seq: Seq(10),
        sealed: true,
        header_bytes: 500,
        index_offset: 0x10_0000,
        slot_count: 66,
        object_bytes: Trailer::object_bytes_of(0x10_0000, 66, cuts),
        object_salt: salt(0x40),
        part_salt: salt(0x10),
    }
}

fn address(number: u16) -> ChunkAddress {
    ChunkAddress {
        stream: StreamNo(0x0a0b_0c00 + u32::from(number)),
        segment: SegmentNo(0x1000 + u64::from(number)),
        slot: Slot(0x2000 + number),
    }
}

fn hint(offset: u32) -> Hint {
    Hint {
        offset,
        stored_bytes: 1 + offset % 0x8000,
        codec: Codec::Zstd,
    }
}

fn leaf() -> Node {
    let run = |first, blocks, chunk_first, chunk_blocks| Run {
        first,
        blocks,
        address: address(u16::from(first)),
        chunk_first,
        chunk_blocks,
        hint: hint(0x30_0000 + u32::from(first)),
    };
    let runs = vec![
        run(0, 8, 0, 8),
        run(8, 1, 3, 4),
        run(9, 2, 0, 5),
        run(127, 1, 7, 8),
    ];
    Node::Leaf {
        number: (1 << 33) - 1,
        runs,
    }
}

fn inner() -> Node {
    let child = |index: u8| Child {
        index,
        address: address(u16::from(index)),
        hint: hint(u32::from(index)),
    };
    Node::Inner {
        level: 2,
        number: 0x7_ffff,
        children: vec![child(0), child(1), child(127)],
    }
}

fn checkpoint() -> Checkpoint {
    let root = |level, number| MapRoot {
        level,
        address: address(number),
        hint: hint(9),
    };
    let stream = |number: u32, end| StreamEntry {
        number: StreamNo(number),
        disk: DiskId(0x60),
        uid: StreamUid(0x61 + u128::from(number)),
        epoch: Epoch(0x62),
        generation: Generation(0x63),
        end,
    };
    Checkpoint {
        pool: PoolId(1),
        disk: DiskId(2),
        uid: StreamUid(3),
        epoch: Epoch(4),
        number: 5,
        branch: BranchId(6),
        size: 7 << 30,
        root: Some(root(2, 1)),
        frontier: (SegmentNo(8), Seq(9)),
        merged: (SegmentNo(7), Seq(6)),
        mapped_blocks: 10,
        stored_bytes: 11,
        wall_ms: 1_700_000_000_004,
        streams: vec![stream(0, Some((SegmentNo(12), Seq(13)))), stream(7, None)],
        segment_table: Some(root(0, 2)),
        dead_lists: None,
        snapshots: Some(root(1, 3)),
        settings: b"settings".to_vec(),
    }
}
