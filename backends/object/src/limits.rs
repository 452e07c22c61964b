//! The bounds of this crate's stores and decorators.
//!
//! Owns: the numbers and how they hang together. Does not own: what callers choose in options.

use crate::key::KEY_BYTES_MAX;

/// Directories that a directory store keeps open because it knows them to be durable.
pub(crate) const OPEN_DIRECTORIES_MAX: usize = 512;

/// How often a put looks up its directory again when others remove it at the same time.
pub(crate) const DIRECTORY_RACES_MAX: u32 = 32;

/// Bytes of an existing object that are compared at a time with what is put again.
pub(crate) const COMPARE_BYTES: usize = 1 << 20;

/// Directory entries held at a time while listing; a larger directory is read again for
/// each so many of its entries.
pub(crate) const LIST_ENTRIES_MAX: usize = 16 << 10;

/// The longest name of a file in common file systems, in bytes.
const FILE_NAME_BYTES_MAX: usize = 255;
/// What [`fs`](crate::fs) adds to the last part of a key.
pub(crate) const FILE_SUFFIX_BYTES: usize = 1;

const _: () = assert!(KEY_BYTES_MAX + FILE_SUFFIX_BYTES <= FILE_NAME_BYTES_MAX);
const _: () = assert!(LIST_ENTRIES_MAX > 1);
