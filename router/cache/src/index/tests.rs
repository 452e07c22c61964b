//! The index against maps, under the lock that it would have.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vpool_format::{SegmentNo, Slot, StreamUid};

use super::{Index, Place};
use crate::ChunkKey;

fn key(number: u16) -> ChunkKey {
    let uid = StreamUid(u128::from(number % 3));
    ChunkKey {
        uid,
        segment: SegmentNo(u64::from(number / 7)),
        slot: Slot(number),
    }
}

fn id(number: u8) -> [u8; 16] {
    [number; 16]
}

fn place(zone: u32, number: u32) -> Place {
    let blocks = u8::try_from(number % 16 + 1).expect("at most 16");
    Place {
        zone,
        offset: 4096 + number * 16,
        blocks,
        sealed: number % 2 == 1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn equals_two_maps(
        ops in prop::collection::vec((0u8..8, 0u16..40, 0u8..12, 0u32..4, 0u32..200_000), 1..200),
    ) {
        let mut index = Index::default();
        let mut addresses: BTreeMap<u16, u8> = BTreeMap::new();
        let mut places: BTreeMap<u8, Place> = BTreeMap::new();
        for (op, number, content, zone, at) in ops {
            let known = places.contains_key(&content) || addresses.values().any(|c| *c == content);
            match op {
                0..2 => {
                    index.put_content(id(content), place(zone, at));
                    places.insert(content, place(zone, at));
                }
                2..4 => {
                    // A known content keeps its own address through a move of that address.
                    let only = addresses.get(&number) == Some(&content);
                    prop_assert_eq!(index.put_address(key(number), &id(content)), known || only);
                    if known {
                        addresses.insert(number, content);
                    }
                }
                4 => {
                    index.remove_address(&key(number));
                    addresses.remove(&number);
                }
                5 => {
                    let place = places.get(&content).copied().unwrap_or(place(zone, at));
                    index.drop_place(&id(content), Place { zone: place.zone ^ 1, ..place });
                    index.drop_place(&id(content), place);
                    places.remove(&content);
                }
                6 => {
                    index.drop_zone(zone);
                    places.retain(|_, place| place.zone != zone);
                }
                _ => {
                    let doomed = StreamUid(u128::from(zone));
                    index.sweep(|uid| uid == doomed);
                    addresses.retain(|number, content| {
                        places.contains_key(content) && key(*number).uid != doomed
                    });
                }
            }
            for number in 0..40 {
                let content = addresses.get(&number);
                prop_assert_eq!(index.content_of(&key(number)), content.map(|c| id(*c)));
                let found = content.and_then(|c| Some((id(*c), *places.get(c)?)));
                prop_assert_eq!(index.find(&key(number)), found);
            }
            let bytes: usize = places.values().map(Place::plain_bytes).sum();
            let bytes = u64::try_from(bytes).expect("small");
            prop_assert_eq!(index.placed(), (places.len(), bytes));
            prop_assert_eq!(index.addresses(), addresses.len());
            // Contents are known while placed or pointed to, and no longer.
            let mut contents: Vec<u8> = addresses.values().chain(places.keys()).copied().collect();
            contents.sort_unstable();
            contents.dedup();
            prop_assert_eq!(index.len(), contents.len() + addresses.len());
        }
    }
}

#[test]
fn a_read_is_remembered_until_the_content_moves() {
    let mut index = Index::default();
    let [a, b] = [place(1, 0), place(2, 0)];
    index.put_content(id(1), a);
    assert!(!index.was_read(&id(1), a));
    index.mark_read(&id(1));
    index.mark_read(&id(2));
    assert!(index.was_read(&id(1), a));
    assert!(!index.was_read(&id(1), b));
    index.put_content(id(1), b);
    assert!(!index.was_read(&id(1), b));
}

#[test]
fn the_extremes_fit() {
    let mut index = Index::default();
    let last = Place {
        zone: (1 << 24) - 1,
        offset: (1 << 22) - 16,
        blocks: 16,
        sealed: true,
    };
    index.put_content(id(1), last);
    let key = ChunkKey {
        uid: StreamUid(u128::MAX),
        segment: SegmentNo(u64::from(u32::MAX)),
        slot: Slot(u16::MAX),
    };
    assert!(index.put_address(key, &id(1)));
    assert_eq!(index.find(&key), Some((id(1), last)));
    let beyond = ChunkKey {
        segment: SegmentNo(1 << 32),
        ..key
    };
    assert!(!index.put_address(beyond, &id(1)));
    assert_eq!(index.find(&beyond), None);
    for number in 1..super::ADDRESSES_OF_ONE_MAX {
        let key = ChunkKey {
            segment: SegmentNo(number),
            ..key
        };
        assert!(index.put_address(key, &id(1)));
    }
    assert!(!index.put_address(
        ChunkKey {
            segment: SegmentNo(0),
            ..key
        },
        &id(1)
    ));
    assert_eq!(index.find(&key), Some((id(1), last)));
}
