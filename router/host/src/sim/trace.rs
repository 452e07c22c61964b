//! The trace hash: one number for all that was asked of the simulated world, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A running hash that clones share.
#[derive(Debug, Clone, Default)]
pub struct Trace(Arc<AtomicU64>);

impl Trace {
    /// The hash so far.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds an event: what, on which object, its numbers and its bytes.
    pub fn note(&self, what: &str, object: &[u8], numbers: &[u64], bytes: &[u8]) {
        let mut hash = mix(self.value(), what.as_bytes());
        hash = mix(hash, object);
        for number in numbers {
            hash = mix(hash, &number.to_le_bytes());
        }
        // The world runs on one thread at a time: nothing comes between load and store that
        // a test of equal traces could rely on.
        self.0.store(mix(hash, bytes), Ordering::Relaxed);
    }
}

/// FNV-1a with words of 8 bytes, ended by the length: quick and good enough to tell two
/// traces apart; not for anything that somebody could want to forge.
pub(super) fn mix(hash: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash = hash ^ 0xcbf2_9ce4_8422_2325;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME);
        hash ^= hash >> 29;
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    }
    (hash ^ bytes.len() as u64)
        .wrapping_mul(PRIME)
        .rotate_left(17)
}
