//! Reads a cut from the journal: groups in order, every byte verified. Blocks.
//!
//! Owns: reading ahead, the walk over groups. Does not own: what is kept of a record (`cut`).
//!
//! Extents are read in large pieces into one buffer, where the payload stays until it is sealed:
//! small writes make small groups, and one call for each would cost more than all the rest.

use std::io;

use vpool_format::Seq;
use vpool_format::journal::{GroupHeader, RecordKind};

use super::cut::{Cut, CutBuilder};
use crate::error::{Error, ErrorKind, Result, io as io_error};
use crate::journal::scan::open_payload;
use crate::journal::{Journal, SlotIndex, Span};
use crate::limits::{BLOCK, Tuning};

/// Blocks of the first piece that is read of an extent; each further one is twice as long, up to
/// [`AHEAD_MAX`].
const AHEAD_MIN: u32 = 16;
/// 1 MiB.
const AHEAD_MAX: u32 = 256;

/// Where the packer goes on in the journal.
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    slot: SlotIndex,
    check: u64,
    block: u32,
    group: u64,
}

/// A cut that was read, and where the next one begins.
#[derive(Debug)]
pub struct ReadCut {
    /// The cut.
    pub cut: Cut,
    /// Where the next one goes on.
    pub cursor: Option<Cursor>,
    /// What it took of the journal, as [`Shipping`](crate::vdisk::shipping::Shipping) counts.
    pub journal_bytes: u64,
}

/// Reads groups from the journal until a cut is full or `last` is reached; some `unpacked_bytes`
/// are to be expected. Blocks.
pub fn read_cut(
    journal: &Journal,
    spans: &[Span],
    cursor: Option<Cursor>,
    packed: Seq,
    last: Seq,
    unpacked_bytes: u64,
    tuning: &Tuning,
) -> Result<ReadCut> {
    let mut builder = CutBuilder::default();
    // Some room for descriptors; many small groups make it grow.
    let likely = unpacked_bytes.min(tuning.cut_bytes) * 17 / 16 + (AHEAD_MAX as u64) * BLOCK as u64;
    let mut buffer = Vec::with_capacity(usize::try_from(likely).expect("some MiB"));
    let mut taken_blocks = 0;
    let mut reached = packed;
    let mut after = cursor;
    let mut journal_bytes = 0;
    'spans: for span in spans {
        let (mut block, mut group) = match cursor {
            Some(at)
                if at.slot == span.slot
                    && at.check == span.check
                    && at.block >= span.first_block =>
            {
                (at.block, at.group)
            }
            _ => (span.first_block, span.first_group),
        };
        let mut ahead = Ahead::new(journal, span, block, &mut buffer);
        while reached < span.last.min(last) {
            // Descriptors are in memory too: of small records, or such without payload, they are
            // the most of it.
            if builder.is_full(tuning.cut_bytes)
                || taken_blocks * BLOCK as u64 >= 2 * tuning.cut_bytes
            {
                break 'spans;
            }
            let found = ahead
                .group(block, group)
                .map_err(|error| io_error("read the journal to pack it", &error))?;
            let Some((header, mut at)) = found else {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "journal extent {}, block {block}: a record that is not in the store yet is \
                         not what was written; check the SSD and restart, which tells what is lost",
                        span.slot
                    ),
                ));
            };
            let mut is_taken = false;
            for record in &header.records {
                let blocks = record.payload_blocks() as usize;
                if record.seq > packed && record.seq <= last {
                    is_taken |= builder.push(record, header.wall_ms, at);
                    journal_bytes += match record.kind {
                        RecordKind::Write => (blocks * BLOCK) as u64,
                        RecordKind::Discard | RecordKind::WriteZeroes => 32,
                        _ => 0,
                    };
                }
                at += blocks * BLOCK;
            }
            // (A cut of nothing but records about the log would be no segment: it goes on.)
            taken_blocks += if is_taken {
                u64::from(header.blocks())
            } else {
                0
            };
            block += header.blocks();
            group += 1;
            reached = reached.max(header.last_seq);
            after = Some(Cursor {
                slot: span.slot,
                check: span.check,
                block,
                group,
            });
        }
    }
    Ok(ReadCut {
        cut: builder.finish(reached, buffer),
        cursor: after,
        journal_bytes,
    })
}

/// The groups of one extent, read ahead to the end of a buffer.
struct Ahead<'a> {
    journal: &'a Journal,
    span: &'a Span,
    buffer: &'a mut Vec<u8>,
    /// Where `first` is in the buffer.
    start: usize,
    first: u32,
    /// The block after the last that was read.
    end: u32,
    next: u32,
}

impl<'a> Ahead<'a> {
    fn new(journal: &'a Journal, span: &'a Span, first: u32, buffer: &'a mut Vec<u8>) -> Self {
        Ahead {
            journal,
            span,
            start: buffer.len(),
            buffer,
            first,
            end: first,
            next: AHEAD_MIN,
        }
    }

    /// The descriptor of the group at `block`, and where its payload is in the buffer, opened;
    /// `None` if there is no valid group of this use of the extent with this number. Each group
    /// can be had once.
    fn group(&mut self, block: u32, number: u64) -> io::Result<Option<(GroupHeader, usize)>> {
        if !self.reach(block + 1)? {
            return Ok(None);
        }
        let at = self.position(block);
        let descriptor = &self.buffer[at..at + BLOCK];
        let Ok(header) = GroupHeader::decode(descriptor, Some(self.span.check)) else {
            return Ok(None);
        };
        if header.number != number || !self.reach(block + header.blocks())? {
            return Ok(None);
        }
        let (from, to) = (at + BLOCK, self.position(block + header.blocks()));
        let whole = open_payload(&header, self.span, block, &mut self.buffer[from..to]);
        Ok(whole.then_some((header, from)))
    }

    fn position(&self, block: u32) -> usize {
        self.start + (block - self.first) as usize * BLOCK
    }

    /// Reads up to before `end`; `false` if the extent ends before.
    fn reach(&mut self, end: u32) -> io::Result<bool> {
        let blocks = self.journal.extent_blocks();
        if end > blocks {
            return Ok(false);
        }
        if end > self.end {
            let to = end.max(self.end + self.next).min(blocks);
            self.next = (2 * self.next).min(AHEAD_MAX);
            // A bad sector in what nobody asked for is nobody's trouble.
            match self.read_to(to) {
                Err(error) if to > end => {
                    tracing::debug!(%error, slot = self.span.slot, end, to, "read ahead");
                    self.read_to(end)?;
                }
                read => read?,
            }
        }
        Ok(true)
    }

    fn read_to(&mut self, to: u32) -> io::Result<()> {
        let (at, length) = (self.position(self.end), self.position(to));
        self.buffer
            .reserve_exact(length.saturating_sub(self.buffer.len()));
        self.buffer.resize(length, 0);
        let offset = self.journal.offset(self.span.slot, self.end);
        self.journal
            .file()
            .read_at(&mut self.buffer[at..], offset)?;
        self.end = to;
        Ok(())
    }
}
