//! The address of a chunk as the cache knows it, and how it is hashed.
//!
//! Owns: [`ChunkKey`], the hasher of the cache's tables. Does not own: the small numbers that a
//! checkpoint gives to streams: caches key by the stream's uid (DESIGN §3 Keys).

use std::hash::{BuildHasherDefault, Hasher};

use vpool_format::{SegmentNo, Slot, StreamUid};

/// The address of a chunk, for ever: no address is used for other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    /// The stream that wrote it.
    pub uid: StreamUid,
    /// Its segment.
    pub segment: SegmentNo,
    /// Its slot.
    pub slot: Slot,
}

impl ChunkKey {
    /// A hash that is the same in every process.
    pub(crate) fn hash64(&self) -> u64 {
        let mut mix = Mix::default();
        mix.write_u128(self.uid.0);
        mix.write_u64(self.segment.0);
        mix.write_u16(self.slot.0);
        mix.finish()
    }
}

/// A quick hash for keys that no adversary chooses: uids and content ids are random.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mix(u64);

/// Makes them.
pub(crate) type MixBuilder = BuildHasherDefault<Mix>;

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        // The last step of MurmurHash3 (Appleby): every input bit reaches every output bit.
        let mut hash = self.0;
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ hash >> 33
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u128(&mut self, word: u128) {
        self.write(&word.to_le_bytes());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(u64::try_from(word).expect("a usize has 64 bits here"));
    }
}
