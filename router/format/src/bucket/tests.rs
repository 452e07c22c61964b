//! Tests of the bucket's records: bounds of what people choose.

use super::{
    Claim, Descriptor, NAME_BYTES_MAX, PoolRecord, SETTINGS_BYTES_MAX, WRAPPED_KEY_BYTES_MAX,
};
use crate::ids::{DiskId, Generation, GridId, PoolId};

fn largest_claim() -> Claim {
    Claim {
        grid: GridId(1),
        generation: Generation(1),
        pool: PoolId(2),
        name: "n".repeat(NAME_BYTES_MAX),
        wrapped_pool_key: vec![0; WRAPPED_KEY_BYTES_MAX],
        key_check: [0; 16],
        created_ms: 0,
        settings: vec![0; SETTINGS_BYTES_MAX],
        nonce: 0,
    }
}

fn largest_pool_record() -> PoolRecord {
    PoolRecord {
        pool: PoolId(2),
        number: 1,
        generation: Generation(1),
        name: "n".repeat(NAME_BYTES_MAX),
        wrapped_pool_key: vec![0; WRAPPED_KEY_BYTES_MAX],
        settings: vec![0; SETTINGS_BYTES_MAX],
        wall_ms: 0,
    }
}

fn largest_descriptor() -> Descriptor {
    Descriptor {
        pool: PoolId(1),
        disk: DiskId(2),
        number: 1,
        name: "n".repeat(NAME_BYTES_MAX),
        size: u64::MAX,
        deleted: false,
        parent: None,
        wrapped_key: Some(vec![0; WRAPPED_KEY_BYTES_MAX]),
        created_ms: 0,
        wall_ms: 0,
        settings: vec![0; SETTINGS_BYTES_MAX],
    }
}

fn long_name() -> String {
    "n".repeat(NAME_BYTES_MAX + 1)
}

fn long_key() -> Vec<u8> {
    vec![0; WRAPPED_KEY_BYTES_MAX + 1]
}

fn long_settings() -> Vec<u8> {
    vec![0; SETTINGS_BYTES_MAX + 1]
}

#[test]
fn the_largest_are_read_back() {
    let mac = |_: &[u8]| [9; 16];
    let (claim, record) = (largest_claim(), largest_pool_record());
    assert_eq!(Claim::decode(&claim.encode(&mac)), Ok((claim, [9; 16])));
    assert_eq!(
        PoolRecord::decode(&record.encode(&mac)),
        Ok((record, [9; 16]))
    );
    let descriptor = largest_descriptor();
    assert_eq!(
        Descriptor::decode(&descriptor.encode(&mac), &mac),
        Ok(descriptor)
    );
}

#[test]
fn bounds_of_a_claim() {
    for (what, broken) in [
        (
            "generation",
            Claim {
                generation: Generation(0),
                ..largest_claim()
            },
        ),
        (
            "no name",
            Claim {
                name: String::new(),
                ..largest_claim()
            },
        ),
        (
            "name",
            Claim {
                name: long_name(),
                ..largest_claim()
            },
        ),
        (
            "key",
            Claim {
                wrapped_pool_key: long_key(),
                ..largest_claim()
            },
        ),
        (
            "settings",
            Claim {
                settings: long_settings(),
                ..largest_claim()
            },
        ),
    ] {
        assert!(broken.check().is_err(), "{what}");
    }
}

#[test]
fn bounds_of_a_pool_record() {
    for (what, broken) in [
        (
            "number",
            PoolRecord {
                number: 0,
                ..largest_pool_record()
            },
        ),
        (
            "no name",
            PoolRecord {
                name: String::new(),
                ..largest_pool_record()
            },
        ),
        (
            "name",
            PoolRecord {
                name: long_name(),
                ..largest_pool_record()
            },
        ),
        (
            "key",
            PoolRecord {
                wrapped_pool_key: long_key(),
                ..largest_pool_record()
            },
        ),
        (
            "settings",
            PoolRecord {
                settings: long_settings(),
                ..largest_pool_record()
            },
        ),
    ] {
        assert!(broken.check().is_err(), "{what}");
    }
}

#[test]
fn bounds_of_a_descriptor() {
    for (what, broken) in [
        (
            "number",
            Descriptor {
                number: 0,
                ..largest_descriptor()
            },
        ),
        (
            "no name",
            Descriptor {
                name: String::new(),
                ..largest_descriptor()
            },
        ),
        (
            "name",
            Descriptor {
                name: long_name(),
                ..largest_descriptor()
            },
        ),
        (
            "key",
            Descriptor {
                wrapped_key: Some(long_key()),
                ..largest_descriptor()
            },
        ),
        (
            "settings",
            Descriptor {
                settings: long_settings(),
                ..largest_descriptor()
            },
        ),
    ] {
        assert!(broken.check().is_err(), "{what}");
    }
}
