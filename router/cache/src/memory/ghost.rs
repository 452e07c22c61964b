//! The addresses that were dropped not long ago, as fingerprints.
//!
//! Owns: [`Ghost`]. Does not own: what follows from having been here. It may err: a value is
//! kept longer or shorter than it deserves, no more.

/// A table of fingerprints, each with the time of its entry, counted in entries.
#[derive(Debug)]
pub(super) struct Ghost {
    cells: Box<[Cell]>,
    now: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    fingerprint: u32,
    /// 0 = empty.
    since: u32,
}

impl Ghost {
    /// Remembers about `count` addresses.
    pub(super) fn new(count: usize) -> Ghost {
        let cells = count.clamp(16, 1 << 20).next_power_of_two();
        Ghost {
            cells: vec![Cell::default(); cells].into(),
            now: 1,
        }
    }

    pub(super) fn add(&mut self, hash: u64) {
        self.now = self.now.checked_add(1).unwrap_or_else(|| {
            // Once in four thousand million evictions the memory starts afresh.
            self.cells.fill(Cell::default());
            1
        });
        let (cell, fingerprint) = self.place(hash);
        self.cells[cell] = Cell {
            fingerprint,
            since: self.now,
        };
    }

    /// Whether the address was dropped not long ago; it is forgotten then.
    pub(super) fn take(&mut self, hash: u64) -> bool {
        let (at, fingerprint) = self.place(hash);
        let cell = &mut self.cells[at];
        let age = u64::from(self.now - cell.since);
        let known = cell.since != 0
            && cell.fingerprint == fingerprint
            && usize::try_from(age).is_ok_and(|age| age <= self.cells.len());
        if known {
            self.cells[at] = Cell::default();
        }
        known
    }

    fn place(&self, hash: u64) -> (usize, u32) {
        let [a, b, c, d, rest @ ..] = hash.to_le_bytes();
        let low = usize::try_from(u32::from_le_bytes([a, b, c, d])).expect("32 bits fit");
        (low & (self.cells.len() - 1), u32::from_le_bytes(rest))
    }
}
