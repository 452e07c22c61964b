//! The memory for data on its way, shared by all connections of a server.
//!
//! Owns: [`Budget`], [`Permit`], who gets what. Does not own: what is bought with it.
//!
//! Three kinds of demand, so that no client takes all that others could need:
//!
//! - *Useful* memory (a larger buffer saves system calls) is given while half of all is
//!   free. It is never waited for, so that connections that keep useful memory while
//!   they wait for other memory cannot stop each other.
//! - A *small* request gets memory while its connection, with it, holds no more than is
//!   free: a connection takes at most half of what it finds.
//! - A *large* request leaves an eighth of all to small ones. The first of a connection
//!   needs no more than that, since otherwise it might never be let in.
//!
//! What many clients together hold for ever can still be all of it: that is ended by
//! cutting off who does not go on while memory is short (`session.rs`). Requests that fit
//! the idle buffers never come here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Semaphore, oneshot};

use crate::limits::{ACTIVE_BUFFER_BYTES, Limits};

#[derive(Debug)]
struct Pool {
    total_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used_bytes: usize,
    /// At most two for each connection: what it receives, and its oldest job.
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    account: Arc<Account>,
    bytes: usize,
    granted: oneshot::Sender<Permit>,
}

/// What one connection holds.
#[derive(Debug)]
struct Account {
    /// Changed under the pool's lock only.
    used_bytes: AtomicUsize,
    bytes_max: usize,
    /// Lets one job at a time wait for the pool, so that its line stays short.
    turn: Semaphore,
}

impl Account {
    fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Account {
            used_bytes: AtomicUsize::new(0),
            bytes_max: limits.connection_bytes_max,
            turn: Semaphore::new(1),
        })
    }
}

/// One connection's access to the shared budget.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pool: Arc<Pool>,
    account: Arc<Account>,
}

/// A piece of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    pool: Arc<Pool>,
    account: Arc<Account>,
    bytes: usize,
}

impl Budget {
    /// The budget of a server.
    pub(crate) fn new(limits: &Limits) -> Self {
        let total_bytes = limits.in_flight_bytes_max;
        let pool = Arc::new(Pool {
            total_bytes,
            state: Mutex::default(),
        });
        Budget {
            pool,
            account: Account::new(limits),
        }
    }

    /// The same shared budget for one more connection.
    pub(crate) fn for_connection(&self, limits: &Limits) -> Self {
        Budget {
            pool: self.pool.clone(),
            account: Account::new(limits),
        }
    }

    /// Bytes in use by all connections.
    pub(crate) fn used_bytes(&self) -> usize {
        self.pool.lock().used_bytes
    }

    /// Whether less than half is free, so that what is merely useful should be given back.
    pub(crate) fn is_tight(&self) -> bool {
        self.used_bytes() > self.pool.total_bytes / 2
    }

    /// Useful memory, if plenty is free.
    pub(crate) fn try_useful(&self, bytes: usize) -> Option<Permit> {
        let mut state = self.pool.lock();
        match state.used_bytes + bytes <= self.pool.total_bytes / 2 {
            true => Some(self.take(&mut state, bytes)),
            false => None,
        }
    }

    /// Memory for a request, if there is any now and nobody waits for it.
    pub(crate) fn try_request(&self, bytes: usize) -> Option<Permit> {
        let mut state = self.pool.lock();
        match state.waiting.is_empty() && self.pool.admits(&state, &self.account, bytes) {
            true => Some(self.take(&mut state, bytes)),
            false => None,
        }
    }

    /// Memory for a job of this connection, of which one waits at a time.
    pub(crate) async fn request(self, bytes: usize) -> Permit {
        let turn = self.account.turn.acquire().await;
        let permit = self.clone().receive(bytes).await;
        drop(turn.expect("the semaphore is never closed"));
        permit
    }

    /// Memory to receive a request.
    pub(crate) async fn receive(self, bytes: usize) -> Permit {
        let granted = {
            let mut state = self.pool.lock();
            if self.pool.admits(&state, &self.account, bytes) {
                return self.take(&mut state, bytes);
            }
            let (granted, grant) = oneshot::channel();
            let account = self.account.clone();
            state.waiting.push_back(Waiter {
                account,
                bytes,
                granted,
            });
            grant
        };
        granted
            .await
            .expect("the pool outlives who waits for it and drops no waiter")
    }

    fn take(&self, state: &mut State, bytes: usize) -> Permit {
        self.pool.clone().take(state, self.account.clone(), bytes)
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic holds it")
    }

    fn admits(&self, state: &State, account: &Account, bytes: usize) -> bool {
        let free = self.total_bytes - state.used_bytes;
        let own = account.used_bytes.load(Ordering::Relaxed);
        let small = bytes <= ACTIVE_BUFFER_BYTES;
        let fits = match small {
            true => bytes <= free,
            false => bytes + self.total_bytes / 8 <= free,
        };
        let fair = own + bytes <= free || (own == 0 && !small);
        // A grown receiving buffer is on the account too, beside what jobs hold.
        let bounded = own <= ACTIVE_BUFFER_BYTES || own + bytes <= account.bytes_max;
        fits && fair && bounded
    }

    fn take(self: Arc<Self>, state: &mut State, account: Arc<Account>, bytes: usize) -> Permit {
        state.used_bytes += bytes;
        account.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        Permit {
            pool: self,
            account,
            bytes,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut granted = Vec::new();
        let mut state = self.pool.lock();
        state.used_bytes -= self.bytes;
        self.account
            .used_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
        let mut index = 0;
        while let Some(waiter) = state.waiting.get(index) {
            if waiter.granted.is_closed() {
                state.waiting.remove(index);
            } else if self.pool.admits(&state, &waiter.account, waiter.bytes) {
                let waiter = state.waiting.remove(index).expect("just looked at");
                let pool = self.pool.clone();
                let permit = pool.take(&mut state, waiter.account, waiter.bytes);
                granted.push((waiter.granted, permit));
            } else {
                index += 1;
            }
        }
        drop(state);
        for (waiter, permit) in granted {
            // One that has gone in the meantime gives it back, now that the lock is free.
            drop(waiter.send(permit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Permit};
    use crate::limits::Limits;

    const MIB: usize = 1 << 20;

    fn limits() -> Limits {
        let (in_flight_bytes_max, connection_bytes_max) = (128 * MIB, 48 * MIB);
        Limits {
            in_flight_bytes_max,
            connection_bytes_max,
            ..Limits::default()
        }
    }

    /// Takes `bytes` as often as it is let.
    fn all(budget: &Budget, bytes: usize) -> Vec<Permit> {
        std::iter::from_fn(|| budget.try_request(bytes)).collect()
    }

    #[test]
    fn useful_memory_leaves_half() {
        let budget = Budget::new(&limits());
        let useful = budget.try_useful(64 * MIB).expect("all is free");
        assert!(!budget.is_tight());
        assert!(budget.try_useful(1).is_none());
        let other = budget.for_connection(&limits());
        let needed = other.try_request(32 * MIB + 28).expect("half is left");
        assert!(budget.is_tight());
        drop((useful, needed));
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn greedy_connections_leave_room_for_the_next() {
        let budget = Budget::new(&limits());
        let mut held = Vec::new();
        for _greedy in 0..8 {
            let found = 128 * MIB - budget.used_bytes();
            let connection = budget.for_connection(&limits());
            held.push(all(&connection, 64 << 10));
            let left = 128 * MIB - budget.used_bytes();
            assert!(left >= found / 2 - (64 << 10), "{left} of {found}");
        }
        let modest = budget.for_connection(&limits());
        assert!(modest.try_request(64 << 10).is_some());
    }

    #[test]
    fn large_requests_leave_room_for_small_ones() {
        let budget = Budget::new(&limits());
        let connections: Vec<_> = (0..20).map(|_| budget.for_connection(&limits())).collect();
        let held: Vec<_> = connections
            .iter()
            .map(|own| own.try_request(8 * MIB))
            .collect();
        assert_eq!(held.iter().flatten().count(), 14);
        let modest = budget.for_connection(&limits());
        assert!(modest.try_request(256 << 10).is_some());
        assert!(modest.try_request(8 * MIB).is_none());
    }

    #[test]
    fn a_connection_has_a_bound_of_its_own() {
        let budget = Budget::new(&limits());
        let held = all(&budget, MIB);
        assert_eq!(held.len(), 48);
    }

    #[tokio::test]
    async fn who_waits_is_served_when_it_fits_and_who_left_is_forgotten() {
        let budget = Budget::new(&limits());
        let connections: Vec<_> = (0..5).map(|_| budget.for_connection(&limits())).collect();
        let held: Vec<_> = connections[..3]
            .iter()
            .map(|own| own.try_request(32 * MIB))
            .collect();
        let wait = |index: usize, bytes| {
            let connection: &Budget = &connections[index];
            tokio::spawn(connection.clone().request(bytes))
        };
        let (left, large) = (wait(3, 32 * MIB), wait(4, 32 * MIB));
        let second = wait(4, 1);
        tokio::task::yield_now().await;
        left.abort();
        assert!(left.await.is_err());
        assert!(!large.is_finished());
        drop(held);
        let large = large.await.expect("served");
        let second = second.await.expect("served behind it");
        assert_eq!(budget.used_bytes(), 32 * MIB + 1);
        drop((large, second));
        assert_eq!(budget.used_bytes(), 0);
    }
}
