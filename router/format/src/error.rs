//! Why bytes were refused.
//!
//! Owns: the one error of this crate. Does not own: what a caller does about it; a refused
//! byte is damage or a torn tail, and only the reader knows which (P1, P7).

/// In which way the bytes are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatErrorKind {
    /// Not this kind of thing at all.
    BadMagic,
    /// Written by a version that this build does not know.
    BadVersion,
    /// Shorter or longer than its own fields say.
    BadLength,
    /// The checksum or the MAC does not match: rotten, torn or forged.
    BadChecksum,
    /// Whole, but of another use of the same place (a journal group of an earlier lap).
    BadCheck,
    /// The checksum matches but a field holds what no writer writes.
    BadValue,
    /// Nothing is wrong yet: at least this many bytes have to be given.
    NeedMore {
        /// The bytes needed in all, in the same direction as those given.
        bytes: u64,
    },
}

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {kind:?}")]
pub struct FormatError {
    /// In which way.
    pub kind: FormatErrorKind,
    /// What was being read: the format and, where it helps, the field.
    pub what: &'static str,
}

/// What every decoder of this crate returns.
pub type Result<T> = std::result::Result<T, FormatError>;

impl FormatError {
    /// An error of `kind` in `what`.
    pub const fn new(kind: FormatErrorKind, what: &'static str) -> Self {
        FormatError { kind, what }
    }

    pub(crate) const fn length(what: &'static str) -> Self {
        FormatError::new(FormatErrorKind::BadLength, what)
    }

    pub(crate) const fn value(what: &'static str) -> Self {
        FormatError::new(FormatErrorKind::BadValue, what)
    }
}

/// `Ok` if `holds`, else a bad value in `what`.
pub(crate) fn ensure(holds: bool, what: &'static str) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(FormatError::value(what))
    }
}
