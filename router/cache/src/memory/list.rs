//! A doubly linked list through a slab, by index: first in, first out, and out from the middle.
//!
//! Owns: [`List`], [`Links`]. Does not own: the slab.

/// "No entry".
pub(super) const NONE: u32 = u32::MAX;

/// The neighbours of an entry in its list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links {
    newer: u32,
    older: u32,
}

impl Default for Links {
    fn default() -> Links {
        Links {
            newer: NONE,
            older: NONE,
        }
    }
}

/// What lists can link.
pub(super) trait Linked {
    fn links(&mut self) -> &mut Links;
}

/// The two ends of a list, and the bytes of its values.
#[derive(Debug)]
pub(super) struct List {
    newest: u32,
    oldest: u32,
    pub(super) bytes: usize,
}

impl Default for List {
    fn default() -> List {
        List {
            newest: NONE,
            oldest: NONE,
            bytes: 0,
        }
    }
}

impl List {
    /// The entry that came first.
    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    pub(super) fn push<T: Linked>(&mut self, slab: &mut [T], index: u32, bytes: usize) {
        *slab[at(index)].links() = Links {
            newer: NONE,
            older: self.newest,
        };
        match self.newest {
            NONE => self.oldest = index,
            newest => slab[at(newest)].links().newer = index,
        }
        self.newest = index;
        self.bytes += bytes;
    }

    pub(super) fn unlink<T: Linked>(&mut self, slab: &mut [T], index: u32, bytes: usize) {
        let Links { newer, older } = *slab[at(index)].links();
        match newer {
            NONE => self.newest = older,
            newer => slab[at(newer)].links().older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => slab[at(older)].links().newer = newer,
        }
        self.bytes -= bytes;
    }
}

/// A slab's index.
pub(super) fn at(index: u32) -> usize {
    usize::try_from(index).expect("32 bits fit")
}
