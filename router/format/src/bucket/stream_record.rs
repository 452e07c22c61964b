//! The record of a stream: put under (vDisk, generation, epoch) before its first segment.
//!
//! Owns: the record's bytes. Does not own: probing for it.
//!
//! | bytes | field (in an envelope, magic `VPOOLSTR`, version 1) |
//! | --- | --- |
//! | 16, 16, 8, 8, 16 | pool, disk, generation, epoch, stream uid |
//! | … | base, see `record.rs` |

use super::STREAM_RECORD_BYTES_MAX;
use crate::envelope::{Envelope, Mac};
use crate::error::{FormatError, Result, ensure};
use crate::ids::{DiskId, Epoch, Generation, PoolId, StreamUid};
use crate::record::Base;

const ENVELOPE: Envelope = Envelope {
    magic: *b"VPOOLSTR",
    version: 1,
    what: "stream record",
};

/// That a stream exists, and what it started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// The pool.
    pub pool: PoolId,
    /// The vDisk.
    pub disk: DiskId,
    /// The claim under which it was opened.
    pub generation: Generation,
    /// Its epoch, from 1.
    pub epoch: Epoch,
    /// The stream.
    pub uid: StreamUid,
    /// What it started from.
    pub base: Base,
}

impl StreamRecord {
    /// The record's bytes, with its MAC.
    ///
    /// # Panics
    /// If the epoch is 0, or the base is larger than [`STREAM_RECORD_BYTES_MAX`] allows.
    pub fn encode(&self, mac: Mac<'_>) -> Vec<u8> {
        assert!(
            self.epoch.0 > 0,
            "a stream is opened by a bump of the epoch"
        );
        let mut to = ENVELOPE.begin();
        to.u128(self.pool.0);
        to.u128(self.disk.0);
        to.u64(self.generation.0);
        to.u64(self.epoch.0);
        to.u128(self.uid.0);
        self.base.put(&mut to);
        let bytes = ENVELOPE.seal(to, mac);
        assert!(
            bytes.len() <= STREAM_RECORD_BYTES_MAX,
            "a stream's base is bounded"
        );
        bytes
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Any kind but `BadCheck` and `NeedMore`.
    pub fn decode(bytes: &[u8], mac: Mac<'_>) -> Result<Self> {
        if bytes.len() > STREAM_RECORD_BYTES_MAX {
            return Err(FormatError::length(ENVELOPE.what));
        }
        let mut from = ENVELOPE.open(bytes, mac)?;
        let record = StreamRecord {
            pool: PoolId(from.u128()?),
            disk: DiskId(from.u128()?),
            generation: Generation(from.u64()?),
            epoch: Epoch(from.u64()?),
            uid: StreamUid(from.u128()?),
            base: Base::take(&mut from)?,
        };
        from.finish()?;
        ensure(record.epoch.0 > 0, "stream record: epoch")?;
        Ok(record)
    }
}
