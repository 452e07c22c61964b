//! A layer large enough for many groups: its own books, and a simple model beside it.

use std::collections::BTreeMap;

use vpool_format::map::{ChunkAddress, Hint};
use vpool_format::segment::Codec;
use vpool_format::{SegmentNo, Slot, StreamNo};

use super::{FIRST, Pending};
use crate::piece::{Chunk, Target, Update};

/// Numbers that are random enough (SplitMix64), and always the same.
fn random(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % bound
}

fn target(id: u64) -> Target {
    Target::Chunk(Chunk {
        address: ChunkAddress {
            stream: StreamNo(u32::MAX),
            segment: SegmentNo(id + 1),
            slot: Slot(u16::MAX),
        },
        chunk_first: 0,
        chunk_blocks: 1,
        hint: Hint {
            offset: u32::MAX,
            stored_bytes: 131_071,
            codec: Codec::Zstd,
        },
    })
}

/// Pages tile the starts, none but the first is empty, and the counts are those of the pages.
fn check_books(pending: &Pending) {
    let (mut len, mut capacity, mut pages) = (0, 0, 0);
    let mut at = Some(FIRST);
    let mut lower = 0;
    while let Some(here) = at {
        let page = pending.pages.page(here);
        assert_eq!(pending.pages.lower(here), lower);
        let upper = pending.pages.upper(here);
        assert!(lower < upper && (page.len() > 0 || here == FIRST));
        for place in 0..page.len() {
            assert!((lower..upper).contains(&page.start(place)));
            assert_eq!(pending.pages.locate(page.start(place)), here);
        }
        len += page.len();
        capacity += page.capacity();
        pages += 1;
        at = pending.pages.after(here);
        assert_eq!(
            at.and_then(|next| pending.pages.before(next)),
            at.and(Some(here))
        );
        lower = upper;
    }
    assert_eq!(lower, u64::MAX);
    assert_eq!((pending.len, pending.capacity), (len, capacity));
    assert_eq!(pending.pages.len(), pages);
}

#[test]
fn many_groups_keep_their_books() {
    const BLOCKS: u64 = 400_000;
    let mut state = 5;
    let mut pending = Pending::new();
    let mut model: BTreeMap<u64, Target> = BTreeMap::new();
    for round in 0..30 {
        for _ in 0..10_000 {
            let start = random(&mut state, BLOCKS);
            pending
                .insert(start, 1, target(start * 31 + round))
                .unwrap();
            model.insert(start, target(start * 31 + round));
        }
        // Long holes, aligned to pages or not, and short ones; each is one update.
        for bound in [BLOCKS / 3, 3000, 40] {
            let start = random(&mut state, BLOCKS);
            let end = start + 1 + random(&mut state, bound);
            pending.insert(start, end - start, Target::Hole).unwrap();
            model.retain(|block, _| !(start..end).contains(block));
        }
        check_books(&pending);
        let chunks = pending
            .iter()
            .filter(|update| update.target != Target::Hole);
        let expected = model.iter().map(|(start, target)| Update {
            start: *start,
            blocks: 1,
            target: *target,
        });
        assert!(chunks.eq(expected), "round {round}");
    }
    assert!(pending.pages.len() > 512, "{} pages", pending.pages.len());
    for start in 0..1000 {
        pending
            .insert(start * (BLOCKS / 500), BLOCKS / 500, Target::Hole)
            .unwrap();
        if start % 100 == 0 {
            check_books(&pending);
        }
    }
    check_books(&pending);
    assert_eq!((pending.len(), pending.pages.len()), (1, 1));
}

#[test]
fn packing_loses_nothing() {
    let mut pending = Pending::new();
    let wide = target(u64::MAX - 1);
    pending.insert(9, 1, wide).unwrap();
    assert_eq!(pending.iter().next().unwrap().target, wide);
}
