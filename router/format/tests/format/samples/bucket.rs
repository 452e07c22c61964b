//! Samples of the bucket's own records.

use vpool_format::bucket::{Claim, Descriptor, DiskSettings, PoolRecord, StreamRecord};
use vpool_format::{DiskId, Epoch, Generation, GridId, PoolId, Result, Seq, StreamUid};

use super::{Guard, Sample, base, mac, sample};

pub(super) fn all() -> Vec<Sample> {
    vec![
        sample(
            "stream-record",
            Guard::Mac,
            StreamRecord {
                pool: PoolId(0x50),
                disk: DiskId(0x51),
                generation: Generation(0x52),
                epoch: Epoch(0x53),
                uid: StreamUid(0x54),
                base: base(),
            },
            |value| value.encode(&mac),
            |bytes| StreamRecord::decode(bytes, &mac),
        ),
        sample(
            "descriptor",
            Guard::Mac,
            descriptor(),
            |value| value.encode(&mac),
            |bytes| Descriptor::decode(bytes, &mac),
        ),
        sample(
            "disk-settings",
            Guard::None,
            DiskSettings {
                description: "the shop's database – Größe".to_owned(),
                read_only: true,
                cut_after: Seq(0x55),
            },
            DiskSettings::encode,
            DiskSettings::decode,
        ),
        sample(
            "claim",
            Guard::MacAndCrc,
            claim(),
            |value| value.encode(&mac),
            decode_claim,
        ),
        sample(
            "pool-record",
            Guard::MacAndCrc,
            pool_record(),
            |value| value.encode(&mac),
            |bytes| {
                let (record, tag) = PoolRecord::decode(bytes)?;
                record.verify(&tag, &mac)?;
                Ok(record)
            },
        ),
    ]
}

fn decode_claim(bytes: &[u8]) -> Result<Claim> {
    let (claim, tag) = Claim::decode(bytes)?;
    claim.verify(&tag, &mac)?;
    Ok(claim)
}

fn descriptor() -> Descriptor {
    Descriptor {
        pool: PoolId(1),
        disk: DiskId(2),
        number: 3,
        name: "web-01/système".to_owned(),
        size: 4 << 30,
        deleted: true,
        parent: Some((DiskId(5), [6; 16])),
        wrapped_key: Some(vec![7; 40]),
        created_ms: 1_700_000_000_005,
        wall_ms: 1_700_000_000_006,
        settings: vec![8; 3],
    }
}

pub(crate) fn claim() -> Claim {
    Claim {
        grid: GridId(1),
        generation: Generation(2),
        pool: PoolId(3),
        name: "gold".to_owned(),
        wrapped_pool_key: vec![4; 40],
        key_check: [5; 16],
        created_ms: 1_700_000_000_007,
        settings: vec![6; 2],
        nonce: 7,
    }
}

fn pool_record() -> PoolRecord {
    PoolRecord {
        pool: PoolId(1),
        number: 2,
        generation: Generation(3),
        name: "silver".to_owned(),
        wrapped_pool_key: vec![4; 40],
        settings: vec![5; 2],
        wall_ms: 1_700_000_000_008,
    }
}
