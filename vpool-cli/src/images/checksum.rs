//! The checksum of a disk: plain BLAKE3 of its bytes from the first to the last, so that `b3sum`
//! of a raw image says the same.
//!
//! Owns: reading all of it. Does not own: the connection.

use std::pin::pin;

use futures::StreamExt;

use super::nbd::Disk;
use crate::failure::Failure;
use crate::progress::Bar;

/// Zeroes to hash, a piece at a time.
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// What was hashed so far.
#[derive(Debug, Default)]
pub(super) struct Sum {
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Sum {
    /// Takes more.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The checksum of what was taken and zeroes up to `size` bytes.
    pub(super) fn of_size(mut self, size: u64) -> String {
        while self.bytes < size {
            let left = usize::try_from(size - self.bytes).unwrap_or(usize::MAX);
            self.take(&ZEROES[..left.min(ZEROES.len())]);
        }
        self.hasher.finalize().to_hex().to_string()
    }
}

/// The checksum of a disk's first `size` bytes.
pub(super) async fn of_disk(disk: &Disk, size: u64) -> Result<String, Failure> {
    let bar = Bar::bytes("checksum", size);
    let mut sum = Sum::default();
    let mut pieces = pin!(disk.pieces(size));
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        sum.take(&piece);
        bar.add(piece.len() as u64);
    }
    Ok(sum.of_size(size))
}

#[cfg(test)]
mod tests {
    //! What was not taken counts as zeroes.

    use super::Sum;

    #[test]
    fn zeroes_at_the_end() {
        let sum = |pieces: &[&[u8]], size| {
            let mut sum = Sum::default();
            pieces.iter().for_each(|piece| sum.take(piece));
            sum.of_size(size)
        };
        let mut whole = vec![0; 200_000];
        whole[..3].copy_from_slice(b"abc");
        let expect = blake3::hash(&whole).to_hex().to_string();
        assert_eq!(sum(&[b"ab", b"c"], 200_000), expect);
        assert_eq!(sum(&[&whole], 200_000), expect);
        assert_ne!(sum(&[b"ab", b"c"], 200_001), expect);
    }
}
