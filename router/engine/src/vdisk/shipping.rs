//! How far a disk's shipping is: numbers given out, segments on their way, the frontier, when the
//! next cut is due. Decides; [`super::ship`] does.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;
use vpool_format::{SegmentNo, Seq};
use vpool_seal::Backoff;

use crate::journal::PlacedBlock;
use crate::limits::{self, BLOCK, Tuning};
use crate::packer::{Cursor, IndexedChunk};

/// How much a pool has, of its journal and of memory for what is not in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Less than a quarter is used.
    Plenty,
    /// Writers find room.
    Some,
    /// Writers wait.
    None,
}

/// How far shipping is.
#[derive(Debug)]
pub struct Shipping {
    next: u64,
    pub(super) flights: BTreeMap<u64, Flight>,
    pub(super) shipped: (SegmentNo, Seq),
    pub(super) logged: (SegmentNo, Seq, u64),
    pub(super) packed: Seq,
    pub(super) cursor: Option<Cursor>,
    pub(super) unpacked_bytes: u64,
    pub(super) unpacked_since: Option<u64>,
    in_flight_bytes: u64,
    pub(super) checkpoint: u64,
    pub(super) sync_to: Seq,
    merge_due: bool,
    /// Full segments are cut one after the other until none is left.
    draining: bool,
    pub(super) backoff: Backoff,
    pub(super) mark_at: Option<Instant>,
    /// When something was last logged.
    pub(super) logged_ns: u64,
}

#[derive(Debug)]
pub(super) struct Flight {
    last: Seq,
    landed: bool,
    pub(super) journal_bytes: u64,
    chunks: Arc<Vec<IndexedChunk>>,
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
            draining: false,
            backoff: Backoff::default(),
            mark_at: None,
            logged_ns: now_ns,
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

    /// Notes what was logged; answers how much waited to be packed before, and does now.
    pub fn logged(&mut self, placed: &[PlacedBlock], now_ns: u64) -> (u64, u64) {
        let before = self.unpacked_bytes;
        for piece in placed {
            // A discard costs the journal little, but wants to be shipped too.
            self.unpacked_bytes += if piece.at.is_some() { BLOCK as u64 } else { 32 };
        }
        self.logged_ns = now_ns;
        if self.unpacked_bytes > 0 {
            self.unpacked_since.get_or_insert(now_ns);
        }
        (before, self.unpacked_bytes)
    }

    /// The end of the stream if all of it has been shipped and the frontier says so.
    pub(super) fn settled(&self) -> Option<(SegmentNo, Seq, u64)> {
        let all = self.flights.is_empty() && self.unpacked_since.is_none();
        let now = (self.shipped.0, self.shipped.1, self.checkpoint);
        (all && self.logged == now).then_some(now)
    }

    /// Whether the frontier has moved and the journal does not say so yet.
    pub(super) fn frontier_due(&self) -> bool {
        (self.shipped.0, self.shipped.1, self.checkpoint) != self.logged
    }

    /// Segments of map nodes whose images are in memory.
    pub(super) fn node_flights(&self) -> usize {
        let nodes = self.flights.values();
        nodes
            .filter(|flight| flight.journal_bytes == 0 && !flight.landed)
            .count()
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
    pub(super) fn begin_flight(
        &mut self,
        last: Option<Seq>,
        journal_bytes: u64,
    ) -> (SegmentNo, Seq) {
        let segment = SegmentNo(self.next);
        self.next += 1;
        let last = last.unwrap_or(self.packed);
        self.packed = self.packed.max(last);
        self.in_flight_bytes += journal_bytes;
        let chunks = Arc::default();
        self.flights.insert(
            segment.0,
            Flight {
                last,
                landed: false,
                journal_bytes,
                chunks,
            },
        );
        (segment, last)
    }

    pub(super) fn landed(&mut self, segment: SegmentNo, chunks: Arc<Vec<IndexedChunk>>) {
        let flight = self.flights.get_mut(&segment.0).expect("it was begun");
        flight.landed = true;
        flight.chunks = chunks;
    }

    pub(super) fn next_landed(&self) -> Option<(SegmentNo, Seq, Arc<Vec<IndexedChunk>>)> {
        let number = self.shipped.0.0 + 1;
        let flight = self.flights.get(&number).filter(|flight| flight.landed)?;
        Some((SegmentNo(number), flight.last, flight.chunks.clone()))
    }

    pub(super) fn applied(&mut self, segment: SegmentNo) {
        let flight = self.flights.remove(&segment.0).expect("it has landed");
        self.in_flight_bytes -= flight.journal_bytes;
        self.shipped = (segment, self.shipped.1.max(flight.last));
    }

    /// Whether a cut is due at `now_ns`, and if not, when it will be at the latest. `pool` says
    /// how much room there is: while there is plenty, clients that write without pause have the
    /// machine for themselves until what they write has come of age.
    pub(super) fn decide_cut(
        &mut self,
        now_ns: u64,
        tuning: &Tuning,
        room: Room,
    ) -> std::result::Result<(), Option<u64>> {
        if self.flights.len() as u64 >= limits::UPLOAD_WINDOW {
            return Err(None);
        }
        let Some(since) = self.unpacked_since else {
            return if self.sync_to > self.packed {
                Ok(())
            } else {
                Err(None)
            };
        };
        let at_risk = self.unpacked_bytes >= limits::CUT_BYTES_AT_RISK.min(tuning.cut_bytes);
        let age = if at_risk {
            tuning.cut_age_at_risk
        } else {
            tuning.cut_age
        };
        let due = since + u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        let full = self.unpacked_bytes >= tuning.cut_bytes;
        let must = room == Room::None || self.sync_to > self.packed || now_ns >= due;
        let pause = self.logged_ns + u64::try_from(limits::CUT_PAUSE.as_nanos()).expect("short");
        let may = full && (self.draining || room != Room::Plenty || now_ns >= pause);
        if must || may {
            self.draining = full;
            return Ok(());
        }
        self.draining = false;
        Err(Some(if full { due.min(pause) } else { due }))
    }
}
