//! Merging what is pending into the map, and publishing the checkpoint that makes it count.
//!
//! Nodes go into ordinary segments of the stream. A checkpoint is put after all that it names is
//! in the store and below the frontier, so that whatever it names can be found for ever. One
//! merge at a time; the numbers of checkpoints have no gaps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vpool_format::checkpoint::{Checkpoint, MapRoot};
use vpool_format::map::{ChunkAddress, Hint};
use vpool_format::names::Name;
use vpool_format::segment::Codec;
use vpool_format::{BranchId, SegmentNo, Seq};
use vpool_map::{Map, MergeError, NodeSink, Pending, merge};

use super::VDisk;
use crate::chunks::object_key;
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::mac;
use crate::packer::seal_nodes;

/// Node bytes in one segment at most.
const SEGMENT_NODE_BYTES: usize = 4 << 20;
/// Nodes in one segment at most (slots have 16 bits).
const SEGMENT_NODES: usize = 60_000;

impl VDisk {
    /// Starts a merge if enough is pending, or somebody asked for one.
    pub(super) fn merge_if_due(self: &Arc<Self>) {
        let asked = self.shipping.lock().take_merge_due();
        // The shipper alone applies segments, and it is the caller: what is frozen here holds
        // exactly what has been shipped.
        let (merged_to, frozen, map) = {
            let shipping = self.shipping.lock();
            let mut index = self.index.lock();
            if index.is_merging() {
                if asked {
                    drop(index);
                    drop(shipping);
                    self.shipping.lock().ask_for_merge();
                }
                return;
            }
            if !asked && index.active_bytes() < self.merge_bytes() {
                return;
            }
            let map = index.map();
            let Some(frozen) = index.freeze() else { return };
            (shipping.shipped(), frozen, map)
        };
        let disk = self.clone();
        self.watch(async move {
            disk.merge_until_done(merged_to, &frozen, map).await;
            disk.wake.notify_one();
            disk.progress.notify_waiters();
        });
    }

    /// How much is merged without being asked: what replaying would cost, less when memory is
    /// short, all when there is none.
    fn merge_bytes(&self) -> usize {
        let dirty = self.pool.dirty();
        match (dirty.is_full(), dirty.is_pressed()) {
            (true, _) => 1,
            (_, true) => limits::PENDING_BYTES_PRESSED,
            _ => self.pool.tuning().pending_bytes_max,
        }
    }

    /// What cannot be had now is tried again: the frozen layer stays readable meanwhile.
    async fn merge_until_done(
        self: &Arc<Self>,
        merged_to: (SegmentNo, Seq),
        frozen: &Pending,
        map: Map,
    ) {
        let mut pause = Duration::from_secs(1);
        loop {
            let _permit = self
                .pool
                .merge_slots()
                .acquire()
                .await
                .expect("never closed");
            match self.merge_once(merged_to, frozen, map).await {
                Ok(()) => {
                    self.show_trouble(None);
                    return;
                }
                Err(_) if self.has_failed.load(Ordering::Acquire) => return,
                Err(error) if error.kind() == ErrorKind::Fenced => return self.fail(error),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(disk = %self.name(), %error, "the merge of the map waits");
                }
                Err(error) => {
                    tracing::error!(disk = %self.name(), %error, "the merge of the map failed");
                    self.show_trouble(Some(error));
                    pause = Duration::from_secs(60);
                }
            }
            drop(_permit);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(60));
        }
    }

    async fn merge_once(
        self: &Arc<Self>,
        merged_to: (SegmentNo, Seq),
        frozen: &Pending,
        map: Map,
    ) -> Result<()> {
        let mut sink = Sink {
            disk: self.clone(),
            nodes: Vec::new(),
            bytes: 0,
            settled: Vec::new(),
            last: merged_to.0,
        };
        let merged = merge(
            map.root,
            frozen,
            &self.nodes,
            &mut sink,
            &mut |_replaced| {},
        )
        .await
        .map_err(|error| match error {
            MergeError::Map(error) => self.map_error(error),
            MergeError::Put { source, .. } | MergeError::Finish { source, .. } => source,
        })?;
        let frontier = self.wait_for_segment(sink.last).await?;
        let mapped = self.mapped_blocks.load(Ordering::Acquire) + merged.mapped_delta;
        let mapped = mapped.max(0);
        self.publish(merged.root, frontier, merged_to, mapped)
            .await?;
        self.mapped_blocks.store(mapped, Ordering::Release);
        self.change_index(|index| index.merged(Map::new(merged.root)));
        Ok(())
    }

    /// Returns once the stream is in the store, without a gap, up to `segment`.
    async fn wait_for_segment(&self, segment: SegmentNo) -> Result<(SegmentNo, Seq)> {
        self.until(|disk| {
            let shipped = disk.shipping.lock().shipped();
            (shipped.0 >= segment).then_some(shipped)
        })
        .await
    }

    /// Puts the next checkpoint. Its frontier is in the journal before it is put: whatever a
    /// checkpoint names is below every record of where the stream is.
    async fn publish(
        self: &Arc<Self>,
        root: Option<MapRoot>,
        frontier: (SegmentNo, Seq),
        merged: (SegmentNo, Seq),
        mapped: i64,
    ) -> Result<()> {
        self.wait_for_logged(frontier.0).await?;
        self.put_stream_record().await?;
        let number = self.shipping.lock().checkpoint() + 1;
        let checkpoint = Checkpoint {
            pool: self.pool.id(),
            disk: self.entry.id,
            uid: self.uid,
            epoch: self.epoch,
            number,
            branch: BranchId(0),
            size: self.size.load(Ordering::Acquire),
            root,
            frontier,
            merged,
            mapped_blocks: u64::try_from(mapped).unwrap_or(0),
            stored_bytes: self.stored_bytes(),
            wall_ms: self.pool.host().clock.wall_ms(),
            streams: self.lineage.streams.to_vec(),
            segment_table: None,
            dead_lists: None,
            snapshots: None,
            settings: Vec::new(),
        };
        let secrets = &self.lineage.keys.pool;
        let bytes = checkpoint.encode(&|bytes| mac::checkpoint(secrets, bytes));
        let name = Name::Checkpoint {
            disk: self.entry.id,
            epoch: self.epoch,
            uid: self.uid,
            number,
        };
        let key = object_key(&name)?;
        self.pool
            .put_for_ever(&key, bytes.into(), &self.has_failed)
            .await?;
        self.shipping.lock().published(number);
        Ok(())
    }

    /// Returns when few enough segments of nodes are on their way: what a slow store has not
    /// taken stays in memory.
    async fn wait_for_node_flights(&self) -> Result<()> {
        let few = |disk: &VDisk| disk.shipping.lock().node_flights() < limits::NODE_FLIGHTS_MAX;
        self.until(|disk| few(disk).then_some(())).await
    }

    async fn wait_for_logged(&self, segment: SegmentNo) -> Result<()> {
        let logged = |disk: &VDisk| disk.shipping.lock().logged_segment() >= segment;
        self.until(|disk| logged(disk).then_some(())).await
    }

    fn stored_bytes(&self) -> u64 {
        self.counts.shipped_bytes.load(Ordering::Relaxed)
            + self.counts.map_bytes.load(Ordering::Relaxed)
    }
}

/// Gathers nodes into segments.
struct Sink {
    disk: Arc<VDisk>,
    nodes: Vec<Vec<u8>>,
    bytes: usize,
    settled: Vec<(ChunkAddress, Hint)>,
    last: SegmentNo,
}

impl Sink {
    /// Seals what was gathered under the stream's next number and sends it on its way.
    async fn flush(&mut self) -> Result<()> {
        if self.nodes.is_empty() {
            return Ok(());
        }
        let nodes = std::mem::take(&mut self.nodes);
        self.bytes = 0;
        let disk = self.disk.clone();
        disk.wait_for_node_flights().await?;
        let (segment, last) = disk.shipping.lock().begin_flight(None, 0);
        let plan = disk.segment_plan(segment);
        disk.keep_salt(&plan);
        let (sealed, nodes) = disk
            .pool
            .host()
            .blocking
            .run_behind(move || (seal_nodes(&plan, &nodes, last), nodes))
            .await;
        for (chunk, node) in sealed.chunks.iter().zip(&nodes) {
            let address = ChunkAddress {
                stream: disk.stream,
                segment,
                slot: chunk.slot,
            };
            let hint = Hint {
                offset: u32::try_from(chunk.offset).expect("a segment is small"),
                stored_bytes: chunk.entry.stored_bytes,
                codec: Codec::Raw,
            };
            disk.nodes
                .nodes
                .keep(&disk.lineage, disk.uid, &address, node);
            self.settled.push((address, hint));
        }
        disk.counts
            .map_bytes
            .fetch_add(sealed.bytes.len() as u64, Ordering::Relaxed);
        self.last = segment;
        disk.upload(sealed, None);
        Ok(())
    }
}

impl NodeSink for Sink {
    type Error = Error;

    async fn put(&mut self, _level: u8, _number: u64, encoded: Vec<u8>) -> Result<()> {
        self.bytes += encoded.len();
        self.nodes.push(encoded);
        if self.bytes >= SEGMENT_NODE_BYTES || self.nodes.len() >= SEGMENT_NODES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn finish_level(&mut self) -> Result<Vec<(ChunkAddress, Hint)>> {
        self.flush().await?;
        Ok(std::mem::take(&mut self.settled))
    }
}
