//! Where a stream ends, asked of the store when the journal and the metadata do not say.
//!
//! Names are asked for, never listed. A 404 ends the stream only above every number that a
//! checkpoint or a later segment names; below, it is the store's error (DESIGN §3).

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use vpool_format::checkpoint::StreamEntry;
use vpool_format::names::Name;
use vpool_format::{DiskId, SealedEnd, SegmentNo, Seq, StreamNo};
use vpool_object::{ErrorKind as StoreKind, Key};
use vpool_seal::DiskKeys;

use crate::bucket::read_segment_header;
use crate::chunks::{Lineage, object_key, read_error, with_patience};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::name::Label;
use crate::pool::Pool;
use crate::replay;
use crate::vdisk::open::read_checkpoint;
use crate::vdisk::recovery::{Previous, sealed_seq};

const PATIENCE: Duration = Duration::from_secs(30);

struct Finder<'a> {
    pool: &'a Arc<Pool>,
    lineage: Lineage,
    disk: DiskId,
    stream: &'a Previous,
}

/// Finds the end of a stream in the store.
pub async fn find(
    pool: &Arc<Pool>,
    name: &Label,
    keys: &Arc<DiskKeys>,
    disk: DiskId,
    stream: &Previous,
) -> Result<SealedEnd> {
    let entry = StreamEntry {
        number: StreamNo(1),
        disk,
        uid: stream.uid,
        epoch: stream.epoch,
        generation: pool.generation(),
        end: None,
    };
    let lineage = Lineage {
        name: name.clone(),
        streams: [entry].into(),
        keys: keys.clone(),
    };
    let finder = Finder {
        pool,
        lineage,
        disk,
        stream,
    };
    let checkpoint = finder.newest_checkpoint().await?;
    let mut end = SealedEnd {
        uid: stream.uid,
        epoch: stream.epoch,
        segment: SegmentNo(u64::MAX),
        seq: sealed_seq(&stream.base),
        checkpoint,
    };
    let mut named = SegmentNo(0);
    if checkpoint > 0 {
        let checkpoint = read_checkpoint(pool, name, keys, &end).await?;
        (named, end.seq) = checkpoint.frontier;
    }
    end.segment = finder.last_segment(named).await?;
    if end.segment > named {
        let index = replay::read_index(pool.store(), &finder.lineage, &entry, end.segment).await?;
        end.seq = end.seq.max(index.trailer.last_seq);
    }
    Ok(end)
}

impl Finder<'_> {
    fn checkpoint_key(&self, number: u64) -> Result<Key> {
        object_key(&Name::Checkpoint {
            disk: self.disk,
            epoch: self.stream.epoch,
            uid: self.stream.uid,
            number,
        })
    }

    fn segment_key(&self, segment: SegmentNo) -> Result<Key> {
        object_key(&Name::Segment {
            disk: self.disk,
            epoch: self.stream.epoch,
            uid: self.stream.uid,
            segment,
        })
    }

    /// Whether an object is there, after the store's lag.
    async fn exists(&self, key: &Key) -> Result<bool> {
        let mut waited = false;
        loop {
            match with_patience(PATIENCE, || self.pool.store().head(key)).await {
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == StoreKind::NotFound => {
                    if waited || self.pool.tuning().store_lag.is_zero() {
                        return Ok(false);
                    }
                    waited = true;
                    tokio::time::sleep(self.pool.tuning().store_lag).await;
                }
                Err(error) => return Err(read_error(&self.lineage, key, &error)),
            }
        }
    }

    /// Doubling, then bisection: checkpoints are numbered without gaps and all kept.
    async fn newest_checkpoint(&self) -> Result<u64> {
        let mut present = 0;
        let mut absent = 1;
        while self.exists(&self.checkpoint_key(absent)?).await? {
            present = absent;
            absent *= 2;
        }
        while absent - present > 1 {
            let middle = present + (absent - present) / 2;
            if self.exists(&self.checkpoint_key(middle)?).await? {
                present = middle;
            } else {
                absent = middle;
            }
        }
        Ok(present)
    }

    /// The last segment before the first gap, looked for above `named`. Past the gap it is
    /// looked as far as uploads may have run ahead; what is found there may not name the gap.
    async fn last_segment(&self, named: SegmentNo) -> Result<SegmentNo> {
        let mut last = named;
        loop {
            let window: Vec<SegmentNo> = (1..=limits::UPLOAD_WINDOW)
                .map(|ahead| SegmentNo(last.0 + ahead))
                .collect();
            let keys = window
                .iter()
                .map(|n| self.segment_key(*n))
                .collect::<Result<Vec<_>>>()?;
            let mut found = Vec::new();
            for exists in join_all(keys.iter().map(|key| self.exists(key))).await {
                found.push(exists?);
            }
            let run = found.iter().take_while(|exists| **exists).count();
            last = SegmentNo(last.0 + run as u64);
            if run == found.len() {
                continue;
            }
            for (number, _) in window
                .iter()
                .zip(&found)
                .skip(run)
                .filter(|(_, exists)| **exists)
            {
                let frontier = self.frontier_named_by(*number).await?;
                if frontier.0 > last {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!(
                            "disk {}: segment {} of stream {} is missing from the store although \
                             segment {number} names it: the store is not whole or not up to date; \
                             try again later, or restore the object",
                            self.lineage.name,
                            last.0 + 1,
                            self.stream.uid
                        ),
                    ));
                }
            }
            return Ok(last);
        }
    }

    async fn frontier_named_by(&self, segment: SegmentNo) -> Result<(SegmentNo, Seq)> {
        let key = self.segment_key(segment)?;
        let secrets = &self.lineage.keys.pool;
        match read_segment_header(self.pool.store(), secrets, &key).await {
            Ok(header) => Ok(header.frontier),
            Err(error) => Err(error.during(format_args!("disk {}", self.lineage.name))),
        }
    }
}
