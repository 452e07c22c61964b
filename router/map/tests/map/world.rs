//! A vDisk's tree with the model beside it, checked after every merge.

use std::collections::BTreeMap;

use futures::executor::block_on;
use vpool_format::SegmentNo;
use vpool_format::checkpoint::MapRoot;
use vpool_format::map::BLOCKS_MAX;
use vpool_map::memory::MemoryNodes;
use vpool_map::{Map, Merged, Pending, Piece, Replaced, expand, merge};

use crate::model::{Blocks, NodeAt, Place, Step, expected_pieces, nodes_of, plain, take_step};

/// What a merge reported, subtrees expanded.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) blocks: Vec<(u64, Place)>,
    pub(crate) nodes: Vec<NodeAt>,
    /// Of the blocks, those found by expanding.
    pub(crate) expanded_blocks: usize,
    pub(crate) subtrees: usize,
}

impl Report {
    pub(crate) fn take(&mut self, replaced: &Replaced) {
        match *replaced {
            Replaced::Blocks {
                start,
                blocks,
                chunk,
            } => {
                assert!((1..=128).contains(&blocks));
                for (block, place) in (start..start + blocks).zip(chunk.chunk_first..) {
                    self.blocks.push((block, (chunk.address, place)));
                }
            }
            Replaced::Node {
                level,
                number,
                address,
                ..
            } => {
                self.nodes.push((level, number, address));
            }
            Replaced::Subtree(_) => panic!("expanded before"),
        }
    }
}

/// A vDisk's tree, with the model beside it.
pub(crate) struct World {
    pub(crate) nodes: MemoryNodes,
    pub(crate) root: Option<MapRoot>,
    pub(crate) blocks: Blocks,
    pub(crate) next_segment: u64,
    pub(crate) next_id: u64,
}

impl World {
    pub(crate) fn new() -> World {
        World {
            nodes: MemoryNodes::new(),
            root: None,
            blocks: Blocks::new(),
            next_segment: 1,
            next_id: 0,
        }
    }

    /// Merges a layer into the tree; what is replaced is let go of.
    pub(crate) fn merge(&mut self, pending: &Pending) -> (Merged, Report) {
        let mut reported = Vec::new();
        let mut sink = self.nodes.sink(SegmentNo(self.next_segment), 7);
        self.nodes.take_counts();
        let merged = block_on(merge(
            self.root,
            pending,
            &self.nodes,
            &mut sink,
            &mut |it| {
                reported.push(it);
            },
        ));
        let merged = merged.unwrap();
        assert_eq!(merged.nodes_read, self.nodes.take_counts().read);
        assert_eq!(merged.nodes_put, sink.counts().put);
        assert_eq!(merged.bytes_put, sink.counts().put_bytes);
        self.next_segment = sink.next_segment().0;
        let mut report = Report::default();
        for replaced in reported {
            if let Replaced::Subtree(subtree) = replaced {
                report.subtrees += 1;
                let before = report.blocks.len();
                let mut all = |part| report.take(&part);
                block_on(expand(&self.nodes, subtree, &mut all)).unwrap();
                report.expanded_blocks += report.blocks.len() - before;
            } else {
                report.take(&replaced);
            }
        }
        self.root = merged.root;
        (merged, report)
    }

    /// Takes steps, merges them, and checks everything.
    pub(crate) fn round(&mut self, steps: &[Step]) {
        let mut pending = Pending::new();
        let before = self.blocks.clone();
        for step in steps {
            self.next_id += 1;
            take_step(step, self.next_id, &mut pending, &mut self.blocks);
        }
        let nodes_before = nodes_of(&self.nodes, self.root.as_ref());
        let touched = touched_nodes(&nodes_before, &pending);
        let (merged, mut report) = self.merge(&pending);
        assert!(
            merged.nodes_read <= touched,
            "{merged:?}, {touched} nodes touched"
        );

        let nodes_after = nodes_of(&self.nodes, self.root.as_ref());
        let mut nodes_gone = less(&nodes_before, &nodes_after);
        nodes_gone.sort();
        report.nodes.sort();
        assert_eq!(report.nodes, nodes_gone);
        let new = nodes_after.len() + nodes_gone.len() - nodes_before.len();
        assert_eq!(merged.nodes_put, new as u64);
        for (_, _, address) in &report.nodes {
            assert!(self.nodes.remove(address));
        }
        assert_eq!(self.nodes.len(), nodes_after.len());

        let gone = |(block, place): (&u64, &Place)| {
            (self.blocks.get(block) != Some(place)).then_some((*block, *place))
        };
        let blocks_gone: Vec<(u64, Place)> = before.iter().filter_map(gone).collect();
        report.blocks.sort();
        assert_eq!(report.blocks, blocks_gone);
        let delta = merged.mapped_delta - i64::try_from(report.expanded_blocks).unwrap();
        let counts = [&self.blocks, &before].map(|all| i64::try_from(all.len()).unwrap());
        assert_eq!(delta, counts[0] - counts[1]);
        assert_eq!(self.root.is_none(), self.blocks.is_empty());
        self.check_lookups();
    }

    fn check_lookups(&self) {
        let map = Map::new(self.root);
        let expected = expected_pieces(&self.blocks, 0..BLOCKS_MAX);
        let mut whole = Vec::new();
        let reached = block_on(map.lookup(&self.nodes, 0..BLOCKS_MAX, usize::MAX, &mut whole));
        assert_eq!(reached.unwrap(), BLOCKS_MAX);
        assert_eq!(plain(&whole), expected);
        self.nodes.warm_up().unwrap();
        let mut again: Vec<Piece> = Vec::new();
        let reached = map.lookup_now(&self.nodes, 0..BLOCKS_MAX, usize::MAX, &mut again);
        assert_eq!((reached, &again), (Some(BLOCKS_MAX), &whole));
        // Parts, beginning and ending anywhere.
        let places = [0, 1, 127, 128, 16_383, 1 << 21, (1 << 28) + 3];
        let mapped = self.blocks.keys().copied().step_by(37);
        for start in mapped.chain(places) {
            let range = start..start + start % 300 + 1;
            let expected = expected_pieces(&self.blocks, range.clone());
            for cap in [1, 3, usize::MAX] {
                let (mut now, mut later) = (Vec::new(), Vec::new());
                let reached = map.lookup_now(&self.nodes, range.clone(), cap, &mut now);
                let same = block_on(map.lookup(&self.nodes, range.clone(), cap, &mut later));
                assert_eq!((reached, &now), (Some(same.unwrap()), &later));
                assert_eq!(now.last().map(Piece::end), reached);
                assert_eq!(plain(&now), expected[..expected.len().min(cap)]);
            }
        }
        self.nodes.cool_down();
    }
}

/// What is in `before` and not in `after`, as often as it is.
fn less(before: &[NodeAt], after: &[NodeAt]) -> Vec<NodeAt> {
    let mut count: BTreeMap<NodeAt, i32> = BTreeMap::new();
    for node in before {
        *count.entry(*node).or_default() += 1;
    }
    for node in after {
        *count.entry(*node).or_default() -= 1;
    }
    let left = count.into_iter().filter(|(_, count)| *count > 0);
    left.map(|(node, _)| node).collect()
}

/// How many of `nodes` cover a block that the layer speaks of; the root always counts.
fn touched_nodes(nodes: &[NodeAt], pending: &Pending) -> u64 {
    let top = nodes.iter().map(|node| node.0).max();
    let touched = nodes.iter().filter(|(level, number, _): &&NodeAt| {
        let bits = 7 * (u32::from(*level) + 1);
        let end = (number + 1) << bits;
        let first = pending.updates_from(number << bits).next();
        Some(*level) == top || first.is_some_and(|update| update.start < end)
    });
    touched.count() as u64
}
