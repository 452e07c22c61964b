//! From the system's errors to the store's.
//!
//! Owns: that table. Does not own: the cases in which a certain error is expected, which
//! are handled where they may happen.

use std::fmt;

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};

/// What the caller of a store must do about a failed system call.
pub(super) fn kind_of(errno: Errno) -> ErrorKind {
    match errno {
        Errno::NOSPC | Errno::DQUOT => ErrorKind::NoSpace,
        Errno::ROFS | Errno::ACCESS | Errno::PERM => ErrorKind::Denied,
        Errno::NAMETOOLONG | Errno::FBIG | Errno::OPNOTSUPP => ErrorKind::Invalid,
        // EIO, ESTALE, ENOTCONN, ETIMEDOUT, EMFILE, ... and what nobody thought of: the
        // data is safe where it is, so asking again is never wrong.
        _ => ErrorKind::Unavailable,
    }
}

/// A failed system call as the store's error.
pub(super) fn failed(what: impl fmt::Display, errno: Errno) -> Error {
    Error::new(kind_of(errno), format!("{what}: {errno}")).with_source(errno)
}

/// A failed call of the standard library as the store's error.
pub(super) fn failed_io(what: impl fmt::Display, error: std::io::Error) -> Error {
    match Errno::from_io_error(&error) {
        Some(errno) => failed(what, errno),
        None => Error::new(ErrorKind::Unavailable, format!("{what}: {error}")).with_source(error),
    }
}
