//! A cut of the log: for each time slot the newest bytes of every block, in address order.
//!
//! Owns: [`CutBuilder`], which is fed records in log order, and [`Cut`]. Does not own: reading
//! the journal, sealing.
//!
//! A block that the cut holds only in part is filled up with what was there before the cut,
//! and with nothing newer: the content of a segment is a state of the log (P1).

use std::collections::BTreeMap;

use vpool_format::Seq;
use vpool_format::journal::{RecordHeader, RecordKind};
use vpool_format::segment::CUTS_MAX;

use crate::limits::{self, BLOCK};
use crate::ranges::{Piece, Ranges, Source};

/// A range makes three chunks at most (a head and a tail that are filled, a hole between).
const RANGES_MAX: usize = 20_000;
/// A group makes one time slot at most.
const SLOTS_MAX: usize = CUTS_MAX - 1;
const _: () = assert!((RANGES_MAX + 1024) * 3 < vpool_format::segment::SLOTS_MAX as usize);

/// Where the bytes of a range in a cut are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutSource {
    /// In the cut's buffer, from this byte on.
    Bytes(usize),
    /// Zeroes, written as such.
    Zero,
    /// Discarded: zeroes that take no space.
    Discard,
}

impl Source for CutSource {
    fn advanced(self, bytes: u64) -> Self {
        match self {
            CutSource::Bytes(at) => {
                CutSource::Bytes(at + usize::try_from(bytes).expect("within a buffer"))
            }
            other => other,
        }
    }
}

/// What one time slot of a cut changed.
#[derive(Debug, Default)]
pub struct Slot {
    /// The newest bytes.
    pub ranges: Ranges<CutSource>,
    /// The last sequence in it.
    pub last: Seq,
    /// The wall clock's label of its last record.
    pub wall_ms: u64,
}

/// A block that a slot holds only in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartialBlock {
    /// The index of the slot in the cut.
    pub slot: usize,
    /// The block.
    pub block: u64,
}

/// Gathers records. Their payload stays where it was read to: in a buffer that the cut is given
/// at its end.
#[derive(Debug, Default)]
pub struct CutBuilder {
    first: Option<Seq>,
    slots: Vec<Slot>,
    payload_bytes: u64,
    slot_of: Option<u64>,
    size: Option<u64>,
}

impl CutBuilder {
    /// Whether the cut has its bytes, or as many ranges or time slots as one segment may hold
    /// once the next group (of at most [`limits::GROUP_PAYLOAD_BLOCKS`] records) is in it.
    pub fn is_full(&self, bytes: u64) -> bool {
        let ranges: usize = self.slots.iter().map(|slot| slot.ranges.len()).sum();
        self.payload_bytes >= bytes || ranges >= RANGES_MAX || self.slots.len() >= SLOTS_MAX
    }

    /// Adds a record, which follows the one before, with the label of its group. Its payload is
    /// in the buffer from `at` on. Records about the log itself are passed over: `false`.
    pub fn push(&mut self, header: &RecordHeader, wall_ms: u64, at: usize) -> bool {
        let source = match header.kind {
            RecordKind::Write => CutSource::Bytes(at),
            RecordKind::Discard => CutSource::Discard,
            RecordKind::WriteZeroes => CutSource::Zero,
            RecordKind::Resize => {
                self.size = Some(header.offset);
                self.first.get_or_insert(header.seq);
                return true;
            }
            _ => return false,
        };
        if header.kind == RecordKind::Write {
            self.payload_bytes += u64::from(header.payload_bytes);
        }
        let label = wall_ms / limits::SLOT_MS;
        if self.slot_of != Some(label) || self.slots.is_empty() {
            self.slot_of = Some(label);
            self.slots.push(Slot::default());
        }
        let slot = self.slots.last_mut().expect("one was pushed");
        slot.ranges.insert(header.offset, header.length, source);
        slot.last = header.seq;
        slot.wall_ms = slot.wall_ms.max(wall_ms);
        self.first.get_or_insert(header.seq);
        true
    }

    /// Ends the cut at `last`, the position of the log after the last group that was read into
    /// `buffer`.
    pub fn finish(mut self, last: Seq, buffer: Vec<u8>) -> Cut {
        if let Some(slot) = self.slots.last_mut() {
            slot.last = last;
        }
        Cut {
            first: self.first,
            last,
            slots: self.slots,
            payload_bytes: self.payload_bytes,
            size: self.size,
            buffer,
        }
    }
}

/// A cut of the log, ready to be sealed once its partial blocks are filled.
#[derive(Debug)]
pub struct Cut {
    /// The first sequence that changed the disk; `None` if nothing did.
    pub first: Option<Seq>,
    /// The log's position after the cut.
    pub last: Seq,
    /// What changed, per time slot, oldest first.
    pub slots: Vec<Slot>,
    /// The newest size set in it.
    pub size: Option<u64>,
    payload_bytes: u64,
    buffer: Vec<u8>,
}

impl Cut {
    /// The blocks that need older bytes, in order: those of a slot that are neither whole in
    /// it nor whole in an earlier slot of the same cut.
    pub fn partial_blocks(&self) -> Vec<PartialBlock> {
        let mut partial = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let mut covered: BTreeMap<u64, u64> = BTreeMap::new();
            for (start, length, _) in slot.ranges.iter() {
                let end = start + length;
                for block in edge_blocks(start, end) {
                    let from = start.max(block * BLOCK as u64);
                    let to = end.min((block + 1) * BLOCK as u64);
                    *covered.entry(block).or_default() += to - from;
                }
            }
            let edges = covered
                .into_iter()
                .filter(|(_, bytes)| *bytes < BLOCK as u64);
            partial.extend(edges.map(|(block, _)| PartialBlock { slot: index, block }));
        }
        partial
    }

    /// Fills `out` with what slot `index` and the slots before it hold of `block`; `base` is
    /// what was there before the cut.
    pub fn fill(&self, index: usize, block: u64, base: &[u8], out: &mut [u8; BLOCK]) {
        out.copy_from_slice(base);
        for slot in &self.slots[..=index] {
            self.overlay(slot, block, out);
        }
    }

    /// Fills `out` with what slot `index` alone holds of `block`, which is whole in it.
    pub fn fill_from_slot(&self, index: usize, block: u64, out: &mut [u8; BLOCK]) {
        self.overlay(&self.slots[index], block, out);
    }

    /// Bytes of payload, to size buffers by.
    pub fn bytes_hint(&self) -> usize {
        usize::try_from(self.payload_bytes).expect("it is in memory")
    }

    fn overlay(&self, slot: &Slot, block: u64, out: &mut [u8; BLOCK]) {
        let start = block * BLOCK as u64;
        let mut pieces: Vec<Piece<CutSource>> = Vec::new();
        slot.ranges
            .pieces(start..start + BLOCK as u64, usize::MAX, &mut pieces);
        for piece in pieces {
            let at = usize::try_from(piece.start - start).expect("within a block");
            let length = usize::try_from(piece.length).expect("within a block");
            match piece.source {
                Some(CutSource::Bytes(from)) => {
                    out[at..at + length].copy_from_slice(self.bytes(from, length));
                }
                Some(CutSource::Zero | CutSource::Discard) => out[at..at + length].fill(0),
                None => {}
            }
        }
    }

    /// A block of the buffer.
    pub fn block(&self, from: usize) -> &[u8; BLOCK] {
        let bytes = self.bytes(from, BLOCK);
        bytes.first_chunk().expect("as long as a block")
    }

    /// Bytes of the buffer.
    pub fn bytes(&self, from: usize, length: usize) -> &[u8] {
        &self.buffer[from..from + length]
    }
}

/// The first and last block of a byte range, if the range does not fill them.
fn edge_blocks(start: u64, end: u64) -> impl Iterator<Item = u64> {
    let first = start / BLOCK as u64;
    let last = (end - 1) / BLOCK as u64;
    // Interior blocks are whole. A range within one block has one edge.
    let head = Some(first);
    let tail = (last != first).then_some(last);
    head.into_iter().chain(tail)
}
