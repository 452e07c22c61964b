//! Headers of journal extents.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpool_format::journal::ExtentHeader;
use vpool_fuzz::{block, canonical};

fuzz_target!(|bytes: &[u8]| {
    canonical(
        bytes,
        ExtentHeader::decode(bytes).map(|header| header.encode().to_vec()),
    );
    let block = block(bytes);
    canonical(
        &block,
        ExtentHeader::decode(&block).map(|header| header.encode().to_vec()),
    );
});
