//! Golden vectors: the bytes that version 1 makes of fixed keys, for ever.
//!
//! `golden/seal.v1.txt` has one line per thing: a name and hexadecimal digits. Written anew only
//! with VPOOL_WRITE_GOLDEN=1, which a change of the format must not need.

use std::fmt::Write;
use std::path::PathBuf;

use super::{DISK, POOL, chunk, keys, page, source};
use crate::{DataKey, GridKey, PoolKey};
use vpool_format::segment::{Codec, Content};

fn vectors() -> Vec<(&'static str, Vec<u8>)> {
    let mut fill = source(0x5ea1);
    let grid = GridKey::generate(&mut fill);
    let pool_key = PoolKey::generate(&mut fill);
    let pool = pool_key.secrets(POOL);
    let data_key = DataKey::generate(&mut fill);
    let plain: Vec<u8> = (0..100).collect();
    let salt = [0x5a; 32];
    let mut all = vec![
        ("grid-key-text", grid.to_text().as_bytes().to_vec()),
        ("grid-key-id", grid.id().0.to_vec()),
        ("wrapped-pool-key", grid.wrap(&pool_key, POOL, &mut fill)),
        ("check-value", pool_key.check_value().to_vec()),
        ("wrapped-data-key", pool.wrap(&data_key, DISK, &mut fill)),
        ("mac", pool.mac("golden", &[b"one", b"two"]).to_vec()),
    ];
    for (sealed, names) in [
        (
            false,
            [
                "clear-chunk",
                "clear-zstd-node",
                "clear-page",
                "clear-content",
            ],
        ),
        (
            true,
            [
                "sealed-chunk",
                "sealed-zstd-node",
                "sealed-page",
                "sealed-content",
            ],
        ),
    ] {
        let keys = keys(0x5ea1, sealed);
        let part = keys.part(&salt);
        let mut bytes = [Vec::new(), Vec::new(), Vec::new()];
        part.seal(&chunk(1, 100), &plain, &mut bytes[0]);
        let mut node = chunk(2, 1000);
        (node.codec, node.content) = (Codec::Zstd, Content::MapNode);
        part.seal(&node, &plain, &mut bytes[1]);
        keys.pages(&salt).seal(&page(3), &plain, &mut bytes[2]);
        let content = keys.content_id(&plain).to_vec();
        all.extend(names.into_iter().zip(bytes.into_iter().chain([content])));
    }
    let keys = keys(0x5ea1, true);
    let mut block = plain.clone();
    let tag = keys
        .extent(&salt)
        .expect("encrypted")
        .seal_block(4, &mut block);
    all.push(("extent-block", [&block[..], &tag].concat()));
    let mut entry = plain;
    let tag = keys
        .data
        .as_ref()
        .expect("encrypted")
        .zone(&salt)
        .seal_entry(5, b"bound", &mut entry);
    all.push(("zone-entry", [&entry[..], &tag].concat()));
    all
}

#[test]
fn version_1_makes_the_same_bytes_for_ever() {
    let mut text = String::new();
    for (name, bytes) in vectors() {
        text.push_str(name);
        text.push(' ');
        for byte in bytes {
            write!(text, "{byte:02x}").expect("a string takes everything");
        }
        text.push('\n');
    }
    let path = PathBuf::from(
        std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is"),
    )
    .join("golden/seal.v1.txt");
    if std::env::var_os("VPOOL_WRITE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&path, &text).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file is there");
    for (line, expect) in text.lines().zip(golden.lines()) {
        assert_eq!(line, expect);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}
