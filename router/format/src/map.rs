//! Nodes of the map: a radix tree, 128 ways at each level, from blocks to chunk addresses.
//!
//! Owns: a node's plain bytes. Does not own: their integrity (a node is sealed as a chunk), and
//! when nodes are merged and written (`vpool-engine`).
//!
//! A leaf (level 0) speaks for 128 blocks, a node of level `l` for 128^(l+1); node `number` of a
//! level speaks for the blocks from `number` × that. Blocks without a run, children that are
//! not there, read as zeroes.
//!
//! | offset | bytes | node |
//! | --- | --- | --- |
//! | 0 | 2 | magic `vM` |
//! | 2 | 1 | version, 1 |
//! | 3 | 1 | level |
//! | 4 | 2 | count of entries, at most 128 |
//! | 6 | 2 | zero |
//! | 8 | 8 | number |
//! | 16 + 24 i | 24 | entry `i` |
//!
//! | offset | bits | entry: a run of a leaf, a child of an inner node |
//! | --- | --- | --- |
//! | 0 | 32 | stream |
//! | 4 | 64 | segment |
//! | 12 | 16 | slot |
//! | 14 | 32 | hint: offset in the segment's first object |
//! | 18 | 17 | hint: stored bytes |
//! | | 2 | hint: codec |
//! | | 7 | first block in the leaf; child: its index |
//! | | 7 | blocks − 1; child: 0 |
//! | | 7 | the block of the chunk that the first block is; child: 0 |
//! | | 7 | blocks of the chunk − 1; child: 0 |
//! | | 1 | zero |

mod entry;

#[cfg(test)]
mod tests;

use crate::cursor::{Reader, Writer};
use crate::error::{FormatError, FormatErrorKind, Result, ensure};
use crate::ids::{SegmentNo, Slot, StreamNo};
use crate::segment::Codec;
use entry::Entry;
pub(crate) use entry::Entry as MapEntry;

pub use entry::ENTRY_BYTES;

/// The blocks that a leaf speaks for.
pub const LEAF_BLOCKS: u64 = 128;

/// The children that an inner node may have.
pub const FANOUT: u64 = 128;

/// The blocks of the largest vDisk: 4 PiB.
pub const BLOCKS_MAX: u64 = 1 << 40;

/// The level of the root of a map that speaks for [`BLOCKS_MAX`] blocks.
pub const LEVEL_MAX: u8 = 5;

const NODE_HEADER_BYTES: usize = 16;
const ENTRIES_MAX: usize = 128;

/// The size of the largest node.
pub const NODE_BYTES_MAX: usize = NODE_HEADER_BYTES + ENTRIES_MAX * ENTRY_BYTES;

const MAGIC: [u8; 2] = *b"vM";
const VERSION: u8 = 1;
const WHAT: &str = "map node";

// Places in a node have seven bits.
const _: () = assert!(LEAF_BLOCKS == 128 && FANOUT == 128 && ENTRIES_MAX == 128);
const _: () = assert!(1u64 << (7 * (LEVEL_MAX as u32 + 1)) >= BLOCKS_MAX);

/// Where a chunk is, for ever: rewriting segments does not change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkAddress {
    /// The stream, by its number in the checkpoint's stream table.
    pub stream: StreamNo,
    /// The segment in that stream.
    pub segment: SegmentNo,
    /// The slot in that segment.
    pub slot: Slot,
}

/// Where a chunk stands in the first object of its segment: saves reading the index, and is
/// verified by the chunk's tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hint {
    /// The offset in the object, in bytes.
    pub offset: u32,
    /// The size there in bytes, tag included; at most
    /// [`STORED_BYTES_MAX`](crate::segment::STORED_BYTES_MAX).
    pub stored_bytes: u32,
    /// How it is compressed.
    pub codec: Codec,
}

/// Blocks of a leaf that lie in one chunk, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first block, counted from the leaf's start, 0 to 127.
    pub first: u8,
    /// How many blocks, from 1.
    pub blocks: u8,
    /// The chunk.
    pub address: ChunkAddress,
    /// Which block of the chunk `first` is.
    pub chunk_first: u8,
    /// How many blocks the chunk has, 1 to
    /// [`CHUNK_BLOCKS_MAX`](crate::segment::CHUNK_BLOCKS_MAX).
    pub chunk_blocks: u8,
    /// Where the chunk stands.
    pub hint: Hint,
}

/// A child of an inner node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// Which of the 128.
    pub index: u8,
    /// The chunk that holds the node.
    pub address: ChunkAddress,
    /// Where that chunk stands.
    pub hint: Hint,
}

/// A node of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Level 0.
    Leaf {
        /// Its ordinal among the leaves: first block / 128.
        number: u64,
        /// What it maps, ascending, without overlap.
        runs: Vec<Run>,
    },
    /// Level 1 and up.
    Inner {
        /// Its level, 1 to [`LEVEL_MAX`].
        level: u8,
        /// Its ordinal in its level.
        number: u64,
        /// Its children, ascending.
        children: Vec<Child>,
    },
}

/// How many nodes a level has in the largest map.
pub const fn nodes_of_level(level: u8) -> u64 {
    if level > LEVEL_MAX {
        return 0;
    }
    BLOCKS_MAX.div_ceil(1 << (7 * (level as u32 + 1)))
}

impl Node {
    /// The node's level; a leaf has 0.
    pub const fn level(&self) -> u8 {
        match self {
            Node::Leaf { .. } => 0,
            Node::Inner { level, .. } => *level,
        }
    }

    /// The node's ordinal in its level.
    pub const fn number(&self) -> u64 {
        match self {
            Node::Leaf { number, .. } | Node::Inner { number, .. } => *number,
        }
    }

    fn entries(&self) -> Vec<Entry> {
        match self {
            Node::Leaf { runs, .. } => runs.iter().map(|run| Entry(*run)).collect(),
            Node::Inner { children, .. } => children.iter().map(Entry::of_child).collect(),
        }
    }

    fn check(&self, entries: &[Entry]) -> Result<()> {
        if let Node::Inner { level, .. } = self {
            ensure((1..=LEVEL_MAX).contains(level), "map node: level")?;
        }
        ensure(
            self.number() < nodes_of_level(self.level()),
            "map node: number",
        )?;
        let mut end = 0;
        for entry in entries {
            entry.check()?;
            ensure(u64::from(entry.0.first) >= end, "map node: order")?;
            end = u64::from(entry.0.first) + u64::from(entry.0.blocks);
        }
        ensure(end <= LEAF_BLOCKS, "map node: range")
    }

    /// The node's plain bytes, to be sealed as a chunk; at most [`NODE_BYTES_MAX`].
    ///
    /// # Panics
    /// If the node breaks an invariant that [`decode`](Self::decode) checks.
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.entries();
        assert_eq!(
            self.check(&entries),
            Ok(()),
            "merging keeps the nodes' invariants"
        );
        let mut to = Writer::with_capacity(NODE_HEADER_BYTES + entries.len() * ENTRY_BYTES);
        to.bytes(&MAGIC);
        to.u8(VERSION);
        to.u8(self.level());
        to.u16(u16::try_from(entries.len()).expect("disjoint entries are at most 128"));
        to.zeros(2);
        to.u64(self.number());
        for entry in &entries {
            entry.put(&mut to);
        }
        to.into_bytes()
    }

    /// Reads a node's plain bytes, after the chunk's seal was verified.
    ///
    /// # Errors
    /// `BadMagic`, `BadVersion`, `BadLength` or `BadValue`.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader::new(bytes, WHAT);
        if from.array()? != MAGIC {
            return Err(FormatError::new(FormatErrorKind::BadMagic, WHAT));
        }
        if from.u8()? != VERSION {
            return Err(FormatError::new(FormatErrorKind::BadVersion, WHAT));
        }
        let level = from.u8()?;
        let count = usize::from(from.u16()?);
        from.zeros(2)?;
        let number = from.u64()?;
        if bytes.len() != NODE_HEADER_BYTES + count * ENTRY_BYTES || bytes.len() > NODE_BYTES_MAX {
            return Err(FormatError::length(WHAT));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(Entry::take(&mut from)?);
        }
        from.finish()?;
        let node = if level == 0 {
            Node::Leaf {
                number,
                runs: entries.iter().map(|entry| entry.0).collect(),
            }
        } else {
            let children: Result<Vec<Child>> = entries.iter().map(Entry::child).collect();
            Node::Inner {
                level,
                number,
                children: children?,
            }
        };
        node.check(&entries)?;
        Ok(node)
    }
}
