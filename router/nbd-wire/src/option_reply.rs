//! What the server answers during negotiation.
//!
//! Owns: the layout of option replies. Does not own: which one is given (`vpool-nbd`).

use crate::cursor::{Cursor, clip, text};
use crate::error::WireError;
use crate::limits::{OPTION_DATA_BYTES_MAX, STRING_BYTES_MAX};
use crate::option::OptionCode;

/// Length of a reply's header in bytes: magic 8, option 4, type 4, length of the data 4.
pub const OPTION_REPLY_HEADER_BYTES: usize = 20;

const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const ACK: u32 = 1;
const SERVER: u32 = 2;
const INFO: u32 = 3;
const META_CONTEXT: u32 = 4;
const ERROR_BIT: u32 = 1 << 31;

/// Why an option is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionErrorCode(pub u32);

impl OptionErrorCode {
    /// The option is not known.
    pub const UNSUPPORTED: Self = OptionErrorCode(ERROR_BIT | 1);
    /// The option is known, but not allowed.
    pub const POLICY: Self = OptionErrorCode(ERROR_BIT | 2);
    /// The option is malformed, or comes at the wrong time.
    pub const INVALID: Self = OptionErrorCode(ERROR_BIT | 3);
    /// TLS must be started first.
    pub const TLS_REQUIRED: Self = OptionErrorCode(ERROR_BIT | 5);
    /// There is no such export.
    pub const UNKNOWN: Self = OptionErrorCode(ERROR_BIT | 6);
    /// The server is about to end.
    pub const SHUTDOWN: Self = OptionErrorCode(ERROR_BIT | 7);
    /// The option is too long.
    pub const TOO_BIG: Self = OptionErrorCode(ERROR_BIT | 9);
    /// Extended headers were chosen already.
    pub const EXTENDED_HEADERS: Self = OptionErrorCode(ERROR_BIT | 10);
}

/// The sizes that requests should keep to, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSizes {
    /// Requests must be multiples of it.
    pub minimum: u32,
    /// Requests are cheapest as multiples of it.
    pub preferred: u32,
    /// No payload may be larger.
    pub maximum: u32,
}

/// The numbers of the kinds of information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InfoKind;

impl InfoKind {
    /// Size and flags; always sent.
    pub const EXPORT: u16 = 0;
    /// The export's own name.
    pub const NAME: u16 = 1;
    /// A line for people.
    pub const DESCRIPTION: u16 = 2;
    /// [`BlockSizes`].
    pub const BLOCK_SIZE: u16 = 3;
}

/// One reply to an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionReply<'a> {
    /// Done.
    Ack,
    /// One line of the list of exports.
    Server {
        /// The name to ask for.
        name: &'a str,
        /// A line for people, may be empty.
        description: &'a str,
    },
    /// Size in bytes and transmission flags of an export.
    Export {
        /// Size in bytes.
        size: u64,
        /// See [`TransmissionFlags`](crate::TransmissionFlags).
        flags: u16,
    },
    /// The export's own name.
    Name(&'a str),
    /// A line about the export, for people.
    Description(&'a str),
    /// The sizes that requests should keep to.
    BlockSize(BlockSizes),
    /// A metadata context.
    MetaContext {
        /// Its number in block status replies.
        id: u32,
        /// Its name.
        name: &'a str,
    },
    /// Refused.
    Error {
        /// Why.
        code: OptionErrorCode,
        /// The same for people; cut to the longest string allowed.
        message: &'a str,
    },
    /// A reply that this crate does not know.
    Unknown(u32),
}

impl<'a> OptionReply<'a> {
    /// Appends the reply to `option`. Strings are cut to what the protocol allows.
    pub fn encode(&self, option: OptionCode, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&REPLY_MAGIC.to_be_bytes());
        out.extend_from_slice(&option.0.to_be_bytes());
        out.extend_from_slice(&self.kind().to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        let data = out.len();
        self.encode_data(out);
        let length = u32::try_from(out.len() - data).expect("strings are clipped");
        out[start + 16..data].copy_from_slice(&length.to_be_bytes());
    }

    fn kind(&self) -> u32 {
        match self {
            OptionReply::Ack => ACK,
            OptionReply::Server { .. } => SERVER,
            OptionReply::Export { .. }
            | OptionReply::Name(_)
            | OptionReply::Description(_)
            | OptionReply::BlockSize(_) => INFO,
            OptionReply::MetaContext { .. } => META_CONTEXT,
            OptionReply::Error { code, .. } => code.0,
            OptionReply::Unknown(kind) => *kind,
        }
    }

    fn encode_data(&self, out: &mut Vec<u8>) {
        let string = |out: &mut Vec<u8>, text: &str| {
            out.extend_from_slice(clip(text, STRING_BYTES_MAX).as_bytes());
        };
        match self {
            OptionReply::Ack | OptionReply::Unknown(_) => {}
            OptionReply::Server { name, description } => {
                let name = clip(name, STRING_BYTES_MAX);
                let length = u32::try_from(name.len()).expect("just clipped");
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(name.as_bytes());
                string(out, description);
            }
            OptionReply::Export { size, flags } => {
                out.extend_from_slice(&InfoKind::EXPORT.to_be_bytes());
                out.extend_from_slice(&size.to_be_bytes());
                out.extend_from_slice(&flags.to_be_bytes());
            }
            OptionReply::Name(name) => {
                out.extend_from_slice(&InfoKind::NAME.to_be_bytes());
                string(out, name);
            }
            OptionReply::Description(line) => {
                out.extend_from_slice(&InfoKind::DESCRIPTION.to_be_bytes());
                string(out, line);
            }
            OptionReply::BlockSize(sizes) => {
                out.extend_from_slice(&InfoKind::BLOCK_SIZE.to_be_bytes());
                for size in [sizes.minimum, sizes.preferred, sizes.maximum] {
                    out.extend_from_slice(&size.to_be_bytes());
                }
            }
            OptionReply::MetaContext { id, name } => {
                out.extend_from_slice(&id.to_be_bytes());
                string(out, name);
            }
            OptionReply::Error { message, .. } => string(out, message),
        }
    }

    /// The client's side: the option that is answered, the reply and its length in
    /// bytes, or `None` while bytes are missing.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<(OptionCode, Self, usize)>, WireError> {
        let Some((header, rest)) = bytes.split_first_chunk::<OPTION_REPLY_HEADER_BYTES>() else {
            return Ok(None);
        };
        let mut cursor = Cursor::new("option reply", header);
        let found = cursor.u64()?;
        if found != REPLY_MAGIC {
            return Err(WireError::Magic {
                found,
                expected: REPLY_MAGIC,
            });
        }
        let option = OptionCode(cursor.u32()?);
        let kind = cursor.u32()?;
        let length = usize::try_from(cursor.u32()?).expect("usize has 32 bits or more");
        if length > OPTION_DATA_BYTES_MAX {
            return Err(WireError::TooLong {
                what: "option reply",
                bytes: length,
                max: OPTION_DATA_BYTES_MAX,
            });
        }
        let Some(data) = rest.get(..length) else {
            return Ok(None);
        };
        let reply = Self::parse_data(kind, data)?;
        Ok(Some((option, reply, OPTION_REPLY_HEADER_BYTES + length)))
    }

    fn parse_data(kind: u32, data: &'a [u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new("option reply", data);
        match kind {
            ACK => cursor.end().map(|()| OptionReply::Ack),
            SERVER => {
                let name = cursor.counted_text()?;
                let description = text("description", cursor.rest())?;
                Ok(OptionReply::Server { name, description })
            }
            META_CONTEXT => {
                let id = cursor.u32()?;
                Ok(OptionReply::MetaContext {
                    id,
                    name: text("context", cursor.rest())?,
                })
            }
            INFO => Self::parse_info(cursor),
            error if error & ERROR_BIT != 0 => Ok(OptionReply::Error {
                code: OptionErrorCode(error),
                message: text("message", data)?,
            }),
            unknown => Ok(OptionReply::Unknown(unknown)),
        }
    }

    fn parse_info(mut cursor: Cursor<'a>) -> Result<Self, WireError> {
        match cursor.u16()? {
            InfoKind::EXPORT => {
                let reply = OptionReply::Export {
                    size: cursor.u64()?,
                    flags: cursor.u16()?,
                };
                cursor.end().map(|()| reply)
            }
            InfoKind::NAME => text("export name", cursor.rest()).map(OptionReply::Name),
            InfoKind::DESCRIPTION => {
                text("description", cursor.rest()).map(OptionReply::Description)
            }
            InfoKind::BLOCK_SIZE => {
                let (minimum, preferred, maximum) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
                cursor.end()?;
                Ok(OptionReply::BlockSize(BlockSizes {
                    minimum,
                    preferred,
                    maximum,
                }))
            }
            unknown => Ok(OptionReply::Unknown(u32::from(unknown))),
        }
    }
}
