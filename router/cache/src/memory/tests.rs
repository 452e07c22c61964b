//! The memory layer: never other bytes, never more than its bound, and no scan washes it out.

use std::collections::HashMap;

use bytes::Bytes;
use proptest::prelude::*;
use vpool_format::{SegmentNo, Slot, StreamUid};

use super::{CacheMemory, Memory};
use crate::ChunkKey;
use crate::limits::ENTRY_OVERHEAD;

fn key(number: u64) -> ChunkKey {
    let slot = u16::try_from(number % 1000).expect("small");
    ChunkKey {
        uid: StreamUid(7),
        segment: SegmentNo(number / 1000),
        slot: Slot(slot),
    }
}

/// The value of an address: content `content`, `length` bytes.
fn value(content: u8, length: usize) -> Bytes {
    Bytes::from(vec![content; length])
}

fn id(content: u8, length: usize) -> [u8; 16] {
    let mut id = [content; 16];
    id[..8].copy_from_slice(&length.to_le_bytes());
    id
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn equals_a_map_that_forgets(
        ops in prop::collection::vec(
            (0u64..60, 0u8..6, prop::sample::select(vec![0, 100, 4096, 32768]), 0u8..10),
            1..300,
        ),
    ) {
        const CAPACITY: usize = 200_000;
        let memory = Memory::new(&CacheMemory::new(CAPACITY));
        let mut model: HashMap<u64, Bytes> = HashMap::new();
        for (number, content, length, op) in ops {
            let key = key(number);
            match op {
                0..5 => {
                    let known = memory.get(&key);
                    let shared = (content < 4).then(|| id(content, length));
                    memory.insert(key, value(content, length), shared);
                    if known.is_none() {
                        model.insert(number, value(content, length));
                    }
                }
                5 => {
                    memory.remove(&key);
                    model.remove(&number);
                    prop_assert!(memory.get(&key).is_none());
                }
                6..9 => {
                    if let Some(bytes) = memory.get(&key) {
                        prop_assert_eq!(Some(&bytes), model.get(&number));
                    }
                }
                _ => {
                    let mut buf = [0xee; 50];
                    let found = memory.read(&key, 40, &mut buf);
                    if found {
                        prop_assert_eq!(&buf[..], &model[&number][40..90]);
                    } else {
                        prop_assert_eq!(buf, [0xee; 50]);
                    }
                }
            }
            let figures = memory.figures();
            prop_assert!(figures.used_bytes <= CAPACITY, "{:?}", figures);
        }
        // What is counted is what is there.
        memory.remove_where(|key| key.uid == StreamUid(7));
        let figures = memory.figures();
        prop_assert_eq!((figures.entries, figures.used_bytes), (0, 0));
    }
}

#[test]
fn equal_contents_are_held_once() {
    let memory = Memory::new(&CacheMemory::new(1 << 20));
    for number in 0..5 {
        memory.insert(key(number), value(1, 32768), Some([1; 16]));
    }
    assert_eq!(memory.figures().used_bytes, 32768 + 5 * ENTRY_OVERHEAD);
    // Other bytes under the same id are kept apart.
    memory.insert(key(5), value(2, 32768), Some([1; 16]));
    assert_eq!(memory.get(&key(5)), Some(value(2, 32768)));
    assert_eq!(memory.get(&key(4)), Some(value(1, 32768)));
    for number in 0..5 {
        memory.remove(&key(number));
    }
    assert_eq!(memory.figures().used_bytes, 32768 + ENTRY_OVERHEAD);
}

#[test]
fn a_scan_does_not_wash_out_what_is_used() {
    let memory = Memory::new(&CacheMemory::new(64 * (4096 + ENTRY_OVERHEAD)));
    let mut buf = [0; 512];
    for number in 0..30 {
        memory.insert(key(number), value(1, 4096), None);
        for _ in 0..3 {
            assert!(memory.read(&key(number), 0, &mut buf));
        }
    }
    // A reader goes through many chunks once, block by block.
    for number in 1000..2000 {
        memory.insert(key(number), value(2, 4096), None);
        for part in 0..8 {
            assert!(memory.read(&key(number), part * 512, &mut buf));
        }
    }
    let kept = (0..30).filter(|number| memory.contains(&key(*number)));
    assert_eq!(kept.count(), 30);
}

#[test]
fn what_comes_back_soon_is_kept_longer() {
    let memory = Memory::new(&CacheMemory::new(64 * (4096 + ENTRY_OVERHEAD)));
    let scan = |from| {
        (from..from + 100).for_each(|number| memory.insert(key(number), value(2, 4096), None))
    };
    memory.insert(key(1), value(1, 4096), None);
    scan(1000);
    assert!(!memory.contains(&key(1)));
    memory.insert(key(1), value(1, 4096), None);
    scan(2000);
    assert!(
        memory.contains(&key(1)),
        "was remembered, so it went to the main queue"
    );
}

#[test]
fn what_is_too_long_is_not_kept() {
    let memory = Memory::new(&CacheMemory::new(100_000));
    memory.insert(key(1), value(1, 65537), None);
    memory.insert(key(2), value(1, 60_000), None);
    assert_eq!(memory.figures().entries, 0);
    memory.insert(key(3), value(1, 0), None);
    assert_eq!(memory.get(&key(3)), Some(Bytes::new()));
    assert!(!memory.read(&key(3), 0, &mut [0]));
    assert!(!memory.read(&key(3), usize::MAX, &mut [0]));
}

/// A layer that nobody else wants anything of takes all there is; who comes later takes its part
/// from the largest, and a layer that goes leaves all.
#[test]
fn layers_lend_each_other_what_they_do_not_use() {
    const VALUE: usize = 4096 + ENTRY_OVERHEAD;
    let budget = CacheMemory::new(90 * VALUE);
    let [large, small, late] = [0; 3].map(|_| Memory::new(&budget));
    let fill = |layer: &Memory, from: u64, count: u64| {
        for number in from..from + count {
            layer.insert(key(number), value(1, 4096), None);
            assert!(!budget.is_over(), "{number}");
        }
    };
    fill(&large, 0, 200);
    assert_eq!(large.used_bytes(), 90 * VALUE);
    fill(&small, 1000, 20);
    assert_eq!(
        (large.used_bytes(), small.used_bytes()),
        (70 * VALUE, 20 * VALUE)
    );
    // No part is larger than that of another who wants more.
    fill(&late, 2000, 200);
    assert_eq!(small.used_bytes(), 20 * VALUE);
    assert!(late.used_bytes() >= 30 * VALUE);
    assert!(large.used_bytes() >= 30 * VALUE);
    drop(large);
    fill(&late, 3000, 200);
    assert_eq!(
        (small.used_bytes(), late.used_bytes()),
        (20 * VALUE, 70 * VALUE)
    );
}

/// A layer has the part that it was given, as soon as it wants it.
#[test]
fn a_part_that_was_given_comes_back() {
    const VALUE: usize = 4096 + ENTRY_OVERHEAD;
    let budget = CacheMemory::new(100 * VALUE);
    let [given, other] = [0; 2].map(|_| Memory::new(&budget));
    given.set_share(Some(80));
    let fill = |layer: &Memory, from: u64, count: u64| {
        for number in from..from + count {
            layer.insert(key(number), value(1, 4096), None);
            assert!(!budget.is_over(), "{number}");
        }
    };
    fill(&other, 0, 200);
    assert_eq!(other.used_bytes(), 100 * VALUE, "it borrows");
    fill(&given, 1000, 200);
    assert_eq!(
        (given.used_bytes(), other.used_bytes()),
        (80 * VALUE, 20 * VALUE)
    );
    fill(&other, 2000, 200);
    assert_eq!(given.used_bytes(), 80 * VALUE);
    given.set_share(None);
    fill(&other, 3000, 200);
    assert_eq!(given.used_bytes(), 50 * VALUE, "equal parts again");
}
