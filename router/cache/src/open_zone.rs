//! The zone that is being filled: entries gathered until they are worth a write.
//!
//! Owns: [`OpenZone`]: where the next entry goes, the seals of its entries, what is not written
//! and not in the index yet. Does not own: I/O, the choice of the zone.

use std::collections::{BTreeMap, BTreeSet};

use vpool_commit::{Lap, SlotPin};
use vpool_host::Aligned;
use vpool_seal::{ContentId, DataKey, ZoneKey};

use crate::ChunkKey;
use crate::limits::{ADDRESSES_MAX, BLOCK_BYTES};
use crate::zone::{Address, Entry, Layout, Use, ZoneIndex, footer_bytes};

/// A zone that is being filled.
#[derive(Debug)]
pub(crate) struct OpenZone {
    pub(crate) of: Use,
    /// All that the footer will say.
    pub(crate) index: ZoneIndex,
    /// Bytes of the zone from `written` on that are not written yet.
    pub(crate) buffer: Aligned,
    /// Where in the zone the buffer belongs.
    pub(crate) written: usize,
    /// How many of the entries and addresses are in the cache's index already.
    pub(crate) published: (usize, usize),
    /// The contents of those that are not.
    unpublished: BTreeSet<ContentId>,
    /// One for each data key: it remembers which entries it sealed.
    keys: BTreeMap<[u8; 8], ZoneKey>,
    zone_len: usize,
    pin: SlotPin,
}

impl OpenZone {
    /// A zone begun anew, with its header in the buffer, which may have served another before.
    pub(crate) fn new(layout: &Layout, of: Use, pin: SlotPin, mut buffer: Aligned) -> OpenZone {
        buffer.clear();
        buffer.extend_from_slice(&layout.header(&of));
        OpenZone {
            index: ZoneIndex::default(),
            buffer,
            written: 0,
            published: (0, 0),
            unpublished: BTreeSet::new(),
            keys: BTreeMap::new(),
            zone_len: layout.zone_len(),
            of,
            pin,
        }
    }

    pub(crate) fn lap(&self) -> Lap {
        self.pin.lap()
    }

    /// Whether there is room for so many more bytes of entries and so many addresses.
    pub(crate) fn fits(&self, entry_bytes: usize, addresses: usize) -> bool {
        let entries = self.index.entries.len() + usize::from(entry_bytes > 0);
        let addresses = self.index.addresses.len() + addresses;
        let end = self.end() + entry_bytes;
        addresses <= ADDRESSES_MAX && end + footer_bytes(entries, addresses) <= self.zone_len
    }

    /// Whether a content waits here to be written.
    pub(crate) fn waits(&self, id: &ContentId) -> bool {
        self.unpublished.contains(id)
    }

    /// Whether the newest address waits here to be written, and is this one.
    pub(crate) fn has_newest(&self, key: &ChunkKey) -> bool {
        let unpublished = &self.index.addresses[self.published.1..];
        unpublished
            .last()
            .is_some_and(|address| address.key == *key)
    }

    /// Whether there is anything that the cache's index does not know.
    pub(crate) fn has_news(&self) -> bool {
        self.published != (self.index.entries.len(), self.index.addresses.len())
    }

    /// Adds a chunk, sealed if there is a data key. It must fit.
    pub(crate) fn add(&mut self, content: ContentId, bytes: &[u8], data: Option<&DataKey>) {
        let blocks = u8::try_from(bytes.len() / BLOCK_BYTES).expect("at most 16");
        let offset = u32::try_from(self.end()).expect("a zone has at most 4 MiB");
        let entry = Entry {
            content,
            offset,
            blocks,
            key: data.map(DataKey::id),
        };
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        if let Some(data) = data {
            let key = self
                .keys
                .entry(data.id().0)
                .or_insert_with(|| data.zone(&self.of.salt));
            let number = crate::rebuild::place(self.of.zone, &entry).number();
            let tag = key.seal_entry(number, &content, &mut self.buffer[start..]);
            self.buffer.extend_from_slice(&tag);
        }
        self.index.entries.push(entry);
        self.unpublished.insert(content);
    }

    /// Records that an address holds a content. It must fit.
    pub(crate) fn record(&mut self, address: Address) {
        self.index.addresses.push(address);
    }

    /// Says that all there is in the buffer has been written and is in the cache's index.
    pub(crate) fn publish(&mut self, buffer: Aligned) {
        self.written += buffer.len();
        self.buffer = buffer;
        self.buffer.clear();
        self.published = (self.index.entries.len(), self.index.addresses.len());
        self.unpublished.clear();
    }

    /// Where the next entry goes.
    fn end(&self) -> usize {
        self.written + self.buffer.len()
    }
}
