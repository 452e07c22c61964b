//! The NBD protocol as bytes and values.
//!
//! Owns: the layout of every message of fixed newstyle negotiation and of the
//! transmission phase, and the bounds on their lengths. Does not own: any I/O, any
//! state of a connection, any decision (see `vpool-nbd`).
//!
//! ```text
//! server                          client
//!   greeting (18)           ──▶
//!                           ◀──  client flags (4)
//!                           ◀──  option (16 + data)        ┐ repeated, at most
//!   option replies (20 + …) ──▶                            ┘ limits::OPTIONS_MAX
//!                           ◀──  request (28 or 32 + payload)
//!   reply (16, 20 or 32 + …)──▶
//! ```
//!
//! Everything is big-endian. Every parser takes a slice and either says how much more
//! it needs, or returns borrowed values; none allocates by a length that it has read.

mod cursor;
mod error;
mod handshake;
pub mod limits;
mod option;
mod option_reply;
mod reply;
mod reply_parse;
mod request;

#[cfg(test)]
mod handshake_tests;
#[cfg(test)]
mod transmission_tests;

pub use error::WireError;
pub use handshake::{
    CLIENT_FLAGS_BYTES, ClientFlags, EXPORT_NAME_PADDING_BYTES, GREETING_BYTES, TransmissionFlags,
    greeting, parse_greeting,
};
pub use option::{
    BASE_ALLOCATION, ClientOption, InfoQuery, MetaQuery, OPTION_HEADER_BYTES, OptionCode,
    OptionHeader,
};
pub use option_reply::{
    BlockSizes, InfoKind, OPTION_REPLY_HEADER_BYTES, OptionErrorCode, OptionReply,
};
pub use reply::{Errno, ExtentStatus, Header, Mode, StatusFlags};
pub use reply_parse::{Chunk, Reply};
pub use request::{Command, CommandFlags, Request};
