//! A page of a layer: up to 64 updates in order, 32 bytes each.
//!
//! Owns: the packed form of updates and their order within a page. Does not own: which page
//! an update belongs to, and that updates do not overlap (`super`).
//!
//! A key is `start << 8 | blocks << 4 | chunk_first`, of a hole `start << 8`; the body is the
//! chunk's address and hint with `extra` = blocks of the chunk, or a hole's length. Keys lie
//! apart from bodies and are counted, not bisected: the 8 cache lines come from memory
//! together, where a bisection waits for three or four of them one after the other (measured:
//! 10–15 % of an insert at 3 million updates).

use super::packed::Packed;
use crate::limits::{PAGE_ENTRIES, PAGE_STEP};
use crate::piece::{Chunk, Target, Update};

const START_SHIFT: u32 = 8;
const BLOCKS_SHIFT: u32 = 4;
const LOW_MASK: u64 = 0xf;

/// Bytes of an update in a page.
pub(super) const ENTRY_BYTES: usize = size_of::<u64>() + size_of::<Packed>();

/// Updates in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    keys: Vec<u64>,
    bodies: Vec<Packed>,
}

/// Packs an update whose blocks and place in the chunk have been checked.
fn pack(update: &Update) -> (u64, Packed) {
    let start = update.start << START_SHIFT;
    match &update.target {
        Target::Chunk(chunk) => (
            start | update.blocks << BLOCKS_SHIFT | u64::from(chunk.chunk_first),
            Packed::new(&chunk.address, &chunk.hint, chunk.chunk_blocks),
        ),
        Target::Hole => (start, Packed::number(update.blocks)),
    }
}

impl Page {
    /// How many updates the page holds.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// For how many updates the page has memory.
    pub(super) fn capacity(&self) -> usize {
        self.keys.capacity()
    }

    /// The first place whose start is at or above `start`.
    pub(super) fn find(&self, start: u64) -> usize {
        let key = start << START_SHIFT;
        self.keys.iter().map(|held| usize::from(*held < key)).sum()
    }

    /// The start of the update at `place`.
    pub(super) fn start(&self, place: usize) -> u64 {
        self.keys[place] >> START_SHIFT
    }

    /// The end of the update at `place`.
    pub(super) fn end(&self, place: usize) -> u64 {
        self.start(place) + self.blocks(place).unwrap_or(self.bodies[place].as_number())
    }

    /// The blocks of the update at `place`; `None` of a hole.
    fn blocks(&self, place: usize) -> Option<u64> {
        let blocks = self.keys[place] >> BLOCKS_SHIFT & LOW_MASK;
        (blocks > 0).then_some(blocks)
    }

    /// The update at `place`.
    pub(super) fn get(&self, place: usize) -> Update {
        let body = &self.bodies[place];
        let start = self.start(place);
        let Some(blocks) = self.blocks(place) else {
            return Update {
                start,
                blocks: body.as_number(),
                target: Target::Hole,
            };
        };
        let chunk_first = self.keys[place] & LOW_MASK;
        Update {
            start,
            blocks,
            target: Target::Chunk(Chunk {
                address: body.address(),
                chunk_first: u8::try_from(chunk_first).expect("four bits fit a byte"),
                chunk_blocks: body.extra,
                hint: body.hint(),
            }),
        }
    }

    /// Puts `update` in the place of the one at `place`; the order is the caller's matter.
    pub(super) fn set(&mut self, place: usize, update: &Update) {
        (self.keys[place], self.bodies[place]) = pack(update);
    }

    /// Whether there is no room for one more.
    pub(super) fn is_full(&self) -> bool {
        self.keys.len() == PAGE_ENTRIES
    }

    /// Puts `update` before the one at `place`; the page is not full.
    pub(super) fn insert(&mut self, place: usize, update: &Update) {
        if self.keys.len() == self.keys.capacity() {
            self.keys.reserve_exact(PAGE_STEP);
            self.bodies.reserve_exact(PAGE_STEP);
        }
        let (key, body) = pack(update);
        self.keys.insert(place, key);
        self.bodies.insert(place, body);
    }

    /// Takes the updates from `place` on into a page of their own.
    pub(super) fn split_off(&mut self, place: usize) -> Page {
        let right = Page {
            keys: self.keys.split_off(place),
            bodies: self.bodies.split_off(place),
        };
        self.give_back();
        right
    }

    /// Removes the updates in `[from, to)`.
    pub(super) fn remove(&mut self, from: usize, to: usize) {
        self.keys.drain(from..to);
        self.bodies.drain(from..to);
        if self.keys.capacity() - self.keys.len() >= 4 * PAGE_STEP {
            self.give_back();
        }
    }

    /// Gives back memory beyond one step.
    fn give_back(&mut self) {
        let wanted = self.keys.len().next_multiple_of(PAGE_STEP);
        self.keys.shrink_to(wanted);
        self.bodies.shrink_to(wanted);
    }
}
