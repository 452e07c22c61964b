//! A journal's state file: whether what was acknowledged in it may be gone.
//!
//! Owns: the bytes of the one block beside a journal file. Does not own: when it is written, and
//! what follows from it (`vpool-engine`).
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | magic `VPOOLJST` |
//! | 8 | 2 | version, 1 |
//! | 10 | 1 | health: 0 open, 1 closed, 2 failed |
//! | 11 | 5 | zero |
//! | 16 | 16 | pool |
//! | 32 | 16 | boot id |
//! | 48 | 4044 | zero |
//! | 4092 | 4 | CRC-32C of everything before |

use super::CRC_OFFSET;
use crate::BLOCK_BYTES;
use crate::checksum::crc32c;
use crate::cursor::{Reader, Writer};
use crate::error::{FormatError, FormatErrorKind, Result};
use crate::ids::PoolId;

const MAGIC: [u8; 8] = *b"VPOOLJST";
const VERSION: u16 = 1;
const FIELDS_BYTES: usize = 48;
const WHAT: &str = "journal state";

/// How a journal was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalHealth {
    /// A process has it open, or died with it open.
    Open,
    /// Closed in order: all that was acknowledged is durable.
    Closed,
    /// A write or sync has failed: what was acknowledged may be gone.
    Failed,
}

/// What is known of a journal besides what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalState {
    /// The pool.
    pub pool: PoolId,
    /// Which boot of the machine it was last opened in: the page cache lives as long.
    pub boot_id: u128,
    /// How it was left.
    pub health: JournalHealth,
}

impl JournalState {
    /// The block.
    pub fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut fields = Writer::with_capacity(FIELDS_BYTES);
        fields.bytes(&MAGIC);
        fields.u16(VERSION);
        fields.u8(match self.health {
            JournalHealth::Open => 0,
            JournalHealth::Closed => 1,
            JournalHealth::Failed => 2,
        });
        fields.zeros(5);
        fields.u128(self.pool.0);
        fields.u128(self.boot_id);
        let mut block = [0; BLOCK_BYTES];
        block[..FIELDS_BYTES].copy_from_slice(fields.as_slice());
        let crc = crc32c(&block[..CRC_OFFSET]);
        block[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// Reads a block of exactly [`BLOCK_BYTES`].
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
        let health = match from.u8()? {
            0 => JournalHealth::Open,
            1 => JournalHealth::Closed,
            2 => JournalHealth::Failed,
            _ => return Err(FormatError::new(FormatErrorKind::BadValue, WHAT)),
        };
        from.zeros(5)?;
        let state = JournalState {
            health,
            pool: PoolId(from.u128()?),
            boot_id: from.u128()?,
        };
        from.zeros(CRC_OFFSET - FIELDS_BYTES)?;
        from.finish()?;
        Ok(state)
    }
}
