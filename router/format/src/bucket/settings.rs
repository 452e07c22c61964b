//! What may be set of a vDisk after it was made.
//!
//! Owns: the bytes of a descriptor's settings. Does not own: the descriptor, when they count.
//!
//! | bytes | field |
//! | --- | --- |
//! | 2 | version: 1 |
//! | 1, 5 | read-only (0 or 1), zero |
//! | 8 | the sequence at which the vDisk was last cut, 0 = never or it has grown since |
//! | 4, … | length of the description, description |
//!
//! No bytes at all are the settings of a vDisk of which nothing was ever set.

use crate::cursor::{Reader, Writer};
use crate::error::{FormatError, FormatErrorKind, Result};
use crate::ids::Seq;

const VERSION: u16 = 1;
const WHAT: &str = "settings";

/// The longest description, in bytes of UTF-8.
pub const DESCRIPTION_BYTES_MAX: usize = 1024;

/// What may be set of a vDisk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskSettings {
    /// A line for people, at most [`DESCRIPTION_BYTES_MAX`] bytes.
    pub description: String,
    /// Clients may not write.
    pub read_only: bool,
    /// The vDisk was last cut at this sequence: what the log holds beyond its end may be from before.
    /// 0 = it never was, or has grown since.
    pub cut_after: Seq,
}

impl DiskSettings {
    /// As a descriptor holds them: nothing where nothing was set.
    ///
    /// # Panics
    /// If the description is too long.
    pub fn to_descriptor(&self) -> Vec<u8> {
        match *self == DiskSettings::default() {
            true => Vec::new(),
            false => self.encode(),
        }
    }

    /// Reads what a descriptor holds.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn of_descriptor(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [] => Ok(DiskSettings::default()),
            bytes => DiskSettings::decode(bytes),
        }
    }

    /// The settings' bytes.
    ///
    /// # Panics
    /// If the description is too long.
    pub fn encode(&self) -> Vec<u8> {
        assert!(
            self.description.len() <= DESCRIPTION_BYTES_MAX,
            "the bounds were checked when the change was asked for"
        );
        let mut to = Writer::default();
        to.u16(VERSION);
        to.flag(self.read_only);
        to.zeros(5);
        to.u64(self.cut_after.0);
        to.blob(self.description.as_bytes());
        to.into_bytes()
    }

    /// Reads settings.
    ///
    /// # Errors
    /// `BadLength`, `BadValue` or `BadVersion`.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader::new(bytes, WHAT);
        let version = from.u16()?;
        if version != VERSION {
            return Err(FormatError::new(FormatErrorKind::BadVersion, WHAT));
        }
        let read_only = from.flag()?;
        from.zeros(5)?;
        let cut_after = Seq(from.u64()?);
        let description = from.text(DESCRIPTION_BYTES_MAX)?.to_owned();
        from.finish()?;
        Ok(DiskSettings {
            description,
            read_only,
            cut_after,
        })
    }
}
