//! Checkpoints.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpool_format::checkpoint::Checkpoint;
use vpool_fuzz::{canonical, own_tag, with_length};

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes.to_vec(), with_length(bytes)] {
        let tag = own_tag(&bytes, 0);
        let mac = |_: &[u8]| tag;
        let again = Checkpoint::decode(&bytes, &mac).map(|checkpoint| checkpoint.encode(&mac));
        canonical(&bytes, again);
    }
});
