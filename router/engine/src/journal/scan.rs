//! Reads a stream's records back from its extents, in the order of the log.
//!
//! Owns: walking groups, checking every byte, telling a torn tail from damage. Does not own:
//! what is done with the records (recovery, the packer).
//!
//! The rule (DESIGN §3): a group repeats up to where the log was known durable. What is bad at
//! or below such a mark in any later valid group is damage; beyond the last mark it is a torn
//! tail and is cut off. What the newest frontier covers is in the store and not missed here.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use vpool_format::Seq;
use vpool_format::journal::{
    ExtentHeader, Frontier, GroupHeader, RecordHeader, RecordKind, crc32c,
};
use vpool_seal::DiskKeys;

use super::file::{FoundExtent, Journal};
use super::log::{BlockAt, ExtentSeal, Span};
use crate::error::{Error, ErrorKind, Result, io as io_error};
use crate::limits;
use crate::name::Label;

/// A record as it was found, with where its payload is.
#[derive(Debug)]
pub struct Found<'a> {
    /// The record.
    pub header: RecordHeader,
    /// The wall clock's label of its group.
    pub wall_ms: u64,
    /// The blocks of its payload.
    pub blocks: &'a [BlockAt],
    /// Its payload, opened, padded to whole blocks.
    pub payload: &'a [u8],
}

/// Records that must be there and are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The first sequence lost.
    pub first: Seq,
    /// The last.
    pub last: Seq,
}

/// One group, checked.
#[derive(Debug)]
pub struct Group {
    /// Its descriptor.
    pub header: GroupHeader,
    /// The payload, opened.
    pub payload: Vec<u8>,
    /// Where its descriptor is.
    pub block: u32,
}

impl Group {
    /// The records with their payload.
    pub fn records<'a>(&'a self, span: &Span, blocks: &'a mut Vec<BlockAt>) -> Vec<Found<'a>> {
        blocks.clear();
        for (index, crc) in self.header.checksums.iter().enumerate() {
            let index = u32::try_from(index).expect("a group's blocks");
            blocks.push(BlockAt {
                slot: span.slot,
                block: self.block + 1 + index,
                crc: *crc,
            });
        }
        let mut from = 0usize;
        let mut found = Vec::with_capacity(self.header.records.len());
        for header in &self.header.records {
            let count = header.payload_blocks() as usize;
            found.push(Found {
                header: *header,
                wall_ms: self.header.wall_ms,
                blocks: &blocks[from..from + count],
                payload: &self.payload[from * limits::BLOCK..(from + count) * limits::BLOCK],
            });
            from += count;
        }
        found
    }
}

/// Reads the group whose descriptor is at `block` of the span's extent, and checks all of it.
/// `None`: there is no valid group of this use of the extent with this number.
pub fn read_group(
    journal: &Journal,
    span: &Span,
    block: u32,
    number: u64,
) -> io::Result<Option<Group>> {
    let Some(header) = read_descriptor(journal, span.slot, span.check, block)? else {
        return Ok(None);
    };
    if header.number != number || block + header.blocks() > journal.extent_blocks() {
        return Ok(None);
    }
    let mut payload = vec![0u8; header.payload_blocks as usize * limits::BLOCK];
    journal
        .file()
        .read_at(&mut payload, journal.offset(span.slot, block + 1))?;
    let whole = open_payload(&header, span, block, &mut payload);
    Ok(whole.then_some(Group {
        header,
        payload,
        block,
    }))
}

/// Checks every block of a group's payload and opens it in place; `false` if one is not what was
/// written.
pub fn open_payload(header: &GroupHeader, span: &Span, block: u32, payload: &mut [u8]) -> bool {
    for (index, bytes) in payload.chunks_exact_mut(limits::BLOCK).enumerate() {
        if header.checksums.get(index) != Some(&crc32c(bytes)) {
            return false;
        }
        if let Some(seal) = &span.seal {
            let at = block + 1 + u32::try_from(index).expect("a group's blocks");
            let Some(tag) = header.tags.get(index) else {
                return false;
            };
            seal.set_tag(at, *tag);
            if !seal.open(at, bytes) {
                return false;
            }
        }
    }
    true
}

fn read_descriptor(
    journal: &Journal,
    slot: u32,
    check: u64,
    block: u32,
) -> io::Result<Option<GroupHeader>> {
    if block >= journal.extent_blocks() {
        return Ok(None);
    }
    let mut bytes = [0u8; limits::BLOCK];
    journal
        .file()
        .read_at(&mut bytes, journal.offset(slot, block))?;
    Ok(GroupHeader::decode(&bytes, Some(check)).ok())
}

/// What [`scan`] found.
#[derive(Debug)]
pub struct Scanned {
    /// The last sequence that counts.
    pub last: Seq,
    /// The newest frontier, if one was written.
    pub frontier: Option<Frontier>,
    /// Where the records are that the frontier does not cover.
    pub spans: VecDeque<Span>,
    /// What is missing although it was durable. Empty in health.
    pub lost: Vec<Lost>,
    /// The newest wall clock label.
    pub wall_ms: u64,
    /// Contiguous stretches of sequences that are there, above the frontier.
    pub tails: Vec<(Seq, Seq)>,
}

/// Walks a stream's extents (in any order) from `after` on. `until` is the end that was fixed
/// by an earlier recovery, if there was one: everything up to it must be there, and nothing
/// after it counts. Blocks.
pub fn scan(
    journal: &Journal,
    keys: &DiskKeys,
    extents: &[FoundExtent],
    after: Seq,
    until: Option<Seq>,
) -> Result<Scanned> {
    let mut extents: Vec<&FoundExtent> = extents.iter().collect();
    extents.sort_by_key(|extent| extent.header.number);
    let mut walk = Walk {
        journal,
        stretches: Vec::new(),
        frontier: None,
        mark: Seq(0),
        wall_ms: 0,
    };
    for extent in &extents {
        walk.extent(extent, keys).map_err(|error| {
            io_error(
                format_args!(
                    "read the journal of disk {} (extent {})",
                    extent.header.disk, extent.slot
                ),
                &error,
            )
        })?;
    }
    Ok(walk.judge(after, until))
}

/// A run of valid groups one after the other in one extent.
struct Stretch {
    span: Span,
    first: Seq,
    last: Seq,
}

struct Walk<'a> {
    journal: &'a Journal,
    stretches: Vec<Stretch>,
    frontier: Option<Frontier>,
    mark: Seq,
    wall_ms: u64,
}

impl Walk<'_> {
    /// Collects the valid stretches of one extent: group by group, and where one is bad, block by
    /// block to the next that is good.
    fn extent(&mut self, extent: &FoundExtent, keys: &DiskKeys) -> io::Result<()> {
        let header: &ExtentHeader = &extent.header;
        let blocks = self.journal.extent_blocks();
        let seal = if header.sealed {
            keys.extent(&header.salt)
                .map(|key| Arc::new(ExtentSeal::new(key, blocks)))
        } else {
            None
        };
        let mut span = Span {
            slot: extent.slot,
            check: header.check(),
            seal,
            first_block: limits::FIRST_GROUP_BLOCK,
            first_group: 0,
            first: header.first_seq,
            last: Seq(header.first_seq.0 - 1),
        };
        let (mut block, mut number) = (limits::FIRST_GROUP_BLOCK, 0);
        let mut open: Option<Stretch> = None;
        while block < blocks {
            let group = match read_group(self.journal, &span, block, number)? {
                Some(group) => group,
                None => {
                    self.stretches.extend(open.take());
                    if crate::planted::is("cut-at-first-bad") {
                        break;
                    }
                    match self.find_group(&span, block, number)? {
                        Some((at, found)) => {
                            (block, number) = (at, found);
                            continue;
                        }
                        None => break,
                    }
                }
            };
            let stretch = open.get_or_insert_with(|| {
                span.first_block = block;
                span.first_group = number;
                span.first = group.header.first_seq;
                Stretch {
                    span: span.clone(),
                    first: group.header.first_seq,
                    last: Seq(group.header.first_seq.0 - 1),
                }
            });
            stretch.last = group.header.last_seq;
            stretch.span.last = group.header.last_seq;
            self.mark = self.mark.max(group.header.durable);
            self.wall_ms = self.wall_ms.max(group.header.wall_ms);
            for record in group.records(&span, &mut Vec::new()) {
                if record.header.kind == RecordKind::Frontier {
                    let body = &record.payload[..record.header.payload_bytes as usize];
                    if let Ok(frontier) = Frontier::decode(body)
                        && self
                            .frontier
                            .as_ref()
                            .is_none_or(|old| old.seq <= frontier.seq)
                    {
                        self.frontier = Some(frontier);
                    }
                }
            }
            block += group.header.blocks();
            number += 1;
        }
        self.stretches.extend(open);
        Ok(())
    }

    /// The next block with a descriptor of this use of the extent, numbered from `number` on,
    /// whose group is whole; the mark of a descriptor alone counts too.
    fn find_group(
        &mut self,
        span: &Span,
        from: u32,
        number: u64,
    ) -> io::Result<Option<(u32, u64)>> {
        for block in from..self.journal.extent_blocks() {
            let found = read_descriptor(self.journal, span.slot, span.check, block)?;
            let Some(header) = found.filter(|header| header.number >= number) else {
                continue;
            };
            self.mark = self.mark.max(header.durable);
            if read_group(self.journal, span, block, header.number)?.is_some() {
                return Ok(Some((block, header.number)));
            }
        }
        Ok(None)
    }

    /// Decides what counts.
    fn judge(mut self, after: Seq, until: Option<Seq>) -> Scanned {
        // Where an end was fixed, what counts as shipped was fixed with it.
        let newest = self.frontier.as_ref().filter(|_| until.is_none());
        let covered = newest.map_or(after, |frontier| frontier.seq.max(after));
        // Where an end was fixed, everything up to it must be there and nothing after it counts.
        let mark = until.unwrap_or(self.mark);
        let mut scanned = Scanned {
            last: covered,
            frontier: self.frontier.take(),
            spans: VecDeque::new(),
            lost: Vec::new(),
            wall_ms: self.wall_ms,
            tails: Vec::new(),
        };
        for stretch in self.stretches {
            if stretch.last <= scanned.last || until.is_some_and(|until| scanned.last >= until) {
                continue;
            }
            let expected = Seq(scanned.last.0 + 1);
            if stretch.first > expected {
                let missing = Lost {
                    first: expected,
                    last: Seq(stretch.first.0 - 1),
                };
                if expected > mark {
                    // Torn: nothing from here on was ever promised.
                    break;
                }
                scanned.lost.push(missing);
            }
            let mut span = stretch.span;
            if let Some(until) = until {
                span.last = span.last.min(until);
            }
            let first = stretch.first.max(expected);
            match scanned.tails.last_mut() {
                Some((_, last)) if last.0 + 1 == first.0 => *last = span.last,
                _ => scanned.tails.push((first, span.last)),
            }
            scanned.last = span.last;
            span.first = first;
            scanned.spans.push_back(span);
        }
        if scanned.last < mark {
            scanned.lost.push(Lost {
                first: Seq(scanned.last.0 + 1),
                last: mark,
            });
        }
        scanned
    }
}

/// The error that says what is lost and what to do.
pub fn damage(disk: &Label, lost: &[Lost], last: Seq) -> Error {
    let ranges: Vec<String> = lost
        .iter()
        .map(|lost| format!("{} to {}", lost.first, lost.last))
        .collect();
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "disk {disk} is damaged: its journal has lost flushed records {} (by sequence; the last \
             one was {last}). It stays closed. Restore the journal's SSD if you can; `vpool disk \
             repair {disk} --accept-loss` rolls it back to before the first of them",
            ranges.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests;
