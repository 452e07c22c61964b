//! Shipping: cutting the journal into segments, putting them, moving the frontier, trimming.
//!
//! One task per open disk decides and does, in this order; uploads run beside it. The frontier
//! ends before the first gap, moves by whole segments, is in the journal and synced before
//! anything is trimmed by it, and names nothing that has no receipt (P1, P3).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use vpool_cache::Layers;
use vpool_format::bucket::StreamRecord;
use vpool_format::journal::{Frontier, RecordKind};
use vpool_format::names::Name;
use vpool_format::{SegmentNo, Seq};
use vpool_seal::{Backoff, Compressor};

use super::VDisk;
use crate::chunks::object_key;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::scan::read_group;
use crate::journal::{Journal, PlacedBlock, SlotIndex, Span};
use crate::limits::{self, BLOCK, Tuning};
use crate::mac;
use crate::packer::{Cut, CutBuilder, IndexedChunk, PartialBlock, SealedSegment, SegmentPlan, seal_cut};

/// How far shipping is.
#[derive(Debug)]
pub struct Shipping {
    next: u64,
    flights: BTreeMap<u64, Flight>,
    shipped: (SegmentNo, Seq),
    logged: (SegmentNo, Seq, u64),
    packed: Seq,
    cursor: Option<Cursor>,
    unpacked_bytes: u64,
    unpacked_since: Option<u64>,
    in_flight_bytes: u64,
    checkpoint: u64,
    sync_to: Seq,
    merge_due: bool,
    backoff: Backoff,
    mark_at: Option<Instant>,
}

#[derive(Debug)]
struct Flight {
    last: Seq,
    landed: bool,
    journal_bytes: u64,
    chunks: Arc<Vec<IndexedChunk>>,
}

/// Where the packer goes on in the journal.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    slot: SlotIndex,
    check: u64,
    block: u32,
    group: u64,
}

impl Shipping {
    /// Nothing shipped by this stream yet; everything above `from` is to be packed.
    pub fn new(from: Seq, unpacked_bytes: u64, now_ns: u64, merge_due: bool) -> Self {
        Shipping {
            next: 1,
            flights: BTreeMap::new(),
            shipped: (SegmentNo(0), from),
            logged: (SegmentNo(0), from, 0),
            packed: from,
            cursor: None,
            unpacked_bytes,
            unpacked_since: (unpacked_bytes > 0).then_some(now_ns),
            in_flight_bytes: 0,
            checkpoint: 0,
            sync_to: Seq(0),
            merge_due,
            backoff: Backoff::default(),
            mark_at: None,
        }
    }

    /// Everything up to here is in the store and in the index.
    pub fn shipped(&self) -> (SegmentNo, Seq) {
        self.shipped
    }

    /// The newest checkpoint of this stream; 0 = none.
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// Journal bytes that are not in the store.
    pub fn unshipped_bytes(&self) -> u64 {
        self.unpacked_bytes + self.in_flight_bytes
    }

    /// Notes what was logged; answers how much waits to be packed.
    pub fn logged(&mut self, placed: &[PlacedBlock], now_ns: u64) -> u64 {
        for piece in placed {
            // A discard costs the journal little, but wants to be shipped too.
            self.unpacked_bytes += if piece.at.is_some() { BLOCK as u64 } else { 32 };
        }
        if self.unpacked_bytes > 0 {
            self.unpacked_since.get_or_insert(now_ns);
        }
        self.unpacked_bytes
    }

    /// The end of the stream if all of it has been shipped and the frontier says so.
    pub(super) fn settled(&self) -> Option<(SegmentNo, Seq, u64)> {
        let all = self.flights.is_empty() && self.unpacked_since.is_none();
        let now = (self.shipped.0, self.shipped.1, self.checkpoint);
        (all && self.logged == now).then_some(now)
    }

    /// The last segment that the frontier in the journal covers.
    pub(super) fn logged_segment(&self) -> SegmentNo {
        self.logged.0
    }

    /// A new checkpoint is in the store.
    pub(super) fn published(&mut self, number: u64) {
        debug_assert_eq!(number, self.checkpoint + 1);
        self.checkpoint = number;
    }

    /// Asks for a merge although little is pending.
    pub(super) fn ask_for_merge(&mut self) {
        self.merge_due = true;
    }

    pub(super) fn take_merge_due(&mut self) -> bool {
        std::mem::take(&mut self.merge_due)
    }

    /// Gives the next number to a segment that is about to be sealed. From here on the frontier
    /// waits for it, so nothing may fail between this and the upload.
    pub(super) fn begin_flight(&mut self, last: Option<Seq>, journal_bytes: u64) -> (SegmentNo, Seq) {
        let segment = SegmentNo(self.next);
        self.next += 1;
        let last = last.unwrap_or(self.packed);
        self.packed = self.packed.max(last);
        self.in_flight_bytes += journal_bytes;
        let chunks = Arc::default();
        self.flights.insert(segment.0, Flight { last, landed: false, journal_bytes, chunks });
        (segment, last)
    }

    fn landed(&mut self, segment: SegmentNo, chunks: Arc<Vec<IndexedChunk>>) {
        let flight = self.flights.get_mut(&segment.0).expect("it was begun");
        flight.landed = true;
        flight.chunks = chunks;
    }

    fn next_landed(&self) -> Option<(SegmentNo, Seq, Arc<Vec<IndexedChunk>>)> {
        let number = self.shipped.0.0 + 1;
        let flight = self.flights.get(&number).filter(|flight| flight.landed)?;
        Some((SegmentNo(number), flight.last, flight.chunks.clone()))
    }

    fn applied(&mut self, segment: SegmentNo) {
        let flight = self.flights.remove(&segment.0).expect("it has landed");
        self.in_flight_bytes -= flight.journal_bytes;
        self.shipped = (segment, self.shipped.1.max(flight.last));
    }

    /// Whether a cut is due at `now_ns`, and if not, when it will be at the latest.
    fn decide_cut(&self, now_ns: u64, tuning: &Tuning, starved: bool) -> std::result::Result<(), Option<u64>> {
        if self.flights.len() as u64 >= limits::UPLOAD_WINDOW {
            return Err(None);
        }
        let Some(since) = self.unpacked_since else {
            return if self.sync_to > self.packed { Ok(()) } else { Err(None) };
        };
        let at_risk = self.unpacked_bytes >= limits::CUT_BYTES_AT_RISK.min(tuning.cut_bytes);
        let age = if at_risk { tuning.cut_age_at_risk } else { tuning.cut_age };
        let due = since + u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        let full = self.unpacked_bytes >= tuning.cut_bytes;
        if full || starved || self.sync_to > self.packed || now_ns >= due {
            return Ok(());
        }
        Err(Some(due))
    }
}

/// A cut that was read, and where the next one begins.
struct ReadCut {
    cut: Cut,
    cursor: Option<Cursor>,
    journal_bytes: u64,
}

impl VDisk {
    /// The disk's task: runs until the disk has failed or is closed.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            if self.has_failed.load(Ordering::Acquire) || self.closed.load(Ordering::Acquire) {
                return;
            }
            let next = match self.step().await {
                Ok(next) => next,
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(disk = self.name(), %error, "shipping waits");
                    Some(Duration::from_secs(1))
                }
                Err(error) => {
                    self.fail(error);
                    return;
                }
            };
            match next {
                Some(pause) => {
                    tokio::select! {
                        biased;
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }

    /// Does what is due; answers when the next thing will be.
    async fn step(self: &Arc<Self>) -> Result<Option<Duration>> {
        loop {
            self.apply_landed();
            self.log_frontier().await?;
            self.merge_if_due();
            let now = self.pool.host().clock.boot_ns();
            let starved = !self.pool.journal().has_room();
            let decision = self.shipping.lock().decide_cut(now, self.pool.tuning(), starved);
            let cut_due = match decision {
                Ok(()) if self.pending_has_room() => {
                    self.cut().await?;
                    continue;
                }
                Ok(()) => None,
                Err(due) => due.map(|due| Duration::from_nanos(due.saturating_sub(now).max(1_000_000))),
            };
            let mark_due = self.mark_if_due()?;
            return Ok(match (cut_due, mark_due) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            });
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
            let Some((segment, last, chunks)) = self.shipping.lock().next_landed() else { return };
            // First all of it below the overlay, then the overlay away: a reader in between
            // finds the same bytes in either.
            for some in chunks.chunks(AT_ONCE) {
                self.index.lock().shipped(self.stream, segment, some);
            }
            for some in chunks.chunks(AT_ONCE) {
                self.index.lock().forget(some, last);
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
            tracing::debug!(disk = self.name(), "no room for the frontier yet");
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
        tracing::debug!(disk = self.name(), ?frontier, ?freed, "frontier");
        self.pool.journal().retire(freed);
        self.shipping.lock().logged = frontier;
        self.progress.notify_waiters();
        Ok(())
    }

    /// After a flush with nothing behind it, a group with only the mark follows: it tells damage
    /// from a torn tail.
    fn mark_if_due(&self) -> Result<Option<Duration>> {
        let durable = self.durable();
        if Seq(self.marked.load(Ordering::Acquire)) >= durable {
            self.shipping.lock().mark_at = None;
            return Ok(None);
        }
        let now = Instant::now();
        let due = *self.shipping.lock().mark_at.get_or_insert(now + limits::MARK_DELAY);
        if due > now {
            return Ok(Some(due - now));
        }
        let logged = self.log.lock().append_control(RecordKind::FlushMark, &[], durable)?;
        if logged {
            self.marked.fetch_max(durable.0, Ordering::AcqRel);
            self.shipping.lock().mark_at = None;
            return Ok(None);
        }
        Ok(Some(limits::MARK_DELAY))
    }

    /// Cuts, seals, and sends one segment on its way.
    async fn cut(self: &Arc<Self>) -> Result<()> {
        let _permit = self.pool.pack_slots().acquire().await.expect("never closed");
        let last = self.make_durable_for_packing().await?;
        let (packed, cursor) = {
            let shipping = self.shipping.lock();
            (shipping.packed, shipping.cursor)
        };
        let spans: Vec<Span> =
            self.log.lock().spans().iter().filter(|span| span.last > packed).cloned().collect();
        let journal = self.pool.journal().clone();
        let tuning = self.pool.tuning().clone();
        let read = self
            .pool
            .host()
            .blocking
            .run(move || read_cut(&journal, &spans, cursor, packed, last, &tuning))
            .await
            .map_err(|error| error.during(format_args!("disk {}", self.name())))?;
        let filled = self.fill_partial(&read.cut).await?;
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
        let disk = self.clone();
        let sealed = self
            .pool
            .host()
            .blocking
            .run(move || disk.seal(&plan, &read.cut, &filled))
            .await;
        self.counts.shipped_bytes.fetch_add(sealed.bytes.len() as u64, Ordering::Relaxed);
        self.upload(sealed);
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
            if !self.shipping.lock().flights.values().any(|flight| flight.journal_bytes > 0) {
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
            self.read_shipped(partial.block, &mut base).await.map_err(|error| {
                Error::new(ErrorKind::Unavailable, format!("fill block {}: {error}", partial.block))
            })?;
            let mut whole = Box::new([0u8; BLOCK]);
            cut.fill(partial.slot, partial.block, &base, &mut whole);
            filled.insert(partial, whole);
        }
        Ok(filled)
    }

    fn check_failed(&self) -> Result<()> {
        match self.failed.lock().clone() {
            Some(error) => Err(error),
            None => Ok(()),
        }
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
        let sealed = seal_cut(plan, cut, filled, &mut Compressor::new(), &mut backoff, |slot, id, plain| {
            let key = vpool_cache::ChunkKey { uid, segment, slot };
            cache.insert(key, plain, id, &self.lineage.keys, Layers::Ssd);
        });
        self.shipping.lock().backoff = backoff;
        self.keep_salt(plan);
        sealed
    }

    pub(super) fn keep_salt(&self, plan: &SegmentPlan) {
        if self.lineage.keys.sealed() {
            self.pool.chunks().salts().put(self.uid, plan.segment, plan.part_salt);
        }
    }

    /// Puts a segment until it is there. Its image is kept until then.
    pub(super) fn upload(self: &Arc<Self>, sealed: SealedSegment) {
        let disk = self.clone();
        tokio::spawn(async move {
            if let Err(error) = disk.put_segment(&sealed).await {
                disk.fail(error);
                return;
            }
            disk.counts.segments.fetch_add(1, Ordering::Relaxed);
            disk.shipping.lock().landed(sealed.segment, Arc::new(sealed.chunks));
            disk.wake.notify_one();
            disk.progress.notify_waiters();
        });
    }

    async fn put_segment(self: &Arc<Self>, sealed: &SealedSegment) -> Result<()> {
        self.put_stream_record().await?;
        let name = Name::Segment {
            disk: self.entry.id,
            epoch: self.epoch,
            uid: self.uid,
            segment: sealed.segment,
        };
        let _permit = self.pool.upload_slots().acquire().await.expect("never closed");
        self.pool.put_for_ever(&object_key(&name)?, sealed.bytes.clone()).await
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
        self.pool.put_for_ever(&object_key(&name)?, bytes.into()).await?;
        self.pool.metadata().recorded(self.entry.id, self.epoch).await?;
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
        self.wake.notify_one();
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            self.check_failed()?;
            if self.shipping.lock().shipped.1 >= target {
                return Ok(target);
            }
            progress.await;
        }
    }
}

/// Reads groups from the journal until a cut is full or `last` is reached. Blocks.
fn read_cut(
    journal: &Journal,
    spans: &[Span],
    cursor: Option<Cursor>,
    packed: Seq,
    last: Seq,
    tuning: &Tuning,
) -> Result<ReadCut> {
    const RANGES_MAX: usize = 30_000;
    let mut builder = CutBuilder::new();
    let mut reached = packed;
    let mut after = cursor;
    let mut journal_bytes = 0;
    let mut blocks = Vec::new();
    'spans: for span in spans {
        let (mut block, mut group) = match cursor {
            Some(at) if at.slot == span.slot && at.check == span.check && at.block >= span.first_block => {
                (at.block, at.group)
            }
            _ => (span.first_block, span.first_group),
        };
        while reached < span.last.min(last) {
            if builder.bytes() >= tuning.cut_bytes || builder.ranges() >= RANGES_MAX {
                break 'spans;
            }
            let found = read_group(journal, span, block, group).map_err(|error| {
                crate::error::io("read the journal to pack it", &error)
            })?;
            let Some(found) = found else {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "journal extent {}, block {block}: a record that is not in the store yet is \
                         not what was written; check the SSD and restart, which tells what is lost",
                        span.slot
                    ),
                ));
            };
            for record in found.records(span, &mut blocks) {
                if record.header.seq > packed && record.header.seq <= last {
                    builder.push(&record);
                    journal_bytes += match record.header.kind {
                        RecordKind::Write => record.blocks.len() as u64 * BLOCK as u64,
                        RecordKind::Discard | RecordKind::WriteZeroes => 32,
                        _ => 0,
                    };
                }
            }
            block += found.header.blocks();
            group += 1;
            reached = reached.max(found.header.last_seq);
            after = Some(Cursor { slot: span.slot, check: span.check, block, group });
        }
    }
    Ok(ReadCut { cut: builder.finish(reached), cursor: after, journal_bytes })
}
