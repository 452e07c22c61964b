//! Which nodes a merge touches, found from the root downwards.
//!
//! Owns: [`Touched`], [`Plan`], and the dropping of subtrees under a hole. Does not own: what
//! becomes of the nodes touched (`super`).
//!
//! Per level the plan holds 32 bytes for each node touched, and of the inner nodes that it
//! read as many as [`crate::limits::MERGE_KEPT_BYTES`] allow, so that they need not be read again.

use std::collections::VecDeque;
use std::sync::Arc;

use vpool_format::checkpoint::MapRoot;
use vpool_format::map::{Child, ChunkAddress, Hint, Node};

use crate::limits::{LEVEL_BITS, MERGE_WINDOW};
use crate::merge::{level_of, read_nodes};
use crate::node::{MapError, NodeRef, NodeSource, level_for};
use crate::pending::{Packed, Pending, Updates};
use crate::piece::{Target, Update};
use crate::replaced::{Replaced, Subtree};

/// What is known of a touched node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// It is not in the old tree.
    Fresh = 0,
    /// It is in the old tree, at its place.
    Stored = 1,
    /// It was touched in vain: it stays at its place.
    Kept = 2,
    /// It is written anew; its place is the new one once the level is finished.
    Put = 3,
    /// It is not in the new tree.
    Gone = 4,
}

/// A node that a merge touches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Touched {
    /// Its number in its level.
    pub(super) number: u64,
    place: Packed,
}

const _: () = assert!(size_of::<Touched>() == 32);

impl Touched {
    fn fresh(number: u64) -> Touched {
        let mut place = Packed::number(0);
        place.extra = State::Fresh as u8;
        Touched { number, place }
    }

    fn stored(number: u64, address: &ChunkAddress, hint: &Hint) -> Touched {
        Touched {
            number,
            place: Packed::new(address, hint, State::Stored as u8),
        }
    }

    /// What is known of it.
    pub(super) fn state(&self) -> State {
        let states = [
            State::Fresh,
            State::Stored,
            State::Kept,
            State::Put,
            State::Gone,
        ];
        states[usize::from(self.place.extra)]
    }

    /// Says what is known of it now.
    pub(super) fn set_state(&mut self, state: State) {
        self.place.extra = state as u8;
    }

    /// Says where it was put.
    pub(super) fn set_place(&mut self, address: &ChunkAddress, hint: &Hint) {
        self.place = Packed::new(address, hint, State::Put as u8);
    }

    /// The node at its place.
    pub(super) fn node(&self, level: u8) -> NodeRef {
        NodeRef {
            level,
            number: self.number,
            address: self.place.address(),
            hint: self.place.hint(),
        }
    }
}

/// The updates of a layer, walked once along a level.
pub(super) struct Cursor<'a> {
    updates: Updates<'a>,
    next: Option<Update>,
}

impl<'a> Cursor<'a> {
    /// At the first update.
    pub(super) fn new(pending: &'a Pending) -> Cursor<'a> {
        let mut updates = pending.iter();
        Cursor {
            next: updates.next(),
            updates,
        }
    }

    /// Calls `visit` with each update that touches `[start, end)`, whole. Ranges are asked
    /// for in ascending order.
    pub(super) fn visit(&mut self, start: u64, end: u64, mut visit: impl FnMut(&Update)) {
        while let Some(update) = self.next.filter(|update| update.start < end) {
            if update.end() > start {
                visit(&update);
            }
            if update.end() > end {
                // It goes on in the next range.
                return;
            }
            self.next = self.updates.next();
        }
    }
}

/// The nodes that a merge touches, by level.
pub(super) struct Plan {
    /// The tree before the merge.
    pub(super) old_root: Option<MapRoot>,
    /// The nodes touched of each level from 0 to the new root's, ascending.
    pub(super) levels: Vec<Vec<Touched>>,
    /// Nodes read of each level, ascending: some of those touched.
    pub(super) kept: Vec<VecDeque<(u64, Arc<Node>)>>,
    kept_bytes: usize,
    kept_bytes_max: usize,
    /// Nodes read.
    pub(super) read: u64,
}

impl Plan {
    /// A plan that knows the root only. The new root's level is the old one's or, if
    /// `pending` maps blocks beyond that, as high as they need.
    pub(super) fn new(old_root: Option<MapRoot>, pending: &Pending, kept_bytes_max: usize) -> Plan {
        let needed = level_for(pending.chunk_end());
        let top = old_root.map_or(needed, |root| root.level.max(needed));
        let count = usize::from(top) + 1;
        let mut levels = vec![Vec::new(); count];
        levels[count - 1].push(match &old_root {
            Some(root) if root.level == top => Touched::stored(0, &root.address, &root.hint),
            _ => Touched::fresh(0),
        });
        Plan {
            old_root,
            levels,
            kept: vec![VecDeque::new(); count],
            kept_bytes: 0,
            kept_bytes_max,
            read: 0,
        }
    }

    /// Walks down from the root, and reports the subtrees that are dropped.
    pub(super) async fn descend<S: NodeSource>(
        &mut self,
        pending: &Pending,
        source: &S,
        replaced: &mut (dyn FnMut(Replaced) + Send),
    ) -> Result<(), MapError<S::Error>> {
        for level in (1..level_of(self.levels.len())).rev() {
            self.touch_below(level, pending, source, replaced).await?;
        }
        Ok(())
    }

    /// The children of a node as the old tree has them, when the node itself is not stored:
    /// above the old root there is a path of nodes 0 down to it.
    pub(super) fn raised(old_root: Option<&MapRoot>, level: u8, number: u64) -> Option<Child> {
        let root = old_root.filter(|root| root.level + 1 == level && number == 0)?;
        Some(Child {
            index: 0,
            address: root.address,
            hint: root.hint,
        })
    }

    /// Finds the nodes touched of the level below `level`, whose own are known.
    async fn touch_below<S: NodeSource>(
        &mut self,
        level: u8,
        pending: &Pending,
        source: &S,
        replaced: &mut (dyn FnMut(Replaced) + Send),
    ) -> Result<(), MapError<S::Error>> {
        let here = usize::from(level);
        let touched = std::mem::take(&mut self.levels[here]);
        let mut below = Vec::new();
        let mut cursor = Cursor::new(pending);
        for window in touched.chunks(MERGE_WINDOW) {
            let nodes = read_nodes(source, level, window, &mut VecDeque::new()).await?;
            for (node, stored) in window.iter().zip(nodes) {
                let raised = Plan::raised(self.old_root.as_ref(), level, node.number);
                let children = match stored.as_deref() {
                    Some(Node::Inner { children, .. }) => children.as_slice(),
                    _ => raised.as_slice(),
                };
                let above_old_root = self
                    .old_root
                    .is_some_and(|root| root.level + 1 < level && node.number == 0);
                if above_old_root {
                    below.push(Touched::fresh(0));
                }
                touch_children(
                    level,
                    node.number,
                    children,
                    &mut cursor,
                    &mut below,
                    replaced,
                );
                if let Some(stored) = stored {
                    self.read += 1;
                    self.keep(here, node.number, stored);
                }
            }
        }
        self.levels[here] = touched;
        self.levels[here - 1] = below;
        Ok(())
    }

    /// Keeps a node that was read, if there is room.
    fn keep(&mut self, level: usize, number: u64, node: Arc<Node>) {
        let children = match &*node {
            Node::Leaf { runs, .. } => runs.len(),
            Node::Inner { children, .. } => children.len(),
        };
        let bytes = children * size_of::<Child>() + 64;
        if self.kept_bytes + bytes <= self.kept_bytes_max {
            self.kept_bytes += bytes;
            self.kept[level].push_back((number, node));
        }
    }
}

/// Appends to `below` the children of node `number` of `level` that updates touch. A child
/// that lies under one hole is dropped unread.
fn touch_children(
    level: u8,
    number: u64,
    children: &[Child],
    cursor: &mut Cursor<'_>,
    below: &mut Vec<Touched>,
    replaced: &mut (dyn FnMut(Replaced) + Send),
) {
    // log2 of the blocks of a child.
    let bits = LEVEL_BITS * u32::from(level);
    let start = number << (bits + LEVEL_BITS);
    let end = start + (1 << (bits + LEVEL_BITS));
    cursor.visit(start, end, |update| {
        let first = update.start.max(start) >> bits;
        let last = (update.end().min(end) - 1) >> bits;
        for child_number in first..=last {
            if below.last().is_some_and(|last| last.number == child_number) {
                continue;
            }
            let hole = update.target == Target::Hole;
            let child = children
                .binary_search_by_key(&(child_number - (number << LEVEL_BITS)), |child| {
                    u64::from(child.index)
                })
                .map(|place| &children[place]);
            let Ok(child) = child else {
                if !hole {
                    below.push(Touched::fresh(child_number));
                }
                continue;
            };
            let mut touched = Touched::stored(child_number, &child.address, &child.hint);
            let covered = update.clip(child_number << bits, (child_number + 1) << bits);
            if hole && covered.blocks == 1 << bits {
                touched.set_state(State::Gone);
                replaced(Replaced::Subtree(Subtree::of_child(
                    level - 1,
                    number,
                    child,
                )));
            }
            below.push(touched);
        }
    });
}
