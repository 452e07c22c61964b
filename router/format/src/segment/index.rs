//! The index of a segment: what each slot holds, in pages that can be fetched alone.
//!
//! Owns: the plain bytes of pages and their places. Does not own: the seal of a page (a tag of
//! 16 bytes behind it) or of a chunk.
//!
//! | offset | bytes | page |
//! | --- | --- | --- |
//! | 0 | 8 | first position: the offset in the object of the page's first chunk |
//! | 8 | 2 | first slot, a multiple of 64 |
//! | 10 | 2 | count of entries, 1 to 64 |
//! | 12 | 2 | version, 1 |
//! | 14 | 2 | zero |
//! | 16 + 24 i | 24 | entry `i` |
//!
//! | offset | bits | entry |
//! | --- | --- | --- |
//! | 0 | 40 | block; map node: 0 |
//! | 5 | 17 | stored bytes, tag included; zero, discard: 0 |
//! | | 3 | blocks − 1; map node, zero, discard: 0 |
//! | | 2 | codec |
//! | | 2 | content |
//! | 8 | 128 | data: content id; zero, discard: run length (64) and zero (64); map node: zero |

use super::{CHUNK_BLOCKS_MAX, SEGMENT_BYTES_MAX, SLOTS_MAX};
use crate::cursor::{Reader, Writer};
use crate::envelope::MAC_BYTES;
use crate::error::{FormatError, FormatErrorKind, Result, ensure};
use crate::ids::Slot;
use crate::map::BLOCKS_MAX;

/// Entries in each page but the last.
pub const PAGE_ENTRIES: usize = 64;

/// The size of an entry.
pub const ENTRY_BYTES: usize = 24;

const PAGE_HEADER_BYTES: usize = 16;
const PAGE_SLOTS: u32 = 64;
const _: () = assert!(PAGE_SLOTS as usize == PAGE_ENTRIES);

/// The size of a full page before it is sealed.
pub const PAGE_PLAIN_BYTES_MAX: usize = PAGE_HEADER_BYTES + PAGE_ENTRIES * ENTRY_BYTES;

/// The size of a full page as it stands in the object: with its tag.
pub const PAGE_SEALED_BYTES: usize = PAGE_PLAIN_BYTES_MAX + MAC_BYTES;

/// The most bytes of a chunk as it stands in the object, tag included.
pub const STORED_BYTES_MAX: u32 = (1 << 17) - 1;

const VERSION: u16 = 1;
const WHAT: &str = "index page";
// Blocks − 1 of a chunk have three bits.
const _: () = assert!(CHUNK_BLOCKS_MAX == 8);
// A chunk that compression does not help fits with its tag.
const _: () =
    assert!(CHUNK_BLOCKS_MAX * crate::BLOCK_BYTES + MAC_BYTES <= STORED_BYTES_MAX as usize);

/// How many pages the index of a segment with `slots` slots has.
pub const fn page_count(slots: u32) -> u32 {
    slots.div_ceil(PAGE_SLOTS)
}

/// The size of all sealed pages of a segment with `slots` slots.
pub const fn index_bytes(slots: u32) -> u64 {
    page_count(slots) as u64 * (PAGE_HEADER_BYTES + MAC_BYTES) as u64
        + slots as u64 * ENTRY_BYTES as u64
}

/// Where sealed page `page` of an index of `slots` slots stands: its offset from the index's
/// start and its size in bytes. `None` if there is no such page.
pub const fn page_range(slots: u32, page: u32) -> Option<(u64, usize)> {
    if page >= page_count(slots) {
        return None;
    }
    let before = page * PAGE_SLOTS;
    let left = (slots - before) as usize;
    let entries = if left < PAGE_ENTRIES {
        left
    } else {
        PAGE_ENTRIES
    };
    let bytes = PAGE_HEADER_BYTES + entries * ENTRY_BYTES + MAC_BYTES;
    Some((page as u64 * PAGE_SEALED_BYTES as u64, bytes))
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// Blocks of the disk.
    Data,
    /// A node of the map.
    MapNode,
    /// The blocks read as zeroes: older data is hidden.
    Zero,
    /// As `Zero`, and reported as a hole.
    Discard,
}

impl Content {
    const fn number(self) -> u32 {
        match self {
            Content::Data => 0,
            Content::MapNode => 1,
            Content::Zero => 2,
            Content::Discard => 3,
        }
    }

    const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Content::Data,
            1 => Content::MapNode,
            2 => Content::Zero,
            3 => Content::Discard,
            _ => return None,
        })
    }

    /// Whether the slot has a chunk in the object.
    pub const fn has_chunk(self) -> bool {
        matches!(self, Content::Data | Content::MapNode)
    }
}

/// How a chunk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
}

impl Codec {
    /// The codec's number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The codec numbered `number`, if there is one.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Codec::Raw),
            1 => Some(Codec::Zstd),
            _ => None,
        }
    }
}

/// One slot of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// The first block of the disk, below 2^40; 0 for a map node.
    pub block: u64,
    /// Blocks from there: 1 to 8 for data, 1 for a map node, up to 2^40 for zero and discard.
    pub blocks: u64,
    /// What the slot holds.
    pub content: Content,
    /// How its chunk is compressed; `Raw` for zero and discard.
    pub codec: Codec,
    /// The size of its chunk in the object, tag included, 1 to [`STORED_BYTES_MAX`]; 0 for
    /// zero and discard.
    pub stored_bytes: u32,
    /// The keyed hash of the content; zero but for data.
    pub content_id: [u8; 16],
}

impl IndexEntry {
    /// Whether the fields agree with each other.
    ///
    /// # Errors
    /// `BadValue`, naming what is wrong.
    pub fn check(&self) -> Result<()> {
        let end = self.block.checked_add(self.blocks);
        let in_range = self.blocks >= 1 && end.is_some_and(|end| end <= BLOCKS_MAX);
        ensure(in_range, "index entry: range")?;
        let stored = (1..=STORED_BYTES_MAX).contains(&self.stored_bytes);
        ensure(
            stored == self.content.has_chunk(),
            "index entry: stored bytes",
        )?;
        match self.content {
            Content::Data => ensure(
                self.blocks <= CHUNK_BLOCKS_MAX as u64,
                "index entry: blocks of a chunk",
            ),
            Content::MapNode => {
                let plain = self.block == 0 && self.blocks == 1 && self.content_id == [0; 16];
                ensure(plain, "index entry: map node")
            }
            Content::Zero | Content::Discard => {
                let plain = self.codec == Codec::Raw
                    && self.stored_bytes == 0
                    && self.content_id == [0; 16];
                ensure(plain, "index entry: hole")
            }
        }
    }

    fn put(&self, to: &mut Writer) {
        to.bytes(&self.block.to_le_bytes()[..5]);
        let small = if self.content == Content::Data {
            self.blocks - 1
        } else {
            0
        };
        let small = u32::try_from(small).expect("a chunk has at most 8 blocks");
        let packed = self.stored_bytes
            | small << 17
            | u32::from(self.codec.number()) << 20
            | self.content.number() << 22;
        to.bytes(&packed.to_le_bytes()[..3]);
        if self.content.has_chunk() {
            to.bytes(&self.content_id);
        } else {
            to.u64(self.blocks);
            to.u64(0);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        let mut block = [0; 8];
        block[..5].copy_from_slice(from.bytes(5)?);
        let mut packed = [0; 4];
        packed[..3].copy_from_slice(from.bytes(3)?);
        let packed = u32::from_le_bytes(packed);
        let small = packed >> 17 & 7;
        let codec = u8::try_from(packed >> 20 & 3)
            .ok()
            .and_then(Codec::from_number);
        let codec = codec.ok_or(FormatError::value("index entry: codec"))?;
        let content =
            Content::from_number(packed >> 22).ok_or(FormatError::value("index entry: content"))?;
        let (blocks, content_id) = if content.has_chunk() {
            (u64::from(small) + 1, from.array()?)
        } else {
            ensure(small == 0, "index entry: hole")?;
            let blocks = from.u64()?;
            from.zeros(8)?;
            (blocks, [0; 16])
        };
        let entry = IndexEntry {
            block: u64::from_le_bytes(block),
            blocks,
            content,
            codec,
            stored_bytes: packed & STORED_BYTES_MAX,
            content_id,
        };
        entry.check()?;
        Ok(entry)
    }
}

/// Up to 64 neighbouring slots of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPage {
    /// The slot of the first entry, a multiple of [`PAGE_ENTRIES`].
    pub first_slot: u16,
    /// The offset in the object, in bytes, of the first chunk of the page.
    pub first_position: u64,
    /// The entries, 1 to [`PAGE_ENTRIES`].
    pub entries: Vec<IndexEntry>,
}

impl IndexPage {
    pub(super) fn check(&self) -> Result<()> {
        let count = self.entries.len();
        ensure((1..=PAGE_ENTRIES).contains(&count), "index page: count")?;
        ensure(
            usize::from(self.first_slot) % PAGE_ENTRIES == 0,
            "index page: first slot",
        )?;
        let end = usize::from(self.first_slot) + count;
        ensure(end <= SLOTS_MAX as usize, "index page: last slot")?;
        ensure(
            self.first_position <= SEGMENT_BYTES_MAX,
            "index page: first position",
        )
    }

    /// The page's plain bytes, to be sealed; at most [`PAGE_PLAIN_BYTES_MAX`].
    ///
    /// # Panics
    /// If the page or an entry is one that [`decode`](Self::decode) refuses.
    pub fn encode(&self) -> Vec<u8> {
        assert_eq!(
            self.check(),
            Ok(()),
            "the packer makes pages that can be read"
        );
        let mut to = Writer::with_capacity(PAGE_PLAIN_BYTES_MAX);
        to.u64(self.first_position);
        to.u16(self.first_slot);
        to.u16(u16::try_from(self.entries.len()).expect("a page has at most 64 entries"));
        to.u16(VERSION);
        to.zeros(2);
        for entry in &self.entries {
            assert_eq!(
                entry.check(),
                Ok(()),
                "the packer makes entries that can be read"
            );
            entry.put(&mut to);
        }
        to.into_bytes()
    }

    /// Reads a page's plain bytes, after its seal was verified.
    ///
    /// # Errors
    /// `BadVersion`, `BadLength` or `BadValue`.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut from = Reader::new(bytes, WHAT);
        let first_position = from.u64()?;
        let first_slot = from.u16()?;
        let count = usize::from(from.u16()?);
        if from.u16()? != VERSION {
            return Err(FormatError::new(FormatErrorKind::BadVersion, WHAT));
        }
        from.zeros(2)?;
        if count > PAGE_ENTRIES || bytes.len() != PAGE_HEADER_BYTES + count * ENTRY_BYTES {
            return Err(FormatError::length(WHAT));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(IndexEntry::take(&mut from)?);
        }
        from.finish()?;
        let page = IndexPage {
            first_slot,
            first_position,
            entries,
        };
        page.check()?;
        Ok(page)
    }

    /// The entry of `slot` and the offset of its chunk in the object, in bytes (for zero and
    /// discard: where it would stand). `None` if the slot is not in this page.
    pub fn position(&self, slot: Slot) -> Option<(u64, &IndexEntry)> {
        let index = usize::from(slot.0.checked_sub(self.first_slot)?);
        let entry = self.entries.get(index)?;
        let before: u64 = self.entries[..index]
            .iter()
            .map(|one| u64::from(one.stored_bytes))
            .sum();
        Some((self.first_position + before, entry))
    }

    /// The offset in the object, in bytes, after the last chunk of the page.
    pub fn end_position(&self) -> u64 {
        let bytes: u64 = self
            .entries
            .iter()
            .map(|one| u64::from(one.stored_bytes))
            .sum();
        self.first_position + bytes
    }
}
