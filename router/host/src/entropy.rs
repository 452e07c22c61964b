//! Randomness.

use std::fmt;

/// A source of random bytes, fit for keys and salts in its real form.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// `N` random bytes.
    pub fn array<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// 128 random bits, as an id.
    pub fn id(&self) -> u128 {
        u128::from_le_bytes(self.array())
    }
}
