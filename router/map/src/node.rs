//! Where nodes come from and go to, and what can be wrong with them.
//!
//! Owns: [`NodeSource`], [`NodeSink`], [`MapError`], and the check that a node is the one that
//! its parent means. Does not own: fetching, caching, verifying, sealing and shipping nodes,
//! which the implementers of the two traits do.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use vpool_format::checkpoint::MapRoot;
use vpool_format::map::{Child, ChunkAddress, Hint, Node};

use crate::limits::LEVEL_BITS;

/// Where nodes are read from. One source serves many lookups and merges at once.
pub trait NodeSource: Send + Sync {
    /// Why a node could not be had.
    type Error: Send;

    /// The node at `address`, if it is in memory.
    fn node_now(&self, address: &ChunkAddress, hint: &Hint) -> Option<Arc<Node>>;

    /// The node at `address`, from wherever it is, verified and decoded. `level` and `number`
    /// say which node its parent means by it; that it is so is checked by the caller too.
    ///
    /// # Errors
    /// As the implementer defines: it cannot be read, or what was read is not what was
    /// written.
    fn node(
        &self,
        address: &ChunkAddress,
        hint: &Hint,
        level: u8,
        number: u64,
    ) -> impl Future<Output = Result<Arc<Node>, Self::Error>> + Send;
}

/// Where a merge puts the nodes it makes.
pub trait NodeSink: Send {
    /// Why a node could not be put.
    type Error: Send;

    /// Takes one encoded node. The nodes of a level come in ascending order of their
    /// numbers, levels in ascending order.
    ///
    /// # Errors
    /// As the implementer defines; the merge is given up.
    fn put(
        &mut self,
        level: u8,
        number: u64,
        encoded: Vec<u8>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Settles where the nodes put since the last call are, and returns that in the order in
    /// which they were put. Called once at the end of each level that nodes were put for.
    ///
    /// # Errors
    /// As the implementer defines; the merge is given up.
    fn finish_level(
        &mut self,
    ) -> impl Future<Output = Result<Vec<(ChunkAddress, Hint)>, Self::Error>> + Send;
}

/// Why the tree could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError<E> {
    /// A node could not be had.
    #[error("read map node {number} of level {level} at {address:?}")]
    Read {
        /// The level its parent says it is of.
        level: u8,
        /// The number its parent says it has.
        number: u64,
        /// Where it should be.
        address: ChunkAddress,
        /// The source's error.
        source: E,
    },
    /// A node was read and decoded, but is not the one that its parent means: damage.
    #[error("map node {number} of level {level} at {address:?} is damaged: {what}")]
    Corrupt {
        /// The level its parent says it is of.
        level: u8,
        /// The number its parent says it has.
        number: u64,
        /// Where it is.
        address: ChunkAddress,
        /// What does not fit.
        what: &'static str,
    },
}

/// A node as its parent (or the checkpoint) names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeRef {
    pub(crate) level: u8,
    pub(crate) number: u64,
    pub(crate) address: ChunkAddress,
    pub(crate) hint: Hint,
}

/// How many blocks a node of `level` covers.
pub(crate) fn span(level: u8) -> u64 {
    1 << (LEVEL_BITS * (u32::from(level) + 1))
}

/// The lowest level whose node 0 covers all blocks below `end`.
pub(crate) fn level_for(end: u64) -> u8 {
    let mut level = 0;
    while span(level) < end {
        level += 1;
    }
    level
}

impl NodeRef {
    /// The root, as a checkpoint names it.
    pub(crate) fn root(root: &MapRoot) -> NodeRef {
        NodeRef {
            level: root.level,
            number: 0,
            address: root.address,
            hint: root.hint,
        }
    }

    /// A child of node `parent` of the level above `level`.
    pub(crate) fn child(level: u8, parent: u64, child: &Child) -> NodeRef {
        NodeRef {
            level,
            number: parent << LEVEL_BITS | u64::from(child.index),
            address: child.address,
            hint: child.hint,
        }
    }

    /// The blocks the node covers.
    pub(crate) fn range(&self) -> Range<u64> {
        let span = span(self.level);
        self.number * span..(self.number + 1) * span
    }

    /// The node, if it is in memory and the one that is meant.
    pub(crate) fn now<S: NodeSource>(&self, source: &S) -> Option<Arc<Node>> {
        let node = source.node_now(&self.address, &self.hint)?;
        self.is_place_of(&node).then_some(node)
    }

    /// The node, from wherever it is, checked to be the one that is meant.
    pub(crate) async fn fetch<S: NodeSource>(
        &self,
        source: &S,
    ) -> Result<Arc<Node>, MapError<S::Error>> {
        let NodeRef {
            level,
            number,
            address,
            ..
        } = *self;
        let node = source
            .node(&address, &self.hint, level, number)
            .await
            .map_err(|source| MapError::Read {
                level,
                number,
                address,
                source,
            })?;
        match self.fault(&node) {
            None => Ok(node),
            Some(what) => Err(MapError::Corrupt {
                level,
                number,
                address,
                what,
            }),
        }
    }

    /// What does not fit about `node`, if anything.
    fn fault(&self, node: &Node) -> Option<&'static str> {
        if !self.is_place_of(node) {
            return Some("it is another node");
        }
        let empty = match node {
            Node::Leaf { runs, .. } => runs.is_empty(),
            Node::Inner { children, .. } => children.is_empty(),
        };
        empty.then_some("it is empty")
    }

    /// Whether `node` has the level and number that are meant.
    fn is_place_of(&self, node: &Node) -> bool {
        node.level() == self.level && node.number() == self.number
    }
}
