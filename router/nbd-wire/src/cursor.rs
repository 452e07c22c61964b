//! A reader over a received slice that never goes past its end.
//!
//! Owns: [`Cursor`]. Does not own: any message.

use crate::error::WireError;
use crate::limits::STRING_BYTES_MAX;

/// What is left of a message's data.
pub(crate) struct Cursor<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Reads `rest`; errors name `what`.
    pub(crate) fn new(what: &'static str, rest: &'a [u8]) -> Self {
        Cursor { what, rest }
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Length(self.what))?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next 16 bits.
    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next 32 bits.
    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next 64 bits.
    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A 32-bit length and a string of that many bytes.
    pub(crate) fn counted_text(&mut self) -> Result<&'a str, WireError> {
        let length = usize::try_from(self.u32()?).expect("usize has 32 bits or more");
        if length > self.rest.len() {
            return Err(WireError::Length(self.what));
        }
        let (head, rest) = self.rest.split_at(length);
        self.rest = rest;
        text(self.what, head)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Fails unless everything was read.
    pub(crate) fn end(self) -> Result<(), WireError> {
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(WireError::Trailing(self.what)),
        }
    }
}

/// `bytes` as a string of the protocol: short, UTF-8, no NUL.
pub(crate) fn text<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a str, WireError> {
    if bytes.len() > STRING_BYTES_MAX {
        return Err(WireError::TooLong {
            what,
            bytes: bytes.len(),
            max: STRING_BYTES_MAX,
        });
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(WireError::Text(what)),
    }
}

/// `text` cut to at most `max` bytes, at a character's edge.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
