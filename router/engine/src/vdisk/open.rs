//! Opening a vDisk: recover, load the map, fence, seal, serve.
//!
//! Nothing is served, and nothing of the journal given back, before the seal is committed: a
//! sealed end is never computed again (P1, P2).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use parking_lot::Mutex;
use tokio::sync::Notify;
use vpool_format::checkpoint::{Checkpoint, StreamEntry};
use vpool_format::journal::RecordKind;
use vpool_format::names::Name;
use vpool_format::{Base, Epoch, SealedEnd, SegmentNo, Seq, StreamNo, StreamUid};
use vpool_map::{Map, Pending};
use vpool_metadata::{DiskEntry, Streams};
use vpool_seal::{DataKey, DiskKeys};

use super::index::Index;
use super::owed::Owed;
use super::recovery::{Previous, Recovered, recover, start_seq};
use super::shipping::Shipping;
use super::{Counts, VDisk, read};
use crate::chunks::nodes::DiskNodes;
use crate::chunks::{Lineage, object_key, read_error, with_patience};
use crate::end;
use crate::error::{Error, ErrorKind, Result, io as io_error};
use crate::journal::scan::{damage, read_group};
use crate::journal::{FoundExtent, Journal, Log, PlacedBlock, Span};
use crate::limits::{self, BLOCK};
use crate::name::Label;
use crate::pool::Pool;
use crate::{mac, replay};

/// How a disk is to be opened.
#[derive(Debug)]
pub struct Opening<'a> {
    /// The pool.
    pub pool: &'a Arc<Pool>,
    /// The disk.
    pub entry: &'a DiskEntry,
    /// Its extents in the journal.
    pub extents: &'a [FoundExtent],
    /// Goes back to before the first flushed record that is lost.
    pub accept_loss: bool,
}

/// How long opening waits for a store that does not answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// What the store holds of a disk.
struct Stored {
    streams: Vec<StreamEntry>,
    map: Map,
    pending: Pending,
    mapped_blocks: i64,
}

/// Opens a disk.
pub async fn open(opening: Opening<'_>) -> Result<Arc<VDisk>> {
    let (pool, entry) = (opening.pool, opening.entry);
    let name = Label::new(pool.name(), &entry.name);
    let keys = Arc::new(disk_keys(pool, entry)?);
    let streams = pool.metadata().streams(entry.id).await?;
    let mut previous = previous_stream(&streams);
    if let Some(previous) = &mut previous {
        previous.resting = streams.resting.filter(|end| end.uid == previous.uid);
        previous.recorded = streams.recorded >= previous.epoch;
    }
    let mut recovered = match &previous {
        None => Recovered::of_end(nothing(), Seq(0)),
        Some(previous) => find_end(&opening, &name, &keys, &streams, previous).await?,
    };
    tracing::debug!(disk = %name, ?previous, end = ?recovered.end, tails = ?recovered.tails,
        last = ?recovered.last, lost = ?recovered.lost, "recovered");
    if !recovered.lost.is_empty() {
        if !opening.accept_loss {
            return Err(damage(&name, &recovered.lost, recovered.last));
        }
        tracing::warn!(disk = %name, lost = ?recovered.lost, last = %recovered.last,
            "rolled back to before the first lost record, as asked");
        recovered.cut_before_loss();
    }
    let old_base = previous
        .as_ref()
        .map(|p| p.base.clone())
        .unwrap_or_default();
    let base = recovered.next_base(&old_base);
    if !recovered.lost.is_empty() {
        // The log goes on where its next stream begins: what is lost leaves no gap to be taken
        // for damage again.
        recovered.last = start_seq(&base);
    }
    let stored = load(pool, &name, &keys, &base).await?;

    let uid = StreamUid(pool.host().entropy.id());
    let from = streams.current.map_or(Epoch(0), |(epoch, _)| epoch);
    let epoch = pool.metadata().bump(entry.id, from, uid).await?;
    pool.metadata().seal(entry.id, epoch, base.clone()).await?;

    let owed = streams.owed;
    let disk = assemble(
        pool, entry, name, keys, uid, epoch, base, recovered, stored, owed,
    )
    .await?;
    if epoch.0 - streams.recorded.0 > limits::RECORD_EVERY {
        disk.put_stream_record().await?;
    }
    // Nothing may fail from here on: an extent is given back once.
    retire_rest(pool, opening.extents, &disk);
    disk.watch(disk.clone().run());
    Ok(disk)
}

fn nothing() -> SealedEnd {
    SealedEnd {
        uid: StreamUid(0),
        epoch: Epoch(0),
        segment: SegmentNo(0),
        seq: Seq(0),
        checkpoint: 0,
    }
}

/// The keys of a disk.
pub fn disk_keys(pool: &Pool, entry: &DiskEntry) -> Result<DiskKeys> {
    let data: Option<Arc<DataKey>> = match &entry.wrapped_key {
        None => None,
        Some(wrapped) => {
            let key = pool.secrets().unwrap(wrapped, entry.id).map_err(|error| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!("disk {}: its data key does not open: {error}", entry.name),
                )
            })?;
            Some(Arc::new(key))
        }
    };
    Ok(DiskKeys {
        pool: pool.secrets().clone(),
        data,
        disk: entry.id,
    })
}

/// The newest stream that was sealed in: one that was not has served nothing.
fn previous_stream(streams: &Streams) -> Option<Previous> {
    match (streams.current, &streams.base) {
        (Some((epoch, uid)), Some(base)) => Some(Previous {
            epoch,
            uid,
            base: base.clone(),
            resting: None,
            recorded: true,
        }),
        _ => streams.previous.clone().map(|(epoch, uid, base)| Previous {
            epoch,
            uid,
            base,
            resting: None,
            recorded: true,
        }),
    }
}

async fn find_end(
    opening: &Opening<'_>,
    name: &Label,
    keys: &Arc<DiskKeys>,
    streams: &Streams,
    previous: &Previous,
) -> Result<Recovered> {
    let pool = opening.pool;
    if let Some(end) = streams.closed.filter(|end| end.uid == previous.uid) {
        return Ok(Recovered::of_end(
            end,
            end.seq.max(start_seq(&previous.base)),
        ));
    }
    let (journal, extents) = (pool.journal().clone(), opening.extents.to_vec());
    let (their_keys, their_previous) = (keys.clone(), previous.clone());
    let mut recovered = pool
        .host()
        .blocking
        .run(move || recover(&journal, &their_keys, &extents, &their_previous))
        .await?;
    if !recovered.knows_end || !recovered.lost.is_empty() {
        // The journal does not say where the stream ends (it has written nothing, or the journal
        // is gone), or misses what the store may have.
        let found = end::find(pool, name, keys, opening.entry.id, previous).await?;
        if !recovered.knows_end && (found.segment.0 > 0 || found.checkpoint > 0) {
            tracing::warn!(disk = %name, end = ?found,
                "the journal does not say where the newest stream ends; the store does");
        }
        recovered.shipped_to(found);
    }
    Ok(recovered)
}

/// Loads the newest checkpoint under a base and replays what came after it.
async fn load(pool: &Arc<Pool>, name: &Label, keys: &Arc<DiskKeys>, base: &Base) -> Result<Stored> {
    let mut stored = Stored {
        streams: Vec::new(),
        map: Map::default(),
        pending: Pending::new(),
        mapped_blocks: 0,
    };
    let mut replay_from = SegmentNo(1);
    for (index, end) in base.sealed.iter().enumerate() {
        if index == 0 && end.checkpoint > 0 {
            let checkpoint = read_checkpoint(pool, name, keys, end).await?;
            replay_from = SegmentNo(checkpoint.merged.0.0 + 1);
            stored.map = Map::new(checkpoint.root);
            stored.mapped_blocks = i64::try_from(checkpoint.mapped_blocks).unwrap_or(i64::MAX);
            stored.streams = checkpoint.streams;
        }
        let known = stored.streams.iter().position(|entry| entry.uid == end.uid);
        let at = known.unwrap_or_else(|| {
            stored.streams.push(StreamEntry {
                number: next_number(&stored.streams),
                disk: keys.disk,
                uid: end.uid,
                epoch: end.epoch,
                generation: pool.generation(),
                end: None,
            });
            stored.streams.len() - 1
        });
        stored.streams[at].end = Some((end.segment, end.seq));
        let stream = stored.streams[at];
        let lineage = lineage(name, keys, &stored.streams);
        replay::replay(
            pool.store(),
            &lineage,
            &stream,
            replay_from,
            end.segment,
            &mut stored.pending,
        )
        .await?;
        replay_from = SegmentNo(1);
    }
    Ok(stored)
}

fn next_number(streams: &[StreamEntry]) -> StreamNo {
    StreamNo(streams.last().map_or(1, |entry| entry.number.0 + 1))
}

fn lineage(name: &Label, keys: &Arc<DiskKeys>, streams: &[StreamEntry]) -> Lineage {
    Lineage {
        name: name.clone(),
        streams: streams.into(),
        keys: keys.clone(),
    }
}

/// Reads a checkpoint that somebody has named: it must be there.
pub async fn read_checkpoint(
    pool: &Arc<Pool>,
    name: &Label,
    keys: &Arc<DiskKeys>,
    end: &SealedEnd,
) -> Result<Checkpoint> {
    let object = Name::Checkpoint {
        disk: keys.disk,
        epoch: end.epoch,
        uid: end.uid,
        number: end.checkpoint,
    };
    let key = object_key(&object)?;
    let lineage = lineage(name, keys, &[]);
    let corrupt = |why: &dyn std::fmt::Display| {
        Error::new(
            ErrorKind::Corrupt,
            format!("disk {name}: checkpoint {key} is not what was written ({why}): restore it"),
        )
    };
    let secrets = &keys.pool;
    let mut tries = 1;
    let checkpoint = loop {
        let bytes = match with_patience(PATIENCE, || pool.store().get(&key)).await {
            Ok(bytes) => bytes,
            Err(error)
                if error.kind() == vpool_object::ErrorKind::NotFound
                    && tries < limits::VERIFY_TRIES =>
            {
                tries += 1;
                tokio::time::sleep(limits::MISSING_PAUSE).await;
                continue;
            }
            Err(error) => return Err(read_error(&lineage, &key, &error)),
        };
        match Checkpoint::decode(&bytes, &|bytes| mac::checkpoint(secrets, bytes)) {
            Ok(checkpoint) => break checkpoint,
            Err(error) if tries >= limits::VERIFY_TRIES => return Err(corrupt(&error)),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(limits::VERIFY_PAUSE).await;
    };
    let right = checkpoint.disk == keys.disk
        && checkpoint.uid == end.uid
        && checkpoint.number == end.checkpoint
        && checkpoint.pool == pool.id();
    if !right || checkpoint.frontier.0 > end.segment {
        return Err(corrupt(&"it belongs elsewhere"));
    }
    Ok(checkpoint)
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of a disk, put together once"
)]
async fn assemble(
    pool: &Arc<Pool>,
    entry: &DiskEntry,
    name: Label,
    keys: Arc<DiskKeys>,
    uid: StreamUid,
    epoch: Epoch,
    base: Base,
    recovered: Recovered,
    mut stored: Stored,
    owed: BTreeSet<String>,
) -> Result<Arc<VDisk>> {
    let number = next_number(&stored.streams);
    stored.streams.push(StreamEntry {
        number,
        disk: entry.id,
        uid,
        epoch,
        generation: pool.generation(),
        end: None,
    });
    let lineage = lineage(&name, &keys, &stored.streams);
    let mut index = Index::new(stored.map, stored.pending);
    let (journal, spans) = (pool.journal().clone(), recovered.spans.clone());
    let from = recovered.end.seq;
    let logged = pool
        .host()
        .blocking
        .run(move || read_tail(&journal, &spans, from))
        .await
        .map_err(|error| error.during(format_args!("open disk {name}")))?;
    let mut unpacked = 0;
    for placed in &logged {
        index.logged(placed);
        unpacked += placed
            .iter()
            .map(|p| if p.at.is_some() { BLOCK as u64 } else { 32 })
            .sum::<u64>();
    }
    let dirty = pool.dirty().disk();
    dirty.set(index.memory_bytes());
    let log = Log::new(
        pool.journal().clone(),
        entry.id,
        uid,
        epoch,
        keys,
        recovered.last,
        recovered.wall_ms,
        recovered.spans,
    );
    let now = pool.host().clock.boot_ns();
    // A tail with nothing in it that changes the disk is shipped with the next segment.
    let unpacked = if recovered.last > from {
        unpacked.max(1)
    } else {
        0
    };
    let shipping = Shipping::new(from, unpacked, now, false);
    Ok(Arc::new(VDisk {
        pool: pool.clone(),
        entry: entry.clone(),
        uid,
        epoch,
        stream: number,
        base: Arc::new(base),
        nodes: DiskNodes {
            nodes: pool.nodes().clone(),
            lineage: lineage.clone(),
        },
        lineage,
        size: AtomicU64::new(entry.size),
        mapped_blocks: AtomicI64::new(stored.mapped_blocks),
        log: Mutex::new(log),
        shipping: Mutex::new(shipping),
        index: Mutex::new(index),
        durable: AtomicU64::new(recovered.last.0),
        marked: AtomicU64::new(recovered.last.0),
        wake: Notify::new(),
        progress: Notify::new(),
        recorded: tokio::sync::Mutex::new(false),
        closing: AtomicBool::new(false),
        closed: AtomicBool::new(false),
        failed: Mutex::new(None),
        has_failed: AtomicBool::new(false),
        trouble: Mutex::new(None),
        sequential: Mutex::new(read::Sequential::default()),
        owed: Mutex::new(Owed::new(owed)),
        dirty,
        counts: Counts::default(),
    }))
}

/// The records of a recovered tail above `from`, as pieces of the index. Blocks.
fn read_tail(
    journal: &Journal,
    spans: &VecDeque<Span>,
    from: Seq,
) -> Result<Vec<Vec<PlacedBlock>>> {
    let mut all = Vec::new();
    let mut blocks = Vec::new();
    for span in spans {
        let (mut block, mut group) = (span.first_block, span.first_group);
        loop {
            let found = read_group(journal, span, block, group)
                .map_err(|error| io_error("read the journal again", &error))?;
            let Some(found) = found else { break };
            if found.header.first_seq > span.last {
                break;
            }
            let mut placed = Vec::new();
            for record in found.records(span, &mut blocks) {
                let header = record.header;
                if header.seq <= from || header.seq < span.first || header.seq > span.last {
                    continue;
                }
                match header.kind {
                    RecordKind::Write => {
                        let mut offset = header.offset;
                        let end = header.offset + header.length;
                        for at in record.blocks {
                            let length = (end - offset).min(BLOCK as u64);
                            placed.push(PlacedBlock {
                                offset,
                                length,
                                seq: header.seq,
                                at: Some(*at),
                            });
                            offset += length;
                        }
                    }
                    RecordKind::Discard | RecordKind::WriteZeroes => placed.push(PlacedBlock {
                        offset: header.offset,
                        length: header.length,
                        seq: header.seq,
                        at: None,
                    }),
                    _ => {}
                }
            }
            all.push(placed);
            block += found.header.blocks();
            group += 1;
            if found.header.last_seq >= span.last {
                break;
            }
        }
    }
    Ok(all)
}

/// Gives back the extents that the new stream does not need.
fn retire_rest(pool: &Pool, extents: &[FoundExtent], disk: &VDisk) {
    let needed: Vec<u32> = disk
        .log
        .lock()
        .spans()
        .iter()
        .map(|span| span.slot)
        .collect();
    let rest = extents
        .iter()
        .map(|extent| extent.slot)
        .filter(|slot| !needed.contains(slot));
    pool.journal().retire(rest.collect::<Vec<_>>());
}
