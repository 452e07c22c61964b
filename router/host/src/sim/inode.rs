//! One file in two layers: what the device has, and the page cache over it.
//!
//! Owns: reads, writes and sizes of both layers, and what a power cut or a failed sync makes
//! of the difference. Does not own: names, faults, who holds the file open.
//!
//! ```text
//!   write ──► cache ──sync──► device          evict, power cut: cache ──► nothing
//!               │ dirty: images of sectors, sizes, holes, in order
//!               └──power cut: each kept, lost or torn by itself──► device
//! ```
//!
//! A dirty page is always in the cache. A change holds the sectors as they were after it, so
//! that the device never gets a mixture that no write-out at any time could have left there:
//! a sector ends up as one of the versions that it had since the last sync.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Dice;

pub(super) const PAGE: usize = 4096;
const PAGE_U64: u64 = PAGE as u64;
const SECTOR: usize = 512;
const SECTOR_U64: u64 = SECTOR as u64;

type Page = Box<[u8; PAGE]>;

/// What becomes of changes that no sync has covered when the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerCut {
    /// All reach the device, as if the kernel had just written them out.
    KeepAll,
    /// None does.
    DropAll,
    /// Each is kept, lost or torn by itself; how many of each differs from cut to cut.
    Random,
}

/// The chances of one power cut, in percent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    keep: u64,
    tear: u64,
}

impl Fate {
    pub(super) fn draw(cut: PowerCut, dice: &mut Dice) -> Fate {
        let (keep, tear) = match cut {
            PowerCut::KeepAll => (100, 0),
            PowerCut::DropAll => (0, 0),
            // Extreme cuts find bugs that even ones do not, and the other way round.
            PowerCut::Random => match dice.below(6) {
                0 => (0, 0),
                1 => (100, 0),
                2 => (95, 50),
                3 => (5, 50),
                4 => (50, 100),
                _ => (dice.below(101), dice.below(101)),
            },
        };
        Fate { keep, tear }
    }

    pub(super) fn keeps(&self, dice: &mut Dice) -> bool {
        dice.chance(self.keep)
    }
}

#[derive(Debug)]
enum Change {
    /// Whole sectors as they were after a write, from a multiple of 512, and the size that
    /// the write grew the file to.
    Sectors {
        offset: u64,
        bytes: Vec<u8>,
        grown_to: Option<u64>,
    },
    Size(u64),
    Hole {
        offset: u64,
        length: u64,
    },
}

/// A file's bytes in one layer; pages that are absent are zeroes.
#[derive(Debug, Default)]
struct Content {
    size: u64,
    pages: BTreeMap<u64, Page>,
}

impl Content {
    fn page(&self, number: u64) -> Page {
        match self.pages.get(&number) {
            Some(page) => page.clone(),
            None => Box::new([0; PAGE]),
        }
    }

    /// Writes what lies below the size.
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let below = self.size.saturating_sub(offset);
        let bytes = match usize::try_from(below) {
            Ok(below) if below < bytes.len() => &bytes[..below],
            _ => bytes,
        };
        for (number, at, part) in pages_of(offset, bytes) {
            let page = self
                .pages
                .entry(number)
                .or_insert_with(|| Box::new([0; PAGE]));
            page[at..at + part.len()].copy_from_slice(part);
        }
    }

    fn set_size(&mut self, size: u64) {
        self.size = size;
        self.pages.split_off(&size.div_ceil(PAGE_U64));
        if let Some(page) = self.pages.get_mut(&(size / PAGE_U64)) {
            page[in_page(size)..].fill(0);
        }
    }

    fn punch(&mut self, offset: u64, length: u64) {
        let touched: Vec<_> = self.pages.range(pages(offset, length)).map(key).collect();
        for number in touched {
            match within_page(number, offset, length) {
                (0, PAGE) => drop(self.pages.remove(&number)),
                (from, to) => {
                    if let Some(page) = self.pages.get_mut(&number) {
                        page[from..to].fill(0);
                    }
                }
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Sectors {
                offset,
                bytes,
                grown_to,
            } => {
                self.size = self.size.max(grown_to.unwrap_or(0));
                self.write(offset, &bytes);
            }
            Change::Size(size) => self.set_size(size),
            Change::Hole { offset, length } => self.punch(offset, length),
        }
    }

    /// As [`apply`](Self::apply), but only what the dice leave of it.
    fn apply_part(&mut self, change: Change, fate: Fate, dice: &mut Dice) {
        let Change::Sectors {
            offset,
            bytes,
            grown_to,
        } = change
        else {
            if fate.keeps(dice) {
                self.apply(change);
            }
            return;
        };
        if let Some(size) = grown_to
            && fate.keeps(dice)
        {
            self.size = self.size.max(size);
        }
        let mut at = offset;
        for part in bytes.chunks(PAGE) {
            let keep = fate.keeps(dice);
            if part.len() > SECTOR && dice.chance(fate.tear) {
                for (sector, bytes) in (0..).zip(part.chunks(SECTOR)) {
                    if dice.chance(50) {
                        self.write(at + sector * SECTOR_U64, bytes);
                    }
                }
            } else if keep {
                self.write(at, part);
            }
            at += PAGE_U64;
        }
    }
}

/// A file.
#[derive(Debug, Default)]
pub(super) struct Inode {
    device: Content,
    cache: BTreeMap<u64, Page>,
    /// The size as programs see it.
    size: u64,
    /// All changes since the last sync, in order.
    dirty: Vec<Change>,
    dirty_pages: BTreeSet<u64>,
    /// Pages that take space.
    allocated: BTreeSet<u64>,
}

impl Inode {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that the file takes on the device.
    pub(super) fn used_bytes(&self) -> u64 {
        self.allocated.len() as u64 * PAGE_U64
    }

    /// Bytes of space that a write would newly take.
    pub(super) fn needed_bytes(&self, offset: u64, length: u64) -> u64 {
        let pages = pages(offset, length);
        let have = self.allocated.range(pages.clone()).count() as u64;
        (pages.end - pages.start - have) * PAGE_U64
    }

    /// Whether reading the range needs no device.
    pub(super) fn is_cached(&self, offset: u64, length: u64) -> bool {
        pages(offset, length).all(|number| self.cache.contains_key(&number))
    }

    /// Fills `buf`; what lies beyond the size is the caller's business.
    pub(super) fn read(&mut self, buf: &mut [u8], offset: u64) {
        let mut done = 0;
        let length = buf.len() as u64;
        for number in pages(offset, length) {
            let (from, to) = within_page(number, offset, length);
            let page = resident(&mut self.cache, &self.device, number);
            buf[done..done + to - from].copy_from_slice(&page[from..to]);
            done += to - from;
        }
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (number, at, part) in pages_of(offset, bytes) {
            let page = resident(&mut self.cache, &self.device, number);
            page[at..at + part.len()].copy_from_slice(part);
            self.dirty_pages.insert(number);
            self.allocated.insert(number);
        }
        let end = offset + bytes.len() as u64;
        let grown_to = (end > self.size).then_some(end);
        self.size = self.size.max(end);
        let first = offset / SECTOR_U64 * SECTOR_U64;
        let sectors = (end.div_ceil(SECTOR_U64) * SECTOR_U64) - first;
        let mut image = vec![0; usize::try_from(sectors).expect("little longer than `bytes`")];
        self.read(&mut image, first);
        self.dirty.push(Change::Sectors {
            offset: first,
            bytes: image,
            grown_to,
        });
    }

    pub(super) fn set_size(&mut self, size: u64) {
        if size < self.size {
            self.zero(size, self.size - size);
            self.allocated.split_off(&size.div_ceil(PAGE_U64));
        }
        self.size = size;
        self.dirty.push(Change::Size(size));
    }

    pub(super) fn punch(&mut self, offset: u64, length: u64) {
        self.zero(offset, length);
        self.allocated
            .retain(|number| !is_whole(*number, offset, length));
        self.dirty.push(Change::Hole { offset, length });
    }

    /// Makes the range read as zeroes while the device still has its bytes.
    fn zero(&mut self, offset: u64, length: u64) {
        let cached = self.cache.range(pages(offset, length)).map(key);
        let stored = self.device.pages.range(pages(offset, length)).map(key);
        let touched: BTreeSet<u64> = cached.chain(stored).collect();
        for number in touched {
            let (from, to) = within_page(number, offset, length);
            resident(&mut self.cache, &self.device, number)[from..to].fill(0);
            self.dirty_pages.insert(number);
        }
    }

    pub(super) fn sync(&mut self) {
        for change in self.dirty.drain(..) {
            self.device.apply(change);
        }
        self.dirty_pages.clear();
    }

    /// A sync that failed: a part is written, all is clean, programs still read the new bytes
    /// until they are evicted.
    pub(super) fn fail_sync(&mut self, dice: &mut Dice) {
        let fate = Fate::draw(PowerCut::Random, dice);
        for change in self.dirty.drain(..) {
            self.device.apply_part(change, fate, dice);
        }
        self.dirty_pages.clear();
    }

    /// Drops clean pages that lie wholly in the range.
    pub(super) fn evict(&mut self, offset: u64, length: u64) {
        self.cache.retain(|number, _| {
            !is_whole(*number, offset, length) || self.dirty_pages.contains(number)
        });
    }

    pub(super) fn power_cut(&mut self, fate: Fate, dice: &mut Dice) {
        for change in self.dirty.drain(..) {
            self.device.apply_part(change, fate, dice);
        }
        self.cache.clear();
        self.dirty_pages.clear();
        self.size = self.device.size;
        self.allocated = self.device.pages.keys().copied().collect();
    }

    /// Flips a bit on the device; the page is dropped from the cache unless it is dirty.
    pub(super) fn flip(&mut self, offset: u64, bit: u32) {
        let number = offset / PAGE_U64;
        let mut page = self.device.page(number);
        page[in_page(offset)] ^= 1 << (bit % 8);
        self.device.pages.insert(number, page);
        self.allocated.insert(number);
        self.evict(number * PAGE_U64, PAGE_U64);
    }
}

/// The page in the cache, read from the device where it is not there yet.
fn resident<'a>(cache: &'a mut BTreeMap<u64, Page>, device: &Content, number: u64) -> &'a mut Page {
    cache.entry(number).or_insert_with(|| device.page(number))
}

fn in_page(offset: u64) -> usize {
    usize::try_from(offset % PAGE_U64).expect("less than a page")
}

/// The numbers of the pages that a range touches.
fn pages(offset: u64, length: u64) -> Range<u64> {
    let first = offset / PAGE_U64;
    match length {
        0 => first..first,
        _ => first..offset.saturating_add(length).div_ceil(PAGE_U64),
    }
}

/// The part of a page that a range which touches it covers: first byte, byte after the last.
fn within_page(number: u64, offset: u64, length: u64) -> (usize, usize) {
    let start = number * PAGE_U64;
    let end = offset.saturating_add(length);
    let from = if offset > start { in_page(offset) } else { 0 };
    let to = if end - start < PAGE_U64 {
        in_page(end)
    } else {
        PAGE
    };
    (from, to)
}

fn is_whole(number: u64, offset: u64, length: u64) -> bool {
    pages(offset, length).contains(&number) && within_page(number, offset, length) == (0, PAGE)
}

/// `bytes` cut at page boundaries: page number, place in the page, part.
fn pages_of(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, usize, &[u8])> {
    let length = bytes.len() as u64;
    let mut rest = bytes;
    pages(offset, length).map(move |number| {
        let (from, to) = within_page(number, offset, length);
        let (part, after) = rest.split_at(to - from);
        rest = after;
        (number, from, part)
    })
}

fn key<V>(pair: (&u64, &V)) -> u64 {
    *pair.0
}
