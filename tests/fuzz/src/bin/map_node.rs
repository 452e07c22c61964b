//! Map nodes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpool_format::map::{NODE_BYTES_MAX, Node};
use vpool_fuzz::canonical;

fuzz_target!(|bytes: &[u8]| {
    let node = Node::decode(bytes);
    assert!(node.is_err() || bytes.len() <= NODE_BYTES_MAX);
    canonical(bytes, node.map(|node| node.encode()));
});
