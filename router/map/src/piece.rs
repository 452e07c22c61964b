//! What a run of blocks points to, and how such runs are cut and joined.
//!
//! Owns: [`Chunk`], [`Target`], [`Update`], [`Piece`]. Does not own: their layout in a node
//! (`vpool_format::map`) or in memory (`crate::pending`).

use vpool_format::map::{ChunkAddress, Hint};

/// A place in a chunk, from which a run of blocks goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The chunk.
    pub address: ChunkAddress,
    /// Which block of the chunk the run begins with, from 0.
    pub chunk_first: u8,
    /// How many blocks the chunk holds.
    pub chunk_blocks: u8,
    /// Where the chunk lay in the first object of its segment.
    pub hint: Hint,
}

impl Chunk {
    /// The same chunk, `blocks` further on. `blocks` is less than the run's length.
    pub(crate) fn skip(self, blocks: u64) -> Chunk {
        let blocks = u8::try_from(blocks).expect("a run is shorter than its chunk");
        Chunk {
            chunk_first: self.chunk_first + blocks,
            ..self
        }
    }

    /// Whether `next` goes on where a run of `blocks` blocks from here ends, so that both
    /// are one run.
    pub(crate) fn continued_by(&self, blocks: u64, next: &Chunk) -> bool {
        self.address == next.address
            && u64::from(self.chunk_first) + blocks == u64::from(next.chunk_first)
            && self.chunk_blocks == next.chunk_blocks
            && self.hint == next.hint
    }

    /// Whether both name the same block of the same chunk, whatever the hints say.
    pub(crate) fn same_block(&self, other: &Chunk) -> bool {
        self.address == other.address && self.chunk_first == other.chunk_first
    }
}

/// What an update says about its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// They are in this chunk, from this place on.
    Chunk(Chunk),
    /// They read as zeroes: older data is hidden.
    Hole,
}

impl Target {
    /// The same target, `blocks` further on.
    pub(crate) fn skip(self, blocks: u64) -> Target {
        match self {
            Target::Chunk(chunk) => Target::Chunk(chunk.skip(blocks)),
            Target::Hole => Target::Hole,
        }
    }

    /// The chunk, or `None` of a hole.
    pub fn chunk(&self) -> Option<Chunk> {
        match self {
            Target::Chunk(chunk) => Some(*chunk),
            Target::Hole => None,
        }
    }
}

/// A run of blocks and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    /// The first block.
    pub start: u64,
    /// How many blocks, at least 1.
    pub blocks: u64,
    /// Where they are now.
    pub target: Target,
}

impl Update {
    /// The block after the last.
    pub fn end(&self) -> u64 {
        self.start + self.blocks
    }

    /// What of the update lies in `[from, to)`; both touch it.
    pub(crate) fn clip(self, from: u64, to: u64) -> Update {
        let start = self.start.max(from);
        let end = self.end().min(to);
        Update {
            start,
            blocks: end - start,
            target: if start > self.start {
                self.target.skip(start - self.start)
            } else {
                self.target
            },
        }
    }
}

/// A run of blocks as the map answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The first block.
    pub start: u64,
    /// How many blocks, at least 1.
    pub blocks: u64,
    /// The chunk that holds them; `None` = never written, or given up: reads as zeroes.
    pub target: Option<Chunk>,
}

impl Piece {
    /// The block after the last.
    pub fn end(&self) -> u64 {
        self.start + self.blocks
    }

    /// Takes `next`, which begins where this one ends, into this one if both are one run.
    /// Returns whether it did.
    pub(crate) fn join(&mut self, next: &Piece) -> bool {
        let one = match (&self.target, &next.target) {
            (None, None) => true,
            (Some(chunk), Some(after)) => chunk.continued_by(self.blocks, after),
            _ => false,
        };
        if one && self.end() == next.start {
            self.blocks += next.blocks;
            return true;
        }
        false
    }
}
