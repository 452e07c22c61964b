//! Shipping: cutting the journal into segments, putting them, moving the frontier, trimming.
//!
//! One task per open disk decides and does, in this order; uploads run beside it. The frontier
//! ends before the first gap, moves by whole segments, is in the journal and synced before
//! anything is trimmed by it, and names nothing that has no receipt (P1, P3).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use vpool_cache::Layers;
use vpool_format::bucket::StreamRecord;
use vpool_format::journal::{Frontier, RecordKind};
use vpool_format::names::Name;
use vpool_format::{SealedEnd, SegmentNo, Seq};
use vpool_seal::Compressor;

use super::VDisk;
use super::place::Place;
use super::shipping::Room;
use crate::chunks::object_key;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Log, Span};
use crate::limits::{self, BLOCK};
use crate::mac;
use crate::packer::{Cut, PartialBlock, SealedSegment, SegmentPlan, read_cut, seal_cut};

impl VDisk {
    /// The disk's task: runs until the disk has failed or is closed.
    pub(super) async fn run(self: Arc<Self>) {
        let mut place = Place::new(self.pool.image_slots());
        loop {
            if self.has_failed.load(Ordering::Acquire) || self.closed.load(Ordering::Acquire) {
                return;
            }
            // From before the step: no call is missed while it runs.
            let pressed = self.pool.journal().pressure().notified();
            tokio::pin!(pressed);
            pressed.as_mut().enable();
            let next = match self.step(&mut place).await {
                Ok(next) => next,
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(disk = %self.name(), %error, "shipping waits");
                    Some(Duration::from_secs(1))
                }
                Err(error) => {
                    self.fail(error);
                    return;
                }
            };
            let pause = async {
                match next {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // First: a disk that is woken all the time has its turn too.
                () = place.granted() => {}
                () = self.wake.notified() => {}
                () = pressed => {}
                () = pause => {}
            }
        }
    }

    /// Does what is due; answers when the next thing will be.
    async fn step(self: &Arc<Self>, place: &mut Place) -> Result<Option<Duration>> {
        loop {
            self.apply_landed();
            self.log_frontier().await?;
            self.merge_if_due();
            let now = self.pool.host().clock.boot_ns();
            let room = self.pool.room();
            let decision = self
                .shipping
                .lock()
                .decide_cut(now, self.pool.tuning(), room);
            let cut_due = match decision {
                Ok(()) if self.pending_has_room() => {
                    if let Some(image) = place.take() {
                        self.cut(image).await?;
                        continue;
                    }
                    // Woken when it is this disk's turn.
                    None
                }
                Ok(()) => {
                    place.give_up();
                    None
                }
                Err(due) => {
                    place.give_up();
                    due.map(|due| Duration::from_nanos(due.saturating_sub(now).max(1_000_000)))
                }
            };
            let mark_due = self.mark_if_due()?;
            let rest_due = self.rest_if_idle(room == Room::None).await?;
            // A frontier that found no room is tried again soon: space depends on it.
            let retry = self
                .shipping
                .lock()
                .frontier_due()
                .then_some(limits::FRONTIER_RETRY);
            return Ok([cut_due, mark_due, rest_due, retry]
                .into_iter()
                .flatten()
                .min());
        }
    }

    /// Updates that wait to be merged are bounded: beyond, cutting waits and writers with it.
    fn pending_has_room(&self) -> bool {
        let index = self.index.lock();
        !index.is_merging() || index.active_bytes() < self.pool.tuning().pending_bytes_max
    }

    /// Puts landed segments into the index, in order, and takes them out of the overlay.
    fn apply_landed(&self) {
        const AT_ONCE: usize = 512;
        loop {
            let Some((segment, last, chunks)) = self.shipping.lock().next_landed() else {
                return;
            };
            // First all of it below the overlay, then the overlay away: a reader in between
            // finds the same bytes in either.
            for some in chunks.chunks(AT_ONCE) {
                self.change_index(|index| index.shipped(self.stream, segment, some));
            }
            for some in chunks.chunks(AT_ONCE) {
                self.change_index(|index| index.forget(some, last));
            }
            self.shipping.lock().applied(segment);
            self.progress.notify_waiters();
        }
    }

    /// Logs the frontier if it has moved, makes it durable, and trims by it.
    async fn log_frontier(self: &Arc<Self>) -> Result<()> {
        let (frontier, body) = {
            let shipping = self.shipping.lock();
            let frontier = (shipping.shipped.0, shipping.shipped.1, shipping.checkpoint);
            if frontier == shipping.logged {
                return Ok(());
            }
            let body = Frontier {
                uid: self.uid,
                segment: frontier.0,
                seq: frontier.1,
                checkpoint: frontier.2,
            };
            (frontier, body.encode())
        };
        let durable = self.durable();
        let (last, logged) = {
            let mut log = self.log.lock();
            let logged = log.append_control(RecordKind::Frontier, &body, durable)?;
            (log.last(), logged)
        };
        if !logged {
            tracing::debug!(disk = %self.name(), "no room for the frontier yet");
            return Ok(());
        }
        self.pool.journal().sync().await?;
        self.durable.fetch_max(last.0, Ordering::AcqRel);
        let trim = if crate::planted::is("trim-past-frontier") {
            self.shipping.lock().packed
        } else {
            frontier.1
        };
        let freed = self.log.lock().trim(trim);
        tracing::debug!(disk = %self.name(), ?frontier, ?freed, "frontier");
        self.pool.journal().retire(freed);
        self.shipping.lock().logged = frontier;
        self.progress.notify_waiters();
        Ok(())
    }

    /// Gives the journal back what an idle disk can do without: its last extent. Where the stream
    /// stands is in the metadata before. Answers when it will be due.
    async fn rest_if_idle(&self, starved: bool) -> Result<Option<Duration>> {
        let Some((end, logged_ns)) = self.end_if_settled(&self.log.lock()) else {
            return Ok(None);
        };
        let now = self.pool.host().clock.boot_ns();
        let idle = Duration::from_nanos(now.saturating_sub(logged_ns));
        if idle < limits::REST_AFTER && !starved {
            return Ok(Some(limits::REST_AFTER - idle));
        }
        self.pool.metadata().rest(self.entry.id, end).await?;
        let freed = {
            let mut log = self.log.lock();
            match self.end_if_settled(&log) {
                Some((now, _)) if now == end => log.close(),
                _ => Vec::new(),
            }
        };
        tracing::debug!(disk = %self.name(), ?end, ?freed, "at rest");
        self.pool.journal().retire(freed);
        Ok(None)
    }

    /// Where the stream ends, if all of it is in the store and the log still holds extents.
    fn end_if_settled(&self, log: &Log) -> Option<(SealedEnd, u64)> {
        let shipping = self.shipping.lock();
        let (segment, seq, checkpoint) = shipping.settled()?;
        if log.spans().is_empty() || self.closing.load(Ordering::Acquire) {
            return None;
        }
        let end = SealedEnd {
            uid: self.uid,
            epoch: self.epoch,
            segment,
            seq,
            checkpoint,
        };
        Some((end, shipping.logged_ns))
    }

    /// After a flush with nothing behind it, a group with only the mark follows: it tells damage
    /// from a torn tail.
    fn mark_if_due(&self) -> Result<Option<Duration>> {
        let durable = self.durable();
        if self.closing.load(Ordering::Acquire) {
            return Ok(None);
        }
        // What the frontier covers is not looked for in the journal.
        let covered = self.shipping.lock().logged.1;
        if Seq(self.marked.load(Ordering::Acquire)).max(covered) >= durable {
            self.shipping.lock().mark_at = None;
            return Ok(None);
        }
        let now = Instant::now();
        let due = *self
            .shipping
            .lock()
            .mark_at
            .get_or_insert(now + limits::MARK_DELAY);
        if due > now {
            return Ok(Some(due - now));
        }
        let logged = self
            .log
            .lock()
            .append_control(RecordKind::FlushMark, &[], durable)?;
        if logged {
            self.marked.fetch_max(durable.0, Ordering::AcqRel);
            self.shipping.lock().mark_at = None;
            return Ok(None);
        }
        Ok(Some(limits::MARK_DELAY))
    }

    /// Cuts, seals, and sends one segment on its way.
    async fn cut(self: &Arc<Self>, image: OwnedSemaphorePermit) -> Result<()> {
        let permit = self
            .pool
            .pack_slots()
            .acquire()
            .await
            .expect("never closed");
        let last = self.make_durable_for_packing().await?;
        let (packed, cursor, unpacked_bytes) = {
            let shipping = self.shipping.lock();
            (shipping.packed, shipping.cursor, shipping.unpacked_bytes)
        };
        let spans: Vec<Span> = self
            .log
            .lock()
            .spans()
            .iter()
            .filter(|span| span.last > packed)
            .cloned()
            .collect();
        let journal = self.pool.journal().clone();
        let tuning = self.pool.tuning().clone();
        let read = self
            .pool
            .host()
            .blocking
            .run_behind(move || {
                read_cut(
                    &journal,
                    &spans,
                    cursor,
                    packed,
                    last,
                    unpacked_bytes,
                    &tuning,
                )
            })
            .await
            .map_err(|error| error.during(format_args!("disk {}", self.name())))?;
        // The store may be long in answering: other disks of the pool pack meanwhile.
        drop(permit);
        let filled = self.fill_partial(&read.cut).await.inspect_err(|error| {
            self.show_trouble(Some(error.clone()));
        })?;
        self.show_trouble(None);
        let _permit = self
            .pool
            .pack_slots()
            .acquire()
            .await
            .expect("never closed");
        let cut_last = read.cut.last;
        let segment = {
            let log = self.log.lock();
            let mut shipping = self.shipping.lock();
            shipping.cursor = read.cursor.or(shipping.cursor);
            shipping.unpacked_bytes = shipping.unpacked_bytes.saturating_sub(read.journal_bytes);
            if log.last() > cut_last {
                shipping.unpacked_since = Some(self.pool.host().clock.boot_ns());
            } else {
                shipping.unpacked_since = None;
                shipping.unpacked_bytes = 0;
            }
            drop(log);
            if read.cut.first.is_none() {
                // Records about the log itself only: nothing to ship.
                debug_assert_eq!(cut_last, shipping.packed);
                shipping.sync_to = shipping.sync_to.min(cut_last);
                return Ok(());
            }
            shipping.begin_flight(Some(cut_last), read.journal_bytes).0
        };
        let plan = self.segment_plan(segment);
        // Here: what the local store starts from a thread of low priority would stay there.
        self.keep_salt(&plan);
        let disk = self.clone();
        let sealed = self
            .pool
            .host()
            .blocking
            .run_behind(move || disk.seal(&plan, &read.cut, &filled))
            .await;
        self.counts
            .shipped_bytes
            .fetch_add(sealed.bytes.len() as u64, Ordering::Relaxed);
        self.upload(sealed, Some(image));
        Ok(())
    }

    /// What is packed is durable first: a segment never holds what a power cut could undo.
    async fn make_durable_for_packing(&self) -> Result<Seq> {
        let last = self.log.lock().last();
        if self.durable() < last {
            self.pool.journal().sync().await?;
            self.durable.fetch_max(last.0, Ordering::AcqRel);
        }
        Ok(last)
    }

    /// Whole blocks for those that the cut holds in part: filled from the state just before it.
    async fn fill_partial(
        self: &Arc<Self>,
        cut: &Cut,
    ) -> Result<BTreeMap<PartialBlock, Box<[u8; BLOCK]>>> {
        let partial = cut.partial_blocks();
        let mut filled = BTreeMap::new();
        if partial.is_empty() {
            return Ok(filled);
        }
        // What is on its way belongs to that state, so it lands first.
        loop {
            self.apply_landed();
            let landed = self.progress.notified();
            tokio::pin!(landed);
            landed.as_mut().enable();
            if !self
                .shipping
                .lock()
                .flights
                .values()
                .any(|flight| flight.journal_bytes > 0)
            {
                break;
            }
            self.check_failed()?;
            tokio::select! {
                biased;
                () = landed => {}
                () = self.wake.notified() => {}
            }
        }
        for partial in partial {
            let mut base = [0u8; BLOCK];
            // What cannot be verified now is asked for again later: nothing is shipped in its
            // place, and nothing acknowledged is given up.
            self.read_shipped(partial.block, &mut base)
                .await
                .map_err(|error| {
                    Error::new(
                        ErrorKind::Unavailable,
                        format!("fill block {}: {error}", partial.block),
                    )
                })?;
            let mut whole = Box::new([0u8; BLOCK]);
            cut.fill(partial.slot, partial.block, &base, &mut whole);
            filled.insert(partial, whole);
        }
        Ok(filled)
    }

    pub(super) fn segment_plan(&self, segment: SegmentNo) -> SegmentPlan {
        let shipping = self.shipping.lock();
        let entropy = &self.pool.host().entropy;
        SegmentPlan {
            pool: self.pool.id(),
            uid: self.uid,
            epoch: self.epoch,
            generation: self.pool.generation(),
            segment,
            base: self.base.clone(),
            checkpoint: shipping.checkpoint,
            frontier: shipping.shipped,
            keys: self.lineage.keys.clone(),
            part_salt: entropy.array(),
            object_salt: entropy.array(),
            wall_ms: self.pool.host().clock.wall_ms(),
        }
    }

    fn seal(
        &self,
        plan: &SegmentPlan,
        cut: &Cut,
        filled: &BTreeMap<PartialBlock, Box<[u8; BLOCK]>>,
    ) -> SealedSegment {
        let cache = self.pool.chunks().cache();
        let (uid, segment) = (self.uid, plan.segment);
        let mut backoff = self.shipping.lock().backoff;
        let sealed = seal_cut(
            plan,
            cut,
            filled,
            &mut Compressor::new(),
            &mut backoff,
            |slot, id, plain| {
                let key = vpool_cache::ChunkKey { uid, segment, slot };
                cache.insert_copy(key, plain, id, &self.lineage.keys, Layers::Ssd);
            },
        );
        self.shipping.lock().backoff = backoff;
        sealed
    }

    pub(super) fn keep_salt(&self, plan: &SegmentPlan) {
        if self.lineage.keys.sealed() {
            self.pool
                .chunks()
                .salts()
                .put(self.uid, plan.segment, plan.part_salt);
        }
    }

    /// Puts a segment until it is there. Its image is kept until then, and the place for it.
    pub(super) fn upload(
        self: &Arc<Self>,
        sealed: SealedSegment,
        image: Option<OwnedSemaphorePermit>,
    ) {
        let disk = self.clone();
        self.watch(async move {
            while let Err(error) = disk.put_segment(&sealed).await {
                if disk.has_failed.load(Ordering::Acquire) {
                    return;
                }
                if error.kind() != ErrorKind::Unavailable {
                    disk.fail(error);
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            disk.counts.segments.fetch_add(1, Ordering::Relaxed);
            disk.shipping
                .lock()
                .landed(sealed.segment, Arc::new(sealed.chunks));
            drop(image);
            disk.wake.notify_one();
            disk.progress.notify_waiters();
        });
    }

    async fn put_segment(self: &Arc<Self>, sealed: &SealedSegment) -> Result<()> {
        self.pool.check_claim().await?;
        self.put_stream_record().await?;
        let name = Name::Segment {
            disk: self.entry.id,
            epoch: self.epoch,
            uid: self.uid,
            segment: sealed.segment,
        };
        let _permit = self
            .pool
            .upload_slots()
            .acquire()
            .await
            .expect("never closed");
        self.pool
            .put_for_ever(&object_key(&name)?, sealed.bytes.clone(), &self.has_failed)
            .await
    }

    /// The stream's record is in the store before its first segment: adoption finds it by it.
    pub(super) async fn put_stream_record(&self) -> Result<()> {
        let mut recorded = self.recorded.lock().await;
        if *recorded {
            return Ok(());
        }
        let record = StreamRecord {
            pool: self.pool.id(),
            disk: self.entry.id,
            generation: self.pool.generation(),
            epoch: self.epoch,
            uid: self.uid,
            base: (*self.base).clone(),
        };
        let secrets = &self.lineage.keys.pool;
        let bytes = record.encode(&|bytes| mac::stream_record(secrets, bytes));
        let name = Name::Stream {
            disk: self.entry.id,
            generation: self.pool.generation(),
            epoch: self.epoch,
        };
        self.pool
            .put_for_ever(&object_key(&name)?, bytes.into(), &self.has_failed)
            .await?;
        self.pool
            .metadata()
            .recorded(self.entry.id, self.epoch)
            .await?;
        *recorded = true;
        Ok(())
    }

    /// Returns when everything written before the call is in the store.
    pub async fn sync_to_store(self: &Arc<Self>) -> Result<Seq> {
        self.check()?;
        self.ship_to_store().await
    }

    pub(super) async fn ship_to_store(self: &Arc<Self>) -> Result<Seq> {
        let target = self.make_durable_for_packing().await?;
        {
            let mut shipping = self.shipping.lock();
            shipping.sync_to = shipping.sync_to.max(target);
        }
        let shipped = |disk: &VDisk| disk.shipping.lock().shipped.1 >= target;
        self.until(|disk| shipped(disk).then_some(target)).await
    }
}
