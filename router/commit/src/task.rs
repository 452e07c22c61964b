//! Group commit between asynchronous tasks.
//!
//! Owns: who leads a round, waking, and what happens when callers go away. Whoever finds no
//! round running leads the next one, in a task of its own: a caller that is dropped stops
//! waiting and nothing else. A round whose task dies unfinished (a panic, a runtime that is
//! shut down) counts as failed, since what the sync did is not known.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::{Failed, GroupCommit, Progress, Round};

/// A [`GroupCommit`] that tasks wait on. Clones share it.
#[derive(Clone, Default)]
pub struct Committer {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    group: GroupCommit,
    ended: Notify,
}

impl Committer {
    /// No request yet, no failure.
    pub fn new() -> Committer {
        Committer::default()
    }

    /// Waits until everything that was done before this future was first polled is durable.
    /// `sync` is called at most once, and not before it is this caller's turn to lead: it
    /// makes durable what there is when it is called. At most one runs at a time.
    ///
    /// Dropping the future is safe at any point: a sync that it started goes on.
    ///
    /// # Errors
    /// [`Failed`] if any sync failed, now or earlier; the source is that sync's error.
    pub async fn commit<F, S, E>(&self, sync: F) -> Result<(), Failed>
    where
        F: FnOnce() -> S + Send + 'static,
        S: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let ticket = self.shared.group.ticket();
        let mut sync = Some(sync);
        loop {
            // Registered before the look at the state, so that no end falls in between.
            let mut ended = pin!(self.shared.ended.notified());
            ended.as_mut().enable();
            match self.shared.group.poll(ticket) {
                Progress::Durable => return Ok(()),
                Progress::Failed(failed) => return Err(failed),
                Progress::Waiting => {}
            }
            if let Some(round) = self.shared.group.begin() {
                let sync = sync
                    .take()
                    .expect("the round that a caller leads covers its own ticket");
                self.lead(round, sync);
            }
            ended.await;
        }
    }

    /// Fails all that is not durable yet, for ever, and wakes who waits.
    pub fn poison(&self, failed: Failed) {
        self.shared.group.poison(failed);
        self.shared.ended.notify_waiters();
    }

    /// The first failure, if there was one.
    pub fn failure(&self) -> Option<Failed> {
        self.shared.group.failure()
    }

    fn lead<F, S, E>(&self, round: Round, sync: F)
    where
        F: FnOnce() -> S + Send + 'static,
        S: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let running = Running {
            shared: Arc::clone(&self.shared),
            round: Some(round),
        };
        tokio::spawn(async move {
            let result = sync().await;
            running.finish(result.map_err(|error| Failed::new(error)));
        });
    }
}

impl fmt::Debug for Committer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Committer")
            .field(&self.shared.group)
            .finish()
    }
}

/// A round under way; dropped unfinished, it has failed.
struct Running {
    shared: Arc<Shared>,
    round: Option<Round>,
}

impl Running {
    fn finish(mut self, result: Result<(), Failed>) {
        self.end(result);
    }

    fn end(&mut self, result: Result<(), Failed>) {
        if let Some(round) = self.round.take() {
            self.shared.group.finish(round, result);
            self.shared.ended.notify_waiters();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(Err(Failed::new(
            "a sync was broken off, its result is not known",
        )));
    }
}

#[cfg(test)]
mod tests;
