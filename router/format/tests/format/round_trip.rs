//! What is written is read back as it was.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use vpool_format::bucket::{Claim, Descriptor, DiskSettings, PoolRecord, StreamRecord};
use vpool_format::checkpoint::Checkpoint;
use vpool_format::journal::{
    ExtentHeader, Frontier, GroupEncoder, GroupHeader, RecordHeader, RecordKind, RemoteClient, fits,
};
use vpool_format::map::{NODE_BYTES_MAX, Node};
use vpool_format::names::{NAME_BYTES_MAX, Name};
use vpool_format::segment::{IndexPage, PAGE_PLAIN_BYTES_MAX, SegmentHeader, Trailer};
use vpool_format::{BLOCK_BYTES, Base, FormatErrorKind, SegmentNo, Seq, StreamUid};

use crate::samples::{claim, mac};
use crate::strategies;

proptest! {
    #[test]
    fn extent(header in strategies::extent()) {
        prop_assert_eq!(ExtentHeader::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn group(group in strategies::group()) {
        let mut block = [0xff; BLOCK_BYTES];
        group.encode_into(&mut block);
        prop_assert_eq!(GroupHeader::decode(&block, Some(group.check)), Ok(group));
    }

    /// What the encoder says has room is what `fits` says, up to the last record.
    #[test]
    fn a_full_group(payload in 0..20_000u32, sealed in any::<bool>()) {
        let record = RecordHeader {
            kind: if payload == 0 { RecordKind::FlushMark } else { RecordKind::Write },
            seq: Seq(1),
            offset: 0,
            length: u64::from(payload),
            payload_bytes: payload,
        };
        let mut block = [0; BLOCK_BYTES];
        let mut encoder = GroupEncoder::new(&mut block, 1, 2, Seq(0), 3, sealed);
        let mut records = 0;
        let blocks = record.payload_blocks() as usize;
        while encoder.has_room(payload) {
            prop_assert!(fits(records + 1, (records + 1) * blocks, sealed));
            encoder.push(record);
            records += 1;
            for word in 0..record.payload_blocks() {
                encoder.checksum(!word);
                if sealed {
                    encoder.tag([0xff; 16]);
                }
            }
        }
        prop_assert!(!fits(records + 1, (records + 1) * blocks, sealed));
        prop_assert_eq!(encoder.payload_blocks(), records * blocks);
        encoder.finish(Seq(1), Seq(1));
        let group = GroupHeader::decode(&block, Some(1));
        prop_assert_eq!(group.map(|group| group.records), Ok(vec![record; records]));
    }

    #[test]
    fn base(base in strategies::base()) {
        prop_assert_eq!(Base::decode(&base.encode()), Ok(base));
    }

    #[test]
    fn frontier(uid in any::<u128>(), numbers in any::<(u64, u64, u64)>()) {
        let (segment, seq, checkpoint) = numbers;
        let (uid, segment, seq) = (StreamUid(uid), SegmentNo(segment), Seq(seq));
        let frontier = Frontier { uid, segment, seq, checkpoint };
        prop_assert_eq!(Frontier::decode(&frontier.encode()), Ok(frontier));
    }

    #[test]
    fn disk_settings(description in ".{0,60}", read_only in any::<bool>(), seq in any::<u64>()) {
        let settings = DiskSettings { description, read_only, cut_after: Seq(seq) };
        prop_assert_eq!(DiskSettings::decode(&settings.encode()), Ok(settings.clone()));
        prop_assert_eq!(DiskSettings::of_descriptor(&settings.to_descriptor()), Ok(settings));
        prop_assert_eq!(DiskSettings::of_descriptor(&[]), Ok(DiskSettings::default()));
    }

    #[test]
    fn remote_client(machine in ".{1,60}", seen_ms in any::<u64>()) {
        let client = RemoteClient { machine, seen_ms };
        prop_assert_eq!(RemoteClient::decode(&client.encode()), Ok(client));
    }

    #[test]
    fn segment_header(header in strategies::segment_header()) {
        let mut bytes = header.encode(&mac);
        prop_assert_eq!(SegmentHeader::decode(&bytes, &mac), Ok(header.clone()));
        let length = bytes.len();
        bytes.extend_from_slice(&[0xaa; 100]);
        prop_assert_eq!(SegmentHeader::decode_front(&bytes, &mac), Ok((header, length)));
        let short = SegmentHeader::decode_front(&bytes[..length - 1], &mac);
        let bytes = length as u64;
        prop_assert_eq!(short.map_err(|e| e.kind), Err(FormatErrorKind::NeedMore { bytes }));
    }

    #[test]
    fn index_page(page in strategies::index_page()) {
        let bytes = page.encode();
        prop_assert!(bytes.len() <= PAGE_PLAIN_BYTES_MAX);
        prop_assert_eq!(IndexPage::decode(&bytes), Ok(page));
    }

    #[test]
    fn trailer((trailer, cuts) in strategies::trailer()) {
        let tail = trailer.encode(&cuts, &mac);
        let read = Trailer::decode_tail(&tail, trailer.object_bytes, &mac);
        prop_assert_eq!(read, Ok((trailer, cuts)));
    }

    #[test]
    fn leaf(node in strategies::leaf()) {
        let bytes = node.encode();
        prop_assert!(bytes.len() <= NODE_BYTES_MAX);
        prop_assert_eq!(Node::decode(&bytes), Ok(node));
    }

    #[test]
    fn inner(node in strategies::inner()) {
        let bytes = node.encode();
        prop_assert!(bytes.len() <= NODE_BYTES_MAX);
        prop_assert_eq!(Node::decode(&bytes), Ok(node));
    }

    #[test]
    fn checkpoint(checkpoint in strategies::checkpoint()) {
        let bytes = checkpoint.encode(&mac);
        prop_assert_eq!(Checkpoint::decode(&bytes, &mac), Ok(checkpoint));
    }

    #[test]
    fn stream_record(record in strategies::stream_record()) {
        prop_assert_eq!(StreamRecord::decode(&record.encode(&mac), &mac), Ok(record));
    }

    #[test]
    fn descriptor(descriptor in strategies::descriptor()) {
        prop_assert_eq!(Descriptor::decode(&descriptor.encode(&mac), &mac), Ok(descriptor));
    }

    #[test]
    fn any_claim(claim in strategies::claim()) {
        let tag = mac(&claim.signed_bytes());
        prop_assert_eq!(Claim::decode(&claim.encode(&mac)), Ok((claim, tag)));
    }

    #[test]
    fn pool_record(record in strategies::pool_record()) {
        let tag = mac(&record.signed_bytes());
        prop_assert_eq!(PoolRecord::decode(&record.encode(&mac)), Ok((record, tag)));
    }

    #[test]
    fn name(name in strategies::name()) {
        let spelt = name.to_string();
        prop_assert!(spelt.len() <= NAME_BYTES_MAX);
        prop_assert!(spelt.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"/._-".contains(&b)));
        prop_assert_eq!(Name::parse(&spelt), Some(name));
    }

    /// P3: no two things share a name, and a listing sorts one stream's segments by number.
    #[test]
    fn names_differ_as_things_do(one in strategies::name(), other in strategies::name()) {
        prop_assert_eq!(one == other, one.to_string() == other.to_string());
    }

    #[test]
    fn any_text_is_a_name_only_as_it_would_be_spelt(text in "(disk|pool|claim)(/[0-9a-f-]{0,49}){0,5}") {
        if let Some(name) = Name::parse(&text) {
            prop_assert_eq!(name.to_string(), text);
        }
    }
}

/// The claim is readable before its key is known, but a foreign key's MAC does not pass.
#[test]
fn a_claim_of_another_key_is_readable_and_not_verified() {
    let other = |bytes: &[u8]| *blake3::hash(bytes).as_bytes().first_chunk().unwrap();
    let (read, tag) = Claim::decode(&claim().encode(&other)).unwrap();
    assert_eq!(read, claim());
    assert_eq!(
        read.verify(&tag, &mac).unwrap_err().kind,
        FormatErrorKind::BadChecksum
    );
    assert_eq!(read.verify(&tag, &other), Ok(()));
}
