//! The rules of one disk's streams: epochs, sealed bases, closed ends.
//!
//! ```text
//!            bump            seal             close
//!   (none) ───────► current ──────► current ───────► current
//!                   no base         base             base, closed
//!                      ▲  │ bump       │ bump           │ bump
//!                      │  ▼            ▼                ▼
//!                      └─────── current, no base; previous = the one with a base,
//!                               and where it was closed, if it was
//! ```
//!
//! A stream that was never sealed has never been served, so it holds nothing and needs no
//! end: a bump over it keeps `previous` as it is.

use vpool_format::{Base, Epoch, SealedEnd, StreamUid};

use std::collections::BTreeSet;

use crate::{ANY_MACHINE, Error, MACHINES_MAX, Result, Streams, THIS_HOST};

/// Gives out epoch `from + 1`. The second part is `None` if nothing changes.
pub(super) fn bump(now: &Streams, from: Epoch, uid: StreamUid) -> Result<(Epoch, Option<Streams>)> {
    let current = now.current.map_or(Epoch(0), |(epoch, _)| epoch);
    let next = Epoch(
        from.0
            .checked_add(1)
            .ok_or_else(|| Error::Conflict(format!("no epoch comes after {from}")))?,
    );
    if now.current == Some((next, uid)) {
        return Ok((next, None));
    }
    if current != from {
        return Err(Error::Conflict(format!(
            "the newest epoch is {current}, not {from}: another opening came first"
        )));
    }
    if uids(now).any(|used| used == uid) {
        return Err(Error::Conflict(format!("stream {uid} has been used")));
    }
    let mut then = now.clone();
    then.current = Some((next, uid));
    if let (Some((epoch, uid)), Some(base)) = (now.current, then.base.take()) {
        then.previous = Some((epoch, uid, base));
    }
    Ok((next, Some(then)))
}

/// The streams of a disk whose newest stream was found in its bucket, under its record.
pub(super) fn adopted((epoch, uid, base): &(Epoch, StreamUid, Base)) -> Streams {
    Streams {
        current: Some((*epoch, *uid)),
        base: Some(base.clone()),
        recorded: *epoch,
        ..Streams::default()
    }
}

/// Records the end of the current stream.
pub(super) fn close(now: &Streams, end: &SealedEnd) -> Result<Option<Streams>> {
    if now.current != Some((end.epoch, end.uid)) || now.base.is_none() {
        return Err(Error::Conflict(format!(
            "stream {} of epoch {} is not the one that is open",
            end.uid, end.epoch
        )));
    }
    match &now.closed {
        Some(closed) if closed == end => Ok(None),
        Some(closed) => Err(Error::Conflict(format!(
            "stream {} was closed at segment {}",
            closed.uid, closed.segment
        ))),
        None => {
            let mut then = Streams {
                closed: Some(*end),
                ..now.clone()
            };
            // Those that are not kept apart have had a whole life of the disk to hear of it.
            then.owed.remove(ANY_MACHINE);
            Ok(Some(then))
        }
    }
}

/// Records that the open stream is in the store up to `end`, and the journal rid of it.
pub(super) fn rest(now: &Streams, end: &SealedEnd) -> Result<Option<Streams>> {
    let open = now.current == Some((end.epoch, end.uid)) && now.base.is_some();
    if !open || now.closed.is_some() {
        return Err(Error::Conflict(format!(
            "stream {} of epoch {} is not the one that is open",
            end.uid, end.epoch
        )));
    }
    let reached = |end: &SealedEnd| (end.segment, end.seq, end.checkpoint);
    match &now.resting {
        Some(before) if before == end => Ok(None),
        Some(before) if reached(before) > reached(end) => Err(Error::Conflict(format!(
            "stream {} is known to reach to segment {}",
            before.uid, before.segment
        ))),
        _ => Ok(Some(Streams {
            resting: Some(*end),
            ..now.clone()
        })),
    }
}

/// Records that a machine has attached the disk. Beyond [`MACHINES_MAX`] they are one.
pub(super) fn attached(now: &Streams, machine: &str) -> Result<Option<Streams>> {
    if now.current.is_none() {
        return Err(Error::Conflict("the disk has not been opened".to_owned()));
    }
    if now.clients.contains(machine) || now.clients.contains(ANY_MACHINE) {
        return Ok(None);
    }
    let mut then = now.clone();
    if then.clients.len() >= MACHINES_MAX {
        then.clients = BTreeSet::from([ANY_MACHINE.to_owned()]);
    } else {
        then.clients.insert(machine.to_owned());
    }
    Ok(Some(then))
}

/// Records to whom a loss is owed. A disk that was closed in order has lost nothing.
pub(super) fn owe(now: &Streams, here: bool) -> Option<Streams> {
    if now.current.is_none() || now.closed.is_some() {
        return None;
    }
    let mut then = now.clone();
    then.owed.extend(now.clients.iter().cloned());
    if then.owed.len() > MACHINES_MAX {
        let here = then.owed.contains(THIS_HOST);
        then.owed = BTreeSet::from([ANY_MACHINE.to_owned()]);
        then.owed.extend(here.then(|| THIS_HOST.to_owned()));
    }
    if here {
        then.owed.insert(THIS_HOST.to_owned());
    }
    (then != *now).then_some(then)
}

/// Records that a machine has been told.
pub(super) fn told(now: &Streams, machine: &str) -> Option<Streams> {
    let mut then = now.clone();
    then.owed.remove(machine);
    (then != *now).then_some(then)
}

/// Records that a stream record is in the bucket.
pub(super) fn recorded(now: &Streams, epoch: Epoch) -> Result<Option<Streams>> {
    let current = now.current.map_or(Epoch(0), |(epoch, _)| epoch);
    if epoch > current {
        return Err(Error::Conflict(format!(
            "epoch {epoch} has not been given out, the newest is {current}"
        )));
    }
    Ok((epoch > now.recorded).then(|| Streams {
        recorded: epoch,
        ..now.clone()
    }))
}

/// Fixes the base of the current stream.
pub(super) fn seal(now: &Streams, epoch: Epoch, base: &Base) -> Result<Option<Streams>> {
    let refused = |what: String| Err(Error::Conflict(what));
    let Some((current, uid)) = now.current.filter(|(current, _)| *current == epoch) else {
        return refused(format!("epoch {epoch} is not the newest"));
    };
    match &now.base {
        Some(sealed) if sealed == base => return Ok(None),
        Some(_) => return refused(format!("epoch {current} has been sealed otherwise")),
        None => {}
    }
    for end in &base.sealed {
        // An end is never computed again once it is known (P1).
        let sealed = known_ends(now).find(|known| known.uid == end.uid);
        if sealed.is_some_and(|sealed| sealed != end) {
            return refused(format!("the end of stream {} has been sealed", end.uid));
        }
        // What a close has recorded is an end too; the checkpoint may be a newer one.
        let closed = now.closed.filter(|closed| closed.uid == end.uid);
        // And what is known to be in the store and nowhere else is not left behind.
        let resting = now.resting.filter(|resting| resting.uid == end.uid);
        if resting.is_some_and(|least| end.segment < least.segment || end.seq < least.seq) {
            return refused(format!("stream {} reaches further", end.uid));
        }
        if closed.is_some_and(|closed| (closed.segment, closed.seq) != (end.segment, end.seq)) {
            return refused(format!("stream {} was closed elsewhere", end.uid));
        }
    }
    let then = Streams {
        base: Some(base.clone()),
        previous: None,
        closed: None,
        resting: None,
        clients: BTreeSet::new(),
        ..now.clone()
    };
    match check(&then) {
        Ok(()) => Ok(Some(then)),
        Err(what) => refused(format!("the base of stream {uid} cannot be: {what}")),
    }
}

/// Whether everything holds that must hold at all times; else what does not.
pub(super) fn check(streams: &Streams) -> std::result::Result<(), &'static str> {
    let holds = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
    let Some((current, uid)) = streams.current else {
        return holds(
            *streams == Streams::default(),
            "nothing was opened, yet something is known of it",
        );
    };
    holds(current > Epoch(0), "epochs start from 1")?;
    holds(
        streams.recorded <= current,
        "a stream record of an epoch that was not given out",
    )?;
    if let Some((epoch, previous, base)) = &streams.previous {
        holds(streams.base.is_none(), "a previous base beside a base")?;
        holds(
            *epoch < current && *previous != uid,
            "the previous stream is not an older one",
        )?;
        check_base(base, *previous)?;
    }
    if let Some(base) = &streams.base {
        check_base(base, uid)?;
    }
    let open = match (&streams.base, &streams.previous) {
        (Some(_), _) => Some((current, uid)),
        (None, previous) => previous.as_ref().map(|(epoch, uid, _)| (*epoch, *uid)),
    };
    let of_open =
        |end: &Option<SealedEnd>| end.is_none_or(|end| Some((end.epoch, end.uid)) == open);
    holds(
        of_open(&streams.closed),
        "a closed end of a stream that was not open",
    )?;
    holds(
        of_open(&streams.resting),
        "a resting end of a stream that was not open",
    )?;
    // One more in what is owed: this host.
    holds(
        streams.clients.len() <= MACHINES_MAX && streams.owed.len() <= MACHINES_MAX + 1,
        "more machines than are kept apart",
    )
}

/// A base of stream `of` names each older stream once, and itself not. (Epochs need not
/// ascend: after an adoption they start again from 1, with the old ends still there.)
fn check_base(base: &Base, of: StreamUid) -> std::result::Result<(), &'static str> {
    let mut ends: Vec<StreamUid> = base.sealed.iter().map(|end| end.uid).collect();
    ends.sort_unstable();
    if ends.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("a stream ends twice");
    }
    if base.sealed.iter().any(|end| end.uid == of) || base.tails.iter().any(|tail| tail.uid == of) {
        return Err("a stream starts from itself");
    }
    if base.tails.iter().any(|tail| tail.first > tail.last) {
        return Err("a tail ends before it starts");
    }
    Ok(())
}

/// The ends that are sealed.
fn known_ends(streams: &Streams) -> impl Iterator<Item = &SealedEnd> {
    let previous = streams.previous.as_ref().map(|(_, _, base)| base);
    streams
        .base
        .iter()
        .chain(previous)
        .flat_map(|base| &base.sealed)
}

/// The uids that are known to have been used.
fn uids(streams: &Streams) -> impl Iterator<Item = StreamUid> {
    let current = streams.current.map(|(_, uid)| uid);
    let previous = streams.previous.as_ref().map(|(_, uid, _)| *uid);
    let ended = known_ends(streams).map(|end| end.uid);
    current.into_iter().chain(previous).chain(ended)
}
