//! Chunks, pages, journal blocks and cache entries: round trips, and every alteration refused.

use proptest::prelude::*;
use vpool_format::segment::{Codec, Content};
use vpool_format::{DiskId, PoolId, SegmentNo, Slot, StreamUid};

use super::{DISK, POOL, chunk, keys, page, random};
use crate::{ChunkContext, PageContext, TAG_BYTES};

const SALT: [u8; 32] = [9; 32];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_chunk_comes_back(
        bytes in prop::collection::vec(any::<u8>(), 0..9000),
        slot: u16,
        sealed: bool,
        before in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let keys = keys(1, sealed);
        let context = chunk(slot, u32::try_from(bytes.len()).expect("short"));
        // What stands in the buffers before is left alone.
        let mut stored = before.clone();
        let id = keys.part(&SALT).seal(&context, &bytes, &mut stored);
        prop_assert_eq!(&stored[..before.len()], &before);
        let stored = stored.split_off(before.len());
        prop_assert_eq!(stored.len(), bytes.len() + TAG_BYTES);
        let mut back = before.clone();
        let free = keys.part(&SALT).open(&context, &stored, &mut back).expect("is whole");
        prop_assert_eq!(back.split_off(before.len()), bytes.clone());
        prop_assert_eq!(&back, &before);
        prop_assert_eq!(id, free);
        prop_assert_eq!(id, (!sealed).then(|| keys.content_id(&bytes)));
    }
}

/// Every way in which a chunk's context can differ from the one it was sealed in.
fn other_contexts(right: ChunkContext) -> Vec<ChunkContext> {
    let mut others = Vec::new();
    for bit in 0..128 {
        others.push(ChunkContext {
            pool: PoolId(right.pool.0 ^ 1 << bit),
            ..right
        });
        others.push(ChunkContext {
            disk: DiskId(right.disk.0 ^ 1 << bit),
            ..right
        });
        others.push(ChunkContext {
            uid: StreamUid(right.uid.0 ^ 1 << bit),
            ..right
        });
    }
    for bit in 0..64 {
        others.push(ChunkContext {
            segment: SegmentNo(right.segment.0 ^ 1 << bit),
            ..right
        });
    }
    for bit in 0..32 {
        others.push(ChunkContext {
            raw_bytes: right.raw_bytes ^ 1 << bit,
            ..right
        });
    }
    for bit in 0..16 {
        others.push(ChunkContext {
            slot: Slot(right.slot.0 ^ 1 << bit),
            ..right
        });
    }
    for content in [Content::MapNode, Content::Zero, Content::Discard] {
        others.push(ChunkContext { content, ..right });
    }
    others.push(ChunkContext {
        codec: Codec::Zstd,
        ..right
    });
    others
}

#[test]
fn an_altered_or_moved_chunk_is_refused() {
    for sealed in [false, true] {
        let keys = keys(1, sealed);
        let context = chunk(3, 200);
        let mut stored = Vec::new();
        let bytes = random(5, 200);
        keys.part(&SALT).seal(&context, &bytes, &mut stored);
        assert_eq!(sealed, stored[..200] != bytes[..]);
        let part = keys.part(&SALT);
        let mut out = b"left alone".to_vec();
        let mut refused = |context: &ChunkContext, stored: &[u8]| {
            assert!(part.open(context, stored, &mut out).is_err(), "{context:?}");
            assert_eq!(out, b"left alone");
        };
        for other in other_contexts(context) {
            refused(&other, &stored);
        }
        for bit in 0..stored.len() * 8 {
            stored[bit / 8] ^= 1 << (bit % 8);
            refused(&context, &stored);
            stored[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..stored.len() {
            refused(&context, &stored[..length]);
        }
        let longer = [&stored[..], &[0]].concat();
        refused(&context, &longer);
        refused(&context, &vec![0; 1 << 20]);
        assert!(part.open(&context, &stored, &mut out).is_ok());
    }
}

#[test]
fn another_key_or_form_opens_nothing() {
    let context = chunk(0, 64);
    let mut out = Vec::new();
    for sealed in [false, true] {
        let mut stored = Vec::new();
        keys(1, sealed)
            .part(&SALT)
            .seal(&context, &[7; 64], &mut stored);
        for other in [keys(2, sealed), keys(1, !sealed)] {
            assert!(other.part(&SALT).open(&context, &stored, &mut out).is_err());
        }
        // A key that was meant for something else opens no chunk either.
        let page = keys(1, sealed)
            .pages(&SALT)
            .open(&page(0), &stored, &mut out);
        assert!(page.is_err());
    }
    let mut stored = Vec::new();
    keys(1, true)
        .part(&SALT)
        .seal(&context, &[7; 64], &mut stored);
    assert!(
        keys(1, true)
            .part(&[8; 32])
            .open(&context, &stored, &mut out)
            .is_err()
    );
    assert!(out.is_empty());
}

#[test]
fn pages_come_back_and_nothing_altered_does() {
    for sealed in [false, true] {
        let keys = keys(1, sealed);
        let bytes = random(6, 1500);
        let mut stored = Vec::new();
        keys.pages(&SALT).seal(&page(2), &bytes, &mut stored);
        assert_eq!(stored.len(), bytes.len() + TAG_BYTES);
        let key = keys.pages(&SALT);
        let mut out = Vec::new();
        key.open(&page(2), &stored, &mut out).expect("is whole");
        assert_eq!(out, bytes);
        for bit in 0..stored.len() * 8 {
            stored[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&page(2), &stored, &mut out).is_err());
            stored[bit / 8] ^= 1 << (bit % 8);
        }
        for other in [
            page(3),
            PageContext {
                pool: PoolId(POOL.0 ^ 1),
                ..page(2)
            },
            PageContext {
                disk: DiskId(DISK.0 ^ 1),
                ..page(2)
            },
            PageContext {
                uid: StreamUid(1),
                ..page(2)
            },
            PageContext {
                segment: SegmentNo(8),
                ..page(2)
            },
        ] {
            assert!(key.open(&other, &stored, &mut out).is_err(), "{other:?}");
        }
        // The same page in another object of the same segments.
        assert!(
            keys.pages(&[1; 32])
                .open(&page(2), &stored, &mut out)
                .is_err()
        );
        assert_eq!(out, bytes);
    }
}

#[test]
fn blocks_and_entries_are_bound_to_their_places() {
    assert!(keys(1, false).extent(&SALT).is_none());
    let keys = keys(1, true);
    let extent = keys.extent(&SALT).expect("encrypted");
    let plain = random(7, 4096);
    let mut block = plain.clone();
    let tag = extent.seal_block(2047, &mut block);
    assert_ne!(block, plain);
    let open = |salt: [u8; 32], index, block: &[u8], tag: &[u8; 16]| {
        let mut block = block.to_vec();
        let opened = keys
            .extent(&salt)
            .expect("encrypted")
            .open_block(index, &mut block, tag);
        opened.map(|()| block)
    };
    assert_eq!(open(SALT, 2047, &block, &tag).expect("is whole"), plain);
    assert!(open(SALT, 2046, &block, &tag).is_err());
    assert!(open([1; 32], 2047, &block, &tag).is_err());
    let mut bad = block.clone();
    bad[4095] ^= 128;
    assert!(open(SALT, 2047, &bad, &tag).is_err());
    let zone = keys.data.as_ref().expect("encrypted").zone(&SALT);
    assert!(
        zone.open_entry(2047, &[], &mut block.clone(), &tag)
            .is_err()
    );
    let mut entry = plain.clone();
    let tag = zone.seal_entry(1, b"place", &mut entry);
    let mut moved = entry.clone();
    assert!(zone.open_entry(1, b"other", &mut moved, &tag).is_err());
    assert!(
        moved.iter().all(|byte| *byte == 0),
        "nothing of the plaintext is left"
    );
    zone.open_entry(1, b"place", &mut entry, &tag)
        .expect("is whole");
    assert_eq!(entry, plain);
}

#[test]
fn content_ids_are_equal_within_a_domain_only() {
    let [a, b] = [random(1, 4096), random(2, 4096)];
    let clear = keys(1, false);
    let sealed = keys(1, true);
    assert_eq!(clear.content_id(&a), clear.content_id(&a.clone()));
    assert_ne!(clear.content_id(&a), clear.content_id(&b));
    assert_ne!(
        clear.content_id(&a),
        sealed.content_id(&a),
        "equality must not show"
    );
    assert_ne!(clear.content_id(&a), keys(2, false).content_id(&a));
}
