//! The format of a zone of the cache file: what makes a restart find what was cached.
//!
//! Owns: header, footer and their encoding, version 1. Does not own: reading and writing them
//! (`writer`, `rebuild`), the bytes of the entries, which verify by themselves.
//!
//! ```text
//! | header block | entries, at multiples of 16 … | … | index | footer block |
//! 0            4096                                        zone_bytes - 4096
//! ```
//!
//! Header and footer block have one layout. The header is written when the zone is begun and the
//! footer when it is full: if they do not agree, the zone is torn and holds nothing.
//!
//! | at | bytes | field |
//! | --- | --- | --- |
//! | 0 | 8 | magic `vpcache1` |
//! | 8 | 2 | version, 1 |
//! | 10 | 2 | 1 header, 2 footer |
//! | 12 | 4 | zone |
//! | 16 | 16 | pool |
//! | 32 | 8 | order: grows with each zone begun in this file |
//! | 40 | 4 | bytes of a zone |
//! | 44 | 4 | entries (header: 0) |
//! | 48 | 4 | addresses (header: 0) |
//! | 52 | 4 | zero |
//! | 56 | 32 | salt, fresh at each beginning; with a data key it gives the key of the entries |
//! | 88 | 16 | MAC by the pool's key over bytes 0 to 87 and the index |
//! | 104 | | zeroes, to 4096 |
//!
//! Index: entries of 32 bytes, then addresses of 44 bytes, then zeroes up to the footer block.
//!
//! | entry at | bytes | field | | address at | bytes | field |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | 0 | 16 | content id | | 0 | 16 | stream |
//! | 16 | 4 | offset in the zone | | 16 | 8 | segment |
//! | 20 | 1 | blocks, 1 to 16 | | 24 | 2 | slot |
//! | 21 | 1 | 1 = encrypted, tag behind | | 26 | 2 | zero |
//! | 22 | 2 | zero | | 28 | 16 | content id, of this zone or another |
//! | 24 | 8 | id of the data key, or 0 | | | | |

use std::sync::Arc;

use vpool_format::{SegmentNo, Slot, StreamUid};
use vpool_seal::{ContentId, KeyId, PoolSecrets, TAG_BYTES};

use crate::ChunkKey;
use crate::limits::{ADDRESSES_MAX, BLOCK_BYTES, VALUE_BYTES_MAX};

const MAGIC: &[u8; 8] = b"vpcache1";
const VERSION: u16 = 1;
const DOMAIN: &str = "cache zone v1";
const SIGNED_BYTES: usize = 88;
const ENTRY_BYTES: usize = 32;
const ADDRESS_BYTES: usize = 44;

/// A header or footer block.
pub(crate) type Block = [u8; BLOCK_BYTES];

/// Which block of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Header = 1,
    Footer = 2,
}

/// What tells one use of a zone from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) zone: u32,
    pub(crate) order: u64,
    pub(crate) salt: [u8; 32],
}

/// A chunk in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) content: ContentId,
    /// In bytes from the start of the zone.
    pub(crate) offset: u32,
    pub(crate) blocks: u8,
    /// The data key that sealed it; `None` for a clear disk's.
    pub(crate) key: Option<KeyId>,
}

impl Entry {
    /// Length of the plain bytes.
    pub(crate) fn plain_bytes(&self) -> usize {
        usize::from(self.blocks) * BLOCK_BYTES
    }

    /// Length in the zone.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.plain_bytes() + if self.key.is_some() { TAG_BYTES } else { 0 }
    }
}

/// That an address holds a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) key: ChunkKey,
    pub(crate) content: ContentId,
}

/// The index of a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ZoneIndex {
    pub(crate) entries: Vec<Entry>,
    pub(crate) addresses: Vec<Address>,
}

/// How many bytes the index and footer of so many entries and addresses take.
pub(crate) fn footer_bytes(entries: usize, addresses: usize) -> usize {
    let index = entries * ENTRY_BYTES + addresses * ADDRESS_BYTES;
    index.next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES
}

/// What all zones of a file have in common.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) pool: Arc<PoolSecrets>,
    pub(crate) zone_bytes: u32,
}

/// A footer whose index has not been read yet: counts are plausible, nothing is verified.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) of: Use,
    entries: usize,
    addresses: usize,
    signed: [u8; SIGNED_BYTES],
    mac: [u8; 16],
}

impl Footer {
    /// The length of the index, padded, right before the footer block.
    pub(crate) fn index_bytes(&self) -> usize {
        footer_bytes(self.entries, self.addresses) - BLOCK_BYTES
    }
}

impl Layout {
    /// Bytes of a zone, as a length in memory.
    pub(crate) fn zone_len(&self) -> usize {
        usize::try_from(self.zone_bytes).expect("at most 4 MiB")
    }

    pub(crate) fn header(&self, of: &Use) -> Block {
        self.block(Kind::Header, of, 0, 0, &[])
    }

    /// The use that a header block begins, if it verifies.
    pub(crate) fn parse_header(&self, zone: u32, block: &Block) -> Option<Use> {
        let parsed = self.parse(Kind::Header, zone, block)?;
        let empty = parsed.entries == 0 && parsed.addresses == 0;
        (empty && self.verify(&parsed, &[])).then_some(parsed.of)
    }

    /// Index and footer block, to be written at the end of the zone.
    pub(crate) fn footer(&self, of: &Use, index: &ZoneIndex) -> Vec<u8> {
        let mut out = Vec::with_capacity(footer_bytes(index.entries.len(), index.addresses.len()));
        for entry in &index.entries {
            put_entry(entry, &mut out);
        }
        for address in &index.addresses {
            put_address(address, &mut out);
        }
        out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
        let counts = [index.entries.len(), index.addresses.len()];
        let [entries, addresses] =
            counts.map(|count| u32::try_from(count).expect("a zone bounds both"));
        let block = self.block(Kind::Footer, of, entries, addresses, &out);
        out.extend_from_slice(&block);
        out
    }

    /// What a footer block says, if it is one of this zone; to be verified with its index.
    pub(crate) fn parse_footer(&self, zone: u32, block: &Block) -> Option<Footer> {
        self.parse(Kind::Footer, zone, block)
    }

    /// The index, if it and the footer verify.
    pub(crate) fn parse_index(&self, footer: &Footer, index: &[u8]) -> Option<ZoneIndex> {
        if index.len() != footer.index_bytes() || !self.verify(footer, index) {
            return None;
        }
        let (entries, addresses) = index.split_at_checked(footer.entries * ENTRY_BYTES)?;
        let end = self.zone_len() - footer_bytes(footer.entries, footer.addresses);
        let entries = entries
            .as_chunks()
            .0
            .iter()
            .map(|entry| take_entry(entry, end))
            .collect::<Option<_>>()?;
        let addresses = addresses
            .as_chunks()
            .0
            .iter()
            .take(footer.addresses)
            .map(take_address)
            .collect();
        Some(ZoneIndex { entries, addresses })
    }

    fn block(&self, kind: Kind, of: &Use, entries: u32, addresses: u32, index: &[u8]) -> Block {
        let mut block = [0; BLOCK_BYTES];
        block[..8].copy_from_slice(MAGIC);
        block[8..10].copy_from_slice(&VERSION.to_le_bytes());
        block[10..12].copy_from_slice(&(kind as u16).to_le_bytes());
        block[12..16].copy_from_slice(&of.zone.to_le_bytes());
        block[16..32].copy_from_slice(&self.pool.pool().0.to_le_bytes());
        block[32..40].copy_from_slice(&of.order.to_le_bytes());
        block[40..44].copy_from_slice(&self.zone_bytes.to_le_bytes());
        block[44..48].copy_from_slice(&entries.to_le_bytes());
        block[48..52].copy_from_slice(&addresses.to_le_bytes());
        block[56..88].copy_from_slice(&of.salt);
        let mac = self.pool.mac(DOMAIN, &[&block[..SIGNED_BYTES], index]);
        block[88..104].copy_from_slice(&mac);
        block
    }

    fn parse(&self, kind: Kind, zone: u32, block: &Block) -> Option<Footer> {
        let word = |at: usize| u32::from_le_bytes(field(block, at));
        let right = block[..8] == *MAGIC
            && u16::from_le_bytes(field(block, 8)) == VERSION
            && u16::from_le_bytes(field(block, 10)) == kind as u16
            && word(12) == zone
            && u128::from_le_bytes(field(block, 16)) == self.pool.pool().0
            && word(40) == self.zone_bytes;
        let entries = usize::try_from(word(44)).ok()?;
        let addresses = usize::try_from(word(48)).ok()?;
        // So that nothing is allocated for counts that no zone can have.
        let plausible = entries <= self.zone_len() / BLOCK_BYTES
            && addresses <= ADDRESSES_MAX
            && footer_bytes(entries, addresses) + BLOCK_BYTES <= self.zone_len();
        (right && plausible).then(|| Footer {
            of: Use {
                zone,
                order: u64::from_le_bytes(field(block, 32)),
                salt: field(block, 56),
            },
            entries,
            addresses,
            signed: field(block, 0),
            mac: field(block, 88),
        })
    }

    fn verify(&self, footer: &Footer, index: &[u8]) -> bool {
        self.pool
            .verify(DOMAIN, &[&footer.signed, index], &footer.mac)
    }
}

fn put_entry(entry: &Entry, out: &mut Vec<u8>) {
    out.extend_from_slice(&entry.content);
    out.extend_from_slice(&entry.offset.to_le_bytes());
    out.extend_from_slice(&[entry.blocks, u8::from(entry.key.is_some()), 0, 0]);
    out.extend_from_slice(&entry.key.map_or([0; 8], |key| key.0));
}

/// An entry that ends at or before `end`.
fn take_entry(bytes: &[u8; ENTRY_BYTES], end: usize) -> Option<Entry> {
    let entry = Entry {
        content: field(bytes, 0),
        offset: u32::from_le_bytes(field(bytes, 16)),
        blocks: bytes[20],
        key: (bytes[21] == 1).then(|| KeyId(field(bytes, 24))),
    };
    let offset = usize::try_from(entry.offset).ok()?;
    let right = (BLOCK_BYTES..=end).contains(&offset)
        && offset % 16 == 0
        && (1..=VALUE_BYTES_MAX).contains(&entry.plain_bytes())
        && entry.stored_bytes() <= end - offset
        && bytes[21] <= 1;
    right.then_some(entry)
}

fn put_address(address: &Address, out: &mut Vec<u8>) {
    out.extend_from_slice(&address.key.uid.0.to_le_bytes());
    out.extend_from_slice(&address.key.segment.0.to_le_bytes());
    out.extend_from_slice(&address.key.slot.0.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&address.content);
}

fn take_address(bytes: &[u8; ADDRESS_BYTES]) -> Address {
    let key = ChunkKey {
        uid: StreamUid(u128::from_le_bytes(field(bytes, 0))),
        segment: SegmentNo(u64::from_le_bytes(field(bytes, 16))),
        slot: Slot(u16::from_le_bytes(field(bytes, 24))),
    };
    Address {
        key,
        content: field(bytes, 28),
    }
}

/// `N` bytes at a place that lies inside.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("the tables above say so")
}

#[cfg(test)]
mod tests;
