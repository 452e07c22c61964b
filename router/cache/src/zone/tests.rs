//! The zone format: round trips, every flipped bit refused, golden bytes.

use std::path::PathBuf;

use vpool_format::{PoolId, SegmentNo, Slot, StreamUid};
use vpool_seal::{KeyId, PoolKey};

use super::{Address, Block, Entry, Layout, Use, ZoneIndex};
use crate::ChunkKey;
use crate::limits::BLOCK_BYTES;

fn layout(key: u8) -> Layout {
    let pool = PoolKey::generate(&mut |bytes| bytes.fill(key)).secrets(PoolId(0x1234));
    Layout {
        pool,
        zone_bytes: 128 << 10,
    }
}

const USE: Use = Use {
    zone: 3,
    order: 77,
    salt: [0x5a; 32],
};

fn index() -> ZoneIndex {
    let address = |slot, content| Address {
        key: ChunkKey {
            uid: StreamUid(0xfeed),
            segment: SegmentNo(9),
            slot: Slot(slot),
        },
        content: [content; 16],
    };
    ZoneIndex {
        entries: vec![
            Entry {
                content: [1; 16],
                offset: 4096,
                blocks: 8,
                key: None,
            },
            Entry {
                content: [2; 16],
                offset: 36864,
                blocks: 1,
                key: Some(KeyId([7; 8])),
            },
        ],
        addresses: vec![address(0, 1), address(1, 1), address(2, 2)],
    }
}

/// Header block and footer with its index.
fn bytes() -> Vec<u8> {
    let layout = layout(1);
    [&layout.header(&USE)[..], &layout.footer(&USE, &index())].concat()
}

fn parse(layout: &Layout, zone: u32, bytes: &[u8]) -> Option<(Use, ZoneIndex)> {
    let (header, rest) = bytes.split_first_chunk::<BLOCK_BYTES>()?;
    let (index, footer) = rest.split_last_chunk::<BLOCK_BYTES>()?;
    let of = layout.parse_header(zone, header)?;
    let footer = layout.parse_footer(zone, footer)?;
    (footer.of == of).then_some(())?;
    Some((of, layout.parse_index(&footer, index)?))
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(parse(&layout(1), 3, &bytes()), Some((USE, index())));
    let empty = layout(1).footer(&USE, &ZoneIndex::default());
    let bytes = [&layout(1).header(&USE)[..], &empty].concat();
    assert_eq!(
        parse(&layout(1), 3, &bytes),
        Some((USE, ZoneIndex::default()))
    );
}

#[test]
fn golden_bytes_are_read_for_ever() {
    let path = PathBuf::from(
        std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is"),
    )
    .join("golden/zone.v1.bin");
    if std::env::var_os("VPOOL_WRITE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&path, bytes()).expect("the golden file can be written");
    }
    let golden = std::fs::read(&path).expect("the golden file is there");
    assert_eq!(parse(&layout(1), 3, &golden), Some((USE, index())));
    assert!(golden == bytes(), "the same index gives the same bytes");
}

#[test]
fn a_foreign_or_misplaced_zone_is_empty() {
    let bytes = bytes();
    assert_eq!(parse(&layout(2), 3, &bytes), None, "another pool's key");
    assert_eq!(parse(&layout(1), 2, &bytes), None, "another place");
    let mut other = layout(1);
    other.zone_bytes = 256 << 10;
    assert_eq!(parse(&other, 3, &bytes), None, "another length");
    let later = Use { order: 78, ..USE };
    let torn = [&layout(1).header(&later)[..], &bytes[BLOCK_BYTES..]].concat();
    assert_eq!(
        parse(&layout(1), 3, &torn),
        None,
        "begun anew, and not finished"
    );
}

#[test]
fn every_flipped_bit_is_noticed() {
    let good = bytes();
    let mut bytes = good.clone();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let found = parse(&layout(1), 3, &bytes);
        // Behind the MACs there is nothing that means anything.
        let in_block = bit / 8 % BLOCK_BYTES;
        let block = bit / 8 / BLOCK_BYTES;
        if block == 1 || in_block < 104 {
            assert_eq!(found, None, "bit {bit}");
        } else {
            assert_eq!(found, Some((USE, index())), "bit {bit}");
        }
        bytes[bit / 8] = good[bit / 8];
    }
}

#[test]
fn implausible_counts_and_places_are_refused_even_if_signed() {
    let layout = layout(1);
    let refuse = |index: ZoneIndex| {
        let bytes = [&layout.header(&USE)[..], &layout.footer(&USE, &index)].concat();
        assert_eq!(parse(&layout, 3, &bytes), None, "{index:?}");
    };
    let entry = Entry {
        content: [1; 16],
        offset: 4096,
        blocks: 1,
        key: None,
    };
    for bad in [
        Entry { offset: 0, ..entry },
        Entry {
            offset: 4097,
            ..entry
        },
        Entry {
            offset: 128 << 10,
            ..entry
        },
        Entry {
            offset: (128 << 10) - 8192,
            ..entry
        },
        Entry {
            offset: u32::MAX - 15,
            ..entry
        },
        Entry { blocks: 0, ..entry },
        Entry {
            blocks: 17,
            ..entry
        },
        Entry {
            offset: (128 << 10) - 12288,
            key: Some(KeyId([1; 8])),
            ..entry
        },
    ] {
        refuse(ZoneIndex {
            entries: vec![bad],
            addresses: vec![],
        });
    }
    refuse(ZoneIndex {
        entries: vec![entry; 33],
        addresses: vec![],
    });
    let mut block: Block = layout.header(&USE);
    block[10] = 2;
    block[44..52].fill(0xff);
    assert!(layout.parse_footer(3, &block).is_none());
}
