//! What a sealed chunk or page is bound to: the bytes of its associated data.
//!
//! Owns: [`ChunkContext`], [`PageContext`] and their encoding, which is part of the format and
//! never changes within a version. Never the object: a chunk that the scrubber copies to another
//! object stays as it is.

use vpool_format::segment::{Codec, Content};
use vpool_format::{DiskId, PoolId, SegmentNo, Slot, StreamUid};

/// Version of both encodings.
const VERSION: u16 = 1;
const KIND_CHUNK: u16 = 1;
const KIND_PAGE: u16 = 2;

pub(crate) const CHUNK_CONTEXT_BYTES: usize = 68;
pub(crate) const PAGE_CONTEXT_BYTES: usize = 64;

/// The place and form of a chunk.
///
/// | at | bytes | field |
/// | --- | --- | --- |
/// | 0 | 2 | version, 1 |
/// | 2 | 2 | kind, 1 |
/// | 4 | 16 | pool |
/// | 20 | 16 | disk |
/// | 36 | 16 | stream |
/// | 52 | 8 | segment |
/// | 60 | 2 | slot |
/// | 62 | 1 | content |
/// | 63 | 1 | codec |
/// | 64 | 4 | length before compression |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkContext {
    /// The pool.
    pub pool: PoolId,
    /// The disk that wrote it, which for a clone may be an ancestor.
    pub disk: DiskId,
    /// The stream that wrote it.
    pub uid: StreamUid,
    /// Its segment.
    pub segment: SegmentNo,
    /// Its slot: the nonce.
    pub slot: Slot,
    /// What it holds.
    pub content: Content,
    /// How it is compressed.
    pub codec: Codec,
    /// Its length before compression, in bytes.
    pub raw_bytes: u32,
}

impl ChunkContext {
    pub(crate) fn encode(&self) -> [u8; CHUNK_CONTEXT_BYTES] {
        let mut out = Fields::new();
        out.put(&VERSION.to_le_bytes());
        out.put(&KIND_CHUNK.to_le_bytes());
        out.put(&self.pool.0.to_le_bytes());
        out.put(&self.disk.0.to_le_bytes());
        out.put(&self.uid.0.to_le_bytes());
        out.put(&self.segment.0.to_le_bytes());
        out.put(&self.slot.0.to_le_bytes());
        out.put(&[content_number(self.content), codec_number(self.codec)]);
        out.put(&self.raw_bytes.to_le_bytes());
        out.finish()
    }
}

/// The place of an index page.
///
/// | at | bytes | field |
/// | --- | --- | --- |
/// | 0 | 2 | version, 1 |
/// | 2 | 2 | kind, 2 |
/// | 4 | 16 | pool |
/// | 20 | 16 | disk |
/// | 36 | 16 | stream |
/// | 52 | 8 | first segment of the object |
/// | 60 | 4 | page |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageContext {
    /// The pool.
    pub pool: PoolId,
    /// The disk that wrote the object.
    pub disk: DiskId,
    /// The stream that wrote the object.
    pub uid: StreamUid,
    /// The first segment of the object.
    pub segment: SegmentNo,
    /// The page's number in the object, from 0: the nonce.
    pub page: u32,
}

impl PageContext {
    pub(crate) fn encode(&self) -> [u8; PAGE_CONTEXT_BYTES] {
        let mut out = Fields::new();
        out.put(&VERSION.to_le_bytes());
        out.put(&KIND_PAGE.to_le_bytes());
        out.put(&self.pool.0.to_le_bytes());
        out.put(&self.disk.0.to_le_bytes());
        out.put(&self.uid.0.to_le_bytes());
        out.put(&self.segment.0.to_le_bytes());
        out.put(&self.page.to_le_bytes());
        out.finish()
    }
}

/// Numbers of this encoding, spelled out so that a reordered enum changes nothing.
fn content_number(content: Content) -> u8 {
    match content {
        Content::Data => 0,
        Content::MapNode => 1,
        Content::Zero => 2,
        Content::Discard => 3,
    }
}

fn codec_number(codec: Codec) -> u8 {
    match codec {
        Codec::Raw => 0,
        Codec::Zstd => 1,
    }
}

/// Fields one after the other in `N` bytes.
struct Fields<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Fields<N> {
    fn new() -> Fields<N> {
        Fields {
            bytes: [0; N],
            at: 0,
        }
    }

    fn put(&mut self, field: &[u8]) {
        let end = self.at + field.len();
        self.bytes[self.at..end].copy_from_slice(field);
        self.at = end;
    }

    fn finish(self) -> [u8; N] {
        assert_eq!(self.at, N, "the table and the code must agree");
        self.bytes
    }
}
