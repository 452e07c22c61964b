//! Recovery: what the journal still holds of a disk, and where its last stream ends.
//!
//! Owns: following the chain of tails, telling what is lost, the base of the next stream. Does
//! not own: the map ([`super::open`]), the rule of a torn tail ([`crate::journal::scan`]).

use std::collections::VecDeque;

use vpool_format::{Base, Epoch, SealedEnd, SegmentNo, Seq, StreamUid, Tail};
use vpool_seal::DiskKeys;

use crate::error::Result;
use crate::journal::scan::{Lost, scan};
use crate::journal::{FoundExtent, Journal, Span};

/// The stream that was the newest before this opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its uid.
    pub uid: StreamUid,
    /// What it started from.
    pub base: Base,
    /// It ends here or later, and the journal holds nothing of it up to here.
    pub resting: Option<SealedEnd>,
    /// Its record is in the store, so there may be segments of it.
    pub recorded: bool,
}

/// What the journal holds.
#[derive(Debug)]
pub struct Recovered {
    /// The end of the previous stream.
    pub end: SealedEnd,
    /// What is not in the store, for the next base.
    pub tails: Vec<Tail>,
    /// Where it is.
    pub spans: VecDeque<Span>,
    /// The log goes on after this.
    pub last: Seq,
    /// What should be there and is not.
    pub lost: Vec<Lost>,
    /// It is known how far the previous stream is in the store; else the store is to be asked.
    pub knows_end: bool,
    /// The newest label.
    pub wall_ms: u64,
}

/// Up to where the older streams under a base are in the store.
pub fn sealed_seq(base: &Base) -> Seq {
    base.sealed.last().map_or(Seq(0), |end| end.seq)
}

/// Where the log stood when a stream with this base began.
pub fn start_seq(base: &Base) -> Seq {
    base.tails
        .last()
        .map_or(Seq(0), |tail| tail.last)
        .max(sealed_seq(base))
}

/// Reads what the journal holds of the previous stream and of the tails under it. Blocks.
pub fn recover(
    journal: &Journal,
    keys: &DiskKeys,
    extents: &[FoundExtent],
    previous: &Previous,
) -> Result<Recovered> {
    let of = |uid: StreamUid| -> Vec<FoundExtent> {
        extents
            .iter()
            .filter(|extent| extent.header.uid == uid)
            .cloned()
            .collect()
    };
    let base = &previous.base;
    let least = previous.resting.unwrap_or(SealedEnd {
        uid: previous.uid,
        epoch: previous.epoch,
        segment: SegmentNo(0),
        seq: sealed_seq(base),
        checkpoint: 0,
    });
    let after = start_seq(base).max(least.seq);
    let newest = scan(journal, keys, &of(previous.uid), after, None)?;
    let shipped = newest
        .frontier
        .as_ref()
        .filter(|frontier| frontier.uid == previous.uid);
    // An extent that was given back may still tell of an older frontier.
    let end = match shipped {
        Some(frontier)
            if (frontier.segment, frontier.checkpoint) > (least.segment, least.checkpoint) =>
        {
            SealedEnd {
                segment: frontier.segment,
                seq: frontier.seq,
                checkpoint: frontier.checkpoint,
                ..least
            }
        }
        _ => least,
    };
    let mut recovered = Recovered {
        end,
        tails: Vec::new(),
        spans: VecDeque::new(),
        last: newest.last,
        lost: Vec::new(),
        // A note of a rest is only where the stream once was; a journal without a later frontier
        // may be one that has lost it, or another altogether.
        knows_end: !previous.recorded
            || shipped.is_some_and(|frontier| frontier.segment > least.segment),
        wall_ms: newest.wall_ms,
    };
    for tail in &base.tails {
        if tail.last <= end.seq {
            continue;
        }
        let after = Seq(tail.first.0 - 1).max(end.seq);
        let older = scan(journal, keys, &of(tail.uid), after, Some(tail.last))?;
        recovered.take(tail.uid, older.tails, older.spans, older.lost);
        recovered.wall_ms = recovered.wall_ms.max(older.wall_ms);
    }
    recovered.take(previous.uid, newest.tails, newest.spans, newest.lost);
    Ok(recovered)
}

impl Recovered {
    /// Everything was in the store.
    pub fn of_end(end: SealedEnd, last: Seq) -> Self {
        Recovered {
            end,
            tails: Vec::new(),
            spans: VecDeque::new(),
            last,
            lost: Vec::new(),
            knows_end: true,
            wall_ms: 0,
        }
    }

    /// Takes what the store itself says of the previous stream's end, if that is further.
    pub fn shipped_to(&mut self, found: SealedEnd) {
        let known = (self.end.segment, self.end.seq, self.end.checkpoint);
        if (found.segment, found.seq, found.checkpoint) < known {
            return;
        }
        let shipped = found.seq;
        self.last = self.last.max(shipped);
        self.tails.retain(|tail| tail.last > shipped);
        self.spans.retain(|span| span.last > shipped);
        self.lost.retain(|lost| lost.last > shipped);
        for lost in &mut self.lost {
            lost.first = lost.first.max(Seq(shipped.0 + 1));
        }
        self.end = found;
    }

    /// Gives up everything from the first lost record on: what is left is a prefix (P1).
    pub fn cut_before_loss(&mut self) {
        let Some(first) = self.lost.iter().map(|lost| lost.first).min() else {
            return;
        };
        self.tails.retain(|tail| tail.first < first);
        for tail in &mut self.tails {
            tail.last = tail.last.min(Seq(first.0 - 1));
        }
        self.spans.retain(|span| span.first < first);
        for span in &mut self.spans {
            span.last = span.last.min(Seq(first.0 - 1));
        }
        self.last = Seq(first.0 - 1);
    }

    fn take(
        &mut self,
        uid: StreamUid,
        tails: Vec<(Seq, Seq)>,
        spans: VecDeque<Span>,
        lost: Vec<Lost>,
    ) {
        let tails = tails
            .into_iter()
            .map(|(first, last)| Tail { uid, first, last });
        self.tails.extend(tails);
        self.spans.extend(spans);
        self.lost.extend(lost);
    }

    /// The base of the next stream: sealed ends from the newest checkpoint on, tails.
    pub fn next_base(&self, previous: &Base) -> Base {
        let mut sealed = previous.sealed.clone();
        if self.end.segment.0 > 0 || self.end.checkpoint > 0 {
            sealed.push(self.end);
        }
        if let Some(newest) = sealed.iter().rposition(|end| end.checkpoint > 0) {
            sealed.drain(..newest);
        }
        Base {
            sealed,
            tails: self.tails.clone(),
        }
    }
}
