//! Where the newest bytes of a vDisk are: overlay, pending layers, map, in that order.
//!
//! ```text
//! overlay (journal, bytes) ─> active (shipped since) ─> frozen (being merged) ─> map (tree)
//! ```
//!
//! Owns: the order of the layers and how a range is planned over them. Does not own: locks (the
//! vDisk holds one around it), fetching.

use std::ops::Range;
use std::sync::Arc;

use vpool_format::{Seq, Slot};
use vpool_map::{Chunk, Map, Pending, Target};

use crate::journal::{BlockAt, PlacedBlock, SlotIndex};
use crate::limits::{self, BLOCK};
use crate::packer::IndexedChunk;
use crate::ranges::{Piece, Ranges, Source};

/// A range of the overlay: which record it is of and where its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// The record.
    pub seq: Seq,
    /// The journal's block and the first byte in it; `None` = reads as zeroes.
    pub at: Option<LoggedAt>,
}

/// Bytes in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedAt {
    /// The block.
    pub block: BlockAt,
    /// The first byte in it.
    pub within: u16,
}

impl Source for Logged {
    fn advanced(self, bytes: u64) -> Self {
        let at = self.at.map(|at| LoggedAt {
            within: at.within + u16::try_from(bytes).expect("within a block"),
            ..at
        });
        Logged { at, ..self }
    }
}

/// Where a part of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Reads as zeroes.
    Hole,
    /// In the journal.
    Journal(LoggedAt),
    /// In a chunk, from this byte on.
    Chunk(Chunk, u32),
    /// What the map's tree says.
    Tree,
}

/// A part of a request, in order and without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// The first byte on the disk.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// Where it is.
    pub place: Place,
}

/// The layers.
#[derive(Debug, Default)]
pub struct Index {
    overlay: Ranges<Logged>,
    active: Pending,
    frozen: Option<Arc<Pending>>,
    map: Map,
}

impl Index {
    /// An index over a map, with what was replayed since.
    pub fn new(map: Map, active: Pending) -> Self {
        Index {
            overlay: Ranges::default(),
            active,
            frozen: None,
            map,
        }
    }

    /// The tree below the layers.
    pub fn map(&self) -> Map {
        self.map
    }

    /// About how many bytes of memory the layer since the last freeze takes.
    pub fn active_bytes(&self) -> usize {
        self.active.memory_bytes()
    }

    /// About how many bytes of memory all layers above the tree take.
    pub fn memory_bytes(&self) -> u64 {
        let frozen = self.frozen.as_ref().map_or(0, |layer| layer.memory_bytes());
        (self.overlay.len() * limits::OVERLAY_ENTRY_BYTES + self.active.memory_bytes() + frozen)
            as u64
    }

    /// Whether nothing waits to be merged.
    pub fn is_merged(&self) -> bool {
        self.active.is_empty() && self.frozen.is_none()
    }

    /// Ranges in the overlay.
    pub fn overlay_len(&self) -> usize {
        self.overlay.len()
    }

    /// Adds what was logged.
    pub fn logged(&mut self, placed: &[PlacedBlock]) {
        for piece in placed {
            let at = piece.at.map(|block| LoggedAt { block, within: 0 });
            self.overlay
                .insert(piece.offset, piece.length, Logged { seq: piece.seq, at });
        }
    }

    /// Adds chunks of a shipped segment, oldest first.
    pub fn shipped(
        &mut self,
        stream: vpool_format::StreamNo,
        segment: vpool_format::SegmentNo,
        chunks: &[IndexedChunk],
    ) {
        for chunk in chunks {
            let Some(target) = target(stream, segment, chunk) else {
                continue;
            };
            self.active
                .insert(chunk.entry.block, chunk.entry.blocks, target)
                .expect("an index that was checked when it was made or read");
        }
    }

    /// Forgets the overlay's ranges within `chunks` that are not newer than `last`: they are
    /// in the store now.
    pub fn forget(&mut self, chunks: &[IndexedChunk], last: Seq) {
        for chunk in chunks {
            let (start, length) = (
                chunk.entry.block * BLOCK as u64,
                chunk.entry.blocks * BLOCK as u64,
            );
            self.overlay
                .clear(start, length, |logged| logged.seq <= last);
        }
    }

    /// Takes what is pending out, to be merged. The layer stays readable.
    pub fn freeze(&mut self) -> Option<Arc<Pending>> {
        debug_assert!(self.frozen.is_none(), "one merge at a time");
        if self.active.is_empty() {
            return None;
        }
        let frozen = Arc::new(std::mem::take(&mut self.active));
        self.frozen = Some(frozen.clone());
        Some(frozen)
    }

    /// Puts the tree in place that holds the frozen layer.
    pub fn merged(&mut self, map: Map) {
        self.frozen = None;
        self.map = map;
    }

    /// Whether a merge is under way.
    pub fn is_merging(&self) -> bool {
        self.frozen.is_some()
    }

    /// Plans a range over the overlay and the pending layers; what is left is for the tree.
    /// Answers at most about [`limits::PIECES_MAX`] parts and may end early then.
    pub fn plan(&self, range: Range<u64>) -> Vec<Planned> {
        let mut pieces: Vec<Piece<Logged>> = Vec::new();
        self.overlay.pieces(range, limits::PIECES_MAX, &mut pieces);
        let mut plan = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match piece.source {
                Some(Logged { at: Some(at), .. }) => plan.push(Planned {
                    start: piece.start,
                    length: piece.length,
                    place: Place::Journal(at),
                }),
                Some(Logged { at: None, .. }) => {
                    push_joined(&mut plan, piece.start, piece.length, Place::Hole);
                }
                None => self.plan_shipped(piece.start..piece.end(), &mut plan),
            }
            if plan.len() >= limits::PIECES_MAX {
                break;
            }
        }
        plan
    }

    /// Plans a range as it is in the store alone: what was shipped, without the overlay.
    pub fn plan_shipped(&self, range: Range<u64>, plan: &mut Vec<Planned>) {
        let layers = [Some(&self.active), self.frozen.as_deref()];
        plan_layers(&layers, range, plan);
    }

    /// The slots of the journal that a plan reads.
    pub fn journal_slots(plan: &[Planned]) -> impl Iterator<Item = SlotIndex> + '_ {
        plan.iter().filter_map(|planned| match planned.place {
            Place::Journal(at) => Some(at.block.slot),
            _ => None,
        })
    }
}

fn plan_layers(layers: &[Option<&Pending>], range: Range<u64>, plan: &mut Vec<Planned>) {
    let Some((layer, below)) = layers.split_first() else {
        push_joined(plan, range.start, range.end - range.start, Place::Tree);
        return;
    };
    let Some(layer) = layer.filter(|layer| !layer.is_empty()) else {
        return plan_layers(below, range, plan);
    };
    let block = BLOCK as u64;
    let blocks = range.start / block..range.end.div_ceil(block);
    for piece in layer.pieces(blocks) {
        let start = (piece.start * block).max(range.start);
        let end = ((piece.start + piece.blocks) * block).min(range.end);
        match piece.target {
            None => plan_layers(below, start..end, plan),
            Some(Target::Hole) => push_joined(plan, start, end - start, Place::Hole),
            Some(Target::Chunk(chunk)) => plan.push(Planned {
                start,
                length: end - start,
                place: chunk_place(chunk, start - piece.start * block),
            }),
        }
        if plan.len() >= limits::PIECES_MAX {
            return;
        }
    }
}

/// The place `skip` bytes after the block where a run enters `chunk`.
pub fn chunk_place(chunk: Chunk, skip: u64) -> Place {
    let byte = u64::from(chunk.chunk_first) * BLOCK as u64 + skip;
    Place::Chunk(chunk, u32::try_from(byte).expect("within a chunk"))
}

/// What an index line means for the map; `None` for map nodes.
pub fn target(
    stream: vpool_format::StreamNo,
    segment: vpool_format::SegmentNo,
    chunk: &IndexedChunk,
) -> Option<Target> {
    use vpool_format::map::{ChunkAddress, Hint};
    use vpool_format::segment::Content;
    match chunk.entry.content {
        Content::MapNode => None,
        Content::Zero | Content::Discard => Some(Target::Hole),
        Content::Data => Some(Target::Chunk(Chunk {
            address: ChunkAddress {
                stream,
                segment,
                slot: Slot(chunk.slot.0),
            },
            chunk_first: 0,
            chunk_blocks: u8::try_from(chunk.entry.blocks).expect("a chunk has few blocks"),
            hint: Hint {
                offset: u32::try_from(chunk.offset).expect("a segment is at most 1 GiB"),
                stored_bytes: chunk.entry.stored_bytes,
                codec: chunk.entry.codec,
            },
        })),
    }
}

fn push_joined(plan: &mut Vec<Planned>, start: u64, length: u64, place: Place) {
    if let Some(last) = plan.last_mut()
        && last.place == place
        && last.start + last.length == start
    {
        last.length += length;
        return;
    }
    plan.push(Planned {
        start,
        length,
        place,
    });
}
