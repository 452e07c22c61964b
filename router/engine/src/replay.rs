//! Reads segments' indexes back, to bring a map up to where its stream ends.
//!
//! Owns: reading and verifying one segment's tail; replaying a run of segments. Does not own:
//! where streams end (`vdisk::open`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use vpool_format::checkpoint::StreamEntry;
use vpool_format::names::Name;
use vpool_format::segment::{IndexPage, PAGE_SEALED_BYTES, SubCut, Trailer};
use vpool_format::{FormatErrorKind, SegmentNo};
use vpool_map::Pending;
use vpool_object::{ErrorKind as StoreKind, Key, ObjectStore, Tail};
use vpool_seal::PageContext;

use crate::chunks::{Lineage, object_key, read_error, with_patience};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::mac;
use crate::packer::IndexedChunk;
use crate::vdisk::index::target;

/// A segment's index, verified.
#[derive(Debug)]
pub struct SegmentIndex {
    /// The trailer.
    pub trailer: Trailer,
    /// The sub-cuts.
    pub cuts: Vec<SubCut>,
    /// The chunks.
    pub chunks: Vec<IndexedChunk>,
}

/// How long opening a disk waits for a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads the index of a segment from the store.
pub async fn read_index(
    store: &Arc<dyn ObjectStore>,
    lineage: &Lineage,
    stream: &StreamEntry,
    segment: SegmentNo,
) -> Result<SegmentIndex> {
    let name = Name::Segment {
        disk: stream.disk,
        epoch: stream.epoch,
        uid: stream.uid,
        segment,
    };
    let key = object_key(&name)?;
    let mut wanted = limits::TAIL_READ_BYTES;
    let mut tries = 1;
    loop {
        let tail = match with_patience(PATIENCE, || store.get_tail(&key, wanted)).await {
            Ok(tail) => tail,
            // It is named, so it is there: the store lags, or has lost it.
            Err(error) if error.kind() == StoreKind::NotFound && tries < limits::VERIFY_TRIES => {
                tries += 1;
                tokio::time::sleep(limits::MISSING_PAUSE).await;
                continue;
            }
            Err(error) => return Err(read_error(lineage, &key, &error)),
        };
        match decode(lineage, stream, segment, &tail) {
            Ok(index) => return Ok(index),
            Err(Problem::NeedMore(bytes)) if bytes > wanted && bytes <= tail.object_bytes => {
                wanted = bytes;
            }
            // A damaged answer may be the way's fault: it is asked for again.
            Err(_) if tries < limits::VERIFY_TRIES => {
                tries += 1;
                tokio::time::sleep(limits::VERIFY_PAUSE).await;
            }
            Err(_) => return Err(corrupt(lineage, &key)),
        }
    }
}

fn corrupt(lineage: &Lineage, key: &Key) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "disk {}: the index of object {key} is not what was written: restore the object",
            lineage.name
        ),
    )
}

enum Problem {
    NeedMore(u64),
    Damaged,
}

fn decode(
    lineage: &Lineage,
    stream: &StreamEntry,
    segment: SegmentNo,
    tail: &Tail,
) -> std::result::Result<SegmentIndex, Problem> {
    let pool = lineage.keys.pool_id();
    let place = mac::place(pool, stream.disk, stream.uid, segment);
    let secrets = &lineage.keys.pool;
    let (trailer, cuts) = Trailer::decode_tail(&tail.bytes, tail.object_bytes, &|bytes| {
        mac::trailer(secrets, &place, bytes)
    })
    .map_err(|error| match error.kind {
        FormatErrorKind::NeedMore { bytes } => Problem::NeedMore(bytes),
        _ => Problem::Damaged,
    })?;
    if trailer.uid != stream.uid || trailer.segment != segment {
        return Err(Problem::Damaged);
    }
    let skipped = tail.object_bytes - tail.bytes.len() as u64;
    let Some(at) = trailer.index_offset.checked_sub(skipped) else {
        return Err(Problem::NeedMore(trailer.tail_bytes()));
    };
    let at = usize::try_from(at).map_err(|_| Problem::Damaged)?;
    let chunks = pages(lineage, stream, segment, &trailer, &tail.bytes.slice(at..))?;
    Ok(SegmentIndex {
        trailer,
        cuts,
        chunks,
    })
}

fn pages(
    lineage: &Lineage,
    stream: &StreamEntry,
    segment: SegmentNo,
    trailer: &Trailer,
    bytes: &Bytes,
) -> std::result::Result<Vec<IndexedChunk>, Problem> {
    let key = lineage.keys.pages(&trailer.object_salt);
    let index_bytes = vpool_format::segment::index_bytes(trailer.slot_count);
    let index_bytes = usize::try_from(index_bytes).map_err(|_| Problem::Damaged)?;
    let bytes = bytes.get(..index_bytes).ok_or(Problem::Damaged)?;
    let mut chunks = Vec::with_capacity(trailer.slot_count as usize);
    for (number, sealed) in bytes.chunks(PAGE_SEALED_BYTES).enumerate() {
        let context = PageContext {
            pool: lineage.keys.pool_id(),
            disk: stream.disk,
            uid: stream.uid,
            segment,
            page: u32::try_from(number).map_err(|_| Problem::Damaged)?,
        };
        let mut plain = Vec::with_capacity(sealed.len());
        key.open(&context, sealed, &mut plain)
            .map_err(|_| Problem::Damaged)?;
        let page = IndexPage::decode(&plain).map_err(|_| Problem::Damaged)?;
        let mut offset = page.first_position;
        for (at, entry) in page.entries.into_iter().enumerate() {
            let slot = usize::from(page.first_slot) + at;
            let slot = u16::try_from(slot).map_err(|_| Problem::Damaged)?;
            let stored = u64::from(entry.stored_bytes);
            chunks.push(IndexedChunk {
                slot: vpool_format::Slot(slot),
                offset,
                entry,
            });
            offset += stored;
        }
    }
    Ok(chunks)
}

/// Replays the segments `first..=last` of a stream over `pending`, in order.
pub async fn replay(
    store: &Arc<dyn ObjectStore>,
    lineage: &Lineage,
    stream: &StreamEntry,
    first: SegmentNo,
    last: SegmentNo,
    pending: &mut Pending,
) -> Result<()> {
    let numbers = (first.0..=last.0).map(SegmentNo);
    let mut indexes = stream::iter(
        numbers.map(|segment| async move { read_index(store, lineage, stream, segment).await }),
    )
    .buffered(8);
    let mut segment = first;
    while let Some(index) = indexes.next().await {
        for chunk in index?.chunks {
            let Some(target) = target(stream.number, segment, &chunk) else {
                continue;
            };
            pending
                .insert(chunk.entry.block, chunk.entry.blocks, target)
                .map_err(|error| {
                    Error::new(
                        ErrorKind::Corrupt,
                        format!("disk {}: {error}", lineage.name),
                    )
                })?;
        }
        segment = SegmentNo(segment.0 + 1);
    }
    Ok(())
}
