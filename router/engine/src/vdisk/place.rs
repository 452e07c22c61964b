//! A place in memory for a disk's next segment.
//!
//! Owns: [`Place`], the disk's turn in the pool's queue. Does not own: how many places there are
//! (`pool`), when a segment is due (`ship`).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

type Turn = Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>;

/// As many segments are in memory as it bears, over all disks of a pool. Disks take turns, so
/// that one that writes much keeps no other from shipping.
pub(super) struct Place {
    slots: Arc<Semaphore>,
    turn: Option<Turn>,
    granted: Option<OwnedSemaphorePermit>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("waits", &self.turn.is_some())
            .field("granted", &self.granted.is_some())
            .finish_non_exhaustive()
    }
}

impl Place {
    pub(super) fn new(slots: &Arc<Semaphore>) -> Place {
        Place {
            slots: slots.clone(),
            turn: None,
            granted: None,
        }
    }

    /// The place, if it is this disk's turn; else the disk is in the queue from here on.
    pub(super) fn take(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Some(granted) = self.granted.take() {
            return Some(granted);
        }
        if self.turn.is_none() {
            // Gets none while others wait: the semaphore hands what is given back to them.
            if let Ok(free) = self.slots.clone().try_acquire_owned() {
                return Some(free);
            }
            let slots = self.slots.clone();
            self.turn = Some(Box::pin(async move {
                slots.acquire_owned().await.expect("never closed")
            }));
        }
        None
    }

    /// Leaves the queue: there is nothing to cut.
    pub(super) fn give_up(&mut self) {
        self.turn = None;
        self.granted = None;
    }

    /// Returns when it is this disk's turn; never while it is not in the queue.
    pub(super) async fn granted(&mut self) {
        match &mut self.turn {
            Some(turn) => {
                self.granted = Some(turn.await);
                self.turn = None;
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_always_wants_more_lets_others_have_their_turn() {
        let slots = Arc::new(Semaphore::new(2));
        let (mut greedy, mut modest) = (Place::new(&slots), Place::new(&slots));
        let first = greedy.take().expect("free");
        let second = greedy.take().expect("free");
        assert!(modest.take().is_none());
        assert!(greedy.take().is_none());
        // In the queue from the first wait on.
        tokio::select! {
            biased;
            () = modest.granted() => panic!("none is free"),
            () = greedy.granted() => panic!("none is free"),
            () = std::future::ready(()) => {}
        }
        drop(first);
        modest.granted().await;
        assert!(greedy.take().is_none());
        let theirs = modest.take().expect("granted");
        drop(second);
        greedy.granted().await;
        greedy.give_up();
        drop(theirs);
        assert_eq!(slots.available_permits(), 2);
    }
}
