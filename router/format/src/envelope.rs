//! What all objects have around their fields: magic, version, length, MAC.
//!
//! Owns: the 16 bytes in front and the MAC (and checksum) behind. Does not own: keys: the MAC
//! is a function that the caller brings.
//!
//! | offset | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | magic |
//! | 8 | 2 | version |
//! | 10 | 2 | zero |
//! | 12 | 4 | length of the whole, `n` |
//! | 16 | | fields |
//! | n − 16 | 16 | MAC over everything before |
//!
//! Those that must be readable before their key is known (claim, pool record) end instead in
//! MAC (16) over everything before and CRC-32C (4) over everything before.

use crate::checksum::crc32c;
use crate::cursor::{Reader, Writer};
use crate::error::{FormatError, FormatErrorKind, Result};

/// A MAC's size in bytes.
pub const MAC_BYTES: usize = 16;

/// The keyed MAC of some bytes: 16 bytes of BLAKE3 with the pool's secret, from the caller.
pub type Mac<'a> = &'a dyn Fn(&[u8]) -> [u8; MAC_BYTES];

const HEADER_BYTES: usize = 16;
const LENGTH_OFFSET: usize = 12;
const CRC_BYTES: usize = 4;

/// One format of this shape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u16,
    /// The format's name in errors.
    pub(crate) what: &'static str,
}

impl Envelope {
    /// A writer that stands after the header.
    pub(crate) fn begin(&self) -> Writer {
        let mut to = Writer::with_capacity(512);
        to.bytes(&self.magic);
        to.u16(self.version);
        to.zeros(HEADER_BYTES - 10);
        to
    }

    fn set_length(to: &mut Writer, behind: usize) {
        let length = u32::try_from(to.len() + behind).expect("an object's record is under 4 GiB");
        to.put_at(LENGTH_OFFSET, &length.to_le_bytes());
    }

    /// Closes what `begin` began, with a MAC.
    pub(crate) fn seal(&self, mut to: Writer, mac: Mac<'_>) -> Vec<u8> {
        Self::set_length(&mut to, MAC_BYTES);
        let tag = mac(to.as_slice());
        to.bytes(&tag);
        to.into_bytes()
    }

    /// What the MAC of a format with MAC and checksum is over.
    pub(crate) fn signed_bytes(&self, mut to: Writer) -> Vec<u8> {
        Self::set_length(&mut to, MAC_BYTES + CRC_BYTES);
        to.into_bytes()
    }

    /// Adds MAC and checksum to [`signed_bytes`](Self::signed_bytes).
    pub(crate) fn sign(mut signed: Vec<u8>, mac: Mac<'_>) -> Vec<u8> {
        let tag = mac(&signed);
        signed.extend_from_slice(&tag);
        let crc = crc32c(&signed);
        signed.extend_from_slice(&crc.to_le_bytes());
        signed
    }

    /// Checks magic, version and that `length` bytes are said to be there; says how many.
    fn length(&self, bytes: &[u8]) -> Result<usize> {
        let mut from = Reader::new(bytes, self.what);
        if from.array()? != self.magic {
            return Err(FormatError::new(FormatErrorKind::BadMagic, self.what));
        }
        if from.u16()? != self.version {
            return Err(FormatError::new(FormatErrorKind::BadVersion, self.what));
        }
        from.zeros(2)?;
        let length = usize::try_from(from.u32()?).map_err(|_| FormatError::length(self.what))?;
        if length < HEADER_BYTES + MAC_BYTES {
            return Err(FormatError::length(self.what));
        }
        Ok(length)
    }

    /// Verifies a format with a MAC; gives its fields.
    pub(crate) fn open<'a>(&self, bytes: &'a [u8], mac: Mac<'_>) -> Result<Reader<'a>> {
        if self.length(bytes)? != bytes.len() {
            return Err(FormatError::length(self.what));
        }
        let (before, tag) = bytes
            .split_last_chunk::<MAC_BYTES>()
            .ok_or(FormatError::length(self.what))?;
        if !equal(&mac(before), tag) {
            return Err(FormatError::new(FormatErrorKind::BadChecksum, self.what));
        }
        Ok(Reader::new(&before[HEADER_BYTES..], self.what))
    }

    /// As [`open`](Self::open), of something at the front of `bytes`; with its length.
    pub(crate) fn open_front<'a>(
        &self,
        bytes: &'a [u8],
        most: usize,
        mac: Mac<'_>,
    ) -> Result<(Reader<'a>, usize)> {
        if bytes.len() < HEADER_BYTES {
            return Err(need_more(HEADER_BYTES, self.what));
        }
        let length = self.length(bytes)?;
        if length > most {
            return Err(FormatError::length(self.what));
        }
        let front = bytes.get(..length).ok_or(need_more(length, self.what))?;
        Ok((self.open(front, mac)?, length))
    }

    /// Checks the checksum of a format with MAC and checksum; gives its fields and the MAC,
    /// which the caller has yet to verify.
    pub(crate) fn open_unverified<'a>(
        &self,
        bytes: &'a [u8],
    ) -> Result<(Reader<'a>, [u8; MAC_BYTES])> {
        if self.length(bytes)? != bytes.len() {
            return Err(FormatError::length(self.what));
        }
        let (before, crc) = bytes
            .split_last_chunk::<CRC_BYTES>()
            .ok_or(FormatError::length(self.what))?;
        if crc32c(before).to_le_bytes() != *crc {
            return Err(FormatError::new(FormatErrorKind::BadChecksum, self.what));
        }
        let (signed, tag) = before
            .split_last_chunk::<MAC_BYTES>()
            .ok_or(FormatError::length(self.what))?;
        let fields = signed
            .get(HEADER_BYTES..)
            .ok_or(FormatError::length(self.what))?;
        Ok((Reader::new(fields, self.what), *tag))
    }
}

fn need_more(bytes: usize, what: &'static str) -> FormatError {
    let bytes = bytes as u64;
    FormatError::new(FormatErrorKind::NeedMore { bytes }, what)
}

/// Compares MACs in a time that does not depend on where they differ.
pub(crate) fn equal(one: &[u8; MAC_BYTES], other: &[u8; MAC_BYTES]) -> bool {
    u128::from_le_bytes(*one) == u128::from_le_bytes(*other)
}

/// Verifies a MAC that [`Envelope::open_unverified`] gave.
pub(crate) fn verify(
    signed: &[u8],
    tag: &[u8; MAC_BYTES],
    mac: Mac<'_>,
    what: &'static str,
) -> Result<()> {
    if equal(&mac(signed), tag) {
        Ok(())
    } else {
        Err(FormatError::new(FormatErrorKind::BadChecksum, what))
    }
}
