//! The checks of ranged reads that every store makes alike.
//!
//! Owns: what a valid range and a tail are. Does not own: reading them.

use std::ops::Range;

use bytes::Bytes;

use crate::Tail;
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;

/// Checks that `range` is not empty. Clients whose store reads an empty or inverted range
/// as something else (HTTP has no empty range) call it before they ask.
pub fn check_not_empty(key: &Key, range: &Range<u64>) -> Result<()> {
    if range.start < range.end {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!(
            "read {}..{} of {key}: an empty range",
            range.start, range.end
        ),
    ))
}

/// Checks that `range` is not empty and lies within an object of `object_bytes`.
pub fn check_within(key: &Key, range: &Range<u64>, object_bytes: u64) -> Result<()> {
    check_not_empty(key, range)?;
    if range.end <= object_bytes {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!(
            "read {}..{} of {key}: the object has {object_bytes} bytes",
            range.start, range.end
        ),
    ))
}

/// The part `range` of an object held in memory, without copying.
pub fn slice(key: &Key, object: &Bytes, range: &Range<u64>) -> Result<Bytes> {
    check_within(key, range, object.len() as u64)?;
    let start = usize::try_from(range.start).expect("within the object");
    let end = usize::try_from(range.end).expect("within the object");
    Ok(object.slice(start..end))
}

/// The last `length` bytes of an object held in memory, without copying.
pub fn tail(object: &Bytes, length: u64) -> Tail {
    let length = usize::try_from(length)
        .unwrap_or(usize::MAX)
        .min(object.len());
    Tail {
        bytes: object.slice(object.len() - length..),
        object_bytes: object.len() as u64,
    }
}
