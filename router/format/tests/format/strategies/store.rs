//! Any segment, map node and checkpoint.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::strategy::Just;
use vpool_format::checkpoint::{Checkpoint, MapRoot, StreamEntry};
use vpool_format::map::{Child, ChunkAddress, Hint, Node, Run, nodes_of_level};
use vpool_format::segment::{
    Codec, Content, IndexEntry, IndexPage, SegmentHeader, SubCut, Trailer,
};
use vpool_format::{
    BranchId, DiskId, Epoch, Generation, SegmentNo, Seq, Slot, StreamNo, StreamUid,
};

use super::{base, ids, sequences, settings};

pub(crate) fn segment_header() -> impl Strategy<Value = SegmentHeader> {
    let place = (any::<(u64, u64, u32)>(), 1..u64::MAX, 1..u16::MAX);
    let log = (any::<(u64, u64, u64, u64)>(), sequences(false));
    (
        ids(),
        base(),
        place,
        log,
        any::<(u16, bool)>(),
        any::<[[u8; 32]; 2]>(),
    )
        .prop_map(
            |((pool, disk, uid), base, place, log, (part, sealed), [part_salt, object_salt])| {
                let ((epoch, generation, key), segment, parts) = place;
                let ((checkpoint, frontier, shipped, wall_ms), (first_seq, last_seq)) = log;
                SegmentHeader {
                    pool,
                    disk,
                    uid,
                    epoch: Epoch(epoch),
                    generation: Generation(generation),
                    segment: SegmentNo(segment),
                    part: part % parts,
                    parts,
                    base,
                    checkpoint,
                    frontier: (SegmentNo(frontier % segment), Seq(shipped.min(last_seq.0))),
                    first_seq,
                    last_seq,
                    wall_ms,
                    sealed,
                    key,
                    part_salt,
                    object_salt,
                }
            },
        )
}

fn codec() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::Raw), Just(Codec::Zstd)]
}

fn index_entry() -> impl Strategy<Value = IndexEntry> {
    let block = 0..(1u64 << 40) - 8;
    let data = (block, 1..=8u64, codec(), 1..1u32 << 17, any::<[u8; 16]>()).prop_map(
        |(block, blocks, codec, stored_bytes, content_id)| {
            let content = Content::Data;
            IndexEntry {
                block,
                blocks,
                content,
                codec,
                stored_bytes,
                content_id,
            }
        },
    );
    let node = (codec(), 1..1u32 << 17).prop_map(|(codec, stored_bytes)| IndexEntry {
        block: 0,
        blocks: 1,
        content: Content::MapNode,
        codec,
        stored_bytes,
        content_id: [0; 16],
    });
    let hole =
        (0..1u64 << 40, any::<u64>(), any::<bool>()).prop_map(|(block, length, zero)| IndexEntry {
            block,
            blocks: 1 + length % ((1 << 40) - block),
            content: if zero {
                Content::Zero
            } else {
                Content::Discard
            },
            codec: Codec::Raw,
            stored_bytes: 0,
            content_id: [0; 16],
        });
    prop_oneof![data, node, hole]
}

pub(crate) fn index_page() -> impl Strategy<Value = IndexPage> {
    (0..1023u16, 0..=1u64 << 30, vec(index_entry(), 1..=64)).prop_map(
        |(page, first_position, entries)| IndexPage {
            first_slot: page * 64,
            first_position,
            entries,
        },
    )
}

pub(crate) fn trailer() -> impl Strategy<Value = (Trailer, Vec<SubCut>)> {
    let cut = (
        0..9u16,
        0..300u32,
        0..1000u64,
        any::<u64>(),
        any::<[u8; 16]>(),
    );
    let fields = (any::<(u128, u32, bool)>(), 1..u64::MAX, 0..1u64 << 29);
    (vec(cut, 0..100), fields, 0..1000u32, any::<[[u8; 32]; 2]>()).prop_map(
        |(steps, ((uid, header_bytes, sealed), segment, index_offset), more, salts)| {
            let (mut slot_count, mut seq) = (0, 0);
            let mut cuts = Vec::new();
            for (gap, slots, moved, wall_ms, mark) in steps {
                let first_slot = u16::try_from(slot_count + u32::from(gap)).expect("few cuts");
                slot_count = u32::from(first_slot) + slots;
                seq += moved;
                cuts.push(SubCut {
                    first_slot,
                    slots,
                    last_seq: Seq(seq),
                    wall_ms,
                    mark,
                });
            }
            let slot_count = slot_count + more;
            let trailer = Trailer {
                uid: StreamUid(uid),
                segment: SegmentNo(segment),
                first_seq: Seq(seq / 2),
                last_seq: Seq(seq),
                sealed,
                header_bytes: u32::try_from(u64::from(header_bytes) % (index_offset + 1))
                    .expect("below 2^29"),
                index_offset,
                slot_count,
                object_bytes: Trailer::object_bytes_of(index_offset, slot_count, cuts.len()),
                object_salt: salts[0],
                part_salt: salts[1],
            };
            (trailer, cuts)
        },
    )
}

fn address_and_hint() -> impl Strategy<Value = (ChunkAddress, Hint)> {
    (
        any::<(u32, u16, u32)>(),
        1..=u64::MAX,
        1..1u32 << 17,
        codec(),
    )
        .prop_map(|((stream, slot, offset), segment, stored_bytes, codec)| {
            let (stream, segment) = (StreamNo(stream), SegmentNo(segment));
            let address = ChunkAddress {
                stream,
                segment,
                slot: Slot(slot),
            };
            (
                address,
                Hint {
                    offset,
                    stored_bytes,
                    codec,
                },
            )
        })
}

pub(crate) fn leaf() -> impl Strategy<Value = Node> {
    let run = (0..4u8, 1..=8u8, 0..8u8, 1..=8u8, address_and_hint());
    (0..nodes_of_level(0), vec(run, 0..=128)).prop_map(|(number, all)| {
        let mut runs = Vec::new();
        let mut next = 0;
        for (gap, blocks, chunk_first, chunk_blocks, (address, hint)) in all {
            let chunk_first = chunk_first % chunk_blocks;
            let blocks = blocks.min(chunk_blocks - chunk_first);
            let first = next + gap;
            if first + blocks > 128 {
                break;
            }
            next = first + blocks;
            runs.push(Run {
                first,
                blocks,
                address,
                chunk_first,
                chunk_blocks,
                hint,
            });
        }
        Node::Leaf { number, runs }
    })
}

pub(crate) fn inner() -> impl Strategy<Value = Node> {
    let children = proptest::collection::btree_map(0..128u8, address_and_hint(), 0..=128);
    (1..=5u8, any::<u64>(), children).prop_map(|(level, number, children)| Node::Inner {
        level,
        number: number % nodes_of_level(level),
        children: children
            .into_iter()
            .map(|(index, (address, hint))| Child {
                index,
                address,
                hint,
            })
            .collect(),
    })
}

fn root() -> impl Strategy<Value = Option<MapRoot>> {
    let root = (0..=5u8, address_and_hint()).prop_map(|(level, (address, hint))| MapRoot {
        level,
        address,
        hint,
    });
    option::of(root)
}

pub(crate) fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    let stream = (
        any::<(u128, u128, u64, u64)>(),
        option::of(any::<(u64, u64)>()),
    );
    let streams = proptest::collection::btree_map(any::<u32>(), stream, 0..20).prop_map(|all| {
        let entry = |(number, ((disk, uid, epoch, generation), end))| StreamEntry {
            number: StreamNo(number),
            disk: DiskId(disk),
            uid: StreamUid(uid),
            epoch: Epoch(epoch),
            generation: Generation(generation),
            end: Option::map(end, |(segment, seq)| (SegmentNo(segment), Seq(seq))),
        };
        all.into_iter().map(entry).collect()
    });
    let numbers = (
        any::<(u64, u32, u64, u64, u64)>(),
        1..=u64::MAX,
        any::<(u64, u64, u64)>(),
    );
    (
        ids(),
        numbers,
        [root(), root(), root(), root()],
        streams,
        settings(),
    )
        .prop_map(|((pool, disk, uid), numbers, roots, streams, settings)| {
            let ((epoch, branch, size, mapped, stored), number, (segment, seq, wall_ms)) = numbers;
            let [root, segment_table, dead_lists, snapshots] = roots;
            Checkpoint {
                pool,
                disk,
                uid,
                epoch: Epoch(epoch),
                number,
                branch: BranchId(branch),
                size,
                root,
                frontier: (SegmentNo(segment), Seq(seq)),
                merged: (SegmentNo(segment / 2), Seq(seq - seq / 3)),
                mapped_blocks: mapped,
                stored_bytes: stored,
                wall_ms,
                streams,
                segment_table,
                dead_lists,
                snapshots,
                settings,
            }
        })
}
