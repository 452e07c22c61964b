//! Finding blocks in the tree.
//!
//! Owns: [`Map`] and its two lookups: one in memory only, for the reader's quick way, and one
//! that fetches what is missing. Does not own: layers newer than the tree ([`crate::Pending`]).

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use futures::StreamExt;
use futures::TryStreamExt;
use vpool_format::checkpoint::MapRoot;
use vpool_format::map::{LEAF_BLOCKS, Node, Run};

use crate::limits::LOOKUP_READS;
use crate::node::{MapError, NodeRef, NodeSource, span};
use crate::piece::{Chunk, Piece};

/// A tree, by its root. Cheap to copy; the nodes are in the source given to each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Map {
    /// The root; `None` = nothing is mapped.
    pub root: Option<MapRoot>,
}

impl Map {
    /// The map of a checkpoint's root.
    pub fn new(root: Option<MapRoot>) -> Map {
        Map { root }
    }

    /// Appends to `out` where the blocks of `range` are, as far as the nodes are in memory.
    ///
    /// Pieces are ascending, without gaps, and each as long as it can be; the first
    /// `pieces_max` of them are added. Returns how far they reach: `range.end`, or less if they were
    /// too many. `None` = a node is not in memory (or is not the one it should be); what was
    /// added to `out` is taken back, and [`Map::lookup`] knows more.
    pub fn lookup_now<S: NodeSource>(
        &self,
        source: &S,
        range: Range<u64>,
        pieces_max: usize,
        out: &mut Vec<Piece>,
    ) -> Option<u64> {
        let before = out.len();
        let mut answer = Answer::new(out, pieces_max);
        match self.walk_now(source, &range, &mut answer) {
            ControlFlow::Continue(()) => Some(range.end),
            ControlFlow::Break(Stop::Full(reached)) => Some(reached),
            ControlFlow::Break(Stop::Missing) => {
                out.truncate(before);
                None
            }
        }
    }

    fn walk_now<S: NodeSource>(
        &self,
        source: &S,
        range: &Range<u64>,
        answer: &mut Answer<'_>,
    ) -> ControlFlow<Stop> {
        for part in root_parts(self.root.as_ref(), range) {
            match part {
                Part::Piece(piece) => answer.push(piece)?,
                Part::Node(root) => descend_now(source, &root, range, answer)?,
            }
        }
        ControlFlow::Continue(())
    }

    /// As [`Map::lookup_now`], fetching the nodes that are not in memory: siblings together,
    /// [`LOOKUP_READS`] at a time, always in the same order. Memory and work are bounded by
    /// `pieces_max` and the depth of the tree, whatever the range.
    ///
    /// # Errors
    /// A node could not be read or is damaged; what was added to `out` until then is right,
    /// and stays.
    pub async fn lookup<S: NodeSource>(
        self,
        source: &S,
        range: Range<u64>,
        pieces_max: usize,
        out: &mut Vec<Piece>,
    ) -> Result<u64, MapError<S::Error>> {
        let mut answer = Answer::new(out, pieces_max);
        // What is still to be answered, the lowest block last.
        let mut todo = root_parts(self.root.as_ref(), &range);
        todo.reverse();
        loop {
            while let Some(Part::Piece(piece)) = todo.last().copied() {
                if let ControlFlow::Break(Stop::Full(reached)) = answer.push(piece) {
                    return Ok(reached);
                }
                todo.pop();
            }
            if todo.is_empty() {
                return Ok(range.end);
            }
            // Each node gives a piece, so that no more are read than can be answered; at the
            // end one, to see whether its first piece joins the last.
            let wave = next_wave(&todo, answer.room().clamp(1, LOOKUP_READS));
            let nodes = futures::stream::iter(wave)
                .map(|node| async move { Ok((node, node.fetch(source).await?)) })
                .buffered(LOOKUP_READS)
                .try_collect::<Vec<_>>()
                .await?;
            expand_wave(&mut todo, nodes, &range);
        }
    }
}

/// What a range consists of, seen from a node.
#[derive(Debug, Clone, Copy)]
enum Part {
    Piece(Piece),
    Node(NodeRef),
}

/// The tree's own range, and what of `range` lies beyond it.
fn root_parts(root: Option<&MapRoot>, range: &Range<u64>) -> Vec<Part> {
    let mut parts = Vec::with_capacity(2);
    let mut end = range.start;
    if let Some(root) = root.map(NodeRef::root)
        && !range.is_empty()
        && range.start < root.range().end
    {
        end = root.range().end.min(range.end);
        parts.push(Part::Node(root));
    }
    parts.extend(gap(end, range.end).map(Part::Piece));
    parts
}

/// The unmapped blocks `[start, end)`, if any.
fn gap(start: u64, end: u64) -> Option<Piece> {
    (start < end).then(|| Piece {
        start,
        blocks: end - start,
        target: None,
    })
}

/// The blocks of `run`, of the leaf that begins at `base`, that lie in `range`; they do.
fn piece_of(base: u64, run: &Run, range: &Range<u64>) -> Piece {
    let chunk = Chunk {
        address: run.address,
        chunk_first: run.chunk_first,
        chunk_blocks: run.chunk_blocks,
        hint: run.hint,
    };
    let first = base + u64::from(run.first);
    let start = first.max(range.start);
    let end = (first + u64::from(run.blocks)).min(range.end);
    Piece {
        start,
        blocks: end - start,
        target: Some(chunk.skip(start - first)),
    }
}

/// Calls `visit` with the parts of `range` within the node, ascending and without gaps.
fn parts_of<B>(
    node: &Node,
    range: &Range<u64>,
    mut visit: impl FnMut(Part) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut done;
    let end;
    match node {
        Node::Leaf { number, runs } => {
            let base = number * LEAF_BLOCKS;
            done = range.start.max(base);
            end = range.end.min(base + LEAF_BLOCKS);
            let first = runs
                .partition_point(|run| base + u64::from(run.first) + u64::from(run.blocks) <= done);
            for run in &runs[first..] {
                let start = base + u64::from(run.first);
                if start >= end {
                    break;
                }
                if let Some(gap) = gap(done, start) {
                    visit(Part::Piece(gap))?;
                }
                let piece = piece_of(base, run, range);
                done = piece.end();
                visit(Part::Piece(piece))?;
            }
        }
        Node::Inner {
            level,
            number,
            children,
        } => {
            let all = span(*level);
            done = range.start.max(number * all);
            end = range.end.min((number + 1) * all);
            let below = level - 1;
            let first = children
                .partition_point(|child| NodeRef::child(below, *number, child).range().end <= done);
            for child in &children[first..] {
                let child = NodeRef::child(below, *number, child);
                if child.range().start >= end {
                    break;
                }
                if let Some(gap) = gap(done, child.range().start) {
                    visit(Part::Piece(gap))?;
                }
                done = child.range().end.min(end);
                visit(Part::Node(child))?;
            }
        }
    }
    match gap(done, end) {
        Some(gap) => visit(Part::Piece(gap)),
        None => ControlFlow::Continue(()),
    }
}

/// Answers the part of `range` below `node` from memory.
fn descend_now<S: NodeSource>(
    source: &S,
    node: &NodeRef,
    range: &Range<u64>,
    answer: &mut Answer<'_>,
) -> ControlFlow<Stop> {
    let Some(node) = node.now(source) else {
        return ControlFlow::Break(Stop::Missing);
    };
    parts_of(&node, range, |part| match part {
        Part::Piece(piece) => answer.push(piece),
        Part::Node(child) => descend_now(source, &child, range, answer),
    })
}

/// The first `most` nodes in `todo` (lowest last) that are of the same level as the first.
fn next_wave(todo: &[Part], most: usize) -> Vec<NodeRef> {
    let mut wave = Vec::with_capacity(most);
    for part in todo.iter().rev() {
        match part {
            Part::Piece(_) => {}
            Part::Node(node) => {
                if wave
                    .first()
                    .is_some_and(|first: &NodeRef| first.level != node.level)
                {
                    break;
                }
                wave.push(*node);
                if wave.len() == most {
                    break;
                }
            }
        }
    }
    wave
}

/// Puts the parts of each of `nodes` in its place in `todo` (lowest last), whose lowest nodes
/// they are.
fn expand_wave(todo: &mut Vec<Part>, nodes: Vec<(NodeRef, Arc<Node>)>, range: &Range<u64>) {
    let mut expanded = Vec::new();
    for (_, node) in nodes {
        while let Some(Part::Piece(piece)) = todo.pop_if(|part| matches!(part, Part::Piece(_))) {
            expanded.push(Part::Piece(piece));
        }
        todo.pop();
        let ControlFlow::Continue(()) = parts_of(&node, range, |part| {
            expanded.push(part);
            ControlFlow::<std::convert::Infallible>::Continue(())
        });
    }
    todo.extend(expanded.into_iter().rev());
}

/// Why a walk ended early.
enum Stop {
    /// The answer is full; it reaches to here.
    Full(u64),
    /// A node is not in memory.
    Missing,
}

/// The pieces of one answer, joined where they can be.
struct Answer<'a> {
    out: &'a mut Vec<Piece>,
    /// How many there were before, not of this answer.
    before: usize,
    pieces_max: usize,
}

impl<'a> Answer<'a> {
    fn new(out: &'a mut Vec<Piece>, pieces_max: usize) -> Answer<'a> {
        Answer {
            before: out.len(),
            out,
            pieces_max,
        }
    }

    /// How many more pieces may be added.
    fn room(&self) -> usize {
        self.pieces_max - (self.out.len() - self.before)
    }

    fn push(&mut self, piece: Piece) -> ControlFlow<Stop> {
        if let Some(last) = self.out[self.before..].last_mut()
            && last.join(&piece)
        {
            return ControlFlow::Continue(());
        }
        if self.room() == 0 {
            return ControlFlow::Break(Stop::Full(piece.start));
        }
        self.out.push(piece);
        ControlFlow::Continue(())
    }
}
