//! Seals a cut, or nodes of the map, into one object.
//!
//! Owns: cutting runs of blocks into chunks, zero detection, the order header, chunks, index,
//! cut table, trailer. Does not own: the bytes of each of these (`vpool-format`), keys and
//! compression (`vpool-seal`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use vpool_format::segment::{
    Codec, Content, IndexEntry, IndexPage, PAGE_ENTRIES, SegmentHeader, SubCut, Trailer,
};
use vpool_format::{Base, Epoch, Generation, PoolId, SegmentNo, Seq, Slot, StreamUid};
use vpool_host::Aligned;
use vpool_seal::{Backoff, ChunkContext, Compressor, ContentId, DiskKeys, PageContext, TAG_BYTES};

use super::cut::{Cut, CutSource, PartialBlock};
use crate::limits::{self, BLOCK};
use crate::mac;

/// What a segment's header says, and the keys that seal it.
#[derive(Debug, Clone)]
pub struct SegmentPlan {
    /// The pool.
    pub pool: PoolId,
    /// The stream that writes it.
    pub uid: StreamUid,
    /// Its epoch.
    pub epoch: Epoch,
    /// The claim's generation.
    pub generation: Generation,
    /// The segment's number.
    pub segment: SegmentNo,
    /// What the stream started from.
    pub base: Arc<Base>,
    /// The stream's newest durable checkpoint.
    pub checkpoint: u64,
    /// How far the stream was shipped without a gap.
    pub frontier: (SegmentNo, Seq),
    /// The disk's keys.
    pub keys: Arc<DiskKeys>,
    /// Fresh random bytes for this part's key.
    pub part_salt: [u8; 32],
    /// Fresh random bytes for this object's pages.
    pub object_salt: [u8; 32],
    /// The wall clock's label.
    pub wall_ms: u64,
}

/// A line of a segment's index with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedChunk {
    /// Its slot.
    pub slot: Slot,
    /// Where its bytes begin in the object.
    pub offset: u64,
    /// The line.
    pub entry: IndexEntry,
}

/// A segment as it will be put, kept until the put is answered and never made again under its
/// number.
#[derive(Debug, Clone)]
pub struct SealedSegment {
    /// Its number.
    pub segment: SegmentNo,
    /// The log's position after it.
    pub last: Seq,
    /// The object.
    pub bytes: Bytes,
    /// Where its index, cut table and trailer begin.
    pub index_offset: u64,
    /// Its index.
    pub chunks: Vec<IndexedChunk>,
}

/// Seals a cut. `filled` holds the partial blocks, whole. Each data chunk's plain bytes go to
/// `seen` with its slot and content id, for the cache.
pub fn seal_cut(
    plan: &SegmentPlan,
    cut: &Cut,
    filled: &BTreeMap<PartialBlock, Box<[u8; BLOCK]>>,
    compressor: &mut Compressor,
    backoff: &mut Backoff,
    mut seen: impl FnMut(Slot, ContentId, &[u8]),
) -> SealedSegment {
    let first = cut.first.unwrap_or(Seq(cut.last.0 + 1));
    let mut object = Object::begin(plan, first, cut.last, cut.bytes_hint());
    let mut cuts = Vec::with_capacity(cut.slots.len());
    for index in 0..cut.slots.len() {
        let first_slot = object.begin_cut();
        let mut run = Run::new(cut);
        for (block, what) in blocks_of(cut, index, filled) {
            let mut gathered = [0u8; BLOCK];
            let (content, at) = match what {
                Block::Zero(count, content) => {
                    run.flush(&mut object, compressor, backoff, &mut seen);
                    object.push_zero(block, count, content);
                    continue;
                }
                Block::Bytes(from) => (cut.block(from), Some(from)),
                Block::Gathered => {
                    gather(cut, index, block, &mut gathered);
                    (&gathered, None)
                }
                Block::Filled(filled) => (filled, None),
            };
            if is_zero(content) {
                run.flush(&mut object, compressor, backoff, &mut seen);
                object.push_zero(block, 1, Content::Zero);
                continue;
            }
            if !run.continues_at(block) {
                run.flush(&mut object, compressor, backoff, &mut seen);
            }
            run.push(block, content, at);
        }
        run.flush(&mut object, compressor, backoff, &mut seen);
        cuts.push(SubCut {
            first_slot,
            slots: object.slots() - u32::from(first_slot),
            last_seq: cut.slots[index].last,
            wall_ms: cut.slots[index].wall_ms,
            mark: [0; 16],
        });
    }
    object.end(&cuts, first, cut.last)
}

/// Seals encoded map nodes. The position of the log does not move: it is `last` before and after.
pub fn seal_nodes(plan: &SegmentPlan, nodes: &[Vec<u8>], last: Seq) -> SealedSegment {
    let bytes = nodes.iter().map(Vec::len).sum();
    let first = Seq(last.0 + 1);
    let mut object = Object::begin(plan, first, last, bytes);
    for node in nodes {
        object.push(
            0,
            1,
            Content::MapNode,
            Codec::Raw,
            node,
            [0; 16],
            node.len(),
        );
    }
    let cut = SubCut {
        first_slot: 0,
        slots: object.slots(),
        last_seq: last,
        wall_ms: plan.wall_ms,
        mark: [0; 16],
    };
    object.end(&[cut], first, last)
}

/// What a block of a slot is made of.
enum Block<'a> {
    Zero(u64, Content),
    /// Whole and in one place of the buffer.
    Bytes(usize),
    /// Whole, out of several ranges.
    Gathered,
    Filled(&'a [u8; BLOCK]),
}

/// The blocks of a slot in address order.
fn blocks_of<'a>(
    cut: &'a Cut,
    index: usize,
    filled: &'a BTreeMap<PartialBlock, Box<[u8; BLOCK]>>,
) -> impl Iterator<Item = (u64, Block<'a>)> {
    let block_bytes = BLOCK as u64;
    let mut next = 0u64;
    let mut found = Vec::new();
    for (start, length, source) in cut.slots[index].ranges.iter() {
        let end = start + length;
        let mut block = (start / block_bytes).max(next);
        while block * block_bytes < end {
            let whole_from_here = block * block_bytes >= start && (block + 1) * block_bytes <= end;
            let zero = match source {
                CutSource::Zero => Some(Content::Zero),
                CutSource::Discard => Some(Content::Discard),
                CutSource::Bytes(_) => None,
            };
            if let (true, Some(content)) = (whole_from_here, zero) {
                let count = end / block_bytes - block;
                found.push((block, Block::Zero(count, content)));
                block += count;
                continue;
            }
            let what = match (whole_from_here, source) {
                (true, CutSource::Bytes(at)) => {
                    let skip = block * block_bytes - start;
                    Block::Bytes(at + usize::try_from(skip).expect("within a buffer"))
                }
                _ => match filled.get(&PartialBlock { slot: index, block }) {
                    Some(bytes) => Block::Filled(bytes),
                    None => Block::Gathered,
                },
            };
            found.push((block, what));
            block += 1;
        }
        next = next.max(block);
    }
    found.into_iter()
}

fn gather(cut: &Cut, index: usize, block: u64, out: &mut [u8; BLOCK]) {
    cut.fill_from_slot(index, block, out);
}

fn is_zero(bytes: &[u8; BLOCK]) -> bool {
    bytes
        .as_chunks::<16>()
        .0
        .iter()
        .all(|chunk| u128::from_ne_bytes(*chunk) == 0)
}

/// Contiguous blocks that make one chunk.
struct Run<'a> {
    cut: &'a Cut,
    first: u64,
    blocks: usize,
    /// Where the blocks are in the cut's buffer, while they are there one after the other.
    at: Option<usize>,
    /// Else copies of them.
    copied: Vec<u8>,
}

impl<'a> Run<'a> {
    fn new(cut: &'a Cut) -> Run<'a> {
        Run {
            cut,
            first: 0,
            blocks: 0,
            at: None,
            copied: Vec::new(),
        }
    }

    /// A chunk never crosses a boundary of its own size, so that equal images have equal chunks.
    fn continues_at(&self, block: u64) -> bool {
        self.blocks > 0
            && block == self.first + self.blocks as u64
            && !block.is_multiple_of(limits::CHUNK_BLOCKS)
    }

    /// Adds a block, which is at `at` in the cut's buffer if it is there as it is.
    fn push(&mut self, block: u64, content: &[u8; BLOCK], at: Option<usize>) {
        if self.blocks == 0 {
            self.first = block;
            self.at = at;
        } else if let Some(start) = self.at
            && at != Some(start + self.blocks * BLOCK)
        {
            let so_far = self.cut.bytes(start, self.blocks * BLOCK);
            self.copied.extend_from_slice(so_far);
            self.at = None;
        }
        if self.at.is_none() {
            self.copied.extend_from_slice(content);
        }
        self.blocks += 1;
    }

    fn flush(
        &mut self,
        object: &mut Object<'_>,
        compressor: &mut Compressor,
        backoff: &mut Backoff,
        seen: &mut impl FnMut(Slot, ContentId, &[u8]),
    ) {
        if self.blocks == 0 {
            return;
        }
        let bytes = match self.at {
            Some(at) => self.cut.bytes(at, self.blocks * BLOCK),
            None => &self.copied,
        };
        let (codec, packed) = compressor.compress(backoff, bytes);
        let slot = object.next_slot();
        let id = match codec {
            Codec::Raw => None,
            Codec::Zstd => Some(object.plan.keys.content_id(bytes)),
        };
        let id = object.push_data(self.first, self.blocks as u64, codec, packed, id, bytes);
        seen(slot, id, bytes);
        self.copied.clear();
        self.blocks = 0;
    }
}

/// An object being written.
struct Object<'a> {
    plan: &'a SegmentPlan,
    out: Aligned,
    header_bytes: usize,
    part: vpool_seal::PartKey,
    chunks: Vec<IndexedChunk>,
    /// Where the present sub-cut begins: nothing is joined over that boundary.
    cut_start: usize,
}

impl<'a> Object<'a> {
    fn begin(plan: &'a SegmentPlan, first: Seq, last: Seq, bytes_hint: usize) -> Self {
        let header = SegmentHeader {
            pool: plan.pool,
            disk: plan.keys.disk,
            uid: plan.uid,
            epoch: plan.epoch,
            generation: plan.generation,
            segment: plan.segment,
            part: 0,
            parts: 1,
            base: (*plan.base).clone(),
            checkpoint: plan.checkpoint,
            frontier: plan.frontier,
            first_seq: first,
            last_seq: last,
            wall_ms: plan.wall_ms,
            sealed: plan.keys.sealed(),
            key: 0,
            part_salt: plan.part_salt,
            object_salt: plan.object_salt,
        };
        let encoded = header.encode(&|bytes| mac::segment_header(&plan.keys.pool, bytes));
        let capacity = encoded.len() + bytes_hint + bytes_hint / 32 + 4096;
        let mut out = Aligned::with_capacity(capacity);
        out.extend_from_slice(&encoded);
        Object {
            plan,
            header_bytes: out.len(),
            out,
            part: plan.keys.part(&plan.part_salt),
            chunks: Vec::new(),
            cut_start: 0,
        }
    }

    fn begin_cut(&mut self) -> u16 {
        self.cut_start = self.chunks.len();
        self.next_slot().0
    }

    fn slots(&self) -> u32 {
        u32::try_from(self.chunks.len()).expect("bounded by the cut")
    }

    fn next_slot(&self) -> Slot {
        Slot(u16::try_from(self.chunks.len()).expect("a cut has at most 65,535 chunks"))
    }

    fn push_zero(&mut self, block: u64, blocks: u64, content: Content) {
        if let Some(last) = self.chunks[self.cut_start..].last_mut()
            && last.entry.content == content
            && last.entry.block + last.entry.blocks == block
        {
            last.entry.blocks += blocks;
            return;
        }
        let entry = IndexEntry {
            block,
            blocks,
            content,
            codec: Codec::Raw,
            stored_bytes: 0,
            content_id: [0; 16],
        };
        let slot = self.next_slot();
        self.chunks.push(IndexedChunk {
            slot,
            offset: self.out.len() as u64,
            entry,
        });
    }

    fn push_data(
        &mut self,
        block: u64,
        blocks: u64,
        codec: Codec,
        packed: &[u8],
        id: Option<ContentId>,
        raw: &[u8],
    ) -> ContentId {
        let id = self.push(
            block,
            blocks,
            Content::Data,
            codec,
            packed,
            id.unwrap_or_default(),
            raw.len(),
        );
        if id != ContentId::default() {
            return id;
        }
        // An uncompressed chunk of an encrypted disk: the hash does not fall out of sealing.
        let id = self.plan.keys.content_id(raw);
        self.chunks
            .last_mut()
            .expect("just pushed")
            .entry
            .content_id = id;
        id
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one index line")]
    fn push(
        &mut self,
        block: u64,
        blocks: u64,
        content: Content,
        codec: Codec,
        packed: &[u8],
        content_id: ContentId,
        raw_bytes: usize,
    ) -> ContentId {
        let slot = self.next_slot();
        let context = ChunkContext {
            pool: self.plan.pool,
            disk: self.plan.keys.disk,
            uid: self.plan.uid,
            segment: self.plan.segment,
            slot,
            content,
            codec,
            raw_bytes: u32::try_from(raw_bytes).expect("at most a chunk"),
        };
        let offset = self.out.len() as u64;
        let seal = |out: &mut Vec<u8>| self.part.seal(&context, packed, out);
        let free = self.out.append_with(seal);
        let content_id = match content {
            Content::Data => free.unwrap_or(content_id),
            _ => [0; 16],
        };
        let stored_bytes = u32::try_from(packed.len() + TAG_BYTES).expect("at most a chunk");
        let entry = IndexEntry {
            block,
            blocks,
            content,
            codec,
            stored_bytes,
            content_id,
        };
        self.chunks.push(IndexedChunk {
            slot,
            offset,
            entry,
        });
        content_id
    }

    fn end(mut self, cuts: &[SubCut], first: Seq, last: Seq) -> SealedSegment {
        let plan = self.plan;
        let index_offset = self.out.len() as u64;
        let pages = plan.keys.pages(&plan.object_salt);
        let mut page_count = 0u32;
        for entries in self.chunks.chunks(PAGE_ENTRIES) {
            let page = IndexPage {
                first_slot: entries[0].slot.0,
                first_position: entries[0].offset,
                entries: entries.iter().map(|chunk| chunk.entry).collect(),
            };
            let context = PageContext {
                pool: plan.pool,
                disk: plan.keys.disk,
                uid: plan.uid,
                segment: plan.segment,
                page: page_count,
            };
            let seal = |out: &mut Vec<u8>| pages.seal(&context, &page.encode(), out);
            self.out.append_with(seal);
            page_count += 1;
        }
        let slot_count = self.slots();
        let trailer = Trailer {
            uid: plan.uid,
            segment: plan.segment,
            first_seq: first,
            last_seq: last,
            sealed: plan.keys.sealed(),
            header_bytes: u32::try_from(self.header_bytes).expect("a header is small"),
            index_offset,
            slot_count,
            object_bytes: Trailer::object_bytes_of(index_offset, slot_count, cuts.len()),
            object_salt: plan.object_salt,
            part_salt: plan.part_salt,
        };
        debug_assert_eq!(page_count, trailer.page_count());
        let context = mac::place(plan.pool, plan.keys.disk, plan.uid, plan.segment);
        let end = trailer.encode(cuts, &|bytes| {
            mac::trailer(&plan.keys.pool, &context, bytes)
        });
        self.out.extend_from_slice(&end);
        let (out, start) = self.out.into_vec();
        SealedSegment {
            segment: plan.segment,
            last,
            bytes: Bytes::from(out).slice(start..),
            index_offset,
            chunks: self.chunks,
        }
    }
}
