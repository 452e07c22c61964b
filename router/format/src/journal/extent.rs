//! The first block of an extent: whose it is, and which use of its place.
//!
//! Owns: the header block's bytes. Does not own: when an extent is taken, zeroed or recycled.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | magic `VPOOLEXT` |
//! | 8 | 2 | version, 1 |
//! | 10 | 1 | sealed, 0 or 1 |
//! | 11 | 5 | zero |
//! | 16 | 16 | pool |
//! | 32 | 16 | disk |
//! | 48 | 16 | stream uid |
//! | 64 | 8 | epoch |
//! | 72 | 8 | number of the extent in its stream |
//! | 80 | 8 | lap |
//! | 88 | 8 | first sequence |
//! | 96 | 32 | salt |
//! | 128 | 3964 | zero |
//! | 4092 | 4 | CRC-32C of everything before |

use super::CRC_OFFSET;
use crate::BLOCK_BYTES;
use crate::checksum::crc32c;
use crate::cursor::{Reader, Writer};
use crate::error::{FormatError, FormatErrorKind, Result};
use crate::ids::{DiskId, Epoch, PoolId, Seq, StreamUid};

const MAGIC: [u8; 8] = *b"VPOOLEXT";
const VERSION: u16 = 1;
const FIELDS_BYTES: usize = 128;
const WHAT: &str = "extent header";

/// The header of one use of an extent by one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentHeader {
    /// The pool.
    pub pool: PoolId,
    /// The vDisk.
    pub disk: DiskId,
    /// The stream that the extent belongs to.
    pub uid: StreamUid,
    /// The stream's epoch.
    pub epoch: Epoch,
    /// The ordinal of the extent in its stream, from 0.
    pub number: u64,
    /// How often this place of the file has been used.
    pub lap: u64,
    /// Fresh random bytes at each use: they tie groups to this use and derive the extent's
    /// key.
    pub salt: [u8; 32],
    /// Whether payload is encrypted and groups carry tags.
    pub sealed: bool,
    /// The first sequence that the extent may hold.
    pub first_seq: Seq,
}

impl ExtentHeader {
    /// The header's block.
    pub fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut fields = Writer::with_capacity(FIELDS_BYTES);
        fields.bytes(&MAGIC);
        fields.u16(VERSION);
        fields.flag(self.sealed);
        fields.zeros(5);
        fields.u128(self.pool.0);
        fields.u128(self.disk.0);
        fields.u128(self.uid.0);
        fields.u64(self.epoch.0);
        fields.u64(self.number);
        fields.u64(self.lap);
        fields.u64(self.first_seq.0);
        fields.bytes(&self.salt);
        let mut block = [0; BLOCK_BYTES];
        block[..FIELDS_BYTES].copy_from_slice(fields.as_slice());
        let crc = crc32c(&block[..CRC_OFFSET]);
        block[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads a header block of exactly [`BLOCK_BYTES`].
    ///
    /// # Errors
    /// Any [`FormatErrorKind`] but `BadCheck` and `NeedMore`.
    pub fn decode(block: &[u8]) -> Result<Self> {
        let block: &[u8; BLOCK_BYTES] = block.try_into().map_err(|_| FormatError::length(WHAT))?;
        let mut from = Reader::new(&block[..CRC_OFFSET], WHAT);
        if from.array()? != MAGIC {
            return Err(FormatError::new(FormatErrorKind::BadMagic, WHAT));
        }
        if from.u16()? != VERSION {
            return Err(FormatError::new(FormatErrorKind::BadVersion, WHAT));
        }
        if block[CRC_OFFSET..] != crc32c(&block[..CRC_OFFSET]).to_le_bytes() {
            return Err(FormatError::new(FormatErrorKind::BadChecksum, WHAT));
        }
        let sealed = from.flag()?;
        from.zeros(5)?;
        let header = ExtentHeader {
            sealed,
            pool: PoolId(from.u128()?),
            disk: DiskId(from.u128()?),
            uid: StreamUid(from.u128()?),
            epoch: Epoch(from.u64()?),
            number: from.u64()?,
            lap: from.u64()?,
            first_seq: Seq(from.u64()?),
            salt: from.array()?,
        };
        from.zeros(CRC_OFFSET - FIELDS_BYTES)?;
        from.finish()?;
        Ok(header)
    }

    /// What every group of this use repeats: the first 8 bytes of the salt.
    pub fn check(&self) -> u64 {
        let first = self.salt.first_chunk::<8>().expect("the salt has 32 bytes");
        u64::from_le_bytes(*first)
    }
}

/// The first block of an extent that has been zeroed and not used yet: its magic and zeroes. What
/// has neither this nor a header may be a hole in the file.
pub const READY_MARK: [u8; BLOCK_BYTES] = {
    let mut block = [0; BLOCK_BYTES];
    let magic = *b"VPOOLRDY";
    let mut at = 0;
    while at < magic.len() {
        block[at] = magic[at];
        at += 1;
    }
    block
};

/// Whether a block is [`READY_MARK`].
pub fn is_ready_mark(block: &[u8]) -> bool {
    block == READY_MARK
}
