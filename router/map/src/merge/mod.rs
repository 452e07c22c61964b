//! The merge of a frozen layer into the tree.
//!
//! Owns: the order of the two walks, how nodes are read, and what a merge comes to.
//! Does not own: when to merge, and publishing the new root.
//!
//! ```text
//!   down, to find what is touched:  root ─▶ … ─▶ level 1          (`plan`)
//!   up, to write it anew:           leaves, finish_level; level 1, finish_level; … root (`ascent`)
//! ```
//!
//! Two walks, because a node can be encoded only when the places of its children are settled,
//! and these are when their segments are sealed: level by level. A level is worked on in
//! windows of [`crate::limits::MERGE_WINDOW`] nodes; while one window is put, the next is read. Reads and
//! puts are polled together, so that a source and a sink that share a bound on requests in
//! flight cannot wait for each other.
//!
//! Memory: 32 bytes for each node touched, two windows of decoded nodes, and
//! [`MERGE_KEPT_BYTES`] of inner nodes. Each leaf touched is read once at most, each inner
//! node once, or twice if it was not kept.

mod ascent;
mod leaf;
mod plan;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use vpool_format::checkpoint::MapRoot;
use vpool_format::map::Node;

use crate::limits::{MERGE_KEPT_BYTES, MERGE_READS};
use crate::node::{MapError, NodeRef, NodeSink, NodeSource};
use crate::pending::Pending;
use crate::replaced::Replaced;
use ascent::Ascent;
use plan::{Plan, State, Touched};

/// What a merge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Merged {
    /// The new root; `None` = nothing is mapped any more.
    pub root: Option<MapRoot>,
    /// Blocks mapped now that were not, less those that were and are not any more; but for
    /// the blocks below each [`Replaced::Subtree`] reported, which were not counted: the one
    /// who expands it subtracts them.
    pub mapped_delta: i64,
    /// Nodes read.
    pub nodes_read: u64,
    /// Nodes put.
    pub nodes_put: u64,
    /// Encoded bytes of the nodes put.
    pub bytes_put: u64,
}

/// Why a merge was given up. What it put is referenced by nothing, and what it reported as
/// replaced still is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError<S, K> {
    /// The old tree could not be read.
    #[error(transparent)]
    Map(#[from] MapError<S>),
    /// A node could not be put.
    #[error("put map node {number} of level {level}")]
    Put {
        /// Its level.
        level: u8,
        /// Its number.
        number: u64,
        /// The sink's error.
        source: K,
    },
    /// The nodes of a level could not be settled.
    #[error("finish level {level} of the map")]
    Finish {
        /// The level.
        level: u8,
        /// The sink's error.
        source: K,
    },
}

/// Merges `pending` into the tree under `root`: writes all nodes that change to `sink`, and
/// reports to `replaced` all that the new tree no longer references.
///
/// A block is reported as replaced where its mapping changes to another block of a chunk or
/// to none; a node, where it is written anew or is not there any more. Subtrees dropped under
/// a hole come first, then the rest level by level, ascending. If the merge fails, what was
/// reported is void.
///
/// # Errors
/// The old tree could not be read, or a node not be put. The old tree is as it was.
pub async fn merge<S: NodeSource, K: NodeSink>(
    root: Option<MapRoot>,
    pending: &Pending,
    source: &S,
    sink: &mut K,
    replaced: &mut (dyn FnMut(Replaced) + Send),
) -> Result<Merged, MergeError<S::Error, K::Error>> {
    merge_keeping(MERGE_KEPT_BYTES, root, pending, source, sink, replaced).await
}

/// [`merge`], keeping so many bytes of inner nodes between the two walks.
async fn merge_keeping<S: NodeSource, K: NodeSink>(
    kept_bytes_max: usize,
    root: Option<MapRoot>,
    pending: &Pending,
    source: &S,
    sink: &mut K,
    replaced: &mut (dyn FnMut(Replaced) + Send),
) -> Result<Merged, MergeError<S::Error, K::Error>> {
    let nothing_mapped = root.is_none() && pending.chunk_end() == 0;
    if pending.is_empty() || nothing_mapped {
        return Ok(Merged {
            root,
            ..Merged::default()
        });
    }
    let mut plan = Plan::new(root, pending, kept_bytes_max);
    plan.descend(pending, source, replaced).await?;
    let mut ascent = Ascent::new(&plan, sink, replaced);
    ascent.write(plan, pending, source).await?;
    Ok(ascent.merged)
}

/// An index into the levels as a level.
fn level_of(index: usize) -> u8 {
    u8::try_from(index).expect("a tree is a few levels deep")
}

/// How a node touched is had.
enum Want {
    /// It is not stored, or not needed.
    Nothing,
    /// It was kept.
    Kept(Arc<Node>),
    /// It has to be read.
    Read(NodeRef),
}

/// The stored ones among `touched`: those at the front of `kept` from there, the others read,
/// [`MERGE_READS`] at a time.
async fn read_nodes<S: NodeSource>(
    source: &S,
    level: u8,
    touched: &[Touched],
    kept: &mut VecDeque<(u64, Arc<Node>)>,
) -> Result<Vec<Option<Arc<Node>>>, MapError<S::Error>> {
    let wants = touched.iter().map(|touched| {
        match kept.pop_front_if(|(number, _)| *number == touched.number) {
            Some((_, node)) => Want::Kept(node),
            None if touched.state() == State::Stored => Want::Read(touched.node(level)),
            None => Want::Nothing,
        }
    });
    let wants: Vec<Want> = wants.collect();
    futures::stream::iter(wants)
        .map(|want| async move {
            match want {
                Want::Nothing => Ok(None),
                Want::Kept(node) => Ok(Some(node)),
                Want::Read(node) => node.fetch(source).await.map(Some),
            }
        })
        .buffered(MERGE_READS)
        .try_collect()
        .await
}
