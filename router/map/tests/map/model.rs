//! What a map should say, block by block, and updates to try it with.

use std::collections::BTreeMap;
use std::ops::Range;

use proptest::prelude::{Strategy, prop_oneof};
use vpool_format::checkpoint::MapRoot;
use vpool_format::map::{BLOCKS_MAX, ChunkAddress, Hint, Node};
use vpool_format::segment::Codec;
use vpool_format::{SegmentNo, Slot, StreamNo};
use vpool_map::memory::MemoryNodes;
use vpool_map::{Chunk, NodeSource, Pending, Piece, Target};

/// A block's chunk and place in it.
pub(crate) type Place = (ChunkAddress, u8);

/// Every mapped block of a disk.
pub(crate) type Blocks = BTreeMap<u64, Place>;

/// A chunk that no other update names.
pub(crate) fn chunk(id: u64, chunk_first: u8, chunk_blocks: u8) -> Chunk {
    let low = u16::try_from(id % 1000).unwrap();
    Chunk {
        address: ChunkAddress {
            stream: StreamNo(u32::from(low) % 3 + 1),
            segment: SegmentNo(id / 1000 + 1 + ((id % 2) << 40)),
            slot: Slot(low),
        },
        chunk_first,
        chunk_blocks,
        hint: Hint {
            offset: u32::try_from(id % 4_000_000_000).unwrap(),
            stored_bytes: u32::from(low) * 4 + 17,
            codec: if id.is_multiple_of(2) {
                Codec::Raw
            } else {
                Codec::Zstd
            },
        },
    }
}

/// One step of a history.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Writes a chunk's blocks, perhaps a part of them, perhaps in two updates.
    Write {
        start: u64,
        blocks: u8,
        chunk_first: u8,
        split: bool,
    },
    /// Writes what is there already (as a replay would), for up to 8 blocks.
    Again {
        start: u64,
    },
    Trim {
        start: u64,
        blocks: u64,
    },
}

/// Steps at the places that `starts` gives.
pub(crate) fn steps(
    starts: impl Strategy<Value = u64> + Clone,
    trim_max: u64,
) -> impl Strategy<Value = Step> {
    let write = (starts.clone(), 1..=8u8, 0..=7u8, 0..2u8).prop_map(
        |(start, blocks, chunk_first, split)| Step::Write {
            start,
            blocks: blocks.min(8 - chunk_first),
            chunk_first,
            split: split == 1,
        },
    );
    let again = starts.clone().prop_map(|start| Step::Again { start });
    let trim = (starts, 1..=trim_max).prop_map(|(start, blocks)| Step::Trim { start, blocks });
    prop_oneof![8 => write, 1 => again, 3 => trim]
}

/// Takes a step in a layer and in the model. `id` names the step.
pub(crate) fn take_step(step: &Step, id: u64, pending: &mut Pending, blocks: &mut Blocks) {
    match *step {
        Step::Write {
            start,
            blocks: count,
            chunk_first,
            split,
        } => {
            let end = (start + u64::from(count)).min(BLOCKS_MAX);
            let middle = if split {
                start + (end - start) / 2
            } else {
                end
            };
            for part in [start..middle, middle..end] {
                if part.is_empty() {
                    continue;
                }
                let skip = u8::try_from(part.start - start).unwrap();
                let chunk = chunk(id, chunk_first + skip, 8);
                let target = Target::Chunk(chunk);
                pending
                    .insert(part.start, part.end - part.start, target)
                    .unwrap();
                for (block, place) in part.zip(chunk.chunk_first..) {
                    blocks.insert(block, (chunk.address, place));
                }
            }
        }
        Step::Again { start } => {
            let there: Vec<_> = blocks.range(start..start + 8).collect();
            for (block, (address, place)) in there {
                let id = (address.segment.0 & 0xff_ffff_ffff) - 1;
                let chunk = chunk(id * 1000 + u64::from(address.slot.0), *place, 8);
                assert_eq!(chunk.address, *address);
                pending.insert(*block, 1, Target::Chunk(chunk)).unwrap();
            }
        }
        Step::Trim {
            start,
            blocks: count,
        } => {
            let end = (start + count).min(BLOCKS_MAX);
            pending.insert(start, end - start, Target::Hole).unwrap();
            let gone: Vec<u64> = blocks.range(start..end).map(|(block, _)| *block).collect();
            for block in gone {
                blocks.remove(&block);
            }
        }
    }
}

/// The pieces that a map with `blocks` gives for `range`: as long as they can be.
pub(crate) fn expected_pieces(
    blocks: &Blocks,
    range: Range<u64>,
) -> Vec<(u64, u64, Option<Place>)> {
    let mut pieces: Vec<(u64, u64, Option<Place>)> = Vec::new();
    let mut done = range.start;
    for (&block, &(address, place)) in blocks.range(range.clone()) {
        if block > done {
            pieces.push((done, block - done, None));
        }
        done = block + 1;
        if let Some((start, count, Some((last, first)))) = pieces.last_mut()
            && *last == address
            && *start + *count == block
            && u64::from(*first) + *count == u64::from(place)
        {
            *count += 1;
        } else {
            pieces.push((block, 1, Some((address, place))));
        }
    }
    if done < range.end {
        pieces.push((done, range.end - done, None));
    }
    pieces
}

/// Pieces in the model's terms.
pub(crate) fn plain(pieces: &[Piece]) -> Vec<(u64, u64, Option<Place>)> {
    let plain = pieces.iter().map(|piece| {
        let place = piece.target.map(|chunk| (chunk.address, chunk.chunk_first));
        (piece.start, piece.blocks, place)
    });
    plain.collect()
}

/// A node of a tree: level, number, address.
pub(crate) type NodeAt = (u8, u64, ChunkAddress);

/// All nodes of a tree, each checked: not empty, and leaves without two runs that are one.
pub(crate) fn nodes_of(nodes: &MemoryNodes, root: Option<&MapRoot>) -> Vec<NodeAt> {
    let mut found = Vec::new();
    let mut todo: Vec<(u8, u64, ChunkAddress, Hint)> = root
        .map(|root| (root.level, 0, root.address, root.hint))
        .into_iter()
        .collect();
    while let Some((level, number, address, hint)) = todo.pop() {
        let node = futures::executor::block_on(nodes.node(&address, &hint, level, number)).unwrap();
        assert_eq!((node.level(), node.number()), (level, number));
        found.push((level, number, address));
        match &*node {
            Node::Leaf { runs, .. } => {
                assert!(!runs.is_empty());
                for pair in runs.windows(2) {
                    let goes_on = pair[0].address == pair[1].address
                        && pair[0].first + pair[0].blocks == pair[1].first
                        && pair[0].chunk_first + pair[0].blocks == pair[1].chunk_first;
                    assert!(!goes_on, "two runs are one: {pair:?}");
                }
            }
            Node::Inner { children, .. } => {
                assert!(!children.is_empty());
                for child in children {
                    let below = number << 7 | u64::from(child.index);
                    todo.push((level - 1, below, child.address, child.hint));
                }
            }
        }
    }
    found.sort();
    found
}
