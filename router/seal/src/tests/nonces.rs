//! T31 in small: every (key, nonce) is unique, and a second seal of a place is refused.

use super::{chunk, keys, page, random, source};
use crate::{DataKey, GridKey, PoolKey, audit};

/// The one test that records, so that no other mixes in: all others only add seals, with salts
/// and keys that recur between tests, so it runs in a process of its own.
#[test]
fn a_million_seals_repeat_no_nonce() {
    const CHILD: &str = "VPOOL_SEAL_NONCE_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let this = std::env::current_exe().expect("a test has a path");
        let name = "tests::nonces::a_million_seals_repeat_no_nonce";
        let child = std::process::Command::new(this)
            .args([name, "--exact", "--test-threads=1"])
            .env(CHILD, "1")
            .output()
            .expect("this very program can be started");
        assert!(
            child.status.success(),
            "{}",
            String::from_utf8_lossy(&child.stdout)
        );
        return;
    }
    audit::start();
    let keys = keys(1, true);
    let mut fill = source(31);
    let mut salt = || {
        let mut salt = [0; 32];
        fill(&mut salt);
        salt
    };
    let mut out = Vec::new();
    let mut seals = 0;
    while seals < 1_000_000 {
        // One segment: a part with some thousand slots, its pages, an extent, a zone.
        let (part, pages) = (keys.part(&salt()), keys.pages(&salt()));
        let extent = keys.extent(&salt()).expect("encrypted");
        let zone = keys.data.as_ref().expect("encrypted").zone(&salt());
        for place in 0..2048u16 {
            out.clear();
            part.seal(&chunk(place, 16), &[1; 16], &mut out);
            pages.seal(&page(u32::from(place)), &[1; 16], &mut out);
            extent.seal_block(u32::from(place), &mut [0; 16]);
            zone.seal_entry(u32::from(place), &[], &mut [0; 16]);
            seals += 4;
        }
        let grid = GridKey::generate(&mut |bytes| bytes.copy_from_slice(&salt()));
        let mut fill = |bytes: &mut [u8]| bytes.copy_from_slice(&salt());
        let pool = PoolKey::generate(&mut fill);
        grid.wrap(&pool, super::POOL, &mut fill);
        grid.wrap(&pool, super::POOL, &mut fill);
        keys.pool
            .wrap(&DataKey::generate(&mut fill), super::DISK, &mut fill);
        seals += 3;
    }
    assert_eq!(audit::finish(), audit::Report { seals, repeated: 0 });
    // The record does find a repetition: two keys made from one salt, both sealing slot 0.
    audit::start();
    for _ in 0..2 {
        keys.part(&[5; 32])
            .seal(&chunk(0, 16), &random(1, 16), &mut out);
    }
    assert_eq!(
        audit::finish(),
        audit::Report {
            seals: 2,
            repeated: 1
        }
    );
    assert_eq!(
        audit::finish(),
        audit::Report {
            seals: 0,
            repeated: 0
        }
    );
}

#[test]
#[should_panic(expected = "sealed twice")]
fn a_slot_is_sealed_once() {
    let part = keys(1, true).part(&[1; 32]);
    let mut out = Vec::new();
    part.seal(&chunk(65535, 4), b"once", &mut out);
    part.seal(&chunk(65535, 4), b"more", &mut out);
}

#[test]
#[should_panic(expected = "sealed twice")]
fn a_block_is_sealed_once() {
    let extent = keys(1, true).extent(&[1; 32]).expect("encrypted");
    extent.seal_block(0, &mut [0; 16]);
    extent.seal_block(0, &mut [0; 16]);
}
