//! Claims, pool records, stream records and descriptors; names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpool_format::bucket::{Claim, Descriptor, PoolRecord, StreamRecord};
use vpool_format::names::Name;
use vpool_fuzz::{canonical, own_tag, with_crc, with_length};

fn with_mac(bytes: &[u8]) {
    let tag = own_tag(bytes, 0);
    let mac = |_: &[u8]| tag;
    canonical(
        bytes,
        StreamRecord::decode(bytes, &mac).map(|record| record.encode(&mac)),
    );
    canonical(
        bytes,
        Descriptor::decode(bytes, &mac).map(|descriptor| descriptor.encode(&mac)),
    );
}

fn with_mac_and_crc(bytes: &[u8]) {
    let claim = Claim::decode(bytes);
    if let Ok((claim, tag)) = &claim {
        assert_eq!(*tag, own_tag(bytes, 4), "the tag given is the one read");
        assert!(claim.verify(tag, &|_| *tag).is_ok());
    }
    canonical(bytes, claim.map(|(claim, tag)| claim.encode(&|_| tag)));
    let record = PoolRecord::decode(bytes);
    canonical(bytes, record.map(|(record, tag)| record.encode(&|_| tag)));
}

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes.to_vec(), with_length(bytes)] {
        with_mac(&bytes);
        with_mac_and_crc(&bytes);
        with_mac_and_crc(&with_crc(bytes));
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some(name) = Name::parse(text)
    {
        assert_eq!(name.to_string(), text, "two spellings of one name");
    }
});
