//! A chunk's address, hint and size in 24 bytes of memory.
//!
//! Owns: [`Packed`]. Does not own: anything that leaves memory; the layout on disk is
//! `vpool_format::map`'s.
//!
//! `ChunkAddress` and `Hint` as they are take 28 bytes and an alignment of 8. Millions of them
//! are held between two checkpoints; packing spares a third. Nothing is lost: every field
//! keeps its full width.

use vpool_format::map::{ChunkAddress, Hint};
use vpool_format::segment::Codec;
use vpool_format::{SegmentNo, Slot, StreamNo};

/// Address and hint of a chunk, with one byte to spare for the user (`extra`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed {
    stream: u32,
    segment: [u32; 2],
    offset: u32,
    stored_bytes: u32,
    slot: u16,
    codec: Codec,
    /// What the user keeps beside them.
    pub(crate) extra: u8,
}

const _: () = assert!(size_of::<Packed>() == 24 && align_of::<Packed>() == 4);

impl Packed {
    /// Packs a chunk's address and hint.
    pub(crate) fn new(address: &ChunkAddress, hint: &Hint, extra: u8) -> Packed {
        Packed {
            stream: address.stream.0,
            segment: halves(address.segment.0),
            offset: hint.offset,
            stored_bytes: hint.stored_bytes,
            slot: address.slot.0,
            codec: hint.codec,
            extra,
        }
    }

    /// Packs a bare number in the place of an address.
    pub(crate) fn number(number: u64) -> Packed {
        Packed {
            stream: 0,
            segment: halves(number),
            offset: 0,
            stored_bytes: 0,
            slot: 0,
            codec: Codec::Raw,
            extra: 0,
        }
    }

    /// The number packed by [`Packed::number`].
    pub(crate) fn as_number(&self) -> u64 {
        u64::from(self.segment[0]) | u64::from(self.segment[1]) << 32
    }

    /// The chunk's address.
    pub(crate) fn address(&self) -> ChunkAddress {
        ChunkAddress {
            stream: StreamNo(self.stream),
            segment: SegmentNo(self.as_number()),
            slot: Slot(self.slot),
        }
    }

    /// The chunk's hint.
    pub(crate) fn hint(&self) -> Hint {
        Hint {
            offset: self.offset,
            stored_bytes: self.stored_bytes,
            codec: self.codec,
        }
    }
}

/// A number's low and high half.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves are what is wanted"
)]
fn halves(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}
