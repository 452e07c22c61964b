//! The walk upwards: every touched node written anew, if it changes, level by level.
//!
//! Owns: what becomes of a node touched, of the root, and what is reported as replaced. Does
//! not own: which nodes are touched (`super::plan`).

use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::try_join;
use vpool_format::checkpoint::MapRoot;
use vpool_format::map::{Child, Node};

use crate::limits::{LEVEL_BITS, MERGE_WINDOW};
use crate::merge::leaf::Leaf;
use crate::merge::plan::{Cursor, Plan, State, Touched};
use crate::merge::{MergeError, Merged, level_of, read_nodes};
use crate::node::{NodeRef, NodeSink, NodeSource};
use crate::pending::Pending;
use crate::replaced::Replaced;

/// What changes a level: updates for leaves, the level below for inner nodes.
struct Work<'a> {
    updates: Cursor<'a>,
    below: Vec<Touched>,
    /// The first of `below` not looked at yet.
    next: usize,
}

impl<'a> Work<'a> {
    fn new(pending: &'a Pending, below: Vec<Touched>) -> Work<'a> {
        Work {
            updates: Cursor::new(pending),
            below,
            next: 0,
        }
    }

    /// The nodes below node `number` that were touched.
    fn children_of(&mut self, number: u64) -> &[Touched] {
        let first = self.next;
        let all = &self.below[first..];
        let count = all.partition_point(|child| child.number >> LEVEL_BITS <= number);
        self.next += count;
        &all[..count]
    }
}

/// The walk upwards.
pub(super) struct Ascent<'a, K> {
    old_root: Option<MapRoot>,
    /// The level of the new root.
    top: u8,
    /// What it came to so far.
    pub(super) merged: Merged,
    sink: &'a mut K,
    replaced: &'a mut (dyn FnMut(Replaced) + Send),
    /// The only child of what would have been the root.
    collapsed: Option<MapRoot>,
}

impl<'a, K: NodeSink> Ascent<'a, K> {
    pub(super) fn new(
        plan: &Plan,
        sink: &'a mut K,
        replaced: &'a mut (dyn FnMut(Replaced) + Send),
    ) -> Ascent<'a, K> {
        Ascent {
            old_root: plan.old_root,
            top: level_of(plan.levels.len() - 1),
            merged: Merged {
                nodes_read: plan.read,
                ..Merged::default()
            },
            sink,
            replaced,
            collapsed: None,
        }
    }

    /// Writes all levels, and the new root last.
    pub(super) async fn write<S: NodeSource>(
        &mut self,
        plan: Plan,
        pending: &Pending,
        source: &S,
    ) -> Result<(), MergeError<S::Error, K::Error>> {
        let mut below = Vec::new();
        for (at, (mut touched, kept)) in plan.levels.into_iter().zip(plan.kept).enumerate() {
            let work = Work::new(pending, below);
            self.write_level(source, level_of(at), &mut touched, kept, work)
                .await?;
            below = touched;
        }
        self.settle_root(below.first());
        Ok(())
    }

    /// Writes the touched nodes of a level anew, as far as they change, and settles them.
    async fn write_level<S: NodeSource>(
        &mut self,
        source: &S,
        level: u8,
        touched: &mut [Touched],
        mut kept: VecDeque<(u64, Arc<Node>)>,
        mut work: Work<'_>,
    ) -> Result<(), MergeError<S::Error, K::Error>> {
        let kept_before = kept.len() as u64;
        let stored = |touched: &&Touched| touched.state() == State::Stored;
        self.merged.nodes_read += touched.iter().filter(stored).count() as u64 - kept_before;
        let mut windows = touched.chunks_mut(MERGE_WINDOW);
        let mut window = windows.next().unwrap_or_default();
        let mut nodes = read_nodes(source, level, window, &mut kept).await?;
        while !window.is_empty() {
            let next = windows.next().unwrap_or_default();
            let read = async { Ok(read_nodes(source, level, next, &mut kept).await?) };
            let write = self.write_window(level, window, nodes, &mut work);
            (nodes, ()) = try_join(read, write).await?;
            window = next;
        }
        self.settle_level(level, touched).await
    }

    async fn write_window<E>(
        &mut self,
        level: u8,
        window: &mut [Touched],
        nodes: Vec<Option<Arc<Node>>>,
        work: &mut Work<'_>,
    ) -> Result<(), MergeError<E, K::Error>> {
        for (touched, old) in window.iter_mut().zip(nodes) {
            if touched.state() == State::Gone {
                // Dropped by the plan, and reported there.
                work.children_of(touched.number);
                continue;
            }
            let (changed, new) = if level == 0 {
                self.merge_leaf(touched.number, old.as_deref(), work)
            } else {
                self.merge_inner(level, touched.number, old.as_deref(), work)
            };
            if old.is_some() && !changed {
                touched.set_state(State::Kept);
                continue;
            }
            if old.is_some() {
                (self.replaced)(Replaced::node(&touched.node(level)));
            }
            match new {
                None => touched.set_state(State::Gone),
                Some(node) => {
                    touched.set_state(State::Put);
                    self.put(level, touched.number, node.encode()).await?;
                }
            }
        }
        Ok(())
    }

    async fn put<E>(
        &mut self,
        level: u8,
        number: u64,
        encoded: Vec<u8>,
    ) -> Result<(), MergeError<E, K::Error>> {
        self.merged.nodes_put += 1;
        self.merged.bytes_put += encoded.len() as u64;
        let put = self.sink.put(level, number, encoded).await;
        put.map_err(|source| MergeError::Put {
            level,
            number,
            source,
        })
    }

    /// The leaf with its updates applied: whether it changes, and to what (`None` = empty).
    fn merge_leaf(
        &mut self,
        number: u64,
        old: Option<&Node>,
        work: &mut Work<'_>,
    ) -> (bool, Option<Node>) {
        let runs = match old {
            Some(Node::Leaf { runs, .. }) => runs.as_slice(),
            _ => &[],
        };
        let mut leaf = Leaf::new(number, runs);
        let range = leaf.range();
        work.updates
            .visit(range.start, range.end, |update| leaf.apply(update));
        self.merged.mapped_delta += leaf.mapped_delta();
        for piece in leaf.replaced() {
            if let Some(replaced) = Replaced::blocks(&piece) {
                (self.replaced)(replaced);
            }
        }
        let runs = leaf.runs();
        let new = (!runs.is_empty()).then_some(Node::Leaf { number, runs });
        (leaf.changed(), new)
    }

    /// The inner node with its new children: whether it changes, and to what (`None` = empty,
    /// or a root with one child that takes its place).
    fn merge_inner(
        &mut self,
        level: u8,
        number: u64,
        old: Option<&Node>,
        work: &mut Work<'_>,
    ) -> (bool, Option<Node>) {
        let raised = Plan::raised(self.old_root.as_ref(), level, number);
        let old = match old {
            Some(Node::Inner { children, .. }) => children.as_slice(),
            _ => raised.as_slice(),
        };
        let mut changed = false;
        let mut children: Vec<Child> = Vec::with_capacity(old.len());
        let mut rest = old.iter().peekable();
        for touched in work.children_of(number) {
            let index = touched.number - (number << LEVEL_BITS);
            let index = u8::try_from(index).expect("a node has 128 children");
            children.extend(std::iter::from_fn(|| {
                rest.next_if(|child| child.index < index).copied()
            }));
            let before = rest.next_if(|child| child.index == index);
            match touched.state() {
                State::Put => {
                    let NodeRef { address, hint, .. } = touched.node(level - 1);
                    children.push(Child {
                        index,
                        address,
                        hint,
                    });
                    changed = true;
                }
                State::Gone => changed |= before.is_some(),
                State::Kept | State::Fresh | State::Stored => children.extend(before),
            }
        }
        children.extend(rest);
        if level == self.top && changed && self.collapse(level, &children) {
            return (changed, None);
        }
        let new = (!children.is_empty()).then_some(Node::Inner {
            level,
            number,
            children,
        });
        (changed, new)
    }

    /// Makes the only child of the new root the root, if it covers all that is mapped.
    fn collapse(&mut self, level: u8, children: &[Child]) -> bool {
        if let [only] = children
            && only.index == 0
        {
            self.collapsed = Some(MapRoot {
                level: level - 1,
                address: only.address,
                hint: only.hint,
            });
            return true;
        }
        false
    }

    /// Asks the sink where the nodes put of a level are.
    async fn settle_level<E>(
        &mut self,
        level: u8,
        touched: &mut [Touched],
    ) -> Result<(), MergeError<E, K::Error>> {
        let is_put = |touched: &&mut Touched| touched.state() == State::Put;
        let mut put: Vec<&mut Touched> = touched.iter_mut().filter(is_put).collect();
        if put.is_empty() {
            return Ok(());
        }
        let places = self.sink.finish_level().await;
        let places = places.map_err(|source| MergeError::Finish { level, source })?;
        assert_eq!(places.len(), put.len(), "a sink places each node put once");
        for (touched, (address, hint)) in put.iter_mut().zip(&places) {
            touched.set_place(address, hint);
        }
        Ok(())
    }

    /// Takes the new root from what became of the node at the top.
    fn settle_root(&mut self, top: Option<&Touched>) {
        let node = top.filter(|top| matches!(top.state(), State::Put | State::Kept));
        self.merged.root = self.collapsed.or(node.map(|top| MapRoot {
            level: self.top,
            address: top.node(self.top).address,
            hint: top.node(self.top).hint,
        }));
    }
}
