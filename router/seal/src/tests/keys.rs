//! Keys: text form, wrapping, check values, and nothing secret in what is printed.

use vpool_format::{DiskId, PoolId};

use super::{DISK, POOL, keys, source};
use crate::{DataKey, GridKey, KeyTextError, PoolKey, UnwrapError, WRAPPED_KEY_BYTES};

#[test]
fn the_text_of_a_grid_key_comes_back() {
    let key = GridKey::generate(&mut source(1));
    let text = key.to_text();
    assert!(text.ends_with('\n') && text.lines().count() == 1);
    assert_eq!(GridKey::parse(&text), Ok(key.clone()));
    assert_eq!(
        GridKey::parse(&format!("\n  {}\r\n\n", text.trim())),
        Ok(key)
    );
}

#[test]
fn a_damaged_text_is_told_from_another_file() {
    let text = GridKey::generate(&mut source(1)).to_text();
    let line = text.trim();
    let check = |text: &str, expect: KeyTextError| {
        let error = GridKey::parse(text).expect_err("is no key");
        assert_eq!(error, expect, "{text}");
        // No part of the text (which may be a key) shows in what is said about it.
        let said = format!("{error} {error:?}");
        for word in text
            .split_whitespace()
            .filter(|word| !word.starts_with("vpool"))
        {
            assert!(!said.contains(word), "{said}");
        }
    };
    check("", KeyTextError::Empty);
    check(" \n", KeyTextError::Empty);
    check("-----BEGIN PRIVATE KEY-----", KeyTextError::Version);
    check(&line.replace("key-1", "key-2"), KeyTextError::Version);
    check(&format!("{line} {line}"), KeyTextError::TooLong);
    check(&line[..line.len() - 1], KeyTextError::Digits);
    check(&line[..40], KeyTextError::Digits);
    check(&line.replacen(' ', " 00", 1), KeyTextError::Digits);
    check(&line.replacen(' ', " ü", 1), KeyTextError::Digits);
    let start = "vpool-grid-key-1 ".len();
    for at in (start..line.len()).filter(|at| line.as_bytes()[*at] != b' ') {
        let mut damaged = line.as_bytes().to_vec();
        damaged[at] = if damaged[at] == b'0' { b'1' } else { b'0' };
        let damaged = String::from_utf8(damaged).expect("is ASCII");
        check(&damaged, KeyTextError::Check);
    }
}

#[test]
fn a_wrapped_pool_key_opens_for_its_pool_with_its_grid_key_only() {
    let mut fill = source(2);
    let grid = GridKey::generate(&mut fill);
    let other = GridKey::generate(&mut fill);
    let key = PoolKey::generate(&mut fill);
    let wrapped = grid.wrap(&key, POOL, &mut fill);
    assert_eq!(wrapped.len(), WRAPPED_KEY_BYTES);
    assert_eq!(grid.unwrap(&wrapped, POOL), Ok(key.clone()));
    let what = "pool key";
    let damaged = Err(UnwrapError::Damaged { what });
    assert_eq!(grid.unwrap(&wrapped, PoolId(POOL.0 ^ 1)), damaged);
    let wrong = UnwrapError::WrongKey {
        what,
        wrapped_by: grid.id(),
        offered: other.id(),
    };
    assert_eq!(other.unwrap(&wrapped, POOL), Err(wrong));
    for bit in 0..wrapped.len() * 8 {
        let mut flipped = wrapped.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let result = grid.unwrap(&flipped, POOL);
        match bit / 8 {
            0..8 => assert_eq!(result, Err(UnwrapError::Unknown { what })),
            8..16 => assert!(matches!(result, Err(UnwrapError::WrongKey { .. }))),
            _ => assert_eq!(result, damaged),
        }
    }
    for length in 0..wrapped.len() {
        let cut = grid.unwrap(&wrapped[..length], POOL);
        assert_eq!(cut, Err(UnwrapError::Unknown { what }));
    }
    // Wrapped again by another grid key it is still the same key.
    let again = other.wrap(&key, POOL, &mut fill);
    assert_eq!(other.unwrap(&again, POOL), Ok(key));
}

#[test]
fn a_wrapped_data_key_opens_for_its_disk_in_its_pool_only() {
    let mut fill = source(3);
    let pool = PoolKey::generate(&mut fill).secrets(POOL);
    let other = PoolKey::generate(&mut fill).secrets(POOL);
    let key = DataKey::generate(&mut fill);
    let wrapped = pool.wrap(&key, DISK, &mut fill);
    assert_eq!(pool.unwrap(&wrapped, DISK), Ok(key.clone()));
    let what = "data key";
    let elsewhere = pool.unwrap(&wrapped, DiskId(1));
    assert_eq!(elsewhere, Err(UnwrapError::Damaged { what }));
    assert!(matches!(
        other.unwrap(&wrapped, DISK),
        Err(UnwrapError::WrongKey { .. })
    ));
    // Two wrappings of one key share nothing.
    let again = pool.wrap(&key, DISK, &mut fill);
    assert_ne!(again[16..], wrapped[16..]);
    // A pool key is no data key, whoever says so.
    let grid = GridKey::generate(&mut fill);
    let pool_key = grid.wrap(&PoolKey::generate(&mut fill), POOL, &mut fill);
    assert_eq!(
        pool.unwrap(&pool_key, DISK),
        Err(UnwrapError::Unknown { what })
    );
}

#[test]
fn a_check_value_fits_one_key() {
    let [a, b] = [4, 5].map(|seed| PoolKey::generate(&mut source(seed)));
    assert!(a.fits(&a.check_value()));
    assert!(!b.fits(&a.check_value()));
}

#[test]
fn a_mac_depends_on_domain_pool_and_where_parts_end() {
    let key = PoolKey::generate(&mut source(6));
    let secrets = key.secrets(POOL);
    let mac = secrets.mac("claim", &[b"ab", b"c"]);
    assert!(secrets.verify("claim", &[b"ab", b"c"], &mac));
    for (domain, parts) in [
        ("clai", &[&b"mab"[..], b"c"][..]),
        ("record", &[b"ab", b"c"]),
        ("claim", &[b"a", b"bc"]),
        ("claim", &[b"abc"]),
        ("claim", &[b"ab", b"c", b""]),
    ] {
        assert!(!secrets.verify(domain, parts, &mac), "{domain} {parts:?}");
    }
    let elsewhere = key.secrets(PoolId(POOL.0 ^ 1));
    assert!(!elsewhere.verify("claim", &[b"ab", b"c"], &mac));
    for bit in 0..128 {
        let mut flipped = mac;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!secrets.verify("claim", &[b"ab", b"c"], &flipped));
    }
}

#[test]
fn nothing_secret_is_printed() {
    // Keys of known bytes: what must not show, as hexadecimal, as numbers, as Debug of arrays.
    let fill = &mut |bytes: &mut [u8]| bytes.fill(0xa7);
    let grid = GridKey::generate(fill);
    let pool = PoolKey::generate(fill);
    let data = DataKey::generate(fill);
    let disk = keys(1, true);
    let wrapped = grid.wrap(&pool, POOL, fill);
    let error = grid.unwrap(&wrapped, PoolId(0)).expect_err("another pool");
    let said = [
        format!("{grid:?} {pool:?} {data:?} {:?}", data.id()),
        format!("{disk:?} {:?}", disk.pool),
        format!("{:?} {:?}", disk.part(&[0xa7; 32]), disk.pages(&[0xa7; 32])),
        format!(
            "{:?} {:?}",
            disk.extent(&[0xa7; 32]),
            data.zone(&[0xa7; 32])
        ),
        format!("{error} {error:?}"),
    ];
    for said in said {
        for secret in ["a7a7", "A7A7", "167, 167", "0xa7"] {
            assert!(!said.contains(secret), "{said}");
        }
        assert!(!said.contains('['), "an array of bytes shows: {said}");
    }
}
