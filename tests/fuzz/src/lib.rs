//! What the targets share: bytes that get past the guards, and what must hold behind them.
//!
//! Owns: making magic, length, checksum and MAC right, so that the fuzzer reaches the fields.
//! Does not own: which decoder is asked.

use vpool_format::{BLOCK_BYTES, MAC_BYTES, Result, crc32c};

/// What was read, if anything, must be written as exactly the bytes that it was read from.
///
/// # Panics
/// If it is not: two spellings of one value, or a field that is not kept.
pub fn canonical(bytes: &[u8], again: Result<Vec<u8>>) {
    if let Ok(again) = again {
        assert_eq!(again, bytes, "two spellings of one value");
    }
}

/// The last 16 bytes before `behind` more: as a MAC function that gives just them, they make
/// any bytes pass.
pub fn own_tag(bytes: &[u8], behind: usize) -> [u8; MAC_BYTES] {
    let end = bytes.len().saturating_sub(behind);
    bytes[..end].last_chunk().copied().unwrap_or_default()
}

/// A journal block that starts as `bytes` do, with a right checksum.
pub fn block(bytes: &[u8]) -> [u8; BLOCK_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    let crc_at = BLOCK_BYTES - 4;
    let used = bytes.len().min(crc_at);
    block[..used].copy_from_slice(&bytes[..used]);
    let crc = crc32c(&block[..crc_at]);
    block[crc_at..].copy_from_slice(&crc.to_le_bytes());
    block
}

/// `bytes` with the length that an object's envelope has at offset 12 made right.
pub fn with_length(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if let Some(field) = bytes.get_mut(12..16) {
        field.copy_from_slice(&length.to_le_bytes());
    }
    bytes
}

/// `bytes` with a right CRC-32C in the last 4.
pub fn with_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some((before, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32c(before).to_le_bytes();
    }
    bytes
}
