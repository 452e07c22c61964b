//! Reading: plan over the index, then journal and chunks, verified before a byte is served (P7).
//!
//! Owns: pins on journal extents while they are read, read-ahead. Does not own: chunks.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use vpool_commit::SlotPin;
use vpool_format::journal::crc32c;
use vpool_map::Chunk;

use super::VDisk;
use super::index::{Index, LoggedAt, Place, Planned, chunk_place};
use crate::error::{Error, ErrorKind, Result, io as io_error};
use crate::journal::{BlockAt, ExtentSeal, SlotIndex};
use crate::limits::{self, BLOCK};

/// Keeps journal extents from being used again while a plan is read.
#[derive(Debug, Default)]
struct Pinned {
    slots: Vec<SlotIndex>,
    /// Dropped with this.
    _pins: Vec<SlotPin>,
    /// How the extents of an encrypted disk are sealed, in the order of `slots`.
    seals: Vec<Option<Arc<ExtentSeal>>>,
}

impl Pinned {
    fn seal(&self, slot: SlotIndex) -> Option<Arc<ExtentSeal>> {
        let index = self.slots.iter().position(|pinned| *pinned == slot)?;
        self.seals.get(index).cloned().flatten()
    }
}

/// Where sequential readers are, to read ahead of them.
#[derive(Debug, Default)]
pub struct Sequential {
    streams: [Reader; 4],
    turn: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Reader {
    next: u64,
    run: u64,
    ahead: u64,
}

/// A reader that went on for so long is read ahead of.
const SEQUENTIAL_BYTES: u64 = 256 << 10;
/// So much is fetched ahead at a time, at least: one GET.
const AHEAD_STEP: u64 = limits::FETCH_WINDOW_BYTES;
/// How far: as far as it has come, within these bounds. The longer a store takes to answer, the
/// more must be on its way.
const AHEAD_BYTES_MIN: u64 = 8 << 20;
const AHEAD_BYTES_MAX: u64 = 64 << 20;

impl Sequential {
    /// Notes a read; answers the range to be fetched ahead, if any.
    fn note(&mut self, range: Range<u64>, far_max: u64) -> Option<Range<u64>> {
        let length = range.end - range.start;
        let Some(reader) = self
            .streams
            .iter_mut()
            .find(|r| r.next == range.start && r.run > 0)
        else {
            self.turn = (self.turn + 1) % self.streams.len();
            self.streams[self.turn] = Reader {
                next: range.end,
                run: length,
                ahead: range.end,
            };
            return None;
        };
        reader.next = range.end;
        reader.run += length;
        reader.ahead = reader.ahead.max(range.end);
        let far_max = far_max.clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX);
        let far = reader.run.clamp(AHEAD_BYTES_MIN, far_max);
        if reader.run < SEQUENTIAL_BYTES || reader.ahead + AHEAD_STEP > range.end + far {
            return None;
        }
        let ahead = reader.ahead..range.end + far;
        reader.ahead = ahead.end;
        Some(ahead)
    }

    /// What was answered is not fetched after all: it is, later.
    fn put_off(&mut self, range: &Range<u64>) {
        for reader in self.streams.iter_mut().filter(|r| r.ahead == range.end) {
            reader.ahead = range.start;
        }
    }
}

impl VDisk {
    /// Plans a range and pins what of the journal it will read.
    fn plan(&self, range: Range<u64>) -> (Vec<Planned>, Pinned) {
        // An extent that the index names under its lock is not given back before the pin.
        let log = self.lineage.keys.sealed().then(|| self.log.lock());
        let index = self.index.lock();
        let plan = index.plan(range);
        let mut slots: Vec<SlotIndex> = Index::journal_slots(&plan).collect();
        slots.sort_unstable();
        slots.dedup();
        // Of a disk that is gone there is none: its bytes do not verify then.
        let journal = self.pool.journal();
        let pins = slots.iter().filter_map(|slot| journal.pin(*slot)).collect();
        drop(index);
        let seals = match log {
            Some(log) => slots.iter().map(|slot| log.seal_of(*slot)).collect(),
            None => Vec::new(),
        };
        (
            plan,
            Pinned {
                slots,
                _pins: pins,
                seals,
            },
        )
    }

    /// Fills `buf` if nothing has to be waited for.
    pub(super) fn try_read(self: &Arc<Self>, offset: u64, buf: &mut [u8]) -> Option<Result<()>> {
        if let Err(error) = self
            .check()
            .and_then(|()| self.check_range(offset, buf.len() as u64))
        {
            return Some(Err(error));
        }
        let (plan, pinned) = self.plan(offset..offset + buf.len() as u64);
        let mut reached = offset;
        for planned in &plan {
            let out = part(buf, offset, planned.start, planned.length);
            let served = match planned.place {
                Place::Hole => {
                    out.fill(0);
                    true
                }
                Place::Journal(at) => self.journal_now(&pinned, at, out),
                Place::Chunk(chunk, byte) => self.chunk_now(&chunk, byte, out),
                Place::Tree => self.tree_now(planned.start, out),
            };
            if !served {
                return None;
            }
            reached = planned.start + planned.length;
        }
        if reached != offset + buf.len() as u64 {
            return None;
        }
        self.note_read(offset, buf.len());
        Some(Ok(()))
    }

    /// Fills `buf`.
    pub(super) async fn read_all(self: &Arc<Self>, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check()?;
        self.check_range(offset, buf.len() as u64)?;
        let end = offset + buf.len() as u64;
        self.note_read(offset, buf.len());
        let mut at = offset;
        while at < end {
            let (plan, pinned) = self.plan(at..end);
            let reached = plan.last().map_or(at, |last| last.start + last.length);
            let from = usize::try_from(at - offset).expect("within the buffer");
            let to = usize::try_from(reached - offset).expect("within the buffer");
            self.read_plan(at, &plan, &pinned, &mut buf[from..to])
                .await?;
            at = reached;
        }
        Ok(())
    }

    fn note_read(self: &Arc<Self>, offset: u64, length: usize) {
        self.counts
            .read_bytes
            .fetch_add(length as u64, Ordering::Relaxed);
        let far_max = self.pool.chunks().cache().ahead_bytes_max() as u64;
        let mut sequential = self.sequential.lock();
        if let Some(range) = sequential.note(offset..offset + length as u64, far_max)
            && !self.read_ahead(range.clone())
        {
            sequential.put_off(&range);
        }
    }

    /// What the store alone holds of a block: the state up to what has been shipped and applied.
    pub(super) async fn read_shipped(
        self: &Arc<Self>,
        block: u64,
        buf: &mut [u8; BLOCK],
    ) -> Result<()> {
        let start = block * BLOCK as u64;
        let mut plan = Vec::new();
        self.index
            .lock()
            .plan_shipped(start..start + BLOCK as u64, &mut plan);
        let nothing = Pinned::default();
        self.read_plan(start, &plan, &nothing, buf).await
    }

    async fn read_plan(
        self: &Arc<Self>,
        offset: u64,
        plan: &[Planned],
        pinned: &Pinned,
        buf: &mut [u8],
    ) -> Result<()> {
        let mut plan = plan.to_vec();
        self.resolve_tree(&mut plan).await?;
        let mut chunks: Vec<Chunk> = Vec::new();
        for planned in &plan {
            if let Place::Chunk(chunk, _) = planned.place
                && chunks
                    .last()
                    .is_none_or(|last| last.address != chunk.address)
            {
                chunks.push(chunk);
            }
        }
        let fetched = self.pool.chunks().fetch(&self.lineage, &chunks).await?;
        let mut next = chunks.iter().zip(fetched).peekable();
        let mut journal = Vec::new();
        for planned in &plan {
            let out = part(buf, offset, planned.start, planned.length);
            match planned.place {
                Place::Hole => out.fill(0),
                Place::Journal(at) => {
                    if !self.journal_now(pinned, at, out) {
                        journal.push((*planned, at));
                    }
                }
                Place::Chunk(chunk, byte) => {
                    while next
                        .peek()
                        .is_some_and(|(have, _)| have.address != chunk.address)
                    {
                        next.next();
                    }
                    let (_, bytes) = next.peek().expect("every chunk was fetched in order");
                    copy(bytes, byte, out);
                }
                Place::Tree => unreachable!("resolved above"),
            }
        }
        self.read_journal(offset, journal, pinned, buf).await
    }

    /// Replaces what is for the tree by what the tree says.
    async fn resolve_tree(&self, plan: &mut Vec<Planned>) -> Result<()> {
        if !plan.iter().any(|planned| planned.place == Place::Tree) {
            return Ok(());
        }
        let map = self.index.lock().map();
        let mut resolved = Vec::with_capacity(plan.len());
        for planned in plan.drain(..) {
            if planned.place != Place::Tree {
                resolved.push(planned);
                continue;
            }
            let block = BLOCK as u64;
            let end = planned.start + planned.length;
            let (mut from, to) = (planned.start / block, end.div_ceil(block));
            while from < to {
                let mut pieces = Vec::new();
                from = map
                    .lookup(&self.nodes, from..to, limits::PIECES_MAX, &mut pieces)
                    .await
                    .map_err(|error| self.map_error(error))?;
                for piece in pieces {
                    let start = (piece.start * block).max(planned.start);
                    let piece_end = (piece.end() * block).min(end);
                    let place = match piece.target {
                        None => Place::Hole,
                        Some(chunk) => chunk_place(chunk, start - piece.start * block),
                    };
                    resolved.push(Planned {
                        start,
                        length: piece_end - start,
                        place,
                    });
                }
            }
        }
        *plan = resolved;
        Ok(())
    }

    /// What went wrong in the tree, as the disk's error.
    pub(super) fn map_error(&self, error: vpool_map::MapError<Error>) -> Error {
        match error {
            vpool_map::MapError::Read { source, .. } => source,
            other => Error::new(ErrorKind::Corrupt, format!("disk {}: {other}", self.name())),
        }
    }

    fn tree_now(&self, start: u64, out: &mut [u8]) -> bool {
        let block = BLOCK as u64;
        let end = start + out.len() as u64;
        let map = self.index.lock().map();
        let mut pieces = Vec::new();
        let blocks = start / block..end.div_ceil(block);
        if map.lookup_now(&self.nodes, blocks.clone(), 64, &mut pieces) != Some(blocks.end) {
            return false;
        }
        for piece in pieces {
            let from = (piece.start * block).max(start);
            let to = (piece.end() * block).min(end);
            let out = part(out, start, from, to - from);
            match piece.target {
                None => out.fill(0),
                Some(chunk) => {
                    let Place::Chunk(chunk, byte) = chunk_place(chunk, from - piece.start * block)
                    else {
                        unreachable!("made of a chunk");
                    };
                    if !self.chunk_now(&chunk, byte, out) {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn chunk_now(&self, chunk: &Chunk, byte: u32, out: &mut [u8]) -> bool {
        self.pool.chunks().read_now(&self.lineage, chunk, byte, out)
    }

    /// Serves a piece from the journal if its page is cached and right.
    fn journal_now(&self, pinned: &Pinned, at: LoggedAt, out: &mut [u8]) -> bool {
        let journal = self.pool.journal();
        let offset = journal.offset(at.block.slot, at.block.block);
        let sealed = self.lineage.keys.sealed();
        if out.len() == BLOCK && !sealed {
            return matches!(journal.file().read_cached_at(out, offset), Ok(true))
                && crc32c(out) == at.block.crc;
        }
        let mut block = [0u8; BLOCK];
        if !matches!(journal.file().read_cached_at(&mut block, offset), Ok(true)) {
            return false;
        }
        let seal = pinned.seal(at.block.slot);
        if sealed && seal.is_none() {
            return false;
        }
        if !open_block(at.block, seal.as_deref(), &mut block) {
            return false;
        }
        let from = usize::from(at.within);
        out.copy_from_slice(&block[from..from + out.len()]);
        true
    }

    /// Reads pieces from the journal's device.
    async fn read_journal(
        self: &Arc<Self>,
        offset: u64,
        pieces: Vec<(Planned, LoggedAt)>,
        pinned: &Pinned,
        buf: &mut [u8],
    ) -> Result<()> {
        for (planned, at) in pieces {
            let seal = pinned.seal(at.block.slot);
            if self.lineage.keys.sealed() && seal.is_none() {
                return Err(self.lost_block(at));
            }
            let journal = self.pool.journal().clone();
            let read = self
                .pool
                .host()
                .blocking
                .run(move || {
                    let mut block = Box::new([0u8; BLOCK]);
                    let from = journal.offset(at.block.slot, at.block.block);
                    journal.file().read_at(&mut block[..], from)?;
                    let good = open_block(at.block, seal.as_deref(), &mut block);
                    std::io::Result::Ok(good.then_some(block))
                })
                .await
                .map_err(|e| {
                    io_error(format_args!("disk {}: read the journal", self.name()), &e)
                })?;
            let Some(block) = read else {
                if crate::planted::is("damage-as-zeroes") {
                    part(buf, offset, planned.start, planned.length).fill(0);
                    continue;
                }
                return Err(self.lost_block(at));
            };
            let out = part(buf, offset, planned.start, planned.length);
            let from = usize::from(at.within);
            out.copy_from_slice(&block[from..from + out.len()]);
        }
        Ok(())
    }

    fn lost_block(&self, at: LoggedAt) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "disk {}: block {} of journal extent {} is not what was written, and it is not in \
                 the store yet: check the SSD; overwriting the range makes it whole again",
                self.name(),
                at.block.block,
                at.block.slot
            ),
        )
    }

    /// Fetches a range into the cache, in the background; `false` if too much is fetched already.
    pub(super) fn read_ahead(self: &Arc<Self>, range: Range<u64>) -> bool {
        let end = range.end.min(self.size.load(Ordering::Acquire));
        if range.start >= end {
            return true;
        }
        let Ok(permit) = self.pool.read_ahead_slots().clone().try_acquire_owned() else {
            return false;
        };
        let disk = self.clone();
        tokio::spawn(async move {
            if let Err(error) = disk.fetch_range(range.start..end).await {
                tracing::debug!(disk = %disk.name(), %error, "read ahead");
            }
            drop(permit);
        });
        true
    }

    /// Brings the chunks of a range into the cache, a window at a time.
    pub(super) async fn fetch_range(&self, range: Range<u64>) -> Result<()> {
        let end = range.end.min(range.start + limits::PREFETCH_BYTES_MAX);
        let mut at = range.start;
        while at < end {
            let to = end.min(at + limits::FETCH_WINDOW_BYTES);
            // Nothing is read from the journal: its extents are not kept for as long as a store takes.
            let (mut plan, _) = self.plan(at..to);
            self.resolve_tree(&mut plan).await?;
            let mut chunks: Vec<Chunk> = Vec::new();
            for planned in &plan {
                if let Place::Chunk(chunk, _) = planned.place
                    && chunks
                        .last()
                        .is_none_or(|last| last.address != chunk.address)
                {
                    chunks.push(chunk);
                }
            }
            self.pool.chunks().fetch(&self.lineage, &chunks).await?;
            at = to;
        }
        Ok(())
    }

    /// The parts of a range that hold data, and its holes.
    pub(super) async fn extents_of(
        &self,
        range: Range<u64>,
        count_max: usize,
    ) -> Result<Vec<(u64, bool)>> {
        let mut found: Vec<(u64, bool)> = Vec::new();
        let mut at = range.start;
        // Who asks for the next extent again and again shall not have the rest of the disk looked
        // through each time.
        let mut window = limits::EXTENTS_WINDOW_BYTES_MIN;
        while at < range.end {
            let end = range.end.min(at.saturating_add(window));
            window = window.saturating_mul(2);
            let (mut plan, _pinned) = self.plan(at..end);
            self.resolve_tree_bounded(&mut plan, count_max).await?;
            for planned in &plan {
                let data = planned.place != Place::Hole;
                if let Some((length, _)) = found.last_mut().filter(|(_, last)| *last == data) {
                    *length += planned.length;
                } else if found.len() >= count_max {
                    return Ok(found);
                } else {
                    found.push((planned.length, data));
                }
                at = planned.start + planned.length;
            }
        }
        Ok(found)
    }

    /// As [`resolve_tree`](Self::resolve_tree), for few pieces of a range that may be the
    /// whole disk: the plan ends where the tree's answer does.
    async fn resolve_tree_bounded(&self, plan: &mut Vec<Planned>, count_max: usize) -> Result<()> {
        let Some(first) = plan.iter().position(|planned| planned.place == Place::Tree) else {
            return Ok(());
        };
        let map = self.index.lock().map();
        let planned = plan[first];
        let block = BLOCK as u64;
        let end = planned.start + planned.length;
        let blocks = planned.start / block..end.div_ceil(block);
        let mut pieces = Vec::new();
        let pieces_max = count_max.clamp(16, limits::PIECES_MAX);
        map.lookup(&self.nodes, blocks, pieces_max, &mut pieces)
            .await
            .map_err(|error| self.map_error(error))?;
        plan.truncate(first);
        for piece in pieces {
            let start = (piece.start * block).max(planned.start);
            let piece_end = (piece.end() * block).min(end);
            let place = match piece.target {
                None => Place::Hole,
                Some(chunk) => chunk_place(chunk, start - piece.start * block),
            };
            plan.push(Planned {
                start,
                length: piece_end - start,
                place,
            });
        }
        Ok(())
    }
}

/// Verifies a block of the journal and opens it in place.
fn open_block(at: BlockAt, seal: Option<&ExtentSeal>, block: &mut [u8; BLOCK]) -> bool {
    crc32c(&block[..]) == at.crc && seal.is_none_or(|seal| seal.open(at.block, &mut block[..]))
}

fn copy(bytes: &Bytes, byte: u32, out: &mut [u8]) {
    let from = byte as usize;
    out.copy_from_slice(&bytes[from..from + out.len()]);
}

/// The part of a request's buffer that a piece fills.
fn part(buf: &mut [u8], offset: u64, start: u64, length: u64) -> &mut [u8] {
    let from = usize::try_from(start - offset).expect("within the buffer");
    let length = usize::try_from(length).expect("within the buffer");
    &mut buf[from..from + length]
}
