//! A vDisk's own log: gives sequences, gathers writes into groups, appends them to extents.
//!
//! Owns: the next sequence, the current extent, the list of extents that hold this vDisk's
//! unshipped records ([`Span`]). Does not own: the overlay, durability ([`super::file`]), locks
//! (the vDisk holds one around it).
//!
//! A group is one descriptor block and its payload, written by one call. Payload is taken from
//! the caller's buffers as it is: one copy, into the page cache.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use parking_lot::Mutex;
use vpool_format::journal::{ExtentHeader, GroupEncoder, RecordHeader, RecordKind, crc32c, fits};
use vpool_format::{DiskId, Epoch, Seq, StreamUid};
use vpool_seal::{DiskKeys, ExtentKey};

use super::file::{Journal, SlotIndex, Taken};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;

/// One change that is to be logged. `payload` is empty for discards and zeroes; for a write its
/// length is `length`.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What it is.
    pub kind: RecordKind,
    /// The first byte of the disk that it concerns (for a resize: the new size).
    pub offset: u64,
    /// How many bytes of the disk.
    pub length: u64,
    /// What is written.
    pub payload: &'a [u8],
}

/// A piece of a logged write: at most a block of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedBlock {
    /// Where it begins on the disk, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
    /// Its sequence.
    pub seq: Seq,
    /// Where its bytes are; `None` for a discard or zeroes.
    pub at: Option<BlockAt>,
}

/// A block of the journal and what its bytes must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockAt {
    /// The extent.
    pub slot: SlotIndex,
    /// The block in the extent.
    pub block: u32,
    /// CRC-32C of the block as it is on the SSD.
    pub crc: u32,
}

/// How the blocks of one use of an extent are encrypted, with the tags that prove them.
#[derive(Debug)]
pub struct ExtentSeal {
    key: ExtentKey,
    tags: Mutex<Vec<[u8; 16]>>,
}

impl ExtentSeal {
    /// The seal of an extent of `blocks` blocks.
    pub fn new(key: ExtentKey, blocks: u32) -> Self {
        ExtentSeal {
            key,
            tags: Mutex::new(vec![[0; 16]; blocks as usize]),
        }
    }

    /// Remembers the tag of a block.
    pub fn set_tag(&self, block: u32, tag: [u8; 16]) {
        self.tags.lock()[block as usize] = tag;
    }

    /// Opens a block in place; `false` if it is not what was sealed.
    pub fn open(&self, block: u32, bytes: &mut [u8]) -> bool {
        let tag = self.tags.lock()[block as usize];
        self.key.open_block(block, bytes, &tag).is_ok()
    }

    fn seal(&self, block: u32, bytes: &mut [u8]) -> [u8; 16] {
        let tag = self.key.seal_block(block, bytes);
        self.set_tag(block, tag);
        tag
    }
}

/// A part of an extent that holds records of this vDisk which are not in the store yet.
#[derive(Debug, Clone)]
pub struct Span {
    /// The extent.
    pub slot: SlotIndex,
    /// What every group of this use of it repeats.
    pub check: u64,
    /// How its blocks are sealed, if they are.
    pub seal: Option<Arc<ExtentSeal>>,
    /// The block of its first group.
    pub first_block: u32,
    /// The number of that group.
    pub first_group: u64,
    /// The first sequence in it; one above `last` while it is empty.
    pub first: Seq,
    /// The last sequence in it that counts.
    pub last: Seq,
}

/// The log of one opening of a vDisk.
#[derive(Debug)]
pub struct Log {
    journal: Arc<Journal>,
    disk: DiskId,
    uid: StreamUid,
    epoch: Epoch,
    keys: Arc<DiskKeys>,
    last: Seq,
    wall_ms: u64,
    extent_number: u64,
    spans: VecDeque<Span>,
    current: Option<Current>,
    /// The use of an extent that holds the newest frontier: it stays until a newer one is logged.
    frontier_in: Option<u64>,
    shut: bool,
    /// The disk is gone: no extent is taken any more, not even by a task that still runs.
    gone: bool,
}

#[derive(Debug)]
struct Current {
    block: u32,
    group: u64,
    /// Takes control records only.
    reserved: bool,
}

/// What [`Log::append`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// That many changes are logged whole.
    pub changes: usize,
    /// And so many bytes of the next.
    pub bytes_of_next: u64,
}

impl Log {
    /// A log that goes on after `last`, with what recovery found still to be shipped.
    #[expect(
        clippy::too_many_arguments,
        reason = "what recovery found, put together once"
    )]
    pub fn new(
        journal: Arc<Journal>,
        disk: DiskId,
        uid: StreamUid,
        epoch: Epoch,
        keys: Arc<DiskKeys>,
        last: Seq,
        wall_ms: u64,
        spans: VecDeque<Span>,
    ) -> Self {
        Log {
            journal,
            disk,
            uid,
            epoch,
            keys,
            last,
            wall_ms,
            extent_number: 0,
            spans,
            current: None,
            frontier_in: None,
            shut: false,
            gone: false,
        }
    }

    /// The sequence of the newest record.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// The parts of extents that hold what is not shipped, in order.
    pub fn spans(&self) -> &VecDeque<Span> {
        &self.spans
    }

    /// Bytes of journal that this vDisk holds.
    pub fn held_bytes(&self) -> u64 {
        self.spans.len() as u64 * u64::from(self.journal.extent_blocks()) * limits::BLOCK as u64
    }

    /// The seal of an extent in use.
    pub fn seal_of(&self, slot: SlotIndex) -> Option<Arc<ExtentSeal>> {
        let span = self.spans.iter().rev().find(|span| span.slot == slot)?;
        span.seal.clone()
    }

    /// Logs changes, in order, as far as there is room. Each placed piece goes to `placed`, in
    /// order, after its group has been written. Bytes written are acknowledged by that: they
    /// outlive the process.
    pub fn append(
        &mut self,
        changes: &[Change<'_>],
        done_bytes: u64,
        durable: Seq,
        placed: &mut Vec<PlacedBlock>,
    ) -> Result<Progress> {
        let mut progress = Progress {
            changes: 0,
            bytes_of_next: done_bytes,
        };
        self.check_open()?;
        self.journal.check_healthy()?;
        while progress.changes < changes.len() {
            let before = progress;
            if self
                .current
                .as_ref()
                .is_some_and(|current| !current.reserved)
            {
                self.append_group(changes, &mut progress, durable, false, placed)?;
            }
            // No room for even one block of data: the next extent is taken. If there is none, the
            // present one stays current: its last blocks are for the frontier.
            if progress == before && !self.next_extent(false)? {
                break;
            }
        }
        Ok(progress)
    }

    /// Logs a record about the log itself (base, frontier, mark), which takes no sequence.
    /// `false` if there is no room, although some is kept for these.
    pub fn append_control(&mut self, kind: RecordKind, body: &[u8], durable: Seq) -> Result<bool> {
        self.journal.check_healthy()?;
        if self.current.is_none() && !self.next_extent(true)? {
            return Ok(false);
        }
        let change = Change {
            kind,
            offset: 0,
            length: 0,
            payload: body,
        };
        let mut progress = Progress {
            changes: 0,
            bytes_of_next: 0,
        };
        self.append_group(&[change], &mut progress, durable, true, &mut Vec::new())?;
        if progress.changes == 1 {
            self.note_frontier(kind);
            return Ok(true);
        }
        if !self.next_extent(true)? {
            return Ok(false);
        }
        self.append_group(&[change], &mut progress, durable, true, &mut Vec::new())?;
        if progress.changes == 1 {
            self.note_frontier(kind);
        }
        Ok(progress.changes == 1)
    }

    fn note_frontier(&mut self, kind: RecordKind) {
        if kind == RecordKind::Frontier {
            self.frontier_in = self.spans.back().map(|span| span.check);
        }
    }

    /// Forgets what is shipped up to `seq`. Returns the extents that nothing needs any more.
    pub fn trim(&mut self, seq: Seq) -> Vec<SlotIndex> {
        let mut freed = Vec::new();
        let keep_last = usize::from(self.current.is_some());
        while self.spans.len() > keep_last
            && self.spans[0].last <= seq
            && self.frontier_in != Some(self.spans[0].check)
        {
            let span = self.spans.pop_front().expect("not empty");
            if !self.spans.iter().any(|other| other.slot == span.slot) {
                freed.push(span.slot);
            }
        }
        freed
    }

    /// Ends the log: gives back all extents. Only when all of it is shipped.
    pub fn close(&mut self) -> Vec<SlotIndex> {
        self.current = None;
        self.frontier_in = None;
        self.trim(self.last)
    }

    /// Ends the log of a disk that is gone, whatever is in it.
    pub fn abandon(&mut self) -> Vec<SlotIndex> {
        self.gone = true;
        self.current = None;
        self.frontier_in = None;
        self.trim(Seq(u64::MAX))
    }

    /// Refuses all further changes: the log is being closed.
    pub fn shut(&mut self) {
        self.shut = true;
    }

    fn check_open(&self) -> Result<()> {
        if self.shut {
            let what = format!("disk {} is being closed", self.disk);
            return Err(Error::new(ErrorKind::ShuttingDown, what));
        }
        Ok(())
    }

    /// Goes on in a new extent; `false` if there is none.
    fn next_extent(&mut self, control: bool) -> Result<bool> {
        if self.gone {
            let what = format!("disk {} is gone", self.disk);
            return Err(Error::new(ErrorKind::ShuttingDown, what));
        }
        let Some(Taken {
            slot,
            lap,
            reserved,
        }) = self.journal.take(control)
        else {
            return Ok(false);
        };
        let salt: [u8; 32] = self.journal.host().entropy.array();
        let key = self.keys.extent(&salt);
        let header = ExtentHeader {
            pool: self.journal.pool(),
            disk: self.disk,
            uid: self.uid,
            epoch: self.epoch,
            number: self.extent_number,
            lap,
            salt,
            sealed: key.is_some(),
            first_seq: Seq(self.last.0 + 1),
        };
        let block = header.encode();
        self.journal
            .write(&[IoSlice::new(&block), IoSlice::new(&block)], slot, 0)?;
        self.extent_number += 1;
        let blocks = self.journal.extent_blocks();
        self.spans.push_back(Span {
            slot,
            check: header.check(),
            seal: key.map(|key| Arc::new(ExtentSeal::new(key, blocks))),
            first_block: limits::FIRST_GROUP_BLOCK,
            first_group: 0,
            first: Seq(self.last.0 + 1),
            last: self.last,
        });
        self.current = Some(Current {
            block: limits::FIRST_GROUP_BLOCK,
            group: 0,
            reserved,
        });
        Ok(true)
    }

    /// Writes one group: as many changes, or as much of one, as fits.
    fn append_group(
        &mut self,
        changes: &[Change<'_>],
        progress: &mut Progress,
        durable: Seq,
        control: bool,
        placed: &mut Vec<PlacedBlock>,
    ) -> Result<()> {
        static PADDING: [u8; limits::BLOCK] = [0; limits::BLOCK];
        let (block, group, reserved) = {
            let current = self.current.as_ref().expect("there is an extent");
            (current.block, current.group, current.reserved)
        };
        let end = self.journal.extent_blocks() - if control { 0 } else { limits::CONTROL_BLOCKS };
        let span = self.spans.back().expect("the current extent");
        let (slot, seal) = (span.slot, span.seal.clone());
        let room = end
            .saturating_sub(block + 1)
            .min(limits::GROUP_PAYLOAD_BLOCKS);
        if block + 1 > end {
            return Ok(());
        }
        self.wall_ms = self.wall_ms.max(self.journal.host().clock.wall_ms());

        let mut descriptor = [0u8; limits::BLOCK];
        let mut encoder = GroupEncoder::new(
            &mut descriptor,
            span.check,
            group,
            durable,
            self.wall_ms,
            seal.is_some(),
        );
        let mut parts: Vec<IoSlice<'_>> = Vec::with_capacity(changes.len() + 2);
        let mut sealed = Vec::new();
        let (mut seq, mut used, mut records) = (self.last, 0u32, 0usize);
        let placed_before = placed.len();
        let mut after = *progress;
        while after.changes < changes.len() {
            let change = &changes[after.changes];
            let Some(piece) = next_piece(
                change,
                after.bytes_of_next,
                records,
                used,
                room,
                seal.is_some(),
            ) else {
                break;
            };
            if !control {
                seq = Seq(seq.0 + 1);
            }
            encoder.push(RecordHeader {
                kind: change.kind,
                seq,
                offset: if change.kind == RecordKind::Resize {
                    change.offset
                } else {
                    change.offset + after.bytes_of_next
                },
                length: if change.kind == RecordKind::Write {
                    piece.disk_bytes
                } else {
                    change.length
                },
                payload_bytes: u32::try_from(piece.payload.len()).expect("at most a group"),
            });
            records += 1;
            let mut at = change.offset + after.bytes_of_next;
            for bytes in piece.payload.chunks(limits::BLOCK) {
                let index = block + 1 + used;
                let crc = if let Some(seal) = &seal {
                    let mut buffer = Box::new([0u8; limits::BLOCK]);
                    buffer[..bytes.len()].copy_from_slice(bytes);
                    let tag = seal.seal(index, &mut buffer[..]);
                    encoder.tag(tag);
                    let crc = crc32c(&buffer[..]);
                    sealed.push(buffer);
                    crc
                } else if bytes.len() == limits::BLOCK {
                    crc32c(bytes)
                } else {
                    let mut padded = [0u8; limits::BLOCK];
                    padded[..bytes.len()].copy_from_slice(bytes);
                    crc32c(&padded)
                };
                encoder.checksum(crc);
                if change.kind == RecordKind::Write {
                    placed.push(PlacedBlock {
                        offset: at,
                        length: bytes.len() as u64,
                        seq,
                        at: Some(BlockAt {
                            slot,
                            block: index,
                            crc,
                        }),
                    });
                }
                at += bytes.len() as u64;
                used += 1;
            }
            if seal.is_none() && !piece.payload.is_empty() {
                parts.push(IoSlice::new(piece.payload));
                let rest = piece.payload.len() % limits::BLOCK;
                if rest != 0 {
                    parts.push(IoSlice::new(&PADDING[rest..]));
                }
            }
            if matches!(change.kind, RecordKind::Discard | RecordKind::WriteZeroes) {
                placed.push(PlacedBlock {
                    offset: change.offset,
                    length: change.length,
                    seq,
                    at: None,
                });
            }
            after.bytes_of_next += piece.disk_bytes;
            if after.bytes_of_next >= change.length {
                after = Progress {
                    changes: after.changes + 1,
                    bytes_of_next: 0,
                };
            }
        }
        if records == 0 {
            return Ok(());
        }
        encoder.finish(Seq(self.last.0 + 1), seq);
        let mut vectors = Vec::with_capacity(parts.len() + sealed.len() + 1);
        vectors.push(IoSlice::new(&descriptor));
        vectors.extend(parts);
        vectors.extend(sealed.iter().map(|buffer| IoSlice::new(&buffer[..])));
        if let Err(error) = self.journal.write(&vectors, slot, block) {
            placed.truncate(placed_before);
            return Err(error);
        }
        self.journal.write_out(
            self.journal.offset(slot, block),
            u64::from(used + 1) * limits::BLOCK as u64,
        );
        self.last = seq;
        self.spans.back_mut().expect("the current extent").last = seq;
        self.current = Some(Current {
            block: block + 1 + used,
            group: group + 1,
            reserved,
        });
        *progress = after;
        Ok(())
    }
}

/// What of a change goes into the group next.
struct NextPiece<'a> {
    payload: &'a [u8],
    disk_bytes: u64,
}

fn next_piece<'a>(
    change: &Change<'a>,
    done: u64,
    records: usize,
    used: u32,
    room: u32,
    sealed: bool,
) -> Option<NextPiece<'a>> {
    if change.payload.is_empty() {
        return fits(records + 1, used as usize, sealed).then_some(NextPiece {
            payload: &[],
            disk_bytes: change.length,
        });
    }
    let done = usize::try_from(done).expect("within a slice");
    let rest = &change.payload[done..];
    let blocks = u32::try_from(rest.len().div_ceil(limits::BLOCK)).unwrap_or(u32::MAX);
    // Split only what no group could hold whole: a request stays in one group where it can.
    let mut take = blocks.min(room.saturating_sub(used));
    if take < blocks && blocks <= limits::GROUP_PAYLOAD_BLOCKS / 2 && used > 0 {
        return None;
    }
    while take > 0 && !fits(records + 1, (used + take) as usize, sealed) {
        take /= 2;
    }
    // A body of a control record is read as a whole.
    if take == 0 || (take < blocks && change.kind != RecordKind::Write) {
        return None;
    }
    let bytes = (take as usize * limits::BLOCK).min(rest.len());
    Some(NextPiece {
        payload: &rest[..bytes],
        disk_bytes: bytes as u64,
    })
}
