//! What updates make of one leaf.
//!
//! Owns: the block-by-block comparison of before and after. Does not own: the updates' order
//! and overlap (`crate::pending`).

use std::ops::Range;

use vpool_format::map::{LEAF_BLOCKS, Run};

use crate::piece::{Chunk, Piece, Update};

const BLOCKS: usize = 128;
const _: () = assert!(BLOCKS as u64 == LEAF_BLOCKS);

/// A leaf block by block: runs are cut and joined by taking them apart and building them
/// again, which has no special cases.
pub(super) struct Leaf {
    /// The first block.
    start: u64,
    before: [Option<Chunk>; BLOCKS],
    after: [Option<Chunk>; BLOCKS],
}

impl Leaf {
    /// The leaf `number` as it is stored, or without runs if it is not.
    pub(super) fn new(number: u64, runs: &[Run]) -> Leaf {
        let mut before = [None; BLOCKS];
        for run in runs {
            let chunk = Chunk {
                address: run.address,
                chunk_first: run.chunk_first,
                chunk_blocks: run.chunk_blocks,
                hint: run.hint,
            };
            let first = usize::from(run.first);
            for skip in 0..run.blocks {
                before[first + usize::from(skip)] = Some(chunk.skip(u64::from(skip)));
            }
        }
        Leaf {
            start: number * LEAF_BLOCKS,
            before,
            after: before,
        }
    }

    /// The leaf's blocks.
    pub(super) fn range(&self) -> Range<u64> {
        self.start..self.start + LEAF_BLOCKS
    }

    /// Applies what of `update` lies in the leaf; some of it does.
    pub(super) fn apply(&mut self, update: &Update) {
        let update = update.clip(self.start, self.start + LEAF_BLOCKS);
        for skip in 0..update.blocks {
            let block = usize::try_from(update.start - self.start + skip)
                .expect("a block of the leaf is below 128");
            self.after[block] = update.target.skip(skip).chunk();
        }
    }

    /// Whether anything is not as it was.
    pub(super) fn changed(&self) -> bool {
        self.before != self.after
    }

    /// Blocks mapped now that were not, less those mapped before that are not.
    pub(super) fn mapped_delta(&self) -> i64 {
        let blocks = self.before.iter().zip(&self.after);
        blocks
            .map(|(before, after)| i64::from(after.is_some()) - i64::from(before.is_some()))
            .sum()
    }

    /// The blocks that were mapped and are no longer mapped there, in runs.
    pub(super) fn replaced(&self) -> Vec<Piece> {
        let blocks = self.before.iter().zip(&self.after);
        self.joined(blocks.map(|(before, after)| {
            before.filter(|before| !after.is_some_and(|after| after.same_block(before)))
        }))
    }

    /// The leaf's runs now.
    pub(super) fn runs(&self) -> Vec<Run> {
        let pieces = self.joined(self.after.iter().copied());
        let runs = pieces.iter().filter_map(|piece| {
            let chunk = piece.target?;
            Some(Run {
                first: in_leaf(piece.start - self.start),
                blocks: in_leaf(piece.blocks),
                address: chunk.address,
                chunk_first: chunk.chunk_first,
                chunk_blocks: chunk.chunk_blocks,
                hint: chunk.hint,
            })
        });
        runs.collect()
    }

    /// The blocks that have a chunk, in runs.
    fn joined(&self, blocks: impl Iterator<Item = Option<Chunk>>) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        for (start, target) in (self.start..).zip(blocks) {
            let piece = Piece {
                start,
                blocks: 1,
                target,
            };
            let joined =
                target.is_none() || pieces.last_mut().is_some_and(|last| last.join(&piece));
            if !joined {
                pieces.push(piece);
            }
        }
        pieces
    }
}

/// A place or length within a leaf.
fn in_leaf(blocks: u64) -> u8 {
    u8::try_from(blocks).expect("a leaf has 128 blocks")
}
