//! Headers, index pages and tails of segments.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpool_format::segment::{IndexPage, SegmentHeader, TRAILER_BYTES, Trailer};
use vpool_format::{FormatErrorKind, Slot};
use vpool_fuzz::{canonical, own_tag, with_length};

fn header(bytes: &[u8]) {
    let tag = own_tag(bytes, 0);
    let mac = |_: &[u8]| tag;
    canonical(
        bytes,
        SegmentHeader::decode(bytes, &mac).map(|header| header.encode(&mac)),
    );
    match SegmentHeader::decode_front(bytes, &mac) {
        Ok((_, length)) => assert!(length <= bytes.len()),
        Err(error) => {
            if let FormatErrorKind::NeedMore { bytes: needed } = error.kind {
                assert!(needed > bytes.len() as u64, "asks for what it has");
            }
        }
    }
}

fn page(bytes: &[u8]) {
    let page = IndexPage::decode(bytes);
    if let Ok(page) = &page {
        let last = page.first_slot + u16::try_from(page.entries.len() - 1).unwrap_or(u16::MAX);
        let (position, entry) = page
            .position(Slot(last))
            .expect("the last slot is in the page");
        assert_eq!(
            position + u64::from(entry.stored_bytes),
            page.end_position()
        );
    }
    canonical(bytes, page.map(|page| page.encode()));
}

fn tail(bytes: &[u8]) {
    let tag = own_tag(bytes, 0);
    let mac = |_: &[u8]| tag;
    // The object is as large as the trailer says, so that this check does not stop the rest.
    let said = bytes
        .len()
        .checked_sub(TRAILER_BYTES - 40)
        .and_then(|at| bytes.get(at..at + 8));
    let said = said
        .and_then(|said| said.first_chunk())
        .copied()
        .unwrap_or_default();
    match Trailer::decode_tail(bytes, u64::from_le_bytes(said), &mac) {
        Ok((trailer, cuts)) => {
            let again = trailer.encode(&cuts, &mac);
            assert!(bytes.ends_with(&again), "two spellings of one value");
        }
        Err(error) => {
            if let FormatErrorKind::NeedMore { bytes: needed } = error.kind {
                assert!(needed > bytes.len() as u64, "asks for what it has");
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    header(bytes);
    header(&with_length(bytes));
    page(bytes);
    tail(bytes);
});
