//! Samples of what lies in the journal.

use vpool_format::journal::{
    ExtentHeader, Frontier, GroupHeader, JournalHealth, JournalState, RecordHeader, RecordKind,
    RemoteClient,
};
use vpool_format::{BLOCK_BYTES, Base, DiskId, Epoch, PoolId, SegmentNo, Seq, StreamUid};

use super::{Guard, Sample, base, salt, sample};

pub(super) fn all() -> Vec<Sample> {
    let encode_group = |group: &GroupHeader| {
        let mut block = [0xff; BLOCK_BYTES];
        group.encode_into(&mut block);
        block.to_vec()
    };
    let decode_group = |bytes: &[u8]| GroupHeader::decode(bytes, None);
    vec![
        sample(
            "extent",
            Guard::Crc,
            extent(),
            |value| value.encode().to_vec(),
            ExtentHeader::decode,
        ),
        sample(
            "group",
            Guard::Crc,
            group(false),
            encode_group,
            decode_group,
        ),
        sample(
            "group-sealed",
            Guard::Crc,
            group(true),
            encode_group,
            decode_group,
        ),
        sample(
            "journal-state",
            Guard::Crc,
            JournalState {
                pool: PoolId(0x21),
                boot_id: 0x2223_2425_2627_2829_2a2b_2c2d_2e2f_3031,
                health: JournalHealth::Failed,
            },
            |value| value.encode().to_vec(),
            JournalState::decode,
        ),
        sample(
            "base-record",
            Guard::None,
            base(),
            Base::encode,
            Base::decode,
        ),
        sample(
            "frontier-record",
            Guard::None,
            frontier(),
            Frontier::encode,
            Frontier::decode,
        ),
        sample(
            "remote-client-record",
            Guard::None,
            RemoteClient {
                machine: "host-7.example".to_owned(),
                seen_ms: 1_700_000_000_003,
            },
            RemoteClient::encode,
            RemoteClient::decode,
        ),
    ]
}

fn extent() -> ExtentHeader {
    ExtentHeader {
        pool: PoolId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        disk: DiskId(0x11),
        uid: StreamUid(0x12),
        epoch: Epoch(0x13),
        number: 0x14,
        lap: 0x15,
        salt: salt(0x80),
        sealed: true,
        first_seq: Seq(0x16),
    }
}

fn group(sealed: bool) -> GroupHeader {
    let record = |kind, seq, offset, length, payload_bytes| RecordHeader {
        kind,
        seq: Seq(seq),
        offset,
        length,
        payload_bytes,
    };
    GroupHeader {
        check: extent().check(),
        number: 0x21,
        first_seq: Seq(0x30),
        last_seq: Seq(0x36),
        durable: Seq(0x2f),
        wall_ms: 1_700_000_000_000,
        payload_blocks: 5,
        records: vec![
            record(RecordKind::Write, 0x30, 4096, 8192, 8192),
            record(RecordKind::Write, 0x31, 512, 1024, 1024),
            record(RecordKind::Discard, 0x32, 1 << 40, 1 << 30, 0),
            record(RecordKind::WriteZeroes, 0x33, 0, 65536, 0),
            record(RecordKind::FlushMark, 0x34, 0, 0, 0),
            record(RecordKind::Resize, 0x35, 1 << 41, 0, 0),
            record(RecordKind::Frontier, 0x36, 0, 0, 48),
            record(RecordKind::Snapshot, 0x36, 0, 0, 4096),
        ],
        checksums: vec![0xc0, 0xc1, 0xc2, 0xc3, 0xc4],
        tags: if sealed {
            (0..5).map(|byte| [0xd0 + byte; 16]).collect()
        } else {
            vec![]
        },
    }
}

fn frontier() -> Frontier {
    Frontier {
        uid: StreamUid(1),
        segment: SegmentNo(2),
        seq: Seq(3),
        checkpoint: 4,
    }
}
