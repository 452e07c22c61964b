//! The stored bytes: golden, round, and any others refused.

use proptest::prelude::{any, proptest};
use vpool_format::bucket::DiskSettings;
use vpool_format::{
    Base, DiskId, Epoch, Generation, GridId, PoolId, SealedEnd, SegmentNo, Seq, StreamUid, Tail,
};
use vpool_host::Write;

use super::location::SWIFT_VERSION;
use super::{batch, decode, decode_grid, encode_grid};
use crate::state::Change;
use crate::{DiskEntry, Error, Location, PoolEntry, Streams, SwiftAuth, SwiftInterface};

fn base() -> Base {
    Base {
        sealed: vec![
            SealedEnd {
                uid: StreamUid(0x11),
                epoch: Epoch(1),
                segment: SegmentNo(12),
                seq: Seq(340),
                checkpoint: 2,
            },
            SealedEnd {
                uid: StreamUid(u128::MAX),
                epoch: Epoch(2),
                segment: SegmentNo(0),
                seq: Seq(340),
                checkpoint: 0,
            },
        ],
        tails: vec![Tail {
            uid: StreamUid(0x11),
            first: Seq(341),
            last: Seq(400),
        }],
    }
}

/// One of each shape, with the name of its golden file.
fn samples() -> Vec<(&'static str, Change)> {
    let pool = |id, location| PoolEntry {
        id: PoolId(id),
        name: "gold – 金".to_owned(),
        location,
        generation: Generation(3),
        wrapped_key: vec![0xab; 60],
    };
    let disk = DiskEntry {
        id: DiskId(0x0102_0304),
        pool: PoolId(1),
        name: "web-1".to_owned(),
        size: 64 << 40,
        wrapped_key: Some(vec![0xcd; 60]),
        descriptor: 17,
        described: true,
        settings: DiskSettings::default(),
        created_ms: 1_767_225_600_000,
        deleting: false,
    };
    let clear = DiskEntry {
        wrapped_key: None,
        ..disk.clone()
    };
    let set = DiskEntry {
        described: false,
        settings: DiskSettings {
            description: "the shop".to_owned(),
            read_only: true,
            cut_after: Seq(77),
        },
        ..disk.clone()
    };
    let streams = Streams {
        current: Some((Epoch(3), StreamUid(0x33))),
        base: Some(base()),
        previous: None,
        closed: Some(base().sealed[0]),
        recorded: Epoch(3),
        ..Streams::default()
    };
    let resting = Streams {
        closed: None,
        resting: Some(base().sealed[1]),
        clients: ["10.0.0.7", "fe80::1"].map(str::to_owned).into(),
        owed: ["", "*", "host-2"].map(str::to_owned).into(),
        ..streams.clone()
    };
    let interrupted = Streams {
        current: Some((Epoch(4), StreamUid(0x44))),
        base: None,
        previous: Some((Epoch(3), StreamUid(0x33), base())),
        closed: None,
        recorded: Epoch(3),
        ..Streams::default()
    };
    let s3 = Location::S3 {
        endpoint: "https://s3.example:9000".to_owned(),
        bucket: "b".to_owned(),
        prefix: String::new(),
        region: "eu".to_owned(),
        credentials_file: "/etc/vpool/s3".to_owned(),
        ca_file: Some("/etc/vpool/ca.pem".to_owned()),
        path_style: true,
    };
    let directory = Location::Directory("/mnt/nas".to_owned());
    let swift = Location::Swift {
        auth: SwiftAuth::V3,
        auth_url: "https://keystone.example:5000/v3".to_owned(),
        container: "c".to_owned(),
        prefix: "p/q".to_owned(),
        region: Some("one".to_owned()),
        interface: SwiftInterface::Internal,
        credentials_file: "/etc/vpool/swift".to_owned(),
        ca_file: None,
    };
    vec![
        ("pool-s3", Change::Pool(pool(1, s3))),
        ("pool-directory", Change::Pool(pool(2, directory))),
        ("pool-swift", Change::Pool(pool(3, swift))),
        ("disk", Change::Disk(disk)),
        ("disk-clear", Change::Disk(clear)),
        ("disk-set", Change::Disk(set)),
        ("pool-left", Change::Left(PoolId(4))),
        ("streams", Change::Streams(DiskId(9), streams)),
        (
            "streams-interrupted",
            Change::Streams(DiskId(9), interrupted),
        ),
        ("streams-resting", Change::Streams(DiskId(9), resting)),
        (
            "streams-none",
            Change::Streams(DiskId(9), Streams::default()),
        ),
    ]
}

fn stored(change: &Change) -> (Vec<u8>, Vec<u8>) {
    let batch = batch(std::slice::from_ref(change));
    match &batch.writes[..] {
        [Write::Put("meta", key, value)] => (key.clone(), value.clone()),
        other => panic!("{other:?}"),
    }
}

fn golden_dir() -> String {
    std::env::var("CARGO_MANIFEST_DIR").unwrap() + "/golden"
}

/// A key with its length before it, then the value.
fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    pair[1..].split_at(usize::from(pair[0]))
}

/// What version 1 wrote says the same for ever.
#[test]
fn values_of_version_1_decode() {
    let mut read = 0;
    for (name, change) in samples() {
        let Ok(pair) = std::fs::read(format!("{}/{name}.v1.bin", golden_dir())) else {
            continue;
        };
        let (key, value) = split(&pair);
        assert_eq!(decode(key, value).unwrap(), Some(change), "{name}");
        read += 1;
    }
    assert_eq!(read, 8, "as many files as version 1 had kinds of values");
}

/// Files of old versions are decoded for ever; `VPOOL_WRITE_GOLDEN=1` writes new ones.
#[test]
fn golden_files_decode() {
    let dir = golden_dir();
    let mut pairs: Vec<(String, Vec<u8>)> = samples()
        .iter()
        .map(|(name, change)| {
            let (key, value) = stored(change);
            let mut bytes = vec![u8::try_from(key.len()).unwrap()];
            bytes.extend(key);
            let version = value[0];
            bytes.extend(value);
            (format!("{dir}/{name}.v{version}.bin"), bytes)
        })
        .collect();
    let grid = encode_grid(GridId(0x77));
    pairs.push((
        format!("{dir}/grid.v1.bin"),
        [&[1, b'g'], &grid[..]].concat(),
    ));
    for (path, bytes) in &pairs {
        if std::env::var_os("VPOOL_WRITE_GOLDEN").is_some() {
            std::fs::write(path, bytes).unwrap();
        }
        assert_eq!(&std::fs::read(path).unwrap(), bytes, "{path}");
    }
}

#[test]
fn values_come_back() {
    for (name, change) in samples() {
        let (key, value) = stored(&change);
        assert_eq!(decode(&key, &value).unwrap(), Some(change), "{name}");
    }
    let grid = encode_grid(GridId(5));
    assert_eq!(decode_grid(&grid).unwrap(), GridId(5));
    assert_eq!(decode(b"g", &grid).unwrap(), None);
}

#[test]
fn damage_is_noticed() {
    for (name, change) in samples() {
        let (key, value) = stored(&change);
        for bit in 0..value.len() * 8 {
            let mut rotten = value.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            let result = decode(&key, &rotten);
            assert!(matches!(result, Err(Error::Damaged(_))), "{name} bit {bit}");
        }
        for length in 0..value.len() {
            assert!(
                decode(&key, &value[..length]).is_err(),
                "{name} cut to {length}"
            );
        }
        // Under another key it is as wrong as with other bytes.
        let mut other = key.clone();
        *other.last_mut().unwrap() ^= 1;
        assert!(decode(&other, &value).is_err(), "{name} moved");
    }
    assert!(decode(b"", &[]).is_err());
}

#[test]
fn a_later_version_is_refused_by_name() {
    let mut value = encode_grid(GridId(5));
    value.truncate(value.len() - 4);
    value[0] = 2;
    let crc = super::checksum(b"g", &value);
    value.extend_from_slice(&crc.to_le_bytes());
    let error = decode_grid(&value).unwrap_err().to_string();
    assert!(error.contains("version 2"), "{error}");
}

proptest! {
    #[test]
    fn any_fields_under_a_good_checksum_are_values_or_damage(
        kind in 0..6usize,
        newer: bool,
        fields in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut key = vec![b"pdsgxy"[kind]];
        key.extend_from_slice(&[3; 16]);
        let newest = match key[0] {
            b's' => super::STREAMS_VERSION,
            b'd' => super::DISK_VERSION,
            b'p' if newer => SWIFT_VERSION,
            _ => super::VERSION,
        };
        let value = super::sealed_as(newest, &key, |to| to.extend_from_slice(&fields));
        match decode(&key, &value) {
            Ok(Some(change)) => assert_eq!(stored(&change), (key, value)),
            Ok(None) => panic!("no grid is under this key"),
            Err(error) => assert!(matches!(error, Error::Damaged(_))),
        }
    }
}
