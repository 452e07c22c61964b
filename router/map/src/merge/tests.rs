//! What only the inside of a merge can be asked: nodes not kept, and failures on the way.

use futures::executor::block_on;
use vpool_format::map::{ChunkAddress, Hint};
use vpool_format::segment::Codec;
use vpool_format::{SegmentNo, Slot, StreamNo};

use super::{MergeError, Merged, merge, merge_keeping};
use crate::memory::{MemoryNodes, MemorySink};
use crate::node::NodeSink;
use crate::pending::Pending;
use crate::piece::{Chunk, Target};
use crate::replaced::Replaced;

fn target(id: u64) -> Target {
    Target::Chunk(Chunk {
        address: ChunkAddress {
            stream: StreamNo(7),
            segment: SegmentNo(id + 1),
            slot: Slot(3),
        },
        chunk_first: 0,
        chunk_blocks: 1,
        hint: Hint {
            offset: 0,
            stored_bytes: 100,
            codec: Codec::Raw,
        },
    })
}

/// A layer with a block in each of 40,000 leaves, in 625 nodes of level 1.
fn wide(id: u64) -> Pending {
    let mut pending = Pending::new();
    for leaf in 0..40_000 {
        pending.insert(leaf * 256 + id, 1, target(leaf)).unwrap();
    }
    pending
}

fn apply(kept_bytes_max: usize) -> (Merged, Vec<Replaced>, MemoryNodes) {
    let nodes = MemoryNodes::new();
    let mut sink = nodes.sink(SegmentNo(1), 5000);
    let first = block_on(merge(None, &wide(0), &nodes, &mut sink, &mut |_| {})).unwrap();
    let mut replaced = Vec::new();
    let second = block_on(merge_keeping(
        kept_bytes_max,
        first.root,
        &wide(3),
        &nodes,
        &mut sink,
        &mut |it| replaced.push(it),
    ));
    (second.unwrap(), replaced, nodes)
}

#[test]
fn inner_nodes_not_kept_are_read_again() {
    let (all, all_replaced, nodes) = apply(usize::MAX);
    let (leaves, inner) = (40_000, 625 + 5 + 1);
    assert_eq!(all.nodes_read, leaves + inner);
    assert_eq!(nodes.take_counts().read, leaves + inner);
    assert_eq!(all_replaced.len() as u64, leaves + inner);
    for kept_bytes_max in [0, 200_000] {
        let (none, replaced, nodes) = apply(kept_bytes_max);
        assert_eq!(none.nodes_read, nodes.take_counts().read);
        assert!(none.nodes_read > leaves + inner && none.nodes_read <= leaves + 2 * inner);
        assert_eq!(replaced, all_replaced);
        let nodes_read = all.nodes_read;
        assert_eq!(Merged { nodes_read, ..none }, all);
    }
}

/// Fails at the nth put, or when a level is finished.
struct Failing<'a> {
    sink: MemorySink<'a>,
    puts: u64,
}

impl NodeSink for Failing<'_> {
    type Error = &'static str;

    async fn put(&mut self, level: u8, number: u64, encoded: Vec<u8>) -> Result<(), &'static str> {
        self.puts = self.puts.checked_sub(1).ok_or("full")?;
        let Ok(()) = self.sink.put(level, number, encoded).await;
        Ok(())
    }

    async fn finish_level(&mut self) -> Result<Vec<(ChunkAddress, Hint)>, &'static str> {
        if self.puts == 0 {
            return Err("closed");
        }
        let Ok(places) = self.sink.finish_level().await;
        Ok(places)
    }
}

#[test]
fn a_sink_that_fails_ends_the_merge() {
    let nodes = MemoryNodes::new();
    let run = |puts| {
        let sink = nodes.sink(SegmentNo(1), 5000);
        let mut sink = Failing { sink, puts };
        block_on(merge(None, &wide(0), &nodes, &mut sink, &mut |_| {}))
    };
    let put = |level, number| MergeError::Put {
        level,
        number,
        source: "full",
    };
    assert_eq!(run(1000), Err(put(0, 2000)));
    assert_eq!(run(40_003), Err(put(1, 3)));
    let source = "closed";
    assert_eq!(run(40_000), Err(MergeError::Finish { level: 0, source }));
    assert!(run(40_632).is_ok());
}
