//! An ordered map from byte ranges of a disk to where their newest bytes are.
//!
//! Owns: [`Ranges`], used as a vDisk's overlay (bytes in the journal) and inside a cut (bytes in
//! the packer's buffer). Does not own: what a source means, nor any locking.
//!
//! Ranges never overlap: an insert cuts away what it covers. Partial blocks are ranges like
//! all others, so a write that does not fill a block never waits for a read (DESIGN §3).

use std::collections::BTreeMap;
use std::ops::Range;

/// Where the bytes of a range come from. Cutting `n` bytes off the front of a range moves
/// its source `n` bytes on.
pub trait Source: Copy {
    /// The source of what is left when `bytes` are cut off the front.
    fn advanced(self, bytes: u64) -> Self;
}

/// One stored range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry<S> {
    length: u64,
    source: S,
}

/// A piece of an answer: in order, without overlap, covering the range asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<S> {
    /// The first byte.
    pub start: u64,
    /// Length in bytes, never 0.
    pub length: u64,
    /// Where the bytes are; `None` if the map says nothing of them.
    pub source: Option<S>,
}

impl<S> Piece<S> {
    /// One past the last byte.
    pub fn end(&self) -> u64 {
        self.start + self.length
    }
}

/// The map.
#[derive(Debug, Clone)]
pub struct Ranges<S> {
    entries: BTreeMap<u64, Entry<S>>,
}

impl<S> Default for Ranges<S> {
    fn default() -> Self {
        Ranges {
            entries: BTreeMap::new(),
        }
    }
}

impl<S: Source> Ranges<S> {
    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Makes `length` bytes from `start` come from `source`.
    pub fn insert(&mut self, start: u64, length: u64, source: S) {
        debug_assert!(length > 0 && start.checked_add(length).is_some());
        // The commonest case by far: the same range again, or a range over nothing.
        if let Some(entry) = self.entries.get_mut(&start)
            && entry.length == length
        {
            entry.source = source;
            return;
        }
        self.clear(start, length, |_| true);
        self.entries.insert(start, Entry { length, source });
    }

    /// Forgets what lies in the range and fulfils `doomed`, cutting entries at its ends.
    pub fn clear(&mut self, start: u64, length: u64, doomed: impl Fn(&S) -> bool) {
        let end = start + length;
        // One that begins before and reaches in.
        if let Some((&at, &entry)) = self.entries.range(..start).next_back() {
            let entry_end = at + entry.length;
            if entry_end > start && doomed(&entry.source) {
                self.entries.insert(
                    at,
                    Entry {
                        length: start - at,
                        source: entry.source,
                    },
                );
                if entry_end > end {
                    let rest = Entry {
                        length: entry_end - end,
                        source: entry.source.advanced(end - at),
                    };
                    self.entries.insert(end, rest);
                    return;
                }
            }
        }
        let mut from = start;
        while let Some((&at, &entry)) = self.entries.range(from..end).next() {
            let entry_end = at + entry.length;
            if doomed(&entry.source) {
                self.entries.remove(&at);
                if entry_end > end {
                    let rest = Entry {
                        length: entry_end - end,
                        source: entry.source.advanced(end - at),
                    };
                    self.entries.insert(end, rest);
                }
            }
            if entry_end >= end {
                return;
            }
            from = entry_end;
        }
    }

    /// The pieces of a range, gaps included, at most `count_max`; they may end early then.
    pub fn pieces(&self, range: Range<u64>, count_max: usize, out: &mut Vec<Piece<S>>) {
        let mut at = range.start;
        let first = self.entries.range(..range.start).next_back();
        let reaching_in = first.filter(|(start, entry)| *start + entry.length > range.start);
        let following = self.entries.range(range.start..range.end);
        for (&start, entry) in reaching_in.into_iter().chain(following) {
            if out.len() >= count_max {
                return;
            }
            if start > at {
                out.push(Piece {
                    start: at,
                    length: start - at,
                    source: None,
                });
                if out.len() >= count_max {
                    return;
                }
                at = start;
            }
            let end = (start + entry.length).min(range.end);
            let source = Some(entry.source.advanced(at - start));
            out.push(Piece {
                start: at,
                length: end - at,
                source,
            });
            at = end;
        }
        if at < range.end && out.len() < count_max {
            out.push(Piece {
                start: at,
                length: range.end - at,
                source: None,
            });
        }
    }

    /// All ranges in order: start, length, source.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64, S)> + '_ {
        self.entries
            .iter()
            .map(|(start, entry)| (*start, entry.length, entry.source))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A source that knows its byte: `tag` of the write and how far into it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Byte(u32, u64);

    impl Source for Byte {
        fn advanced(self, bytes: u64) -> Self {
            Byte(self.0, self.1 + bytes)
        }
    }

    proptest! {
        #[test]
        fn equals_an_array_of_bytes(
            ops in prop::collection::vec((0u64..200, 1u64..60, prop::bool::weighted(0.3)), 1..60),
            ask in (0u64..200, 1u64..80),
        ) {
            let mut model = vec![None; 300];
            let mut ranges = Ranges::default();
            for (tag, (start, length, clear)) in ops.into_iter().enumerate() {
                let tag = u32::try_from(tag).expect("few");
                if clear {
                    // Only what even tags wrote goes.
                    ranges.clear(start, length, |byte: &Byte| byte.0.is_multiple_of(2));
                } else {
                    ranges.insert(start, length, Byte(tag, 0));
                }
                for i in 0..length {
                    let cell = &mut model[usize::try_from(start + i).expect("small")];
                    match (clear, *cell) {
                        (true, Some(Byte(t, _))) if t % 2 == 0 => *cell = None,
                        (true, _) => {}
                        (false, _) => *cell = Some(Byte(tag, i)),
                    }
                }
            }
            let mut pieces = Vec::new();
            ranges.pieces(ask.0..ask.0 + ask.1, usize::MAX, &mut pieces);
            let mut at = ask.0;
            for piece in &pieces {
                prop_assert_eq!(piece.start, at);
                for i in 0..piece.length {
                    let expect = model[usize::try_from(at + i).expect("small")];
                    prop_assert_eq!(piece.source.map(|s| s.advanced(i)), expect);
                }
                at += piece.length;
            }
            prop_assert_eq!(at, ask.0 + ask.1);
        }
    }
}
