//! Tests of the journal's formats: round trips, capacity, damage.

use super::{
    BLOCK_BYTES, ExtentHeader, Frontier, GROUP_PAYLOAD_BLOCKS_MAX, GROUP_RECORDS_MAX, GroupHeader,
    RecordHeader, RecordKind, RemoteClient, fits,
};
use crate::error::FormatErrorKind;
use crate::ids::{DiskId, Epoch, PoolId, SegmentNo, Seq, StreamUid};
use crate::record::{Base, SealedEnd, Tail};

fn extent() -> ExtentHeader {
    ExtentHeader {
        pool: PoolId(1),
        disk: DiskId(2),
        uid: StreamUid(3),
        epoch: Epoch(4),
        number: 5,
        lap: 6,
        salt: std::array::from_fn(|index| u8::try_from(index).unwrap()),
        sealed: true,
        first_seq: Seq(7),
    }
}

fn group(sealed: bool) -> GroupHeader {
    let write = |seq, payload_bytes: u32| RecordHeader {
        kind: RecordKind::Write,
        seq: Seq(seq),
        offset: 512 * seq,
        length: u64::from(payload_bytes),
        payload_bytes,
    };
    GroupHeader {
        check: extent().check(),
        number: 9,
        first_seq: Seq(10),
        last_seq: Seq(12),
        durable: Seq(9),
        wall_ms: 1_700_000_000_000,
        payload_blocks: 4,
        records: vec![write(10, 4096), write(11, 512), write(12, 4097)],
        checksums: vec![1, 2, 3, 4],
        tags: if sealed {
            vec![[1; 16], [2; 16], [3; 16], [4; 16]]
        } else {
            vec![]
        },
    }
}

#[test]
fn extent_header_round_trip() {
    let header = extent();
    assert_eq!(ExtentHeader::decode(&header.encode()), Ok(header.clone()));
    assert_eq!(header.check(), 0x0706_0504_0302_0100);
}

#[test]
fn group_round_trip() {
    for sealed in [false, true] {
        let group = group(sealed);
        let mut block = [0xaa; BLOCK_BYTES];
        group.encode_into(&mut block);
        assert_eq!(
            GroupHeader::decode(&block, Some(group.check)),
            Ok(group.clone())
        );
        assert_eq!(group.blocks(), 5);
    }
}

#[test]
fn group_of_an_earlier_lap_is_told_from_a_torn_one() {
    let group = group(false);
    let mut block = [0; BLOCK_BYTES];
    group.encode_into(&mut block);
    let refused = GroupHeader::decode(&block, Some(group.check + 1)).unwrap_err();
    assert_eq!(refused.kind, FormatErrorKind::BadCheck);
    block[100] ^= 1;
    let refused = GroupHeader::decode(&block, Some(group.check + 1)).unwrap_err();
    assert_eq!(refused.kind, FormatErrorKind::BadChecksum);
}

#[test]
fn capacity() {
    for (records, blocks, sealed, expect) in [
        (0, 0, false, true),
        (GROUP_RECORDS_MAX, 0, true, true),
        (GROUP_RECORDS_MAX + 1, 0, false, false),
        (1, GROUP_PAYLOAD_BLOCKS_MAX, false, true),
        (1, GROUP_PAYLOAD_BLOCKS_MAX + 1, false, false),
        (111, 111, false, true),
        (112, 112, false, false),
        (77, 77, true, true),
        (78, 78, true, false),
        (1, 199, true, true),
        (1, 200, true, false),
        (usize::MAX, usize::MAX, true, false),
    ] {
        assert_eq!(
            fits(records, blocks, sealed),
            expect,
            "{records} {blocks} {sealed}"
        );
    }
}

#[test]
fn control_records_round_trip() {
    let base = Base {
        sealed: vec![SealedEnd {
            uid: StreamUid(1),
            epoch: Epoch(2),
            segment: SegmentNo(3),
            seq: Seq(4),
            checkpoint: 5,
        }],
        tails: vec![Tail {
            uid: StreamUid(6),
            first: Seq(7),
            last: Seq(8),
        }],
    };
    assert_eq!(Base::decode(&base.encode()), Ok(base));
    let frontier = Frontier {
        uid: StreamUid(1),
        segment: SegmentNo(2),
        seq: Seq(3),
        checkpoint: 4,
    };
    assert_eq!(Frontier::decode(&frontier.encode()), Ok(frontier));
    assert_eq!(
        Frontier::decode(&Base::default().encode())
            .unwrap_err()
            .kind,
        FormatErrorKind::BadMagic
    );
    let client = RemoteClient {
        machine: "host-7".into(),
        seen_ms: 1,
    };
    assert_eq!(RemoteClient::decode(&client.encode()), Ok(client));
}

#[test]
fn broken_records_are_not_written() {
    let record = |kind, offset, length, payload_bytes| RecordHeader {
        kind,
        seq: Seq(1),
        offset,
        length,
        payload_bytes,
    };
    assert_eq!(
        record(RecordKind::Write, u64::MAX - 1, 1, 1).check(),
        Ok(())
    );
    for broken in [
        record(RecordKind::Write, u64::MAX, 1, 1),
        record(RecordKind::Write, 0, 0, 0),
        record(RecordKind::Write, 0, 512, 513),
        record(RecordKind::Discard, 0, 0, 0),
        record(RecordKind::Discard, 0, 512, 512),
        record(RecordKind::WriteZeroes, 0, 0, 0),
        record(RecordKind::WriteZeroes, 0, 512, 512),
        record(RecordKind::WriteZeroes, 2, u64::MAX - 1, 0),
        record(RecordKind::Snapshot, u64::MAX, 1, 0),
    ] {
        assert!(broken.check().is_err(), "{broken:?}");
    }
}

/// What a group that only carries the mark may look like, and what no group does.
#[test]
fn sequences_of_a_group() {
    for (first, last, durable, expect) in [
        (1, 1, 0, true),
        (1, 9, 9, true),
        (10, 9, 9, true),
        (1, 0, 0, true),
        (11, 9, 9, false),
        (1, 9, 10, false),
        (0, u64::MAX, u64::MAX, true),
    ] {
        let checked = super::group::check_sequences(Seq(first), Seq(last), Seq(durable));
        assert_eq!(checked.is_ok(), expect, "{first} {last} {durable}");
    }
}

/// A record above its group's position, or out of order, would be replayed twice or not.
#[test]
fn records_beyond_their_group_are_refused() {
    for (place, value) in [(64 + 8, 0x0d), (64 + 32 + 8, 0x09), (24, 0x0e), (40, 0x0d)] {
        let mut block = [0; BLOCK_BYTES];
        group(false).encode_into(&mut block);
        block[place] = value;
        let crc = super::crc32c(&block[..super::CRC_OFFSET]);
        block[super::CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        let refused = GroupHeader::decode(&block, None).unwrap_err();
        assert_eq!(refused.kind, FormatErrorKind::BadValue, "{place}");
    }
}

#[test]
fn a_tail_does_not_end_before_it_starts() {
    let tail = Tail {
        uid: StreamUid(1),
        first: Seq(8),
        last: Seq(7),
    };
    let base = Base {
        sealed: vec![],
        tails: vec![tail],
    };
    assert_eq!(
        Base::decode(&base.encode()).unwrap_err().kind,
        FormatErrorKind::BadValue
    );
}

#[test]
fn names_of_remote_clients_are_bounded() {
    for (bytes, expect) in [(0, false), (1, true), (255, true), (256, false)] {
        let client = RemoteClient {
            machine: "m".repeat(bytes),
            seen_ms: 0,
        };
        assert_eq!(client.check().is_ok(), expect, "{bytes}");
    }
}
