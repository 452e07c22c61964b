//! Lookups: bounded, in order, and an error rather than another node's answer.

use futures::executor::block_on;
use vpool_format::SegmentNo;
use vpool_format::checkpoint::MapRoot;
use vpool_format::map::{BLOCKS_MAX, Node};
use vpool_map::limits::LOOKUP_READS;
use vpool_map::memory::{MemoryError, MemoryNodes};
use vpool_map::{Map, MapError, NodeSource, Pending, Target, merge};

use crate::model::{NodeAt, chunk, nodes_of};

/// A tree with one block in each of `leaves` leaves that lie `apart` blocks from each other.
pub(crate) fn tree(leaves: u64, apart: u64) -> (MemoryNodes, Option<MapRoot>) {
    let mut pending = Pending::new();
    for leaf in 0..leaves {
        let target = Target::Chunk(chunk(leaf, 0, 1));
        pending.insert(leaf * apart, 1, target).unwrap();
    }
    let nodes = MemoryNodes::new();
    let mut sink = nodes.sink(SegmentNo(1), 1000);
    let merged = block_on(merge(None, &pending, &nodes, &mut sink, &mut |_| {
        panic!("nothing was there");
    }));
    (nodes, merged.unwrap().root)
}

#[test]
fn a_query_over_the_largest_disk_is_bounded() {
    let (nodes, root) = tree(5000, 1 << 20);
    let map = Map::new(root);
    nodes.take_counts();
    let mut out = Vec::new();
    let reached = block_on(map.lookup(&nodes, 0..BLOCKS_MAX, 100, &mut out)).unwrap();
    assert_eq!((out.len(), reached), (100, out[99].end()));
    let counts = nodes.take_counts();
    // 50 leaves, their 50 parents, what was fetched beside them, and the path.
    assert!(counts.read < 180, "{counts:?}");
    assert!(counts.reading_max > 4 && counts.reading_max <= LOOKUP_READS);

    // Going on from there to the end gives every block once.
    let mut from = 0;
    let mut mapped = 0;
    while from < BLOCKS_MAX {
        out.clear();
        let reached = block_on(map.lookup(&nodes, from..BLOCKS_MAX, 77, &mut out)).unwrap();
        assert!(reached > from && out.len() <= 77);
        assert_eq!((out[0].start, out[out.len() - 1].end()), (from, reached));
        mapped += out.iter().filter(|piece| piece.target.is_some()).count();
        from = reached;
    }
    assert_eq!(mapped, 5000);
}

#[test]
fn in_memory_or_not() {
    let (nodes, root) = tree(300, 100);
    let map = Map::new(root);
    let mut out = vec![];
    assert_eq!(map.lookup_now(&nodes, 100..250, 10, &mut out), None);
    assert!(out.is_empty());
    nodes.warm_up().unwrap();
    assert_eq!(map.lookup_now(&nodes, 100..250, 10, &mut out), Some(250));
    assert_eq!(out.len(), 4);
    assert_eq!(map.lookup_now(&nodes, 100..250, 3, &mut out), Some(201));
    assert_eq!(out.len(), 7);
    assert_eq!(map.lookup_now(&nodes, 7..7, 3, &mut out), Some(7));
    assert_eq!(map.lookup_now(&nodes, 7..9, 0, &mut out), Some(7));
    assert_eq!(out.len(), 7);
    let end = BLOCKS_MAX;
    assert_eq!(map.lookup_now(&nodes, end - 9..end, 3, &mut out), Some(end));
    assert_eq!(out.len(), 8);
    nodes.cool_down();
    let reached = block_on(map.lookup(&nodes, 100..250, 3, &mut out));
    assert_eq!((reached.unwrap(), out.len()), (201, 11));
    assert_eq!(block_on(map.lookup(&nodes, 7..9, 0, &mut out)).unwrap(), 7);

    let empty = Map::default();
    out.clear();
    assert_eq!(empty.lookup_now(&nodes, 5..25, 1, &mut out), Some(25));
    assert_eq!((out.len(), out[0].target), (1, None));
}

/// The node of `level` with `number`.
fn find(all: &[NodeAt], level: u8, number: u64) -> NodeAt {
    let found = all.iter().find(|node| (node.0, node.1) == (level, number));
    *found.unwrap()
}

#[test]
fn another_node_in_its_place_is_damage() {
    let (nodes, root) = tree(300, 100);
    let map = Map::new(root);
    let all = nodes_of(&nodes, root.as_ref());
    let (_, _, victim) = find(&all, 0, 3);
    let run = {
        let hint = chunk(0, 0, 1).hint;
        let node = block_on(nodes.node(&victim, &hint, 0, 3)).unwrap();
        let Node::Leaf { runs, .. } = &*node else {
            panic!("a leaf");
        };
        runs[0]
    };
    let others = [
        Node::Leaf {
            number: 4,
            runs: vec![run],
        }
        .encode(),
        Node::Leaf {
            number: 3,
            runs: vec![],
        }
        .encode(),
        Node::Inner {
            level: 1,
            number: 3,
            children: vec![],
        }
        .encode(),
    ];
    for other in others {
        nodes.damage(&victim, &other);
        nodes.warm_up().unwrap();
        let mut out = Vec::new();
        let error = block_on(map.lookup(&nodes, 0..2000, 100, &mut out)).unwrap_err();
        let MapError::Corrupt {
            level: 0,
            number: 3,
            address,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(address, victim);
        // What lies before it, or beside it, is served.
        out.clear();
        let reached = block_on(map.lookup(&nodes, 0..384, 100, &mut out));
        assert_eq!(reached.unwrap(), 384);

        let mut pending = Pending::new();
        pending.insert(400, 1, Target::Hole).unwrap();
        let mut sink = nodes.sink(SegmentNo(100), 9);
        let merged = block_on(merge(root, &pending, &nodes, &mut sink, &mut |_| {}));
        assert!(merged.unwrap_err().to_string().contains("is damaged"));
    }
    // Never from memory either.
    nodes.damage(
        &victim,
        &Node::Leaf {
            number: 4,
            runs: vec![run],
        }
        .encode(),
    );
    nodes.warm_up().unwrap();
    let mut out = Vec::new();
    assert_eq!(map.lookup_now(&nodes, 384..512, 100, &mut out), None);

    nodes.damage(&victim, b"vM");
    let error = block_on(map.lookup(&nodes, 0..2000, 100, &mut out)).unwrap_err();
    let read = |error: &MapError<MemoryError>| matches!(error, MapError::Read { number: 3, .. });
    assert!(read(&error), "{error:?}");
    nodes.remove(&victim);
    let error = block_on(map.lookup(&nodes, 0..2000, 100, &mut out)).unwrap_err();
    assert!(read(&error), "{error:?}");
}

#[test]
fn futures_can_be_spawned() {
    fn spawnable<T: Send>(_: &T) {}
    let (nodes, root) = tree(3, 100);
    let (pending, mut out) = (Pending::new(), Vec::new());
    spawnable(&Map::new(root).lookup(&nodes, 0..9, 9, &mut out));
    let (mut sink, mut replaced) = (nodes.sink(SegmentNo(9), 9), |_| {});
    spawnable(&merge(root, &pending, &nodes, &mut sink, &mut replaced));
    let subtree = vpool_map::Subtree {
        level: 0,
        number: 0,
        address: root.unwrap().address,
        hint: root.unwrap().hint,
    };
    spawnable(&vpool_map::expand(&nodes, subtree, &mut replaced));
    spawnable(&subtree.open(&nodes, &mut replaced));
}
