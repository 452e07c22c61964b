//! A vDisk's descriptor: what the bucket knows of it besides its log.
//!
//! Owns: the descriptor's bytes. Does not own: the numbers, which the metadata gives.
//!
//! | bytes | field (in an envelope, magic `VPOOLDSK`, version 1) |
//! | --- | --- |
//! | 16, 16, 8, 8 | pool, disk, number, size |
//! | 8, 8 | created, wall clock, in ms since 1970 |
//! | 1, 1, 1, 5 | deleted, has a parent, has a key (each 0 or 1), zero |
//! | 32 | if it has a parent: disk 16, snapshot 16 |
//! | 4, … | if it has a key: length of the wrapped key, wrapped key |
//! | 4, … | length of the name, name |
//! | 4, … | length of the settings, settings |

use super::{NAME_BYTES_MAX, SETTINGS_BYTES_MAX, WRAPPED_KEY_BYTES_MAX, check_name};
use crate::envelope::{Envelope, Mac};
use crate::error::{Result, ensure};
use crate::ids::{DiskId, PoolId};

const ENVELOPE: Envelope = Envelope {
    magic: *b"VPOOLDSK",
    version: 1,
    what: "descriptor",
};

/// What a vDisk is from here on; the greatest number counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The pool.
    pub pool: PoolId,
    /// The vDisk.
    pub disk: DiskId,
    /// The descriptor's number, from 1.
    pub number: u64,
    /// The vDisk's name, 1 to [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it was deleted: a tombstone.
    pub deleted: bool,
    /// The vDisk and the id of its snapshot that this one was cloned from.
    pub parent: Option<(DiskId, [u8; 16])>,
    /// Its data key, wrapped; at most [`WRAPPED_KEY_BYTES_MAX`] bytes. `None` = not encrypted.
    pub wrapped_key: Option<Vec<u8>>,
    /// When the vDisk was created, ms since 1970.
    pub created_ms: u64,
    /// When this descriptor was written, ms since 1970.
    pub wall_ms: u64,
    /// Its settings, at most [`SETTINGS_BYTES_MAX`] bytes.
    pub settings: Vec<u8>,
}

impl Descriptor {
    /// Whether the fields are within their bounds.
    ///
    /// # Errors
    /// `BadValue`, naming what is wrong.
    pub fn check(&self) -> Result<()> {
        ensure(self.number > 0, "descriptor: number")?;
        check_name(&self.name, "descriptor: name")?;
        let key_bytes = self.wrapped_key.as_ref().map_or(0, Vec::len);
        ensure(
            key_bytes <= WRAPPED_KEY_BYTES_MAX,
            "descriptor: wrapped key",
        )?;
        ensure(
            self.settings.len() <= SETTINGS_BYTES_MAX,
            "descriptor: settings",
        )
    }

    /// The descriptor's bytes, with its MAC.
    ///
    /// # Panics
    /// If [`check`](Self::check) fails.
    pub fn encode(&self, mac: Mac<'_>) -> Vec<u8> {
        assert_eq!(
            self.check(),
            Ok(()),
            "the bounds were checked when the change was asked for"
        );
        let mut to = ENVELOPE.begin();
        to.u128(self.pool.0);
        to.u128(self.disk.0);
        to.u64(self.number);
        to.u64(self.size);
        to.u64(self.created_ms);
        to.u64(self.wall_ms);
        to.flag(self.deleted);
        to.flag(self.parent.is_some());
        to.flag(self.wrapped_key.is_some());
        to.zeros(5);
        if let Some((disk, snapshot)) = &self.parent {
            to.u128(disk.0);
            to.bytes(snapshot);
        }
        if let Some(key) = &self.wrapped_key {
            to.blob(key);
        }
        to.blob(self.name.as_bytes());
        to.blob(&self.settings);
        ENVELOPE.seal(to, mac)
    }

    /// Reads a descriptor.
    ///
    /// # Errors
    /// Any kind but `BadCheck` and `NeedMore`.
    pub fn decode(bytes: &[u8], mac: Mac<'_>) -> Result<Self> {
        let mut from = ENVELOPE.open(bytes, mac)?;
        let pool = PoolId(from.u128()?);
        let disk = DiskId(from.u128()?);
        let number = from.u64()?;
        let size = from.u64()?;
        let created_ms = from.u64()?;
        let wall_ms = from.u64()?;
        let deleted = from.flag()?;
        let has_parent = from.flag()?;
        let has_key = from.flag()?;
        from.zeros(5)?;
        let parent = if has_parent {
            Some((DiskId(from.u128()?), from.array()?))
        } else {
            None
        };
        let wrapped_key = if has_key {
            Some(from.blob(WRAPPED_KEY_BYTES_MAX)?.to_vec())
        } else {
            None
        };
        let name = from.text(NAME_BYTES_MAX)?.to_owned();
        let settings = from.blob(SETTINGS_BYTES_MAX)?.to_vec();
        from.finish()?;
        let descriptor = Descriptor {
            pool,
            disk,
            number,
            name,
            size,
            deleted,
            parent,
            wrapped_key,
            created_ms,
            wall_ms,
            settings,
        };
        descriptor.check()?;
        Ok(descriptor)
    }
}
