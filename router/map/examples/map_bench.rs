//! Figures of the map: time and memory of a layer, lookups, map bytes written per client
//! byte, and a 64 TiB disk that is written here and there.
//!
//! `cargo run --release -p vpool-map --example map_bench -- [scale]`: the random-write part
//! runs at 1/scale of 100 GiB and of the checkpoint distance (default 4; 1 takes 2 GB of
//! memory; 0 leaves out all but the layer).
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use futures::executor::block_on;
use vpool_format::checkpoint::MapRoot;
use vpool_format::map::{ChunkAddress, Hint, Node};
use vpool_format::segment::Codec;
use vpool_format::{SegmentNo, Slot, StreamNo};
use vpool_map::memory::MemoryNodes;
use vpool_map::{Chunk, Map, Merged, NodeSource, Pending, Piece, Replaced, Target, expand, merge};

const BLOCKS_100_GIB: u64 = 100 << 18;
const BLOCKS_64_TIB: u64 = 1 << 34;
/// 64 MiB of updates of 24 bytes.
const CHECKPOINT_UPDATES: u64 = (64 << 20) / 24;

/// Numbers that are random enough (SplitMix64), and always the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn target(id: u64, blocks: u8) -> Target {
    Target::Chunk(Chunk {
        address: ChunkAddress {
            stream: StreamNo(1),
            segment: SegmentNo(id / 4096 + 1),
            slot: Slot(u16::try_from(id % 4096).expect("below 4096")),
        },
        chunk_first: 0,
        chunk_blocks: blocks,
        hint: Hint {
            offset: u32::try_from(id % 4096 * 4112).expect("below 16 MiB"),
            stored_bytes: 4112,
            codec: Codec::Raw,
        },
    })
}

fn insert(pending: &mut Pending, start: u64, blocks: u8, id: u64) {
    pending
        .insert(start, u64::from(blocks), target(id, blocks))
        .expect("a bench inserts within the disk");
}

/// Resident memory in bytes; 0 where the system does not say.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Time of this thread on a processor, where the system says it (the machine may be shared),
/// else time that passed.
struct Clock {
    at: Instant,
    busy: Option<u128>,
}

impl Clock {
    fn start() -> Clock {
        Clock {
            at: Instant::now(),
            busy: Clock::busy(),
        }
    }

    fn busy() -> Option<u128> {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        stat.split(' ').next()?.parse().ok()
    }

    fn nanos_each(&self, count: u64) -> u128 {
        let busy = Clock::busy().zip(self.busy).map(|(now, then)| now - then);
        let nanos = busy.unwrap_or(self.at.elapsed().as_nanos());
        nanos / u128::from(count)
    }
}

/// The measure of the machine: what one read costs that no cache answers.
fn machine() {
    const READS: u64 = 3_000_000;
    let words: Vec<u64> = (0..16 << 20).collect();
    let mut random = Random(7);
    let mut last = 0;
    let start = Clock::start();
    for _ in 0..READS {
        let place = random.below(16 << 20) ^ (last & 1);
        last = words[usize::try_from(place).expect("below 16 Mi")];
    }
    let each = start.nanos_each(READS);
    println!("this machine: {each} ns for one dependent read within 128 MiB ({last})");
}

fn layer() {
    const UPDATES: u64 = 3_000_000;
    let mut random = Random(1);
    let before = resident();
    let mut pending = Pending::new();
    let start = Clock::start();
    for id in 0..UPDATES {
        insert(&mut pending, random.below(BLOCKS_100_GIB), 1, id);
    }
    let len = pending.len() as u64;
    println!(
        "layer, {UPDATES} random single blocks of 100 GiB ({len} distinct): {} ns an insert; \
         {} bytes an update by its own count, {} by the system's",
        start.nanos_each(UPDATES),
        pending.memory_bytes() as u64 / len,
        (resident() - before) / len,
    );
    let start = Clock::start();
    for id in 0..UPDATES / 3 {
        insert(&mut pending, random.below(BLOCKS_100_GIB), 1, id);
    }
    println!("  one more, at 3 M: {} ns", start.nanos_each(UPDATES / 3));
    let start = Clock::start();
    let mut found = 0;
    for _ in 0..UPDATES {
        let block = random.below(BLOCKS_100_GIB);
        let mut pieces = pending.pieces(block..block + 1);
        found += u64::from(pieces.any(|piece| piece.target.is_some()));
    }
    let each = start.nanos_each(UPDATES);
    println!("  a lookup of one block: {each} ns ({found} found)");
    let start = Clock::start();
    let total: u64 = pending.iter().map(|update| update.blocks).sum();
    println!(
        "  iteration: {} ns an update ({total} blocks)",
        start.nanos_each(total)
    );

    // A layer that the processor's cache holds: what is left is the work itself.
    let mut pending = Pending::new();
    for id in 0..20_000 {
        insert(&mut pending, random.below(1 << 20), 1, id);
    }
    let start = Clock::start();
    for id in 0..100_000 {
        insert(&mut pending, random.below(1 << 20), 1, id);
    }
    println!(
        "  one more, at 20,000 to 120,000: {} ns",
        start.nanos_each(100_000)
    );

    // As segments bring them: 4,096 at a time, in order.
    let mut pending = Pending::new();
    let start = Clock::start();
    for segment in 0..UPDATES / 4096 {
        let mut blocks: Vec<u64> = (0..4096).map(|_| random.below(BLOCKS_100_GIB)).collect();
        blocks.sort_unstable();
        for block in blocks {
            insert(&mut pending, block, 1, segment);
        }
    }
    println!(
        "layer, the same in order within 4,096 (and their sorting): {} ns an insert, {} bytes",
        start.nanos_each(UPDATES),
        pending.memory_bytes() / pending.len(),
    );

    let mut pending = Pending::new();
    let start = Clock::start();
    for id in 0..UPDATES {
        insert(&mut pending, id * 8, 8, id);
    }
    println!(
        "layer, sequential chunks of 8 blocks: {} ns an insert, {} bytes an update",
        start.nanos_each(UPDATES),
        pending.memory_bytes() / pending.len(),
    );
}

/// Merges, lets go of what is replaced, and says how long it took.
struct Disk {
    nodes: MemoryNodes,
    root: Option<MapRoot>,
    next_segment: u64,
}

impl Disk {
    fn new() -> Disk {
        Disk {
            nodes: MemoryNodes::new(),
            root: None,
            next_segment: 1,
        }
    }

    fn merge(&mut self, pending: &Pending, what: &str) -> (Merged, Vec<Replaced>) {
        let mut sink = self.nodes.sink(SegmentNo(self.next_segment), 4096);
        let (mut gone, mut replaced_blocks) = (Vec::new(), 0);
        let start = Instant::now();
        let merged = block_on(merge(
            self.root,
            pending,
            &self.nodes,
            &mut sink,
            &mut |it| {
                if let Replaced::Blocks { blocks, .. } = it {
                    replaced_blocks += blocks;
                } else {
                    gone.push(it);
                }
            },
        ));
        let merged = merged.expect("memory does not fail");
        println!(
            "  {what}: {} updates in {:.2?}; read {} nodes, put {} ({} KiB), replaced \
             {replaced_blocks} blocks and {} nodes or subtrees; resident {} MiB",
            pending.len(),
            start.elapsed(),
            merged.nodes_read,
            merged.nodes_put,
            merged.bytes_put >> 10,
            gone.len(),
            resident() >> 20,
        );
        self.next_segment = sink.next_segment().0;
        self.root = merged.root;
        for replaced in &gone {
            if let Replaced::Node { address, .. } = replaced {
                self.nodes.remove(address);
            }
        }
        (merged, gone)
    }
}

fn random_writes(scale: u64) {
    let disk_blocks = BLOCKS_100_GIB / scale;
    let updates = CHECKPOINT_UPDATES / scale;
    println!(
        "random 4 KiB writes over {} GiB, a checkpoint every {updates}",
        disk_blocks >> 18
    );
    let mut disk = Disk::new();
    let (mut random, mut id) = (Random(2), 0);
    let mut pending = Pending::new();
    // Every block in a chunk of its own: the largest leaves there are.
    for block in 0..disk_blocks {
        insert(&mut pending, block, 1, block);
    }
    disk.merge(&std::mem::take(&mut pending), "fill");
    let (mut put_bytes, mut client_bytes) = (0, 0);
    for _ in 0..3 {
        for _ in 0..updates {
            id += 1;
            insert(&mut pending, random.below(disk_blocks), 1, disk_blocks + id);
        }
        let (merged, _) = disk.merge(&std::mem::take(&mut pending), "checkpoint");
        put_bytes += merged.bytes_put;
        client_bytes += updates * 4096;
    }
    let hundredths = put_bytes * 10_000 / client_bytes;
    println!("  map bytes a client byte: 0.{hundredths:04}");
}

/// All nodes of a tree, decoded and in memory.
struct Warm(HashMap<ChunkAddress, Arc<Node>>);

impl Warm {
    fn all_of(disk: &Disk) -> Warm {
        let mut warm = HashMap::new();
        let root = disk
            .root
            .map(|root| (root.level, 0, root.address, root.hint));
        let mut todo = Vec::from_iter(root);
        while let Some((level, number, address, hint)) = todo.pop() {
            let node = block_on(disk.nodes.node(&address, &hint, level, number));
            let node = node.expect("memory does not fail");
            if let Node::Inner { children, .. } = &*node {
                todo.extend(children.iter().map(|child| {
                    let below = number << 7 | u64::from(child.index);
                    (level - 1, below, child.address, child.hint)
                }));
            }
            warm.insert(address, node);
        }
        Warm(warm)
    }
}

impl NodeSource for Warm {
    type Error = Infallible;

    fn node_now(&self, address: &ChunkAddress, _: &Hint) -> Option<Arc<Node>> {
        self.0.get(address).cloned()
    }

    async fn node(
        &self,
        address: &ChunkAddress,
        _: &Hint,
        _: u8,
        _: u64,
    ) -> Result<Arc<Node>, Infallible> {
        Ok(Arc::clone(&self.0[address]))
    }
}

fn lookups(warm: &Warm, root: Option<MapRoot>, disk_blocks: u64, blocks: u64) {
    const LOOKUPS: u64 = 1_000_000;
    let map = Map::new(root);
    let mut random = Random(3);
    let mut out: Vec<Piece> = Vec::new();
    let (mut pieces, mut reached) = (0, 0);
    let start = Clock::start();
    for _ in 0..LOOKUPS {
        let block = random.below(disk_blocks - blocks);
        out.clear();
        let range = block..block + blocks;
        reached ^= map.lookup_now(warm, range, 1024, &mut out).unwrap_or(0);
        pieces += out.len();
    }
    let each = start.nanos_each(LOOKUPS);
    println!(
        "  lookups of {blocks} blocks, nodes in memory: {each} ns, {} a second ({pieces} \
         pieces, {reached})",
        1_000_000_000 / each.max(1),
    );
}

fn warm_lookups() {
    const BLOCKS: u64 = 20 << 18;
    println!("20 GiB, every block in a chunk of its own");
    let mut disk = Disk::new();
    let mut pending = Pending::new();
    for block in 0..BLOCKS {
        insert(&mut pending, block, 1, block);
    }
    disk.merge(&std::mem::take(&mut pending), "fill");
    let warm = Warm::all_of(&disk);
    for blocks in [1, 8, 256] {
        lookups(&warm, disk.root, BLOCKS, blocks);
    }
}

fn scattered() {
    const SCATTERED: u64 = 262_144;
    println!("64 TiB with {SCATTERED} scattered blocks");
    let mut disk = Disk::new();
    let mut random = Random(4);
    let mut pending = Pending::new();
    for id in 0..SCATTERED {
        insert(&mut pending, random.below(BLOCKS_64_TIB), 1, id);
    }
    println!("  layer: {} KiB", pending.memory_bytes() >> 10);
    disk.merge(&std::mem::take(&mut pending), "fill");
    for id in 0..SCATTERED {
        insert(&mut pending, random.below(BLOCKS_64_TIB), 1, SCATTERED + id);
    }
    disk.merge(&std::mem::take(&mut pending), "as many again");
    for id in 0..1000 {
        insert(
            &mut pending,
            random.below(BLOCKS_64_TIB),
            1,
            2 * SCATTERED + id,
        );
    }
    disk.merge(&std::mem::take(&mut pending), "1000 more");
    let mut out = Vec::new();
    let start = Instant::now();
    let whole = Map::new(disk.root).lookup(&disk.nodes, 0..BLOCKS_64_TIB, 1024, &mut out);
    let reached = block_on(whole).expect("memory does not fail");
    println!(
        "  the first 1024 pieces of all: to block {reached} in {:.2?}",
        start.elapsed()
    );
    pending
        .insert(0, BLOCKS_64_TIB, Target::Hole)
        .expect("the whole disk is within bounds");
    let (_, gone) = disk.merge(&pending, "trim of all");
    let (start, mut parts) = (Instant::now(), 0_u64);
    for replaced in gone {
        if let Replaced::Subtree(subtree) = replaced {
            block_on(expand(&disk.nodes, subtree, &mut |_| parts += 1)).expect("memory");
        }
    }
    println!(
        "  expanded in {:.2?}: {parts} nodes and runs",
        start.elapsed()
    );
}

fn main() {
    let scale = std::env::args().nth(1).and_then(|scale| scale.parse().ok());
    machine();
    layer();
    if scale == Some(0) {
        return;
    }
    warm_lookups();
    scattered();
    random_writes(scale.unwrap_or(4));
}
