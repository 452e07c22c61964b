//! The state of group commit: which requests a sync covers, and what became of it.
//!
//! Owns: rounds and tickets. Does not own: who runs a round, how waiters are woken.
//!
//! ```text
//!  ticket ──► 5      ticket ──► 6        ticket ──► 7
//!  ───────────┬──────────────────────────┬───────────────► time
//!             begin: round 5 ... finish  begin: round 6 ...
//! ```
//!
//! A request made before round n starts is covered by round n; one made while round n runs
//! needs round n + 1, since the sync may have passed its bytes by. Rounds never overlap.
//!
//! Invariants: `finished <= started <= finished + 1`; `requested <= started + 1`; once
//! failed, no round starts and none ends well (P1: a failed sync is never tried again as a
//! success, for the kernel has dropped what it could not write).

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::sync::{Mutex, MutexGuard};

/// A request that everything before it be durable: the number of the round that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The right and the duty to run one sync. Give it to [`GroupCommit::finish`].
#[derive(Debug)]
#[must_use = "a round that is not finished keeps every waiter waiting"]
pub struct Round(u64);

/// What is known of a ticket.
#[derive(Debug, Clone)]
pub enum Progress {
    /// A sync that started after the request has ended well.
    Durable,
    /// No sync that covers it has ended.
    Waiting,
    /// A sync failed before one that covers it ended well. It never will.
    Failed(Failed),
}

/// A sync failed; from then on all fail.
#[derive(Debug, Clone)]
pub struct Failed(Arc<dyn Error + Send + Sync>);

impl Failed {
    /// A failure because of `cause`.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Failed {
        Failed(Arc::from(cause.into()))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a sync failed, nothing can be made durable any more")
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// Group commit between any number of threads. No call waits for anything but a short lock.
#[derive(Debug, Default)]
pub struct GroupCommit {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest round that somebody needs.
    requested: u64,
    /// Rounds begun.
    started: u64,
    /// Rounds ended, well or not.
    ended: u64,
    /// The newest round that ended well.
    durable: u64,
    /// Why nothing more will be.
    failed: Option<Failed>,
}

impl GroupCommit {
    /// No request yet, no failure.
    pub fn new() -> GroupCommit {
        GroupCommit::default()
    }

    /// Asks that everything done before this call be made durable.
    pub fn ticket(&self) -> Ticket {
        let mut state = self.lock();
        state.requested = state.started + 1;
        Ticket(state.requested)
    }

    /// Begins a sync if somebody needs one, none is running and none has failed. It covers
    /// every ticket given before this call.
    pub fn begin(&self) -> Option<Round> {
        let mut state = self.lock();
        let running = state.ended < state.started;
        if running || state.failed.is_some() || state.requested == state.started {
            return None;
        }
        state.started += 1;
        Some(Round(state.started))
    }

    /// Ends a sync. The first failure is kept for ever.
    pub fn finish(&self, round: Round, result: Result<(), Failed>) {
        let mut state = self.lock();
        debug_assert_eq!(round.0, state.started, "rounds end in the order they began");
        state.ended = round.0;
        match result {
            Ok(()) if state.failed.is_none() => state.durable = round.0,
            // Poisoned while it ran: nothing that ends after a failure counts.
            Ok(()) => {}
            Err(failed) => {
                state.failed.get_or_insert(failed);
            }
        }
    }

    /// Fails all that is not durable yet, for ever: for failures seen elsewhere, such as of
    /// a write.
    pub fn poison(&self, failed: Failed) {
        self.lock().failed.get_or_insert(failed);
    }

    /// What became of a request.
    pub fn poll(&self, ticket: Ticket) -> Progress {
        let state = self.lock();
        if state.durable >= ticket.0 {
            return Progress::Durable;
        }
        match &state.failed {
            Some(failed) => Progress::Failed(failed.clone()),
            None => Progress::Waiting,
        }
    }

    /// The first failure, if there was one.
    pub fn failure(&self) -> Option<Failed> {
        self.lock().failed.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing under this lock can panic")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Failed, GroupCommit, Progress};

    fn durable(progress: Progress) -> bool {
        matches!(progress, Progress::Durable)
    }

    fn failed(progress: Progress) -> bool {
        matches!(progress, Progress::Failed(_))
    }

    #[test]
    fn a_round_covers_what_was_asked_before_it_began() {
        let group = GroupCommit::new();
        assert!(group.begin().is_none(), "nobody asked");
        let before = [group.ticket(), group.ticket()];
        let round = group.begin().unwrap();
        let during = group.ticket();
        assert!(group.begin().is_none(), "one at a time");
        group.finish(round, Ok(()));
        assert!(before.iter().all(|ticket| durable(group.poll(*ticket))));
        assert!(matches!(group.poll(during), Progress::Waiting));
        let round = group.begin().unwrap();
        group.finish(round, Ok(()));
        assert!(durable(group.poll(during)));
        assert!(group.begin().is_none(), "all served");
    }

    #[test]
    fn a_failure_is_for_ever() {
        let group = GroupCommit::new();
        let early = group.ticket();
        let round = group.begin().unwrap();
        group.finish(round, Ok(()));
        let covered = group.ticket();
        let round = group.begin().unwrap();
        let during = group.ticket();
        group.finish(round, Err(Failed::new("EIO")));
        assert!(durable(group.poll(early)), "its own sync was good");
        let later = group.ticket();
        for ticket in [covered, during, later] {
            assert!(failed(group.poll(ticket)));
        }
        assert!(group.begin().is_none(), "never again");
        let cause = std::error::Error::source(&group.failure().unwrap())
            .unwrap()
            .to_string();
        assert_eq!(cause, "EIO");
    }

    #[test]
    fn a_sync_that_ends_after_poison_does_not_count() {
        let group = GroupCommit::new();
        let ticket = group.ticket();
        let round = group.begin().unwrap();
        group.poison(Failed::new("a write failed"));
        group.finish(round, Ok(()));
        assert!(failed(group.poll(ticket)));
        group.poison(Failed::new("another"));
        let cause = std::error::Error::source(&group.failure().unwrap())
            .unwrap()
            .to_string();
        assert_eq!(cause, "a write failed");
    }
}
