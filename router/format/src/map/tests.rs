//! Tests of map nodes: bounds, and the invariants that a node must keep.

use super::{
    Child, ChunkAddress, ENTRY_BYTES, Hint, LEAF_BLOCKS, LEVEL_MAX, NODE_BYTES_MAX, Node, Run,
    nodes_of_level,
};
use crate::error::FormatErrorKind;
use crate::ids::{SegmentNo, Slot, StreamNo};
use crate::segment::Codec;

fn run(first: u8, blocks: u8) -> Run {
    Run {
        first,
        blocks,
        address: ChunkAddress {
            stream: StreamNo(1),
            segment: SegmentNo(2),
            slot: Slot(3),
        },
        chunk_first: 0,
        chunk_blocks: blocks,
        hint: Hint {
            offset: 4096,
            stored_bytes: 4112,
            codec: Codec::Zstd,
        },
    }
}

#[test]
fn levels_cover_the_largest_disk() {
    assert_eq!(nodes_of_level(0), 1 << 33);
    assert_eq!(nodes_of_level(4), 1 << 5);
    assert_eq!(nodes_of_level(LEVEL_MAX), 1);
    assert_eq!(nodes_of_level(LEVEL_MAX + 1), 0);
}

#[test]
fn a_full_node_has_the_largest_size() {
    let runs = (0..128).map(|first| run(first, 1)).collect();
    let leaf = Node::Leaf {
        number: nodes_of_level(0) - 1,
        runs,
    };
    let bytes = leaf.encode();
    assert_eq!(bytes.len(), NODE_BYTES_MAX);
    assert_eq!(Node::decode(&bytes), Ok(leaf));
    assert_eq!(
        u64::try_from((NODE_BYTES_MAX - 16) / ENTRY_BYTES),
        Ok(LEAF_BLOCKS)
    );
}

/// A merge that would write a node that cannot be read stops instead.
#[test]
fn broken_nodes_are_not_written() {
    let child = |index| Child {
        index,
        address: run(0, 1).address,
        hint: run(0, 1).hint,
    };
    let leaf = |runs: Vec<Run>| Node::Leaf { number: 0, runs };
    let hintless = Hint {
        stored_bytes: 0,
        ..run(0, 1).hint
    };
    for (what, node) in [
        ("empty run", leaf(vec![run(0, 0)])),
        ("overlap", leaf(vec![run(0, 4), run(3, 1)])),
        ("descending", leaf(vec![run(4, 1), run(3, 1)])),
        ("beyond the leaf", leaf(vec![run(127, 2)])),
        (
            "beyond the chunk",
            leaf(vec![Run {
                chunk_first: 1,
                ..run(0, 8)
            }]),
        ),
        ("large chunk", leaf(vec![run(0, 9)])),
        (
            "no size",
            leaf(vec![Run {
                hint: hintless,
                ..run(0, 1)
            }]),
        ),
        (
            "number",
            Node::Leaf {
                number: nodes_of_level(0),
                runs: vec![],
            },
        ),
        (
            "twice",
            Node::Inner {
                level: 1,
                number: 0,
                children: vec![child(5), child(5)],
            },
        ),
        (
            "index",
            Node::Inner {
                level: 1,
                number: 0,
                children: vec![child(128)],
            },
        ),
        (
            "level 0",
            Node::Inner {
                level: 0,
                number: 0,
                children: vec![],
            },
        ),
        (
            "level",
            Node::Inner {
                level: LEVEL_MAX + 1,
                number: 0,
                children: vec![],
            },
        ),
    ] {
        assert!(node.check(&node.entries()).is_err(), "{what}");
    }
}

#[test]
fn a_child_is_not_a_run() {
    let mut bytes = Node::Leaf {
        number: 0,
        runs: vec![run(0, 2)],
    }
    .encode();
    bytes[3] = 1;
    assert_eq!(
        Node::decode(&bytes).unwrap_err().kind,
        FormatErrorKind::BadValue
    );
}
