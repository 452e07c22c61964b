//! Reading and writing fields one after the other, little-endian.
//!
//! Owns: the bounds checks that no decoder may forget. Does not own: what the fields mean.

use crate::error::{FormatError, Result, ensure};

/// Takes fields from the front of a slice; running out is an error, never a panic.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; `what` names the format in errors.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Reader { rest: bytes, what }
    }

    /// The next `count` bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(FormatError::length(self.what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(FormatError::length(self.what))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn u128(&mut self) -> Result<u128> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// A byte that may only be 0 or 1.
    pub(crate) fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(FormatError::value(self.what)),
        }
    }

    /// `count` bytes that are kept for later and must be zero.
    pub(crate) fn zeros(&mut self, count: usize) -> Result<()> {
        ensure(self.bytes(count)?.iter().all(|byte| *byte == 0), self.what)
    }

    /// A `u32` count of things of `each` bytes, which must all be there: what is allocated
    /// for them is justified by the input.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize> {
        let count = usize::try_from(self.u32()?).map_err(|_| FormatError::length(self.what))?;
        match count.checked_mul(each) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(FormatError::length(self.what)),
        }
    }

    /// Bytes with a `u32` length in front, at most `most`.
    pub(crate) fn blob(&mut self, most: usize) -> Result<&'a [u8]> {
        let count = self.count(1)?;
        if count > most {
            return Err(FormatError::length(self.what));
        }
        self.bytes(count)
    }

    /// Text with a `u32` length in front, at most `most` bytes of UTF-8.
    pub(crate) fn text(&mut self, most: usize) -> Result<&'a str> {
        let bytes = self.blob(most)?;
        std::str::from_utf8(bytes).map_err(|_| FormatError::value(self.what))
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(FormatError::length(self.what))
        }
    }
}

/// Appends fields to a vector.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Writer {
            bytes: Vec::with_capacity(bytes),
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub(crate) fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, 0);
    }

    /// A count, as [`Reader::count`] takes it.
    pub(crate) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("what is counted is in memory and under 4 Gi"));
    }

    /// Bytes with their length in front.
    pub(crate) fn blob(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes(bytes);
    }

    /// Overwrites what was written at `offset`.
    pub(crate) fn put_at(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
