//! What the server answers during transmission.
//!
//! Owns: the layout of replies in the three modes, and the protocol's error numbers.
//! Does not own: the client's side (`reply_parse.rs`), the choice of an error
//! (`vpool-nbd`).
//!
//! ```text
//! simple      magic 4 │ error 4 │ cookie 8 │ data of a read
//! structured  magic 4 │ flags 2 │ type 2 │ cookie 8 │ length 4            │ payload
//! extended    magic 4 │ flags 2 │ type 2 │ cookie 8 │ offset 8 │ length 8 │ payload
//! ```

use crate::cursor::clip;
use crate::limits::EXTENTS_MAX;
use crate::request::Request;

pub(crate) const SIMPLE_MAGIC: u32 = 0x6744_6698;
pub(crate) const STRUCTURED_MAGIC: u32 = 0x668e_33ef;
pub(crate) const EXTENDED_MAGIC: u32 = 0x6e8a_278c;
pub(crate) const FLAG_DONE: u16 = 1 << 0;
pub(crate) const TYPE_NONE: u16 = 0;
pub(crate) const TYPE_DATA: u16 = 1;
pub(crate) const TYPE_BLOCK_STATUS: u16 = 5;
pub(crate) const TYPE_BLOCK_STATUS_EXTENDED: u16 = 6;
pub(crate) const TYPE_ERROR: u16 = 1 << 15 | 1;
pub(crate) const TYPE_ERROR_OFFSET: u16 = 1 << 15 | 2;

/// Longest message in an error chunk, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

/// The headers that were agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Compact requests, simple replies.
    Simple,
    /// Compact requests, replies of chunks.
    Structured,
    /// Requests and replies with 64-bit lengths.
    Extended,
}

/// An error number of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub u32);

impl Errno {
    /// Not permitted.
    pub const PERM: Self = Errno(1);
    /// Input/output error.
    pub const IO: Self = Errno(5);
    /// Invalid request.
    pub const INVAL: Self = Errno(22);
    /// No space left, or beyond the end of the disk.
    pub const NOSPC: Self = Errno(28);
    /// Too long for one reply.
    pub const OVERFLOW: Self = Errno(75);
    /// Not supported.
    pub const NOTSUP: Self = Errno(95);
    /// The server is about to end.
    pub const SHUTDOWN: Self = Errno(108);
}

/// The status of an extent in the context `base:allocation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusFlags(pub u32);

impl StatusFlags {
    /// Holds data.
    pub const DATA: Self = StatusFlags(0);
    /// Takes no space and reads as zeroes.
    pub const HOLE: Self = StatusFlags(3);
}

/// One extent of a block status reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtentStatus {
    /// Length in bytes, not 0.
    pub length: u64,
    /// What it is.
    pub flags: StatusFlags,
}

/// The first bytes of a reply, up to where data begins.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    bytes: [u8; Header::BYTES_MAX],
    length: usize,
}

impl Header {
    /// No header is longer, in bytes.
    pub const BYTES_MAX: usize = 40;

    fn new() -> Self {
        Header {
            bytes: [0; Self::BYTES_MAX],
            length: 0,
        }
    }

    #[inline]
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        self.bytes[self.length..self.length + N].copy_from_slice(&field);
        self.length += N;
    }
}

impl AsRef<[u8]> for Header {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Mode {
    /// Length in bytes of what stands before the data of a read.
    pub const fn data_header_bytes(self) -> usize {
        match self {
            Mode::Simple => 16,
            Mode::Structured => 28,
            Mode::Extended => 40,
        }
    }

    /// Success without data. Not for reads with structured replies, where a simple
    /// reply is forbidden: see [`empty_read`](Self::empty_read).
    #[inline]
    pub fn success(self, request: &Request) -> Header {
        match self {
            Mode::Simple | Mode::Structured => simple(request.cookie, 0),
            Mode::Extended => self.chunk(request, TYPE_NONE, true, 0),
        }
    }

    /// Success of a read of no bytes.
    pub fn empty_read(self, request: &Request) -> Header {
        match self {
            Mode::Simple => simple(request.cookie, 0),
            Mode::Structured | Mode::Extended => self.chunk(request, TYPE_NONE, true, 0),
        }
    }

    /// What stands before `length` bytes (not 0) of data from `offset`. Only the last
    /// piece of a read is `done`. With simple replies there is one piece, the whole.
    #[inline]
    pub fn data(self, request: &Request, offset: u64, length: u32, done: bool) -> Header {
        match self {
            Mode::Simple => simple(request.cookie, 0),
            Mode::Structured | Mode::Extended => {
                let mut header = self.chunk(request, TYPE_DATA, done, u64::from(length) + 8);
                header.put(offset.to_be_bytes());
                header
            }
        }
    }

    /// Appends a failure. `at` is the offset at which a read failed after earlier pieces
    /// were sent; `message` is for people and cut where it is too long.
    pub fn error(
        self,
        request: &Request,
        errno: Errno,
        at: Option<u64>,
        message: &str,
        out: &mut Vec<u8>,
    ) {
        if self == Mode::Simple {
            return out.extend_from_slice(simple(request.cookie, errno.0).as_ref());
        }
        let message = clip(message, MESSAGE_BYTES_MAX);
        let message_length = u16::try_from(message.len()).expect("just clipped");
        let (kind, tail) = match at {
            Some(_) => (TYPE_ERROR_OFFSET, 8),
            None => (TYPE_ERROR, 0),
        };
        let payload = 6 + u64::from(message_length) + tail;
        out.extend_from_slice(self.chunk(request, kind, true, payload).as_ref());
        out.extend_from_slice(&errno.0.to_be_bytes());
        out.extend_from_slice(&message_length.to_be_bytes());
        out.extend_from_slice(message.as_bytes());
        if let Some(offset) = at {
            out.extend_from_slice(&offset.to_be_bytes());
        }
    }

    /// Appends the extents (1 to [`EXTENTS_MAX`]) of a range. With compact headers an
    /// extent longer than 32 bits can say is cut and ends the list.
    pub fn block_status(
        self,
        request: &Request,
        context: u32,
        extents: &[ExtentStatus],
        out: &mut Vec<u8>,
    ) {
        debug_assert!(
            !extents.is_empty() && self != Mode::Simple,
            "the caller's duty"
        );
        let extents = &extents[..extents.len().min(EXTENTS_MAX)];
        if self == Mode::Extended {
            return self.block_status_extended(request, context, extents, out);
        }
        let fits = |extent: &ExtentStatus| u32::try_from(extent.length).is_ok();
        let count = extents.iter().take_while(|extent| fits(extent)).count();
        let extents = &extents[..(count + 1).min(extents.len())];
        let length = 4 + 8 * extents.len() as u64;
        out.extend_from_slice(
            self.chunk(request, TYPE_BLOCK_STATUS, true, length)
                .as_ref(),
        );
        out.extend_from_slice(&context.to_be_bytes());
        for extent in extents {
            // The cut leaves a multiple of 4 KiB, so that the next request is aligned.
            let length = u32::try_from(extent.length).unwrap_or(u32::MAX - 4095);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&extent.flags.0.to_be_bytes());
        }
    }

    fn block_status_extended(
        self,
        request: &Request,
        context: u32,
        extents: &[ExtentStatus],
        out: &mut Vec<u8>,
    ) {
        let count = u32::try_from(extents.len()).expect("at most EXTENTS_MAX");
        let length = 8 + 16 * u64::from(count);
        let header = self.chunk(request, TYPE_BLOCK_STATUS_EXTENDED, true, length);
        out.extend_from_slice(header.as_ref());
        out.extend_from_slice(&context.to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        for extent in extents {
            out.extend_from_slice(&extent.length.to_be_bytes());
            out.extend_from_slice(&u64::from(extent.flags.0).to_be_bytes());
        }
    }

    /// The header of a chunk with `payload` bytes behind it.
    #[inline]
    fn chunk(self, request: &Request, kind: u16, done: bool, payload: u64) -> Header {
        let mut header = Header::new();
        let extended = self == Mode::Extended;
        header.put(
            if extended {
                EXTENDED_MAGIC
            } else {
                STRUCTURED_MAGIC
            }
            .to_be_bytes(),
        );
        header.put(if done { FLAG_DONE } else { 0 }.to_be_bytes());
        header.put(kind.to_be_bytes());
        header.put(request.cookie.to_be_bytes());
        if extended {
            header.put(request.offset.to_be_bytes());
            header.put(payload.to_be_bytes());
        } else {
            let payload = u32::try_from(payload).expect("payloads are bounded below 4 GiB");
            header.put(payload.to_be_bytes());
        }
        header
    }
}

#[inline]
fn simple(cookie: u64, error: u32) -> Header {
    let mut header = Header::new();
    header.put(SIMPLE_MAGIC.to_be_bytes());
    header.put(error.to_be_bytes());
    header.put(cookie.to_be_bytes());
    header
}
