//! What is newer than the tree: an ordered run map in memory.
//!
//! Owns: the order of updates, and that a newer one takes the place of what it overlaps.
//! Does not own: when a layer is frozen or merged, nor how many layers there are.
//!
//! A B+-tree of fixed height: groups (`index`) of pages (`page`) of packed updates. Pages
//! tile the whole range of starts:
//!
//! ```text
//!   index:   0 ────────▶ page [0, 700)     700 ────────▶ page [700, ∞)
//!                        0+8  96+1  680+64               750+1  800+2 …
//! ```
//!
//! An update belongs to the page of its start and may end beyond the page (680+64). No page
//! but the first is empty. Refused: a plain `BTreeMap` of updates (53 bytes each after random
//! inserts).

mod index;
mod iter;
mod packed;
mod page;

#[cfg(test)]
mod tests;

use index::{At, FIRST, Index, PAGE_INDEX_BYTES};
pub use iter::{PendingPiece, Pieces, Updates};
pub(crate) use packed::Packed;
use page::ENTRY_BYTES;
use vpool_format::map::BLOCKS_MAX;
use vpool_format::segment::{CHUNK_BLOCKS_MAX, STORED_BYTES_MAX};

use crate::piece::{Target, Update};

/// What a page costs beyond its updates: its place in the index, the allocator's headers.
const PAGE_OVERHEAD_BYTES: usize = PAGE_INDEX_BYTES + 32;

/// An update that cannot be: what it came from is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no update can map {blocks} blocks from block {start} to {target:?}")]
pub struct InvalidUpdate {
    /// The first block.
    pub start: u64,
    /// How many blocks.
    pub blocks: u64,
    /// Where they would have gone.
    pub target: Target,
}

/// A layer of updates, in blocks. Empty by default; frozen by moving it behind an `Arc`.
#[derive(Debug, Clone)]
pub struct Pending {
    pages: Index,
    len: usize,
    /// Updates for which the pages have memory.
    capacity: usize,
}

impl Default for Pending {
    fn default() -> Self {
        Pending {
            pages: Index::new(),
            len: 0,
            capacity: 0,
        }
    }
}

impl Pending {
    /// An empty layer.
    pub fn new() -> Pending {
        Pending::default()
    }

    /// How many updates the layer holds, after cutting and joining.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the layer says nothing of any block.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// About how many bytes of memory the layer takes.
    pub fn memory_bytes(&self) -> usize {
        self.capacity * ENTRY_BYTES + self.pages.len() * PAGE_OVERHEAD_BYTES
    }

    /// Says that `blocks` blocks from `start` on are now at `target`, in place of whatever
    /// the layer said of them.
    ///
    /// # Errors
    /// No blocks, blocks at or above [`BLOCKS_MAX`], more blocks than the chunk has from its
    /// place on, or a chunk that a node cannot name; the layer is unchanged.
    pub fn insert(&mut self, start: u64, blocks: u64, target: Target) -> Result<(), InvalidUpdate> {
        let mut update = Update {
            start,
            blocks,
            target,
        };
        if !is_valid(&update) {
            return Err(InvalidUpdate {
                start,
                blocks,
                target,
            });
        }
        if target == Target::Hole {
            update = self.widen(update);
        }
        if !self.insert_in_page(&update) {
            if let Some(rest) = self.clear(update.start, update.end()) {
                self.place(&rest);
            }
            self.place(&update);
        }
        Ok(())
    }

    /// The highest block (exclusive) that lies in a chunk; 0 if none does.
    pub(crate) fn chunk_end(&self) -> u64 {
        let mut at = Some(self.pages.locate(u64::MAX));
        while let Some(here) = at {
            let page = self.pages.page(here);
            let mut updates = (0..page.len()).rev().map(|place| page.get(place));
            if let Some(chunk) = updates.find(|update| update.target != Target::Hole) {
                return chunk.end();
            }
            at = self.pages.before(here);
        }
        0
    }

    /// The place of the update before a place.
    fn before(&self, at: At, place: usize) -> Option<(At, usize)> {
        match place.checked_sub(1) {
            Some(place) => Some((at, place)),
            None => {
                let at = self.pages.before(at)?;
                Some((at, self.pages.page(at).len().checked_sub(1)?))
            }
        }
    }

    /// The update with the greatest start below `start`.
    fn last_before(&self, start: u64) -> Option<Update> {
        let at = self.pages.locate(start);
        let (at, place) = self.before(at, self.pages.page(at).find(start))?;
        Some(self.pages.page(at).get(place))
    }

    /// The hole joined with the holes that it touches, so that a disk trimmed piece by piece
    /// is one update.
    fn widen(&self, hole: Update) -> Update {
        let (mut start, mut end) = (hole.start, hole.end());
        if let Some(before) = self.last_before(start)
            && before.target == Target::Hole
            && before.end() >= start
        {
            start = before.start;
            end = end.max(before.end());
        }
        if let Some(after) = self.last_before(end + 1)
            && after.target == Target::Hole
        {
            end = end.max(after.end());
        }
        Update {
            start,
            blocks: end - start,
            target: Target::Hole,
        }
    }

    /// The quick way: nothing is overlapped, or one update of the same extent, and one page
    /// shows that. Returns whether `update` was inserted; if not, nothing is changed.
    fn insert_in_page(&mut self, update: &Update) -> bool {
        let (start, end) = (update.start, update.end());
        let at = self.pages.locate(start);
        let upper = self.pages.upper(at);
        let page = self.pages.page_mut(at);
        let place = page.find(start);
        let starts_free = match place {
            0 => at == FIRST,
            _ => page.end(place - 1) <= start,
        };
        if !starts_free || end > upper {
            return false;
        }
        if place < page.len() && page.start(place) < end {
            let same = page.start(place) == start && page.end(place) == end;
            if same {
                page.set(place, update);
            }
            return same;
        }
        self.insert_at(at, place, update);
        true
    }

    /// Puts `update` where it belongs; nothing overlaps it.
    fn place(&mut self, update: &Update) {
        let at = self.pages.locate(update.start);
        let place = self.pages.page(at).find(update.start);
        self.insert_at(at, place, update);
    }

    /// Puts `update` before that at a place, where it belongs.
    fn insert_at(&mut self, at: At, place: usize, update: &Update) {
        let page = self.pages.page_mut(at);
        self.len += 1;
        self.capacity -= page.capacity();
        if !page.is_full() {
            page.insert(place, update);
            self.capacity += page.capacity();
            return;
        }
        // At the end of a page the writer may be going upwards: the page stays full and the
        // next begins with this update. Elsewhere the page is halved.
        let (middle, lower) = match place == page.len() {
            true => (place, update.start),
            false => (page.len() / 2, page.start(page.len() / 2)),
        };
        let mut right = page.split_off(middle);
        if update.start < lower {
            page.insert(place, update);
        } else {
            right.insert(place - middle, update);
        }
        self.capacity += page.capacity() + right.capacity();
        self.pages.insert_after(at, lower, right);
    }

    /// Takes `[start, end)` out of the layer. What an update has beyond `end` is returned,
    /// for the caller to place.
    fn clear(&mut self, start: u64, end: u64) -> Option<Update> {
        let mut rest = None;
        if let Some(before) = self.last_before(start)
            && before.end() > start
        {
            if before.end() > end {
                rest = Some(before.clip(end, u64::MAX));
            }
            self.shorten(&before.clip(0, start));
        }
        let last = self.last_before(end).filter(|last| last.start >= start);
        if let Some(last) = last
            && last.end() > end
        {
            rest = Some(last.clip(end, u64::MAX));
        }
        if last.is_some() {
            self.remove(start, end);
        }
        rest
    }

    /// Puts `update` in the place of the one with the same start.
    fn shorten(&mut self, update: &Update) {
        let at = self.pages.locate(update.start);
        let page = self.pages.page_mut(at);
        page.set(page.find(update.start), update);
    }

    /// Removes all updates that start in `[start, end)`.
    fn remove(&mut self, start: u64, end: u64) {
        let mut next = Some(self.pages.locate(end - 1));
        while let Some(at) = next {
            let begins_at = self.pages.lower(at);
            next = self.pages.before(at).filter(|_| begins_at > start);
            let page = self.pages.page_mut(at);
            let (first, last) = (page.find(start), page.find(end));
            self.capacity -= page.capacity();
            self.len -= last - first;
            page.remove(first, last);
            if page.len() == 0 && at != FIRST {
                self.pages.remove(at);
            } else {
                self.capacity += page.capacity();
            }
        }
    }
}

/// Whether an update is one that a packer or an index may bring: all that a node's encoder
/// insists on is asked here, where the cause is still known.
fn is_valid(update: &Update) -> bool {
    let inside = update.start <= BLOCKS_MAX && update.blocks <= BLOCKS_MAX - update.start;
    let target = match &update.target {
        Target::Chunk(chunk) => {
            u64::from(chunk.chunk_first) + update.blocks <= u64::from(chunk.chunk_blocks)
                && usize::from(chunk.chunk_blocks) <= CHUNK_BLOCKS_MAX
                && (1..=STORED_BYTES_MAX).contains(&chunk.hint.stored_bytes)
                && chunk.address.segment.0 > 0
        }
        Target::Hole => true,
    };
    update.blocks > 0 && inside && target
}
