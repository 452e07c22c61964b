//! How fast chunks are sealed, opened and compressed on one core: prints GB/s per form and size.
//!
//! `cargo run --release -p vpool-seal --example seal_speed`

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vpool_format::segment::{Codec, Content};
use vpool_format::{DiskId, PoolId, SegmentNo, Slot, StreamUid};
use vpool_seal::{Backoff, ChunkContext, Compressor, DataKey, Decompressor, DiskKeys, PoolKey};

const POOL: PoolId = PoolId(1);
const DISK: DiskId = DiskId(2);
const RUN: Duration = Duration::from_millis(300);

fn main() {
    println!("{:<44} {:>8} {:>10}", "one core", "GB/s", "ns/chunk");
    let mut rng = Noise(1);
    let mut fill = |bytes: &mut [u8]| rng.fill(bytes);
    let pool = PoolKey::generate(&mut fill).secrets(POOL);
    let data = Arc::new(DataKey::generate(&mut fill));
    for size in [4096, 32768] {
        let mut random = vec![0; size];
        fill(&mut random);
        let text = text(size);
        for (form, data) in [("clear", None), ("encrypted", Some(data.clone()))] {
            let keys = DiskKeys {
                pool: pool.clone(),
                data,
                disk: DISK,
            };
            seal_and_open(form, &keys, &random);
            let name = format!("{form} content id");
            measure(&name, size, |_| {
                black_box(keys.content_id(&random));
            });
            let name = format!("{form} key of a part");
            measure(&name, size, |salt| {
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&salt.to_le_bytes());
                black_box(keys.part(&bytes));
            });
        }
        squeeze("text", &text);
        squeeze("random", &random);
    }
}

fn seal_and_open(form: &str, keys: &DiskKeys, bytes: &[u8]) {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    // A new part every 65,536 seals: a slot is sealed once.
    let mut part = keys.part(&[0; 32]);
    measure(&format!("{form} seal"), bytes.len(), |i| {
        let slot = u16::try_from(i % 65536).expect("below 65536");
        if slot == 0 {
            let mut salt = [0; 32];
            salt[..8].copy_from_slice(&i.to_le_bytes());
            part = keys.part(&salt);
        }
        out.clear();
        black_box(part.seal(&context(slot, bytes.len()), bytes, &mut out));
    });
    let part = keys.part(&[1; 32]);
    let mut stored = Vec::new();
    part.seal(&context(0, bytes.len()), bytes, &mut stored);
    measure(&format!("{form} open"), bytes.len(), |_| {
        out.clear();
        black_box(part.open(&context(0, bytes.len()), &stored, &mut out)).expect("is whole");
    });
}

fn squeeze(what: &str, raw: &[u8]) {
    let mut compressor = Compressor::new();
    let mut fresh = Compressor::new();
    let (codec, stored) = fresh.compress(&mut Backoff::default(), raw);
    let percent = 100 * stored.len() / raw.len();
    measure(
        &format!("compress {what} ({percent} %), always tried"),
        raw.len(),
        |_| {
            black_box(compressor.compress(&mut Backoff::default(), raw));
        },
    );
    let mut backoff = Backoff::default();
    measure(
        &format!("compress {what}, with back-off"),
        raw.len(),
        |_| {
            black_box(compressor.compress(&mut backoff, raw));
        },
    );
    if codec == Codec::Zstd {
        let mut out = Vec::new();
        let mut decompressor = Decompressor::new();
        let raw_bytes = u32::try_from(raw.len()).expect("short");
        measure(&format!("decompress {what}"), raw.len(), |_| {
            out.clear();
            black_box(decompressor.decompress(stored, raw_bytes, &mut out)).expect("is whole");
        });
    }
}

fn measure(what: &str, size: usize, mut work: impl FnMut(u64)) {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < RUN {
        for _ in 0..64 {
            work(count);
            count += 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let (ns, bytes) = (
        start.elapsed().as_nanos() as f64,
        count as f64 * size as f64,
    );
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let each = ns / count as f64;
    let what = format!("{} KiB {what}", size / 1024);
    println!("{what:<44} {:>8.2} {each:>10.0}", bytes / ns);
}

fn context(slot: u16, length: usize) -> ChunkContext {
    ChunkContext {
        pool: POOL,
        disk: DISK,
        uid: StreamUid(3),
        segment: SegmentNo(4),
        slot: Slot(slot),
        content: Content::Data,
        codec: Codec::Raw,
        raw_bytes: u32::try_from(length).expect("short"),
    }
}

/// Log lines with numbers in them, as a guest's disk has many.
fn text(length: usize) -> Vec<u8> {
    let mut rng = Noise(7);
    let mut text = String::new();
    while text.len() < length {
        let [a, b] = [rng.next(), rng.next()];
        let ip = (a >> 16) % 256;
        text.push_str(&format!(
            "{a:08} router[{}]: request {b:x} from 10.0.{ip}.7 served in {} us\n",
            a % 997,
            b % 5000
        ));
    }
    text.truncate(length);
    text.into_bytes()
}

/// A generator good enough to be incompressible.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
