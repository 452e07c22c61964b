//! What sealing must hold: everything comes back, nothing altered or moved does, nothing secret
//! shows, no nonce repeats, and old bytes open for ever.

mod golden;
mod keys;
mod nonces;
mod sealing;
mod squeezing;

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use vpool_format::segment::{Codec, Content};
use vpool_format::{DiskId, PoolId, SegmentNo, Slot, StreamUid};

use crate::{ChunkContext, DataKey, DiskKeys, PageContext, PoolKey};

const POOL: PoolId = PoolId(0x1111_2222_3333_4444_5555_6666_7777_8888);
const DISK: DiskId = DiskId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
const UID: StreamUid = StreamUid(0xfeed_beef_0000_0000_0000_0000_cafe_f00d);

/// A source of bytes that is the same every time.
fn source(seed: u64) -> impl FnMut(&mut [u8]) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    move |bytes| rng.fill_bytes(bytes)
}

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    source(seed)(&mut bytes);
    bytes
}

/// Keys of a disk that is encrypted or clear; the seed stands for pool and data key.
fn keys(seed: u64, sealed: bool) -> DiskKeys {
    let mut fill = source(seed);
    DiskKeys {
        pool: PoolKey::generate(&mut fill).secrets(POOL),
        data: sealed.then(|| Arc::new(DataKey::generate(&mut fill))),
        disk: DISK,
    }
}

fn chunk(slot: u16, raw_bytes: u32) -> ChunkContext {
    ChunkContext {
        pool: POOL,
        disk: DISK,
        uid: UID,
        segment: SegmentNo(7),
        slot: Slot(slot),
        content: Content::Data,
        codec: Codec::Raw,
        raw_bytes,
    }
}

fn page(page: u32) -> PageContext {
    PageContext {
        pool: POOL,
        disk: DISK,
        uid: UID,
        segment: SegmentNo(7),
        page,
    }
}
