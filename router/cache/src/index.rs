//! The index of the SSD layer: address → content → place, in 40 bytes a chunk.
//!
//! Owns: [`Index`], [`Place`]. Does not own: its lock, the zones.
//!
//! An address is exact (a wrong one would be wrong bytes): the stream's uid is held once in a
//! table of streams and stands for it by a small number. A content may be known without a place:
//! its chunk was dropped, and addresses still point to it. It goes with the last of them.

mod streams;

use hashbrown::HashTable;
use vpool_format::StreamUid;
use vpool_seal::ContentId;

use crate::ChunkKey;
use crate::limits::BLOCK_BYTES;
use streams::Streams;

/// Most addresses of one content; further ones are not cached.
const ADDRESSES_OF_ONE_MAX: u64 = (1 << 15) - 1;

/// Where a content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) zone: u32,
    /// In bytes from the start of the zone; a multiple of 16.
    pub(crate) offset: u32,
    /// 1 to 16.
    pub(crate) blocks: u8,
    pub(crate) sealed: bool,
}

impl Place {
    /// Length of the plain bytes.
    pub(crate) fn plain_bytes(&self) -> usize {
        usize::from(self.blocks) * BLOCK_BYTES
    }

    /// Number of the entry in its zone, the nonce of its seal: entries are at least a block
    /// long, so no two begin in one block.
    pub(crate) fn number(&self) -> u32 {
        self.offset / 4096
    }
}

#[derive(Debug, Clone, Copy)]
struct Address {
    stream: u32,
    segment: u32,
    slot: u16,
    content: u32,
}

/// Bits of `packed`, from the lowest: zone 24, offset / 16 18, blocks - 1 4, sealed 1, placed
/// 1, read 1, addresses 15.
#[derive(Debug, Clone, Copy)]
struct Content {
    id: ContentId,
    packed: u64,
}

const _: () = assert!(size_of::<Address>() + size_of::<Content>() <= 40);

const PLACE_BITS: u64 = (1 << 47) - 1;
const PLACED: u64 = 1 << 47;
const READ: u64 = 1 << 48;
const ADDRESSES_SHIFT: u32 = 49;
const ADDRESS: u64 = 1 << ADDRESSES_SHIFT;

impl Content {
    fn place(&self) -> Option<Place> {
        if self.packed & PLACED == 0 {
            return None;
        }
        let bits = |shift: u32, count: u32| {
            u32::try_from(self.packed >> shift & ((1 << count) - 1)).expect("fewer than 32 bits")
        };
        Some(Place {
            zone: bits(0, 24),
            offset: bits(24, 18) * 16,
            blocks: u8::try_from(bits(42, 4) + 1).expect("at most 16"),
            sealed: bits(46, 1) == 1,
        })
    }

    fn set_place(&mut self, place: Place) {
        debug_assert!(
            place.zone < 1 << 24 && place.offset.is_multiple_of(16) && place.offset < 1 << 22
        );
        debug_assert!((1..=16).contains(&place.blocks));
        let packed = u64::from(place.zone)
            | u64::from(place.offset / 16) << 24
            | u64::from(place.blocks - 1) << 42
            | u64::from(place.sealed) << 46;
        self.packed = self.packed & !(PLACE_BITS | READ) | packed | PLACED;
    }

    fn addresses(&self) -> u64 {
        self.packed >> ADDRESSES_SHIFT
    }
}

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Index {
    addresses: HashTable<Address>,
    /// Indexes into the slab, by content id.
    contents: HashTable<u32>,
    slab: Vec<Content>,
    free: Vec<u32>,
    streams: Streams,
    placed: usize,
    placed_bytes: u64,
}

impl Index {
    /// The content and place of an address, if its chunk is here.
    pub(crate) fn find(&self, key: &ChunkKey) -> Option<(ContentId, Place)> {
        let content = &self.slab[at(self.address(key)?.content)];
        Some((content.id, content.place()?))
    }

    /// The content of an address, whether its chunk is here or not.
    pub(crate) fn content_of(&self, key: &ChunkKey) -> Option<ContentId> {
        Some(self.slab[at(self.address(key)?.content)].id)
    }

    /// Where a content lies.
    pub(crate) fn place(&self, id: &ContentId) -> Option<Place> {
        self.slab[at(self.content(id)?)].place()
    }

    /// Puts a content in a place; an older place of it is forgotten.
    pub(crate) fn put_content(&mut self, id: ContentId, place: Place) {
        let slot = match self.content(&id) {
            Some(slot) => slot,
            None => self.new_content(id),
        };
        self.unplace(slot);
        self.slab[at(slot)].set_place(place);
        self.placed += 1;
        self.placed_bytes += u64::from(place.blocks) * 4096;
    }

    /// Lets an address point to a content that is known. `false` if it is not, has as many
    /// addresses as it can have, or the address is beyond what the index holds.
    pub(crate) fn put_address(&mut self, key: ChunkKey, id: &ContentId) -> bool {
        let Some(slot) = self.content(id) else {
            return false;
        };
        match self.address(&key) {
            Some(address) if address.content == slot => return true,
            // No address ever changes its bytes; if one seems to, the newest counts.
            Some(_) => self.remove_address(&key),
            None => {}
        }
        let Ok(segment) = u32::try_from(key.segment.0) else {
            return false;
        };
        let Some(slot) = self.content(id) else {
            return false;
        };
        if self.slab[at(slot)].addresses() >= ADDRESSES_OF_ONE_MAX {
            return false;
        }
        self.slab[at(slot)].packed += ADDRESS;
        let stream = self.streams.add(key.uid);
        let address = Address {
            stream,
            segment,
            slot: key.slot.0,
            content: slot,
        };
        self.addresses
            .insert_unique(hash_address(&address), address, hash_address);
        true
    }

    /// As `put_address`, for a content that may become known later; `sweep` removes what did not.
    pub(crate) fn put_address_ahead(&mut self, key: ChunkKey, id: &ContentId) {
        let slot = match self.content(id) {
            Some(slot) => slot,
            None => self.new_content(*id),
        };
        if !self.put_address(key, id) {
            self.free_if_unused(slot);
        }
    }

    /// Forgets an address.
    pub(crate) fn remove_address(&mut self, key: &ChunkKey) {
        let Some(wanted) = self.numbered(key) else {
            return;
        };
        let found = self
            .addresses
            .find_entry(hash_address(&wanted), |other| same(other, &wanted));
        if let Ok(found) = found {
            let (address, _) = found.remove();
            self.streams.remove(address.stream);
            self.slab[at(address.content)].packed -= ADDRESS;
            self.free_if_unused(address.content);
        }
    }

    /// Forgets that a content lies at `place`, unless it lies elsewhere by now.
    pub(crate) fn drop_place(&mut self, id: &ContentId, place: Place) {
        if let Some(slot) = self.content(id)
            && self.slab[at(slot)].place() == Some(place)
        {
            self.unplace(slot);
            self.free_if_unused(slot);
        }
    }

    /// Forgets all places in a zone; looks at every content.
    pub(crate) fn drop_zone(&mut self, zone: u32) {
        let ids = self.slab.iter().filter_map(|content| {
            let place = content.place().filter(|place| place.zone == zone)?;
            Some((content.id, place))
        });
        for (id, place) in ids.collect::<Vec<_>>() {
            self.drop_place(&id, place);
        }
    }

    /// Forgets the addresses of contents without a place, and what `doomed` names; looks at
    /// every address.
    pub(crate) fn sweep(&mut self, doomed: impl Fn(StreamUid) -> bool) {
        let (slab, streams) = (&self.slab, &self.streams);
        let gone = self.addresses.iter().filter(|address| {
            slab[at(address.content)].place().is_none() || doomed(streams.uid(address.stream))
        });
        let gone: Vec<_> = gone
            .map(|address| ChunkKey {
                uid: streams.uid(address.stream),
                segment: vpool_format::SegmentNo(u64::from(address.segment)),
                slot: vpool_format::Slot(address.slot),
            })
            .collect();
        for key in gone {
            self.remove_address(&key);
        }
    }

    /// Notes that a content has been read where it lies.
    pub(crate) fn mark_read(&mut self, id: &ContentId) {
        if let Some(slot) = self.content(id) {
            let content = &mut self.slab[at(slot)];
            if content.packed & PLACED != 0 {
                content.packed |= READ;
            }
        }
    }

    /// Whether a content has been read since it lies at `place`.
    pub(crate) fn was_read(&self, id: &ContentId, place: Place) -> bool {
        self.content(id).is_some_and(|slot| {
            let content = &self.slab[at(slot)];
            content.place() == Some(place) && content.packed & READ != 0
        })
    }

    /// Addresses and contents: what the bound on the index counts.
    pub(crate) fn len(&self) -> usize {
        self.addresses.len() + self.contents.len()
    }

    /// Number of addresses.
    pub(crate) fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// Number of contents with a place, and their plain bytes.
    pub(crate) fn placed(&self) -> (usize, u64) {
        (self.placed, self.placed_bytes)
    }

    fn numbered(&self, key: &ChunkKey) -> Option<Address> {
        Some(Address {
            stream: self.streams.number(key.uid)?,
            segment: u32::try_from(key.segment.0).ok()?,
            slot: key.slot.0,
            content: 0,
        })
    }

    fn address(&self, key: &ChunkKey) -> Option<&Address> {
        let wanted = self.numbered(key)?;
        self.addresses
            .find(hash_address(&wanted), |other| same(other, &wanted))
    }

    fn content(&self, id: &ContentId) -> Option<u32> {
        let same = |slot: &u32| self.slab[at(*slot)].id == *id;
        self.contents.find(hash_id(id), same).copied()
    }

    fn new_content(&mut self, id: ContentId) -> u32 {
        let content = Content { id, packed: 0 };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slab[at(slot)] = content;
                slot
            }
            None => {
                self.slab.push(content);
                u32::try_from(self.slab.len() - 1).expect("the index is bounded far below 2^32")
            }
        };
        let slab = &self.slab;
        self.contents
            .insert_unique(hash_id(&id), slot, |slot| hash_id(&slab[at(*slot)].id));
        slot
    }

    fn unplace(&mut self, slot: u32) {
        let content = &mut self.slab[at(slot)];
        if let Some(place) = content.place() {
            content.packed &= !(PLACED | READ | PLACE_BITS);
            self.placed -= 1;
            self.placed_bytes -= u64::from(place.blocks) * 4096;
        }
    }

    fn free_if_unused(&mut self, slot: u32) {
        let content = self.slab[at(slot)];
        if content.packed & PLACED != 0 || content.addresses() > 0 {
            return;
        }
        let same = |other: &u32| *other == slot;
        if let Ok(found) = self.contents.find_entry(hash_id(&content.id), same) {
            found.remove();
            self.free.push(slot);
        }
    }
}

fn same(a: &Address, b: &Address) -> bool {
    (a.stream, a.segment, a.slot) == (b.stream, b.segment, b.slot)
}

fn hash_address(address: &Address) -> u64 {
    use std::hash::Hasher;
    let mut mix = crate::key::Mix::default();
    mix.write_u32(address.stream);
    mix.write_u32(address.segment);
    mix.write_u16(address.slot);
    mix.finish()
}

/// A content id is a hash already.
fn hash_id(id: &ContentId) -> u64 {
    u64::from_le_bytes(*id.first_chunk().expect("16 bytes"))
}

fn at(index: u32) -> usize {
    usize::try_from(index).expect("32 bits fit")
}

#[cfg(test)]
mod tests;
