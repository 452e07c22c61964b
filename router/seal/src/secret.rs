//! 32 secret bytes that print nothing and leave nothing behind.
//!
//! Owns: [`Secret`]. Does not own: what the bytes are for. They live on the heap, so that moving
//! a key leaves no copy on a stack.

use std::fmt;

use zeroize::Zeroize;

/// Length of every symmetric key here, in bytes.
pub(crate) const KEY_BYTES: usize = 32;

/// A key's bytes: wiped when dropped, never printed, compared in constant time.
pub(crate) struct Secret(Box<[u8; KEY_BYTES]>);

impl Secret {
    /// Fresh bytes.
    pub(crate) fn generate(fill: &mut crate::Fill<'_>) -> Secret {
        let mut secret = Secret(Box::new([0; KEY_BYTES]));
        fill(&mut secret.0[..]);
        secret
    }

    /// Takes the bytes over, and wipes where they were.
    pub(crate) fn take(bytes: &mut [u8; KEY_BYTES]) -> Secret {
        let secret = Secret(Box::new(*bytes));
        bytes.zeroize();
        secret
    }

    /// A key of its own for one purpose, by BLAKE3's key derivation. `purpose` is a constant of
    /// this crate, used nowhere else.
    pub(crate) fn derive(&self, purpose: &'static str) -> Secret {
        let mut bytes = blake3::derive_key(purpose, &self.0[..]);
        Secret::take(&mut bytes)
    }

    /// The bytes, for a cipher or a hash.
    pub(crate) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Clone for Secret {
    fn clone(&self) -> Secret {
        Secret(Box::new(*self.0))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        equal(&self.0[..], &other.0[..])
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Whether two byte strings are equal, in a time that does not depend on where they differ.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
