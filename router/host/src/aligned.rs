//! A growing buffer whose bytes begin at a page's boundary in memory.
//!
//! Owns: [`Aligned`]. Does not own: writing past the page cache, which needs no copy of such bytes
//! ([`File::write_past_cache_at`](crate::File::write_past_cache_at)).

use std::ops::{Deref, DerefMut};

/// What the page cache and all common devices are aligned to.
const ALIGN: usize = 4096;

/// Bytes behind some padding. One that outgrows its capacity may lose its alignment, nothing else.
#[derive(Debug, Default)]
pub struct Aligned {
    bytes: Vec<u8>,
    padding: usize,
}

impl Aligned {
    /// An empty one with room for so many bytes.
    pub fn with_capacity(capacity: usize) -> Aligned {
        let mut bytes = Vec::<u8>::with_capacity(capacity + ALIGN);
        // A sanitizer may refuse to tell; then nothing is aligned.
        let padding = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        bytes.resize(padding, 0);
        Aligned { bytes, padding }
    }

    /// Appends.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends what `write` appends to a plain vector, which it may not shorten.
    pub fn append_with<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let before = self.bytes.len();
        let result = write(&mut self.bytes);
        assert!(self.bytes.len() >= before, "it was shortened");
        result
    }

    /// Empties it; what it has allocated stays.
    pub fn clear(&mut self) {
        self.bytes.truncate(self.padding);
    }

    /// The vector, and where in it the bytes begin.
    pub fn into_vec(self) -> (Vec<u8>, usize) {
        (self.bytes, self.padding)
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.padding..]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.padding..]
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGN, Aligned};

    #[test]
    fn bytes_begin_at_a_boundary_until_it_is_outgrown() {
        let mut buffer = Aligned::with_capacity(10_000);
        for round in 0..3 {
            buffer.extend_from_slice(&[round; 6_000]);
            buffer.append_with(|bytes| bytes.extend_from_slice(&[9; 4_000]));
            assert!(buffer.as_ptr().addr().is_multiple_of(ALIGN));
            assert_eq!((buffer.len(), buffer[0], buffer[9_999]), (10_000, round, 9));
            buffer.clear();
            assert!(buffer.is_empty());
        }
        let mut small = Aligned::default();
        small.extend_from_slice(&[1; 100_000]);
        small[5] = 2;
        let (bytes, from) = small.into_vec();
        assert_eq!((bytes.len() - from, bytes[from + 5]), (100_000, 2));
    }
}
