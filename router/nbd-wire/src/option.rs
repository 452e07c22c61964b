//! What a client may ask during negotiation.
//!
//! Owns: the layout of options. Does not own: their answers (`option_reply.rs`).

use crate::cursor::{Cursor, text};
use crate::error::WireError;
use crate::handshake::OPTION_MAGIC;
use crate::limits::{INFO_REQUESTS_MAX, QUERIES_MAX};

/// Length of an option's header in bytes: magic 8, code 4, length of the data 4.
pub const OPTION_HEADER_BYTES: usize = 16;

/// The one metadata context that is served: is a range data or a hole.
pub const BASE_ALLOCATION: &str = "base:allocation";

/// The number of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionCode(pub u32);

impl OptionCode {
    /// Choose an export and start, without the possibility of an error.
    pub const EXPORT_NAME: Self = OptionCode(1);
    /// End the negotiation.
    pub const ABORT: Self = OptionCode(2);
    /// List the exports.
    pub const LIST: Self = OptionCode(3);
    /// Change to TLS.
    pub const STARTTLS: Self = OptionCode(5);
    /// Tell about an export.
    pub const INFO: Self = OptionCode(6);
    /// Choose an export and start.
    pub const GO: Self = OptionCode(7);
    /// Use structured replies.
    pub const STRUCTURED_REPLY: Self = OptionCode(8);
    /// List metadata contexts.
    pub const LIST_META_CONTEXT: Self = OptionCode(9);
    /// Choose metadata contexts.
    pub const SET_META_CONTEXT: Self = OptionCode(10);
    /// Use headers with 64-bit lengths.
    pub const EXTENDED_HEADERS: Self = OptionCode(11);
}

/// The header in front of an option's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionHeader {
    /// Which option.
    pub code: OptionCode,
    /// Bytes of data behind the header; not checked against any bound.
    pub length: u32,
}

impl OptionHeader {
    /// Reads a header.
    pub fn parse(bytes: &[u8; OPTION_HEADER_BYTES]) -> Result<Self, WireError> {
        let mut cursor = Cursor::new("option", bytes);
        let found = cursor.u64()?;
        if found != OPTION_MAGIC {
            return Err(WireError::Magic {
                found,
                expected: OPTION_MAGIC,
            });
        }
        Ok(OptionHeader {
            code: OptionCode(cursor.u32()?),
            length: cursor.u32()?,
        })
    }

    /// The bytes of the header.
    pub fn encode(self) -> [u8; OPTION_HEADER_BYTES] {
        let mut bytes = [0; OPTION_HEADER_BYTES];
        bytes[..8].copy_from_slice(&OPTION_MAGIC.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.code.0.to_be_bytes());
        bytes[12..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }
}

/// The data of `INFO` and `GO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InfoQuery<'a> {
    /// The export; empty for the default one.
    pub name: &'a str,
    /// The kinds of information that the client asks for, by number.
    pub requests: Vec<u16>,
}

/// The data of `LIST_META_CONTEXT` and `SET_META_CONTEXT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaQuery<'a> {
    /// The export; empty for the default one.
    pub name: &'a str,
    /// What is asked for: names, or name spaces that end in a colon.
    pub queries: Vec<&'a str>,
}

impl MetaQuery<'_> {
    /// Whether a listing with these queries names `base:allocation`.
    pub fn lists_allocation(&self) -> bool {
        self.queries.is_empty()
            || self
                .queries
                .iter()
                .any(|query| *query == BASE_ALLOCATION || *query == "base:")
    }

    /// Whether a choice with these queries selects `base:allocation`.
    pub fn selects_allocation(&self) -> bool {
        self.queries.contains(&BASE_ALLOCATION)
    }
}

/// One option with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientOption<'a> {
    /// Choose an export and start; cannot be refused, only disconnected.
    ExportName(&'a str),
    /// End the negotiation.
    Abort,
    /// List the exports.
    List,
    /// Change to TLS.
    StartTls,
    /// Tell about an export.
    Info(InfoQuery<'a>),
    /// Choose an export and start.
    Go(InfoQuery<'a>),
    /// Use structured replies.
    StructuredReply,
    /// List metadata contexts.
    ListMetaContext(MetaQuery<'a>),
    /// Choose metadata contexts.
    SetMetaContext(MetaQuery<'a>),
    /// Use headers with 64-bit lengths.
    ExtendedHeaders,
    /// An option that this crate does not know.
    Unknown(OptionCode),
}

impl<'a> ClientOption<'a> {
    /// Reads the `data` of option `code`.
    pub fn parse(code: OptionCode, data: &'a [u8]) -> Result<Self, WireError> {
        let none = |option: Self| match data.is_empty() {
            true => Ok(option),
            false => Err(WireError::Trailing("option without data")),
        };
        match code {
            OptionCode::EXPORT_NAME => text("export name", data).map(ClientOption::ExportName),
            // Data behind ABORT is pointless, but the client leaves either way.
            OptionCode::ABORT => Ok(ClientOption::Abort),
            OptionCode::LIST => none(ClientOption::List),
            OptionCode::STARTTLS => none(ClientOption::StartTls),
            OptionCode::INFO => info_query(data).map(ClientOption::Info),
            OptionCode::GO => info_query(data).map(ClientOption::Go),
            OptionCode::STRUCTURED_REPLY => none(ClientOption::StructuredReply),
            OptionCode::LIST_META_CONTEXT => meta_query(data).map(ClientOption::ListMetaContext),
            OptionCode::SET_META_CONTEXT => meta_query(data).map(ClientOption::SetMetaContext),
            OptionCode::EXTENDED_HEADERS => none(ClientOption::ExtendedHeaders),
            unknown => Ok(ClientOption::Unknown(unknown)),
        }
    }

    /// The number of this option.
    pub fn code(&self) -> OptionCode {
        match self {
            ClientOption::ExportName(_) => OptionCode::EXPORT_NAME,
            ClientOption::Abort => OptionCode::ABORT,
            ClientOption::List => OptionCode::LIST,
            ClientOption::StartTls => OptionCode::STARTTLS,
            ClientOption::Info(_) => OptionCode::INFO,
            ClientOption::Go(_) => OptionCode::GO,
            ClientOption::StructuredReply => OptionCode::STRUCTURED_REPLY,
            ClientOption::ListMetaContext(_) => OptionCode::LIST_META_CONTEXT,
            ClientOption::SetMetaContext(_) => OptionCode::SET_META_CONTEXT,
            ClientOption::ExtendedHeaders => OptionCode::EXTENDED_HEADERS,
            ClientOption::Unknown(code) => *code,
        }
    }

    /// Appends header and data, as a client sends them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        match self {
            ClientOption::ExportName(name) => data.extend_from_slice(name.as_bytes()),
            ClientOption::Info(query) | ClientOption::Go(query) => {
                put_counted(&mut data, query.name);
                put_count16(&mut data, query.requests.len());
                for request in &query.requests {
                    data.extend_from_slice(&request.to_be_bytes());
                }
            }
            ClientOption::ListMetaContext(query) | ClientOption::SetMetaContext(query) => {
                put_counted(&mut data, query.name);
                put_count32(&mut data, query.queries.len());
                for query in &query.queries {
                    put_counted(&mut data, query);
                }
            }
            _ => {}
        }
        let length = u32::try_from(data.len()).expect("strings of the protocol are short");
        out.extend_from_slice(
            &OptionHeader {
                code: self.code(),
                length,
            }
            .encode(),
        );
        out.extend_from_slice(&data);
    }
}

fn info_query(data: &[u8]) -> Result<InfoQuery<'_>, WireError> {
    let mut cursor = Cursor::new("information option", data);
    let name = cursor.counted_text()?;
    let count = usize::from(cursor.u16()?);
    if count > INFO_REQUESTS_MAX {
        return Err(WireError::TooMany {
            what: "information requests",
            max: INFO_REQUESTS_MAX,
        });
    }
    let requests = (0..count).map(|_| cursor.u16()).collect::<Result<_, _>>()?;
    cursor.end()?;
    Ok(InfoQuery { name, requests })
}

fn meta_query(data: &[u8]) -> Result<MetaQuery<'_>, WireError> {
    let mut cursor = Cursor::new("meta-context option", data);
    let name = cursor.counted_text()?;
    let count = usize::try_from(cursor.u32()?).expect("usize has 32 bits or more");
    if count > QUERIES_MAX {
        return Err(WireError::TooMany {
            what: "meta-context queries",
            max: QUERIES_MAX,
        });
    }
    let queries = (0..count)
        .map(|_| cursor.counted_text())
        .collect::<Result<_, _>>()?;
    cursor.end()?;
    Ok(MetaQuery { name, queries })
}

fn put_count16(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).expect("counts of the protocol are small");
    out.extend_from_slice(&count.to_be_bytes());
}

fn put_count32(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("counts of the protocol are small");
    out.extend_from_slice(&count.to_be_bytes());
}

fn put_counted(out: &mut Vec<u8>, text: &str) {
    put_count32(out, text.len());
    out.extend_from_slice(text.as_bytes());
}
