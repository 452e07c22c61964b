//! Tests of segments: places that are computed, and reads that turn out too short.

use super::{
    CUT_BYTES, CUTS_MAX, Codec, Content, IndexEntry, IndexPage, PAGE_ENTRIES, PAGE_PLAIN_BYTES_MAX,
    PAGE_SEALED_BYTES, SEGMENT_BYTES_MAX, SLOTS_MAX, SegmentHeader, SubCut, TRAILER_BYTES, Trailer,
    index_bytes, page_count, page_range,
};
use crate::error::FormatErrorKind;
use crate::ids::{DiskId, Epoch, Generation, PoolId, SegmentNo, Seq, Slot, StreamUid};
use crate::record::Base;

fn mac(bytes: &[u8]) -> [u8; 16] {
    *blake3::keyed_hash(&[7; 32], bytes)
        .as_bytes()
        .first_chunk()
        .unwrap()
}

fn entry(stored_bytes: u32) -> IndexEntry {
    IndexEntry {
        block: 5,
        blocks: 8,
        content: if stored_bytes == 0 {
            Content::Zero
        } else {
            Content::Data
        },
        codec: Codec::Raw,
        stored_bytes,
        content_id: [0; 16],
    }
}

fn trailer(slot_count: u32, cuts: usize) -> Trailer {
    Trailer {
        uid: StreamUid(1),
        segment: SegmentNo(2),
        first_seq: Seq(1),
        last_seq: Seq(9),
        sealed: false,
        header_bytes: 200,
        index_offset: 1000,
        slot_count,
        object_bytes: Trailer::object_bytes_of(1000, slot_count, cuts),
        object_salt: [3; 32],
        part_salt: [4; 32],
    }
}

fn cut(first_slot: u16, slots: u32, last_seq: u64) -> SubCut {
    SubCut {
        first_slot,
        slots,
        last_seq: Seq(last_seq),
        wall_ms: 0,
        mark: [0; 16],
    }
}

#[test]
fn pages_lie_back_to_back() {
    for slots in [0, 1, 63, 64, 65, 128, 1000, 65535] {
        let mut end = 0;
        for page in 0..page_count(slots) {
            let (offset, bytes) = page_range(slots, page).unwrap();
            assert_eq!(offset, end);
            assert!(bytes <= PAGE_SEALED_BYTES);
            end = offset + u64::try_from(bytes).unwrap();
        }
        assert_eq!(end, index_bytes(slots));
        assert_eq!(page_range(slots, page_count(slots)), None);
    }
}

#[test]
fn a_page_takes_what_its_place_says() {
    let page = IndexPage {
        first_slot: 64,
        first_position: 0,
        entries: vec![entry(9); 64],
    };
    assert_eq!(page.encode().len(), PAGE_PLAIN_BYTES_MAX);
    let page = IndexPage {
        first_slot: 64,
        first_position: 0,
        entries: vec![entry(9); 3],
    };
    let (_, sealed_bytes) = page_range(67, 1).unwrap();
    assert_eq!(page.encode().len() + 16, sealed_bytes);
}

#[test]
fn positions_are_the_sum_of_what_is_before() {
    let page = IndexPage {
        first_slot: 64,
        first_position: 100,
        entries: vec![entry(10), entry(0), entry(30), entry(40)],
    };
    for (slot, expect) in [
        (0, None),
        (63, None),
        (64, Some(100)),
        (65, Some(110)),
        (66, Some(110)),
        (67, Some(140)),
        (68, None),
        (u16::MAX, None),
    ] {
        assert_eq!(
            page.position(Slot(slot)).map(|found| found.0),
            expect,
            "{slot}"
        );
    }
    assert_eq!(
        page.position(Slot(66)).map(|found| *found.1),
        Some(entry(30))
    );
    assert_eq!(page.end_position(), 180);
}

#[test]
fn broken_entries_are_not_written() {
    let long = IndexEntry {
        blocks: 1 << 40,
        block: 0,
        ..entry(0)
    };
    assert_eq!(long.check(), Ok(()));
    for (what, broken) in [
        (
            "empty",
            IndexEntry {
                blocks: 0,
                ..entry(1)
            },
        ),
        ("beyond the disk", IndexEntry { block: 1, ..long }),
        (
            "overflow",
            IndexEntry {
                block: u64::MAX,
                ..entry(1)
            },
        ),
        (
            "large chunk",
            IndexEntry {
                blocks: 9,
                ..entry(1)
            },
        ),
        (
            "large chunk in the object",
            IndexEntry {
                stored_bytes: 1 << 17,
                ..entry(1)
            },
        ),
        (
            "data without bytes",
            IndexEntry {
                stored_bytes: 0,
                ..entry(1)
            },
        ),
        (
            "hole with bytes",
            IndexEntry {
                stored_bytes: 1,
                ..entry(0)
            },
        ),
        (
            "hole with codec",
            IndexEntry {
                codec: Codec::Zstd,
                ..entry(0)
            },
        ),
        (
            "hole with id",
            IndexEntry {
                content_id: [1; 16],
                ..entry(0)
            },
        ),
        (
            "node with block",
            IndexEntry {
                content: Content::MapNode,
                blocks: 1,
                ..entry(1)
            },
        ),
    ] {
        assert!(broken.check().is_err(), "{what}");
    }
}

#[test]
fn a_short_tail_says_how_much_is_needed() {
    let trailer = trailer(70, 3);
    let cuts = [cut(0, 10, 3), cut(10, 0, 3), cut(10, 60, 9)];
    let tail = trailer.encode(&cuts, &mac);
    assert_eq!(tail.len(), TRAILER_BYTES + 3 * CUT_BYTES);
    for given in 0..tail.len() {
        let short = &tail[tail.len() - given..];
        let refused = Trailer::decode_tail(short, trailer.object_bytes, &mac).unwrap_err();
        let bytes = if given < TRAILER_BYTES {
            TRAILER_BYTES
        } else {
            tail.len()
        };
        let bytes = u64::try_from(bytes).unwrap();
        assert_eq!(refused.kind, FormatErrorKind::NeedMore { bytes }, "{given}");
    }
    let mut longer = vec![0xaa; 300];
    longer.extend_from_slice(&tail);
    let read = Trailer::decode_tail(&longer, trailer.object_bytes, &mac);
    assert_eq!(read, Ok((trailer.clone(), cuts.to_vec())));
    assert_eq!(trailer.tail_bytes(), trailer.object_bytes - 1000);
}

#[test]
fn a_tail_of_another_object_is_refused() {
    let trailer = trailer(70, 0);
    let tail = trailer.encode(&[], &mac);
    for object_bytes in [
        0,
        10,
        trailer.object_bytes - 1,
        trailer.object_bytes + 1,
        u64::MAX,
    ] {
        let refused = Trailer::decode_tail(&tail, object_bytes, &mac).unwrap_err();
        assert_eq!(refused.kind, FormatErrorKind::BadLength, "{object_bytes}");
    }
}

#[test]
fn cuts_neither_overlap_nor_descend() {
    for (what, cuts) in [
        ("overlap", vec![cut(0, 10, 1), cut(9, 1, 2)]),
        ("beyond the slots", vec![cut(0, 71, 1)]),
        ("overflow", vec![cut(1, u32::MAX, 1)]),
        ("sequence descends", vec![cut(0, 1, 2), cut(1, 1, 1)]),
        ("sequence beyond", vec![cut(0, 1, 10)]),
    ] {
        assert!(trailer(70, cuts.len()).check_cuts(&cuts).is_err(), "{what}");
    }
    assert!(trailer(70, CUTS_MAX).check(CUTS_MAX).is_ok());
    assert!(trailer(70, CUTS_MAX + 1).check(CUTS_MAX + 1).is_err());
    assert_eq!(PAGE_ENTRIES, 64);
}

fn header() -> SegmentHeader {
    SegmentHeader {
        pool: PoolId(1),
        disk: DiskId(2),
        uid: StreamUid(3),
        epoch: Epoch(4),
        generation: Generation(5),
        segment: SegmentNo(6),
        part: 0,
        parts: 1,
        base: Base::default(),
        checkpoint: 0,
        frontier: (SegmentNo(5), Seq(10)),
        first_seq: Seq(11),
        last_seq: Seq(20),
        wall_ms: 0,
        sealed: false,
        key: 0,
        part_salt: [0; 32],
        object_salt: [0; 32],
    }
}

#[test]
fn broken_headers_are_not_written() {
    assert_eq!(header().check(), Ok(()));
    // A cut that moves nothing (map nodes alone) stands behind the log's position.
    let still = SegmentHeader {
        first_seq: Seq(21),
        ..header()
    };
    assert_eq!(still.check(), Ok(()));
    for (what, broken) in [
        (
            "part",
            SegmentHeader {
                part: 1,
                ..header()
            },
        ),
        (
            "segment",
            SegmentHeader {
                segment: SegmentNo(0),
                ..header()
            },
        ),
        (
            "itself shipped",
            SegmentHeader {
                frontier: (SegmentNo(6), Seq(10)),
                ..header()
            },
        ),
        (
            "shipped beyond",
            SegmentHeader {
                frontier: (SegmentNo(5), Seq(21)),
                ..header()
            },
        ),
        (
            "sequences",
            SegmentHeader {
                first_seq: Seq(22),
                ..header()
            },
        ),
    ] {
        assert!(broken.check().is_err(), "{what}");
    }
}

#[test]
fn broken_pages_are_not_written() {
    let page = |first_slot, first_position, count| IndexPage {
        first_slot,
        first_position,
        entries: vec![entry(1); count],
    };
    let last = 65_472;
    assert_eq!(page(last, SEGMENT_BYTES_MAX, 63).check(), Ok(()));
    assert_eq!(u32::from(last) + 63, SLOTS_MAX);
    for (what, broken) in [
        ("empty", page(0, 0, 0)),
        ("large", page(0, 0, 65)),
        ("slot within a page", page(1, 0, 1)),
        ("slot beyond the last", page(last, 0, 64)),
        ("position", page(0, SEGMENT_BYTES_MAX + 1, 1)),
    ] {
        assert!(broken.check().is_err(), "{what}");
    }
}

#[test]
fn broken_trailers_are_not_written() {
    assert_eq!(trailer(70, 2).check(2), Ok(()));
    for (what, broken) in [
        (
            "segment",
            Trailer {
                segment: SegmentNo(0),
                ..trailer(70, 2)
            },
        ),
        ("slots", trailer(SLOTS_MAX + 1, 2)),
        (
            "header over the index",
            Trailer {
                header_bytes: 1001,
                ..trailer(70, 2)
            },
        ),
        (
            "object",
            Trailer {
                object_bytes: 999,
                ..trailer(70, 2)
            },
        ),
        (
            "offset overflows",
            Trailer {
                index_offset: u64::MAX,
                ..trailer(70, 2)
            },
        ),
        (
            "sequences",
            Trailer {
                first_seq: Seq(11),
                ..trailer(70, 2)
            },
        ),
    ] {
        assert!(broken.check(2).is_err(), "{what}");
    }
    let large = Trailer {
        index_offset: SEGMENT_BYTES_MAX,
        object_bytes: Trailer::object_bytes_of(SEGMENT_BYTES_MAX, 1, 0),
        ..trailer(1, 0)
    };
    assert!(large.check(0).is_err());
}
