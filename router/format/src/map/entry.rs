//! The 24 bytes of a run or a child; a map root uses them too.
//!
//! Owns: the packing of an entry. Does not own: what entries of one node have to be to each
//! other.

use super::{Child, ChunkAddress, Hint, Run};
use crate::cursor::{Reader, Writer};
use crate::error::{FormatError, Result, ensure};
use crate::ids::{SegmentNo, Slot, StreamNo};
use crate::segment::{CHUNK_BLOCKS_MAX, Codec, STORED_BYTES_MAX};

/// The size of an entry of a node.
pub const ENTRY_BYTES: usize = 24;

/// A run, or a child spelt as the run of one block in a chunk of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(pub(crate) Run);

impl Entry {
    pub(crate) fn new(first: u8, address: ChunkAddress, hint: Hint) -> Self {
        Entry(Run {
            first,
            blocks: 1,
            address,
            chunk_first: 0,
            chunk_blocks: 1,
            hint,
        })
    }

    pub(super) fn of_child(child: &Child) -> Self {
        Entry::new(child.index, child.address, child.hint)
    }

    pub(crate) fn child(&self) -> Result<Child> {
        let Entry(run) = *self;
        let plain = run.blocks == 1 && run.chunk_first == 0 && run.chunk_blocks == 1;
        ensure(plain, "map node: child")?;
        Ok(Child {
            index: run.first,
            address: run.address,
            hint: run.hint,
        })
    }

    pub(crate) fn check(&self) -> Result<()> {
        let Entry(run) = self;
        ensure(run.first < 128 && run.blocks >= 1, "map entry: blocks")?;
        let chunk_end = usize::from(run.chunk_first) + usize::from(run.blocks);
        let chunk_blocks = usize::from(run.chunk_blocks);
        ensure(
            chunk_end <= chunk_blocks && chunk_blocks <= CHUNK_BLOCKS_MAX,
            "map entry: chunk",
        )?;
        let stored = (1..=STORED_BYTES_MAX).contains(&run.hint.stored_bytes);
        ensure(stored && run.address.segment.0 > 0, "map entry: address")
    }

    /// Writes an entry that [`check`](Self::check) accepts.
    pub(crate) fn put(&self, to: &mut Writer) {
        let Entry(run) = self;
        to.u32(run.address.stream.0);
        to.u64(run.address.segment.0);
        to.u16(run.address.slot.0);
        to.u32(run.hint.offset);
        let packed = u64::from(run.hint.stored_bytes)
            | u64::from(run.hint.codec.number()) << 17
            | u64::from(run.first) << 19
            | u64::from(run.blocks - 1) << 26
            | u64::from(run.chunk_first) << 33
            | u64::from(run.chunk_blocks - 1) << 40;
        to.bytes(&packed.to_le_bytes()[..6]);
    }

    pub(crate) fn take(from: &mut Reader<'_>) -> Result<Self> {
        let address = ChunkAddress {
            stream: StreamNo(from.u32()?),
            segment: SegmentNo(from.u64()?),
            slot: Slot(from.u16()?),
        };
        let offset = from.u32()?;
        let mut packed = [0; 8];
        packed[..6].copy_from_slice(from.bytes(6)?);
        let packed = u64::from_le_bytes(packed);
        ensure(packed >> 47 == 0, "map entry: unused bit")?;
        let seven =
            |shift: u32| u8::try_from(packed >> shift & 0x7f).expect("seven bits fit a byte");
        let codec = u8::try_from(packed >> 17 & 3)
            .ok()
            .and_then(Codec::from_number);
        let stored = u32::try_from(packed & u64::from(STORED_BYTES_MAX)).expect("17 bits");
        let hint = Hint {
            offset,
            stored_bytes: stored,
            codec: codec.ok_or(FormatError::value("map entry: codec"))?,
        };
        let entry = Entry(Run {
            first: seven(19),
            blocks: seven(26) + 1,
            address,
            chunk_first: seven(33),
            chunk_blocks: seven(40) + 1,
            hint,
        });
        entry.check()?;
        Ok(entry)
    }
}
