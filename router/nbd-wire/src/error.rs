//! What can be wrong with received bytes.
//!
//! Owns: [`WireError`]. Does not own: what is answered (`vpool-nbd`).

/// Bytes that break the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A magic number is not the one that belongs there: the stream is out of step, and
    /// nothing behind it can be trusted.
    #[error("wrong magic number {found:#x}, expected {expected:#x}")]
    Magic {
        /// What was found.
        found: u64,
        /// What belongs there.
        expected: u64,
    },
    /// The client set handshake flags that do not exist.
    #[error("unknown client flags {0:#x}")]
    ClientFlags(u32),
    /// A length field does not fit what it describes.
    #[error("{0} does not fit its length field")]
    Length(&'static str),
    /// A string is longer than the protocol allows.
    #[error("{what} of {bytes} bytes is longer than {max} bytes")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// More entries than are taken.
    #[error("more than {max} {what}")]
    TooMany {
        /// What they are.
        what: &'static str,
        /// How many are taken.
        max: usize,
    },
    /// A string is not UTF-8 or holds a NUL.
    #[error("{0} is not a string")]
    Text(&'static str),
    /// Bytes follow where none belong.
    #[error("{0} has bytes behind its end")]
    Trailing(&'static str),
}
