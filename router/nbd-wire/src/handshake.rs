//! The opening of a connection: greeting, client flags, transmission flags.
//!
//! Owns: their layout. Does not own: options (`option.rs`).

use crate::cursor::Cursor;
use crate::error::WireError;

/// Length of the server's greeting in bytes.
pub const GREETING_BYTES: usize = 18;

/// Length of the client's flags in bytes.
pub const CLIENT_FLAGS_BYTES: usize = 4;

/// Zeroes behind the answer to `EXPORT_NAME` for clients that did not ask to omit them.
pub const EXPORT_NAME_PADDING_BYTES: usize = 124;

const GREETING_MAGIC: u64 = 0x4e42_444d_4147_4943; // "NBDMAGIC"
pub(crate) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054; // "IHAVEOPT"
const FIXED_NEWSTYLE: u16 = 1 << 0;
const NO_ZEROES: u16 = 1 << 1;

/// What the server says first: fixed newstyle, and that it can omit the padding.
pub fn greeting() -> [u8; GREETING_BYTES] {
    let mut bytes = [0; GREETING_BYTES];
    bytes[..8].copy_from_slice(&GREETING_MAGIC.to_be_bytes());
    bytes[8..16].copy_from_slice(&OPTION_MAGIC.to_be_bytes());
    bytes[16..].copy_from_slice(&(FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
    bytes
}

/// The client's side of [`greeting`]: the server's handshake flags.
pub fn parse_greeting(bytes: &[u8; GREETING_BYTES]) -> Result<u16, WireError> {
    let mut cursor = Cursor::new("greeting", bytes);
    for expected in [GREETING_MAGIC, OPTION_MAGIC] {
        let found = cursor.u64()?;
        if found != expected {
            return Err(WireError::Magic { found, expected });
        }
    }
    cursor.u16()
}

/// What the client answers to the greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientFlags {
    /// It knows that options may be refused.
    pub fixed_newstyle: bool,
    /// It wants no padding behind the answer to `EXPORT_NAME`.
    pub no_zeroes: bool,
}

impl ClientFlags {
    /// Reads the flags. A flag that the greeting did not offer is an error, after which
    /// the protocol demands that the connection be dropped.
    pub fn parse(bytes: [u8; CLIENT_FLAGS_BYTES]) -> Result<Self, WireError> {
        let bits = u32::from_be_bytes(bytes);
        if bits & !u32::from(FIXED_NEWSTYLE | NO_ZEROES) != 0 {
            return Err(WireError::ClientFlags(bits));
        }
        Ok(ClientFlags {
            fixed_newstyle: bits & u32::from(FIXED_NEWSTYLE) != 0,
            no_zeroes: bits & u32::from(NO_ZEROES) != 0,
        })
    }

    /// The bytes of the flags.
    pub fn encode(self) -> [u8; CLIENT_FLAGS_BYTES] {
        let fixed = if self.fixed_newstyle {
            FIXED_NEWSTYLE
        } else {
            0
        };
        let zeroes = if self.no_zeroes { NO_ZEROES } else { 0 };
        u32::from(fixed | zeroes).to_be_bytes()
    }
}

/// What an export can do, as told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransmissionFlags(pub u16);

impl TransmissionFlags {
    /// Always set.
    pub const HAS_FLAGS: u16 = 1 << 0;
    /// Writes are refused.
    pub const READ_ONLY: u16 = 1 << 1;
    /// `FLUSH` is known.
    pub const FLUSH: u16 = 1 << 2;
    /// The FUA flag is known.
    pub const FUA: u16 = 1 << 3;
    /// `TRIM` is known.
    pub const TRIM: u16 = 1 << 5;
    /// `WRITE_ZEROES` is known.
    pub const WRITE_ZEROES: u16 = 1 << 6;
    /// The flag "do not fragment" is known; only with structured replies.
    pub const DF: u16 = 1 << 7;
    /// A flush covers all connections of the export.
    pub const MULTI_CONN: u16 = 1 << 8;
    /// `CACHE` is known.
    pub const CACHE: u16 = 1 << 10;
    /// The flag "fail if not fast" of `WRITE_ZEROES` is known.
    pub const FAST_ZERO: u16 = 1 << 11;

    /// What a disk offers: everything that this crate knows, but writing where
    /// `read_only`, and `DF` only where replies are `structured`.
    pub fn of_disk(read_only: bool, structured: bool) -> Self {
        let mut bits = Self::HAS_FLAGS | Self::FLUSH | Self::FUA | Self::MULTI_CONN | Self::CACHE;
        if read_only {
            bits |= Self::READ_ONLY;
        } else {
            bits |= Self::TRIM | Self::WRITE_ZEROES | Self::FAST_ZERO;
        }
        if structured {
            bits |= Self::DF;
        }
        TransmissionFlags(bits)
    }
}
