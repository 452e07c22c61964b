//! What a merge makes unreferenced.
//!
//! Owns: [`Replaced`], and the expansion of a subtree that was dropped unread. Does not own:
//! births, dead lists and live bytes, which are made of this.
//!
//! A hole over a whole subtree is merged without reading the subtree, so that a trim of a
//! whole disk costs what the disk is deep, not what it is large. What was below is then
//! reported as one [`Subtree`]; [`expand`] turns it into blocks and nodes in the background,
//! and only then is known how many blocks were mapped below it. Refused: that count beside
//! each child, for which the 24 bytes of an entry have no room.

use futures::{StreamExt, TryStreamExt};
use vpool_format::map::{Child, ChunkAddress, Hint, LEAF_BLOCKS, Node, Run};

use crate::limits::LOOKUP_READS;
use crate::node::{MapError, NodeRef, NodeSource};
use crate::piece::{Chunk, Piece};

/// Something that the tree referenced before a merge and no longer references after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// Blocks of one chunk.
    Blocks {
        /// The block of the vDisk at which the first was.
        start: u64,
        /// How many blocks.
        blocks: u64,
        /// The chunk, and which of its blocks is the first.
        chunk: Chunk,
    },
    /// One node of the tree, without what is below it.
    Node {
        /// Its level, 0 = leaf.
        level: u8,
        /// Its number in the level.
        number: u64,
        /// The chunk it is.
        address: ChunkAddress,
        /// Where that lay.
        hint: Hint,
    },
    /// A node with all that is below it, not read.
    Subtree(Subtree),
}

/// A node with all that is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subtree {
    /// The node's level, 0 = leaf.
    pub level: u8,
    /// Its number in the level.
    pub number: u64,
    /// The chunk it is.
    pub address: ChunkAddress,
    /// Where that lay.
    pub hint: Hint,
}

impl Replaced {
    pub(crate) fn blocks(piece: &Piece) -> Option<Replaced> {
        piece.target.map(|chunk| Replaced::Blocks {
            start: piece.start,
            blocks: piece.blocks,
            chunk,
        })
    }

    pub(crate) fn node(node: &NodeRef) -> Replaced {
        Replaced::Node {
            level: node.level,
            number: node.number,
            address: node.address,
            hint: node.hint,
        }
    }
}

impl Subtree {
    pub(crate) fn of_child(level: u8, parent: u64, child: &Child) -> Subtree {
        let node = NodeRef::child(level, parent, child);
        Subtree {
            level,
            number: node.number,
            address: node.address,
            hint: node.hint,
        }
    }

    fn node(&self) -> NodeRef {
        NodeRef {
            level: self.level,
            number: self.number,
            address: self.address,
            hint: self.hint,
        }
    }

    /// Reads the subtree's node and reports it and what it refers to: blocks, or the subtrees
    /// one level below. One step of [`expand`], for a list that keeps its own place.
    ///
    /// # Errors
    /// The node could not be read or is damaged; nothing was reported.
    pub async fn open<S: NodeSource>(
        &self,
        source: &S,
        replaced: &mut (dyn FnMut(Replaced) + Send),
    ) -> Result<(), MapError<S::Error>> {
        let node = self.node().fetch(source).await?;
        self.report(&node, replaced);
        Ok(())
    }

    fn report(&self, node: &Node, replaced: &mut (dyn FnMut(Replaced) + Send)) {
        replaced(Replaced::node(&self.node()));
        match node {
            Node::Leaf { number, runs } => {
                for run in runs {
                    replaced(blocks_of(*number, run));
                }
            }
            Node::Inner {
                level,
                number,
                children,
            } => {
                for child in children {
                    replaced(Replaced::Subtree(Subtree::of_child(
                        level - 1,
                        *number,
                        child,
                    )));
                }
            }
        }
    }
}

fn blocks_of(leaf: u64, run: &Run) -> Replaced {
    Replaced::Blocks {
        start: leaf * LEAF_BLOCKS + u64::from(run.first),
        blocks: u64::from(run.blocks),
        chunk: Chunk {
            address: run.address,
            chunk_first: run.chunk_first,
            chunk_blocks: run.chunk_blocks,
            hint: run.hint,
        },
    }
}

/// Reports all nodes and blocks of a subtree, and no [`Replaced::Subtree`]. Siblings are read
/// together, [`LOOKUP_READS`] at a time; memory is bounded by the depth.
///
/// # Errors
/// A node could not be read or is damaged; what was reported until then is right, but what is
/// missing is not known: begin again.
pub async fn expand<S: NodeSource>(
    source: &S,
    subtree: Subtree,
    replaced: &mut (dyn FnMut(Replaced) + Send),
) -> Result<(), MapError<S::Error>> {
    // Depth first, so that no more than the siblings of one path wait: lowest last.
    let mut todo = vec![subtree];
    while let Some(last) = todo.last() {
        let level = last.level;
        let siblings = todo.iter().rev().take(LOOKUP_READS);
        let count = siblings.take_while(|next| next.level == level).count();
        let mut wave = todo.split_off(todo.len() - count);
        wave.reverse();
        let nodes = futures::stream::iter(wave)
            .map(|next| async move { Ok((next, next.node().fetch(source).await?)) })
            .buffered(LOOKUP_READS)
            .try_collect::<Vec<_>>()
            .await?;
        let below = todo.len();
        for (next, node) in nodes {
            next.report(&node, &mut |part| match part {
                Replaced::Subtree(subtree) => todo.push(subtree),
                part => replaced(part),
            });
        }
        todo[below..].reverse();
    }
    Ok(())
}
