//! Group descriptors and the bodies of control records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpool_format::journal::{Frontier, GroupHeader, RemoteClient};
use vpool_format::{BLOCK_BYTES, Base, Result};
use vpool_fuzz::{block, canonical};

fn recode(block: &[u8]) -> Result<Vec<u8>> {
    let group = GroupHeader::decode(block, None)?;
    let mut again = [0xff; BLOCK_BYTES];
    group.encode_into(&mut again);
    Ok(again.to_vec())
}

fuzz_target!(|bytes: &[u8]| {
    canonical(bytes, recode(bytes));
    let block = block(bytes);
    canonical(&block, recode(&block));
    canonical(bytes, Base::decode(bytes).map(|base| base.encode()));
    canonical(
        bytes,
        Frontier::decode(bytes).map(|frontier| frontier.encode()),
    );
    canonical(
        bytes,
        RemoteClient::decode(bytes).map(|client| client.encode()),
    );
});
