//! What a client asks during transmission.
//!
//! Owns: the layout of requests, compact (28 bytes) and extended (32 bytes). Does not
//! own: replies (`reply.rs`), the check of ranges against a disk (`vpool-nbd`).
//!
//! ```text
//! compact   magic 4 │ flags 2 │ command 2 │ cookie 8 │ offset 8 │ length 4
//! extended  magic 4 │ flags 2 │ command 2 │ cookie 8 │ offset 8 │ length 8
//! ```

use crate::error::WireError;
use crate::reply::Mode;

const COMPACT_MAGIC: u32 = 0x2560_9513;
const EXTENDED_MAGIC: u32 = 0x21e4_1c71;
const COMPACT_BYTES: usize = 28;
const EXTENDED_BYTES: usize = 32;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Send bytes.
    Read,
    /// Take the bytes that follow.
    Write,
    /// Finish what is in flight and close.
    Disconnect,
    /// Make durable what was acknowledged.
    Flush,
    /// The range is not needed any more.
    Trim,
    /// Fetch the range into the cache.
    Cache,
    /// Make the range read as zeroes.
    WriteZeroes,
    /// Tell which parts of the range are holes.
    BlockStatus,
    /// A command that this crate does not know.
    Unknown(u16),
}

impl Command {
    fn from_number(number: u16) -> Self {
        match number {
            0 => Command::Read,
            1 => Command::Write,
            2 => Command::Disconnect,
            3 => Command::Flush,
            4 => Command::Trim,
            5 => Command::Cache,
            6 => Command::WriteZeroes,
            7 => Command::BlockStatus,
            unknown => Command::Unknown(unknown),
        }
    }

    /// The command's number.
    pub fn number(self) -> u16 {
        match self {
            Command::Read => 0,
            Command::Write => 1,
            Command::Disconnect => 2,
            Command::Flush => 3,
            Command::Trim => 4,
            Command::Cache => 5,
            Command::WriteZeroes => 6,
            Command::BlockStatus => 7,
            Command::Unknown(number) => number,
        }
    }
}

/// The flags of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandFlags(pub u16);

impl CommandFlags {
    /// Answer only when what was written is durable.
    pub const FUA: u16 = 1 << 0;
    /// Zeroes should be allocated.
    pub const NO_HOLE: u16 = 1 << 1;
    /// Send the data as one chunk.
    pub const DF: u16 = 1 << 2;
    /// Send one extent only.
    pub const REQ_ONE: u16 = 1 << 3;
    /// Fail rather than write zeroes slowly.
    pub const FAST_ZERO: u16 = 1 << 4;
    /// The length is that of a payload which follows; extended headers only.
    pub const PAYLOAD_LEN: u16 = 1 << 5;

    /// Whether `flag` is set.
    pub fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }
}

/// The header of one request. Offset and length are as received: nothing is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Its flags.
    pub flags: CommandFlags,
    /// What is asked.
    pub command: Command,
    /// Comes back in every reply.
    pub cookie: u64,
    /// First byte, from the start of the disk.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

impl Request {
    /// Length of a request's header in bytes.
    pub const fn header_bytes(mode: Mode) -> usize {
        match mode {
            Mode::Extended => EXTENDED_BYTES,
            Mode::Simple | Mode::Structured => COMPACT_BYTES,
        }
    }

    /// Reads the header at the start of `bytes`; `None` while bytes are missing.
    #[inline]
    pub fn parse(mode: Mode, bytes: &[u8]) -> Result<Option<Request>, WireError> {
        let (expected, length) = match mode {
            Mode::Extended => match bytes.first_chunk::<EXTENDED_BYTES>() {
                Some(header) => (EXTENDED_MAGIC, u64::from_be_bytes(field(header, 24))),
                None => return Ok(None),
            },
            Mode::Simple | Mode::Structured => match bytes.first_chunk::<COMPACT_BYTES>() {
                Some(header) => (
                    COMPACT_MAGIC,
                    u64::from(u32::from_be_bytes(field(header, 24))),
                ),
                None => return Ok(None),
            },
        };
        let found = u32::from_be_bytes(field(bytes, 0));
        if found != expected {
            return Err(WireError::Magic {
                found: found.into(),
                expected: expected.into(),
            });
        }
        Ok(Some(Request {
            flags: CommandFlags(u16::from_be_bytes(field(bytes, 4))),
            command: Command::from_number(u16::from_be_bytes(field(bytes, 6))),
            cookie: u64::from_be_bytes(field(bytes, 8)),
            offset: u64::from_be_bytes(field(bytes, 16)),
            length,
        }))
    }

    /// Appends the header, as a client sends it. A length beyond what `mode` can say is
    /// a [`WireError::Length`].
    pub fn encode(&self, mode: Mode, out: &mut Vec<u8>) -> Result<(), WireError> {
        let compact = u32::try_from(self.length);
        let magic = match mode {
            Mode::Extended => EXTENDED_MAGIC,
            _ if compact.is_err() => return Err(WireError::Length("request")),
            _ => COMPACT_MAGIC,
        };
        out.extend_from_slice(&magic.to_be_bytes());
        out.extend_from_slice(&self.flags.0.to_be_bytes());
        out.extend_from_slice(&self.command.number().to_be_bytes());
        out.extend_from_slice(&self.cookie.to_be_bytes());
        out.extend_from_slice(&self.offset.to_be_bytes());
        match compact {
            Ok(length) if mode != Mode::Extended => out.extend_from_slice(&length.to_be_bytes()),
            _ => out.extend_from_slice(&self.length.to_be_bytes()),
        }
        Ok(())
    }

    /// Bytes of payload that follow the header; not checked against any bound. A write
    /// has them by nature; with extended headers any request may say so by a flag.
    pub fn payload_bytes(&self, mode: Mode) -> u64 {
        let said = mode == Mode::Extended && self.flags.has(CommandFlags::PAYLOAD_LEN);
        match said || self.command == Command::Write {
            true => self.length,
            false => 0,
        }
    }

    /// Whether each of the flags means something for the command. FUA is taken on all,
    /// as the protocol demands.
    pub fn has_valid_flags(&self, mode: Mode) -> bool {
        let known = match self.command {
            Command::Read if mode != Mode::Simple => CommandFlags::DF,
            Command::Write if mode == Mode::Extended => CommandFlags::PAYLOAD_LEN,
            Command::WriteZeroes => CommandFlags::NO_HOLE | CommandFlags::FAST_ZERO,
            Command::BlockStatus => CommandFlags::REQ_ONE,
            _ => 0,
        };
        self.flags.0 & !(known | CommandFlags::FUA) == 0
    }
}

/// The `N` bytes at `at`; the caller has checked that they are there.
#[inline]
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..]
        .first_chunk::<N>()
        .expect("the header is complete")
}
