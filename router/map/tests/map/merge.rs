//! Merges: the tree says what the model says, and what is replaced is exactly that.

use futures::executor::block_on;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};
use vpool_format::SegmentNo;
use vpool_format::map::{BLOCKS_MAX, ChunkAddress};
use vpool_map::{Map, Pending, Replaced, Target, expand, merge};

use crate::lookup::tree;
use crate::model::{Step, chunk, plain, steps};
use crate::world::{Report, World};

/// Blocks near each other, near the borders of subtrees, and anywhere.
fn starts() -> impl Strategy<Value = u64> + Clone {
    let near = |border: u64| (0..700u64).prop_map(move |off| (border + off).saturating_sub(350));
    prop_oneof![
        6 => 0..2000u64,
        2 => near(1 << 14),
        2 => near(1 << 21),
        1 => near(1 << 28),
        1 => near((1 << 35) + (1 << 28)),
        1 => near(BLOCKS_MAX - 700),
        1 => 0..BLOCKS_MAX - 8,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn small_disks(rounds in vec(vec(steps(0..3000u64, 900), 1..120), 1..8)) {
        let mut world = World::new();
        for round in rounds {
            world.round(&round);
        }
    }

    #[test]
    fn disks_of_any_size(
        rounds in vec(
            (vec(steps(starts(), 400), 1..60), prop_oneof![
                6 => Just(0u64),
                1 => 1..BLOCKS_MAX,
                1 => (0..5u32).prop_map(|level| 1 << (7 * (level + 1))),
                1 => Just(BLOCKS_MAX),
            ], starts()),
            1..8,
        ),
    ) {
        let mut world = World::new();
        for (mut steps, trim, place) in rounds {
            if trim > 0 {
                // A long hole, before or after the other steps of its round.
                let start = place.min(BLOCKS_MAX - trim);
                let at = if trim % 2 == 0 { 0 } else { steps.len() };
                let start = if trim.is_power_of_two() { start / trim * trim } else { start };
                steps.insert(at, Step::Trim { start, blocks: trim });
            }
            world.round(&steps);
        }
        world.round(&[Step::Trim { start: 0, blocks: BLOCKS_MAX }]);
        assert!(world.nodes.is_empty());
    }
}

#[test]
fn nothing_in_nothing_out() {
    let mut world = World::new();
    world.round(&[]);
    world.round(&[Step::Trim {
        start: 3,
        blocks: 1 << 30,
    }]);
    assert_eq!(world.next_segment, 1);
    let write = Step::Write {
        start: 1 << 30,
        blocks: 4,
        chunk_first: 1,
        split: true,
    };
    world.round(&[write]);
    assert_eq!(world.root.unwrap().level, 4);
    let segment = world.next_segment;
    // Holes where nothing is, and what is there already, write nothing.
    world.round(&[]);
    world.round(&[Step::Again { start: 1 << 30 }]);
    world.round(&[
        Step::Trim {
            start: 0,
            blocks: 1 << 30,
        },
        Step::Trim {
            start: (1 << 30) + 4,
            blocks: 1 << 31,
        },
    ]);
    assert_eq!(world.next_segment, segment);
}

#[test]
fn the_root_rises_and_sinks() {
    let mut world = World::new();
    let write = |start| Step::Write {
        start,
        blocks: 1,
        chunk_first: 0,
        split: false,
    };
    let level = |world: &World| world.root.unwrap().level;
    world.round(&[write(127)]);
    assert_eq!(level(&world), 0);
    world.round(&[write(128)]);
    assert_eq!(level(&world), 1);
    // Past two levels at once, over a tree that is not touched.
    world.round(&[write(1 << 28)]);
    assert_eq!(level(&world), 4);
    // What was the whole tree is dropped while the root rises above it.
    world.round(&[
        write(1 << 35),
        Step::Trim {
            start: 0,
            blocks: 1 << 30,
        },
    ]);
    assert_eq!(level(&world), 5);
    world.round(&[write(5)]);
    // Each merge of a disk that became small takes a level off.
    world.round(&[Step::Trim {
        start: 128,
        blocks: 1 << 39,
    }]);
    for expected in [4, 3, 2, 1, 0, 0] {
        assert_eq!(level(&world), expected);
        world.round(&[write(6)]);
    }
    world.round(&[Step::Trim {
        start: 0,
        blocks: 7,
    }]);
    assert!(world.root.is_none());
}

#[test]
fn a_whole_disk_is_dropped_unread() {
    for (hole, read_max) in [(1 << 34, 1), (1 << 40, 1), ((19_999 << 14) + 1, 5)] {
        let (nodes, root) = tree(20_000, 1 << 14);
        let mut world = World {
            nodes,
            root,
            next_segment: 1000,
            ..World::new()
        };
        assert_eq!(world.root.unwrap().level, 4);
        let mut pending = Pending::new();
        pending.insert(0, hole, Target::Hole).unwrap();
        let (merged, report) = world.merge(&pending);
        assert!(merged.nodes_read <= read_max, "{merged:?}");
        assert!(merged.nodes_put == 0 && merged.root.is_none());
        assert!(report.subtrees < 256);
        assert_eq!(report.blocks.len(), 20_000);
        for (_, _, address) in &report.nodes {
            assert!(world.nodes.remove(address));
        }
        assert!(world.nodes.is_empty());
    }
}

#[test]
fn a_subtree_opened_step_by_step_is_the_same() {
    let (nodes, root) = tree(3000, 1 << 14);
    let mut pending = Pending::new();
    pending.insert(0, BLOCKS_MAX, Target::Hole).unwrap();
    let mut reported: Vec<Replaced> = Vec::new();
    let mut sink = nodes.sink(SegmentNo(50), 9);
    let merged = block_on(merge(root, &pending, &nodes, &mut sink, &mut |it| {
        reported.push(it)
    }));
    assert_eq!(merged.unwrap().root, None);
    let (mut at_once, mut by_steps) = (Report::default(), Report::default());
    for replaced in &reported {
        match replaced {
            Replaced::Subtree(subtree) => {
                let mut take = |it| at_once.take(&it);
                block_on(expand(&nodes, *subtree, &mut take)).unwrap();
            }
            other => at_once.take(other),
        }
    }
    while let Some(next) = reported.pop() {
        match next {
            Replaced::Subtree(subtree) => {
                block_on(subtree.open(&nodes, &mut |it| reported.push(it))).unwrap();
            }
            other => by_steps.take(&other),
        }
    }
    by_steps.blocks.sort();
    at_once.blocks.sort();
    by_steps.nodes.sort();
    at_once.nodes.sort();
    assert_eq!(
        (at_once.blocks.len(), &at_once.blocks),
        (3000, &by_steps.blocks)
    );
    assert_eq!(at_once.nodes, by_steps.nodes);
}

#[test]
fn runs_of_one_chunk_become_one() {
    let mut world = World::new();
    let mut pending = Pending::new();
    for block in [3u64, 1, 4, 2, 0] {
        let place = u8::try_from(block).unwrap();
        let target = Target::Chunk(chunk(9, place + 2, 8));
        pending.insert(126 + block, 1, target).unwrap();
    }
    world.merge(&pending);
    let mut out = Vec::new();
    let map = Map::new(world.root);
    block_on(map.lookup(&world.nodes, 0..256, 9, &mut out)).unwrap();
    // One piece, although a leaf ends within it.
    let address: ChunkAddress = chunk(9, 0, 8).address;
    let expected = [
        (0, 126, None),
        (126, 5, Some((address, 2))),
        (131, 125, None),
    ];
    assert_eq!(plain(&out), expected);
}
