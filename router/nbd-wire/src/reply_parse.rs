//! Replies as the client sees them, for tests and tools.
//!
//! Owns: the parsers of what `reply.rs` lays out. Does not own: anything the server uses.

use crate::cursor::{Cursor, text};
use crate::error::WireError;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::reply::{
    EXTENDED_MAGIC, Errno, ExtentStatus, FLAG_DONE, Mode, SIMPLE_MAGIC, STRUCTURED_MAGIC,
    StatusFlags, TYPE_BLOCK_STATUS, TYPE_BLOCK_STATUS_EXTENDED, TYPE_DATA, TYPE_ERROR,
    TYPE_ERROR_OFFSET, TYPE_NONE,
};

/// The content of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Nothing.
    None,
    /// Bytes of a read.
    Data {
        /// Where they come from.
        offset: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// Extents of a range.
    BlockStatus {
        /// The metadata context.
        context: u32,
        /// The extents, from the start of the range.
        extents: Vec<ExtentStatus>,
    },
    /// A failure.
    Error {
        /// Its number.
        errno: Errno,
        /// Where a read failed, if that is known.
        at: Option<u64>,
        /// The same for people.
        message: &'a str,
    },
}

/// A simple reply, or one chunk of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A simple reply; the data of a read follows, by the length that was asked for.
    Simple {
        /// 0 for success.
        error: Errno,
        /// Which request.
        cookie: u64,
    },
    /// A chunk.
    Chunk {
        /// Which request.
        cookie: u64,
        /// No more chunks follow.
        done: bool,
        /// Its content.
        content: Chunk<'a>,
    },
}

impl<'a> Reply<'a> {
    /// The first reply in `bytes` and its length in bytes (without the data of a simple
    /// read), or `None` while bytes are missing.
    pub fn parse(mode: Mode, bytes: &'a [u8]) -> Result<Option<(Self, usize)>, WireError> {
        let Some(magic) = bytes.first_chunk::<4>() else {
            return Ok(None);
        };
        let found = u32::from_be_bytes(*magic);
        let (expected, header_bytes) = match (mode, found) {
            (Mode::Simple | Mode::Structured, SIMPLE_MAGIC) => return Ok(parse_simple(bytes)),
            (Mode::Structured, _) => (STRUCTURED_MAGIC, 20),
            (Mode::Extended, _) => (EXTENDED_MAGIC, 32),
            (Mode::Simple, _) => (SIMPLE_MAGIC, 16),
        };
        if found != expected {
            return Err(WireError::Magic {
                found: found.into(),
                expected: expected.into(),
            });
        }
        let Some((header, rest)) = bytes.split_at_checked(header_bytes) else {
            return Ok(None);
        };
        let mut cursor = Cursor::new("reply", &header[4..]);
        let done = cursor.u16()? & FLAG_DONE != 0;
        let kind = cursor.u16()?;
        let cookie = cursor.u64()?;
        let length = match mode {
            Mode::Extended => cursor.u64().and_then(|_offset| cursor.u64())?,
            _ => cursor.u32()?.into(),
        };
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= PAYLOAD_BYTES_MAX as usize + 8)
            .ok_or(WireError::Length("reply"))?;
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let content = parse_chunk(kind, payload)?;
        Ok(Some((
            Reply::Chunk {
                cookie,
                done,
                content,
            },
            header_bytes + length,
        )))
    }
}

fn parse_simple<'a>(bytes: &[u8]) -> Option<(Reply<'a>, usize)> {
    let header = bytes.first_chunk::<16>()?;
    let mut cursor = Cursor::new("simple reply", &header[4..]);
    let error = Errno(cursor.u32().ok()?);
    let cookie = cursor.u64().ok()?;
    Some((Reply::Simple { error, cookie }, header.len()))
}

fn parse_chunk(kind: u16, payload: &[u8]) -> Result<Chunk<'_>, WireError> {
    let mut cursor = Cursor::new("chunk", payload);
    match kind {
        TYPE_NONE => cursor.end().map(|()| Chunk::None),
        TYPE_DATA => Ok(Chunk::Data {
            offset: cursor.u64()?,
            data: cursor.rest(),
        }),
        TYPE_BLOCK_STATUS => {
            let context = cursor.u32()?;
            let extents = cursor.rest().chunks(8).map(|entry| {
                let mut cursor = Cursor::new("extent", entry);
                let length = cursor.u32()?.into();
                Ok(ExtentStatus {
                    length,
                    flags: StatusFlags(cursor.u32()?),
                })
            });
            Ok(Chunk::BlockStatus {
                context,
                extents: extents.collect::<Result<_, _>>()?,
            })
        }
        TYPE_BLOCK_STATUS_EXTENDED => {
            let context = cursor.u32()?;
            let count = cursor.u32()?;
            let rest = cursor.rest();
            if rest.len() as u64 != 16 * u64::from(count) {
                return Err(WireError::Length("extents"));
            }
            let extents = rest.chunks(16).map(|entry| {
                let mut cursor = Cursor::new("extent", entry);
                let length = cursor.u64()?;
                let flags = u32::try_from(cursor.u64()?)
                    .map_err(|_| WireError::Length("status of an extent"))?;
                Ok(ExtentStatus {
                    length,
                    flags: StatusFlags(flags),
                })
            });
            Ok(Chunk::BlockStatus {
                context,
                extents: extents.collect::<Result<_, _>>()?,
            })
        }
        TYPE_ERROR | TYPE_ERROR_OFFSET => {
            let errno = Errno(cursor.u32()?);
            let length = usize::from(cursor.u16()?);
            let rest = cursor.rest();
            let (message, tail) = rest
                .split_at_checked(length)
                .ok_or(WireError::Length("message"))?;
            let mut tail = Cursor::new("error chunk", tail);
            let at = match kind {
                TYPE_ERROR_OFFSET => Some(tail.u64()?),
                _ => None,
            };
            tail.end()?;
            Ok(Chunk::Error {
                errno,
                at,
                message: text("message", message)?,
            })
        }
        _ => Err(WireError::Length("type of a chunk")),
    }
}
