//! Reads a cut from the journal: groups in order, every byte verified. Blocks.

use vpool_format::Seq;
use vpool_format::journal::RecordKind;

use super::cut::{Cut, CutBuilder};
use crate::error::{Error, ErrorKind, Result, io as io_error};
use crate::journal::scan::read_group;
use crate::journal::{Journal, SlotIndex, Span};
use crate::limits::{BLOCK, Tuning};

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

/// Reads groups from the journal until a cut is full or `last` is reached. Blocks.
pub fn read_cut(
    journal: &Journal,
    spans: &[Span],
    cursor: Option<Cursor>,
    packed: Seq,
    last: Seq,
    tuning: &Tuning,
) -> Result<ReadCut> {
    let mut builder = CutBuilder::new();
    let mut reached = packed;
    let mut after = cursor;
    let mut journal_bytes = 0;
    let mut blocks = Vec::new();
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
        while reached < span.last.min(last) {
            if builder.is_full(tuning.cut_bytes) {
                break 'spans;
            }
            let found = read_group(journal, span, block, group)
                .map_err(|error| io_error("read the journal to pack it", &error))?;
            let Some(found) = found else {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "journal extent {}, block {block}: a record that is not in the store yet is \
                         not what was written; check the SSD and restart, which tells what is lost",
                        span.slot
                    ),
                ));
            };
            for record in found.records(span, &mut blocks) {
                if record.header.seq > packed && record.header.seq <= last {
                    builder.push(&record);
                    journal_bytes += match record.header.kind {
                        RecordKind::Write => record.blocks.len() as u64 * BLOCK as u64,
                        RecordKind::Discard | RecordKind::WriteZeroes => 32,
                        _ => 0,
                    };
                }
            }
            block += found.header.blocks();
            group += 1;
            reached = reached.max(found.header.last_seq);
            after = Some(Cursor {
                slot: span.slot,
                check: span.check,
                block,
                group,
            });
        }
    }
    Ok(ReadCut {
        cut: builder.finish(reached),
        cursor: after,
        journal_bytes,
    })
}
