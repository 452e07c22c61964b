//! Layers: every block as the newest update says, updates ascending and disjoint.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};
use vpool_format::map::BLOCKS_MAX;
use vpool_map::{Pending, Target};

use crate::model::{Blocks, Step, chunk, steps, take_step};

/// What a layer says of each block below `end`.
fn told(pending: &Pending, end: u64) -> Vec<Option<Target>> {
    let mut told = Vec::new();
    for piece in pending.pieces(0..end) {
        assert_eq!(piece.start, told.len() as u64);
        for skip in 0..piece.blocks {
            told.push(match piece.target {
                Some(Target::Chunk(mut chunk)) => {
                    chunk.chunk_first += u8::try_from(skip).unwrap();
                    Some(Target::Chunk(chunk))
                }
                other => other,
            });
        }
    }
    told
}

fn check(steps: &[Step], end: u64, ranges: &[(u64, u64)]) {
    let mut pending = Pending::new();
    let mut blocks = Blocks::new();
    let mut known = vec![false; usize::try_from(end).unwrap()];
    for (id, step) in (0..).zip(steps) {
        take_step(step, id, &mut pending, &mut blocks);
        let (start, count) = match *step {
            Step::Write { start, blocks, .. } => (start, u64::from(blocks)),
            Step::Trim { start, blocks } => (start, blocks),
            Step::Again { .. } => continue,
        };
        for block in start..(start + count).min(end) {
            known[usize::try_from(block).unwrap()] = true;
        }
    }
    let told = told(&pending, end);
    for (block, told) in (0..).zip(&told) {
        let place = blocks.get(&block);
        match told {
            None => assert!(!known[usize::try_from(block).unwrap()]),
            Some(Target::Hole) => assert!(place.is_none(), "block {block}"),
            Some(Target::Chunk(chunk)) => {
                assert_eq!(place, Some(&(chunk.address, chunk.chunk_first)));
            }
        }
        assert_eq!(told.is_some(), known[usize::try_from(block).unwrap()]);
    }
    assert_eq!(pending.iter().count(), pending.len());
    let updates: Vec<_> = pending.iter().collect();
    for pair in updates.windows(2) {
        assert!(pair[0].end() <= pair[1].start);
        let both_holes = pair[0].target == Target::Hole && pair[1].target == Target::Hole;
        assert!(!(both_holes && pair[0].end() == pair[1].start));
    }
    for &(start, count) in ranges {
        let mut next = start;
        for piece in pending.pieces(start..start + count) {
            assert_eq!(piece.start, next);
            let of_start = told.get(usize::try_from(next).unwrap()).copied();
            assert_eq!(piece.target, of_start.unwrap_or(None));
            next += piece.blocks;
        }
        assert_eq!(next, start + count);
        let from = pending.updates_from(start).next();
        assert_eq!(
            from,
            updates.iter().find(|update| update.end() > start).copied()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn dense_updates(
        steps in vec(steps(0..3000u64, 12), 1..2500),
        ranges in vec((0..3100u64, 0..200u64), 8),
    ) {
        check(&steps, 4000, &ranges);
    }

    #[test]
    fn sparse_updates_and_long_holes(
        steps in vec(steps(0..60_000u64, 9000), 1..1500),
        ranges in vec((0..70_000u64, 0..9000u64), 8),
    ) {
        check(&steps, 80_000, &ranges);
    }

    #[test]
    fn no_update_that_cannot_be(start in 0..=u64::MAX, blocks in 0..=u64::MAX) {
        let mut pending = Pending::new();
        let accepted = pending.insert(start, blocks, Target::Hole).is_ok();
        let possible = blocks > 0 && start.checked_add(blocks).is_some_and(|end| end <= BLOCKS_MAX);
        prop_assert_eq!(accepted, possible);
        prop_assert_eq!(pending.len(), usize::from(accepted));
        prop_assert!(pending.insert(start % BLOCKS_MAX, 1, Target::Hole).is_ok());
    }
}

#[test]
fn refuses_what_no_node_can_name() {
    let check = |change: &dyn Fn(&mut vpool_map::Chunk), blocks: u64| {
        let mut target = chunk(7, 2, 8);
        change(&mut target);
        let mut pending = Pending::new();
        let inserted = pending.insert(5, blocks, Target::Chunk(target)).is_ok();
        assert_eq!(pending.is_empty(), !inserted);
        inserted
    };
    assert!(check(&|_| {}, 6));
    assert!(!check(&|_| {}, 7));
    assert!(!check(&|_| {}, 0));
    assert!(!check(&|chunk| chunk.chunk_blocks = 9, 1));
    assert!(!check(&|chunk| chunk.hint.stored_bytes = 0, 1));
    assert!(!check(&|chunk| chunk.hint.stored_bytes = 1 << 20, 1));
    assert!(!check(&|chunk| chunk.address.segment.0 = 0, 1));
}

#[test]
fn the_whole_disk_is_one_hole() {
    let mut pending = Pending::new();
    for block in (0..20_000).rev() {
        let target = Target::Chunk(chunk(block, 0, 1));
        pending.insert(block * 3, 1, target).unwrap();
    }
    let full = pending.memory_bytes();
    pending.insert(0, BLOCKS_MAX, Target::Hole).unwrap();
    assert_eq!(pending.len(), 1);
    assert!(pending.memory_bytes() < 8192 && full > 600_000);
    // A hole in a hole is nothing new, at the very end too.
    pending.insert(BLOCKS_MAX - 1, 1, Target::Hole).unwrap();
    assert_eq!(pending.len(), 1);
    pending
        .insert(BLOCKS_MAX - 1, 1, Target::Chunk(chunk(1, 0, 1)))
        .unwrap();
    assert_eq!(pending.len(), 2);
    let frozen = std::mem::take(&mut pending);
    assert_eq!((frozen.len(), pending.len()), (2, 0));
}

#[test]
fn a_disk_trimmed_piece_by_piece_is_one_hole() {
    let mut pending = Pending::new();
    let places = [0u64, 4, 2, 1, 3, 7, 6, 5];
    for place in places {
        pending.insert(place * 256, 256, Target::Hole).unwrap();
    }
    assert_eq!(pending.len(), 1);
    assert_eq!(pending.iter().next().unwrap().blocks, 2048);
}
