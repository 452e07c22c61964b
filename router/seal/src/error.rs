//! What can be wrong with something sealed, or with a key.
//!
//! Owns: the error types. Does not own: what a caller makes of them. None ever carries a byte
//! of a key or of plaintext.

use crate::wrap::KeyId;

/// Bytes that do not verify: altered, cut, moved from another place, or sealed with another key.
/// The caller must not use any byte of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} does not verify: it is damaged, belongs elsewhere, or another key sealed it")]
pub struct Damaged {
    /// What was opened: "chunk", "index page", …
    pub what: &'static str,
}

/// A wrapped key that could not be unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnwrapError {
    /// It was wrapped by another key: use that one.
    #[error("the {what} was wrapped by key {wrapped_by}, but the key offered is {offered}")]
    WrongKey {
        /// "pool key" or "data key".
        what: &'static str,
        /// The key that can unwrap it.
        wrapped_by: KeyId,
        /// The key that was tried.
        offered: KeyId,
    },
    /// Right key, but the bytes are damaged or belong to another pool or disk.
    #[error("the wrapped {what} does not verify: it is damaged or belongs elsewhere")]
    Damaged {
        /// "pool key" or "data key".
        what: &'static str,
    },
    /// Not a wrapped key of a version that this program knows.
    #[error("not a wrapped {what} of a known version")]
    Unknown {
        /// "pool key" or "data key".
        what: &'static str,
    },
}

/// A text that is no grid key. What it says never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// Nothing in it.
    #[error("the key file is empty; restore it from a backup or the recovery kit")]
    Empty,
    /// More than the one line with the key.
    #[error("a grid key is one line of three words, and there is more in the file")]
    TooLong,
    /// The line does not begin as a grid key does.
    #[error(
        "this is no grid key of a known version (it should begin with `{}`); is it another \
         file, or from a newer vPool?",
        crate::grid_key::VERSION_WORD
    )]
    Version,
    /// The key is not 64 hexadecimal digits, or the check is not 8.
    #[error(
        "the grid key is damaged: after `{}` there should be 64 hexadecimal digits and then 8 \
         more; restore the file from a backup or the recovery kit",
        crate::grid_key::VERSION_WORD
    )]
    Digits,
    /// The check at the end does not fit the key.
    #[error(
        "the grid key is damaged: its check does not fit, so at least one digit is wrong; \
         restore the file from a backup or the recovery kit"
    )]
    Check,
}
