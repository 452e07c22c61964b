//! A checkpoint: the published root of all that a vDisk's state is made of.
//!
//! Owns: its bytes. Does not own: what is behind its roots, and when it may be published.
//!
//! | bytes | field (in an envelope, magic `VPOOLCKP`, version 1) |
//! | --- | --- |
//! | 16, 16, 16 | pool, disk, stream uid |
//! | 8, 8, 4 | epoch, number, branch |
//! | 4 | which roots are there: bit 0 map, 1 segment table, 2 dead lists, 3 snapshots |
//! | 8, 8, 8, 8 | size, mapped blocks, stored bytes, wall clock in ms |
//! | 8, 8 | frontier: segment, sequence |
//! | 8, 8 | merged: segment, sequence |
//! | 25 each | the roots that are there, in that order: level 1, map entry 24 |
//! | 4 | count of streams |
//! | 72 each | number 4, ended (0 or 1) 1, zero 3, disk 16, uid 16, epoch 8, generation 8, end: segment 8, sequence 8 |
//! | 4, … | length of the settings, settings |

use crate::cursor::{Reader, Writer};
use crate::envelope::{Envelope, Mac};
use crate::error::{Result, ensure};
use crate::ids::{
    BranchId, DiskId, Epoch, Generation, PoolId, SegmentNo, Seq, StreamNo, StreamUid,
};
use crate::map::{ChunkAddress, Hint, LEVEL_MAX, MapEntry};

#[cfg(test)]
mod tests;

const ENVELOPE: Envelope = Envelope {
    magic: *b"VPOOLCKP",
    version: 1,
    what: "checkpoint",
};
const STREAM_BYTES: usize = 72;

/// The longest settings of a vDisk or pool, in bytes.
pub const SETTINGS_BYTES_MAX: usize = 64 * 1024;

/// One stream that chunk addresses of the vDisk name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEntry {
    /// The small number that stands for it in chunk addresses.
    pub number: StreamNo,
    /// The vDisk whose stream it is: an ancestor's, for a clone.
    pub disk: DiskId,
    /// The stream.
    pub uid: StreamUid,
    /// Its epoch.
    pub epoch: Epoch,
    /// The claim under which it was written.
    pub generation: Generation,
    /// Its sealed end; `None` for the stream that writes this checkpoint.
    pub end: Option<(SegmentNo, Seq)>,
}

/// The root node of a tree in segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapRoot {
    /// The level of the root node, at most [`LEVEL_MAX`].
    pub level: u8,
    /// The chunk that holds it.
    pub address: ChunkAddress,
    /// Where that chunk stands.
    pub hint: Hint,
}

/// The state of a vDisk up to a frontier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The pool.
    pub pool: PoolId,
    /// The vDisk.
    pub disk: DiskId,
    /// The stream that published it.
    pub uid: StreamUid,
    /// The stream's epoch.
    pub epoch: Epoch,
    /// Its number in its stream, from 1, without gaps.
    pub number: u64,
    /// The line of history that it is of.
    pub branch: BranchId,
    /// The vDisk's size in bytes.
    pub size: u64,
    /// The map's root; `None` if nothing is mapped.
    pub root: Option<MapRoot>,
    /// How far the stream was in the store without a gap. Nothing above it is named here.
    pub frontier: (SegmentNo, Seq),
    /// What the map holds: everything up to here. A replay starts after it. At most `frontier`.
    pub merged: (SegmentNo, Seq),
    /// Blocks that are mapped: the logical use.
    pub mapped_blocks: u64,
    /// Bytes of objects that the vDisk has in the store.
    pub stored_bytes: u64,
    /// Wall clock, ms since 1970.
    pub wall_ms: u64,
    /// The streams that chunk addresses name, ascending by number.
    pub streams: Vec<StreamEntry>,
    /// The root of the segment table, if there is one.
    pub segment_table: Option<MapRoot>,
    /// The root of the dead lists, if there is one.
    pub dead_lists: Option<MapRoot>,
    /// The root of the snapshot list, if there is one.
    pub snapshots: Option<MapRoot>,
    /// The vDisk's settings, at most [`SETTINGS_BYTES_MAX`] bytes.
    pub settings: Vec<u8>,
}

impl MapRoot {
    fn entry(&self) -> MapEntry {
        MapEntry::new(0, self.address, self.hint)
    }

    fn check(&self) -> Result<()> {
        ensure(self.level <= LEVEL_MAX, "map root: level")?;
        self.entry().check()
    }

    fn put(&self, to: &mut Writer) {
        to.u8(self.level);
        self.entry().put(to);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        let level = from.u8()?;
        let child = MapEntry::take(from)?.child()?;
        ensure(child.index == 0, "map root: index")?;
        Ok(MapRoot {
            level,
            address: child.address,
            hint: child.hint,
        })
    }
}

impl StreamEntry {
    fn put(&self, to: &mut Writer) {
        to.u32(self.number.0);
        to.flag(self.end.is_some());
        to.zeros(3);
        to.u128(self.disk.0);
        to.u128(self.uid.0);
        to.u64(self.epoch.0);
        to.u64(self.generation.0);
        let (segment, seq) = self.end.unwrap_or_default();
        to.u64(segment.0);
        to.u64(seq.0);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self> {
        let number = StreamNo(from.u32()?);
        let ended = from.flag()?;
        from.zeros(3)?;
        let disk = DiskId(from.u128()?);
        let uid = StreamUid(from.u128()?);
        let epoch = Epoch(from.u64()?);
        let generation = Generation(from.u64()?);
        let end = (SegmentNo(from.u64()?), Seq(from.u64()?));
        ensure(
            ended || end == Default::default(),
            "checkpoint: end of an open stream",
        )?;
        Ok(StreamEntry {
            number,
            disk,
            uid,
            epoch,
            generation,
            end: ended.then_some(end),
        })
    }
}

impl Checkpoint {
    fn roots(&self) -> [Option<MapRoot>; 4] {
        [
            self.root,
            self.segment_table,
            self.dead_lists,
            self.snapshots,
        ]
    }

    /// Whether the fields agree with each other and are within their bounds.
    ///
    /// # Errors
    /// `BadValue`, naming what is wrong.
    pub fn check(&self) -> Result<()> {
        ensure(self.number > 0, "checkpoint: number")?;
        let behind = self.merged.0 <= self.frontier.0 && self.merged.1 <= self.frontier.1;
        ensure(behind, "checkpoint: merged beyond the frontier")?;
        for root in self.roots().iter().flatten() {
            root.check()?;
        }
        let ascending = self
            .streams
            .is_sorted_by(|one, next| one.number < next.number);
        ensure(ascending, "checkpoint: order of streams")?;
        ensure(
            self.settings.len() <= SETTINGS_BYTES_MAX,
            "checkpoint: settings",
        )
    }

    /// The checkpoint's bytes, with its MAC.
    ///
    /// # Panics
    /// If [`check`](Self::check) fails.
    pub fn encode(&self, mac: Mac<'_>) -> Vec<u8> {
        assert_eq!(
            self.check(),
            Ok(()),
            "a checkpoint is published only if it can be read"
        );
        let mut to = ENVELOPE.begin();
        to.u128(self.pool.0);
        to.u128(self.disk.0);
        to.u128(self.uid.0);
        to.u64(self.epoch.0);
        to.u64(self.number);
        to.u32(self.branch.0);
        let mut present = 0;
        for (bit, root) in self.roots().iter().enumerate() {
            present |= u32::from(root.is_some()) << bit;
        }
        to.u32(present);
        to.u64(self.size);
        to.u64(self.mapped_blocks);
        to.u64(self.stored_bytes);
        to.u64(self.wall_ms);
        to.u64(self.frontier.0.0);
        to.u64(self.frontier.1.0);
        to.u64(self.merged.0.0);
        to.u64(self.merged.1.0);
        for root in self.roots().iter().flatten() {
            root.put(&mut to);
        }
        to.count(self.streams.len());
        for stream in &self.streams {
            stream.put(&mut to);
        }
        to.blob(&self.settings);
        ENVELOPE.seal(to, mac)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// Any kind but `BadCheck` and `NeedMore`.
    pub fn decode(bytes: &[u8], mac: Mac<'_>) -> Result<Self> {
        let mut from = ENVELOPE.open(bytes, mac)?;
        let pool = PoolId(from.u128()?);
        let disk = DiskId(from.u128()?);
        let uid = StreamUid(from.u128()?);
        let epoch = Epoch(from.u64()?);
        let number = from.u64()?;
        let branch = BranchId(from.u32()?);
        let present = from.u32()?;
        ensure(present < 16, "checkpoint: roots")?;
        let size = from.u64()?;
        let mapped_blocks = from.u64()?;
        let stored_bytes = from.u64()?;
        let wall_ms = from.u64()?;
        let frontier = (SegmentNo(from.u64()?), Seq(from.u64()?));
        let merged = (SegmentNo(from.u64()?), Seq(from.u64()?));
        let mut roots = [None; 4];
        for (bit, root) in roots.iter_mut().enumerate() {
            if present >> bit & 1 == 1 {
                *root = Some(MapRoot::take(&mut from)?);
            }
        }
        let [root, segment_table, dead_lists, snapshots] = roots;
        let count = from.count(STREAM_BYTES)?;
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            streams.push(StreamEntry::take(&mut from)?);
        }
        let settings = from.blob(SETTINGS_BYTES_MAX)?.to_vec();
        from.finish()?;
        let checkpoint = Checkpoint {
            pool,
            disk,
            uid,
            epoch,
            number,
            branch,
            size,
            root,
            frontier,
            merged,
            mapped_blocks,
            stored_bytes,
            wall_ms,
            streams,
            segment_table,
            dead_lists,
            snapshots,
            settings,
        };
        checkpoint.check()?;
        Ok(checkpoint)
    }
}
