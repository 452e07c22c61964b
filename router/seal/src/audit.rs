//! A record of every (key, nonce) that has sealed something, for tests only (feature `audit`).
//!
//! Owns: the record, one per process. Does not own: the rule that it checks (see the crate's
//! page). Keys are recorded as fingerprints, 16 bytes a seal.

use std::sync::{Mutex, PoisonError};

/// `None` = not recording.
static SEALS: Mutex<Option<Vec<u128>>> = Mutex::new(None);

/// What was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// How many seals there were.
    pub seals: usize,
    /// How many of them repeated a (key, nonce) of an earlier one.
    pub repeated: usize,
}

/// Starts a new record; the old one is forgotten.
pub fn start() {
    *SEALS.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
}

/// Ends the record and tells what is in it; all zero if none was started.
pub fn finish() -> Report {
    let taken = SEALS.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut seals = taken.unwrap_or_default();
    let count = seals.len();
    seals.sort_unstable();
    seals.dedup();
    Report {
        seals: count,
        repeated: count - seals.len(),
    }
}

/// What stands for a key in the record.
pub(crate) fn fingerprint(key: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("vpool v1 nonce audit", key)
}

/// Records one seal.
pub(crate) fn record(fingerprint: &[u8; 32], nonce: u64) {
    let mut seals = SEALS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(seals) = seals.as_mut() {
        let hash = blake3::keyed_hash(fingerprint, &nonce.to_le_bytes());
        let half = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        seals.push(u128::from_le_bytes(*half));
    }
}
