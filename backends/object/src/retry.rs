//! Asking again, where that may help and not so often that it hurts.
//!
//! Owns: the loop around a request that failed for a transient reason, within attempts,
//! deadline and budget. The budget lets retries be about a tenth of the requests in the
//! long run: when a store is down, callers learn it instead of multiplying its load.
//! Does not own: a limit of time for one request ([`timeout`](crate::timeout), inside this).

mod pace;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use crate::ObjectStore;
use crate::around::{Answer, Call, no_result, object_store_around};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::operation::Operation;
use pace::Pace;

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryOptions {
    /// Requests for one operation at most, the first included.
    pub attempts_max: u32,
    /// The first retry waits up to this, each further one up to twice as long as before.
    pub wait_first: Duration,
    /// No wait is longer.
    pub wait_max: Duration,
    /// When the store asks for fewer requests, all requests pause for half of this to all
    /// of it; twice as long each time that it asks again.
    pub throttled_wait_first: Duration,
    /// An operation ends within this time, waits included; a request that is under way
    /// then is dropped.
    pub deadline: Duration,
    /// Each operation pays for so many hundredths of a retry.
    pub budget_percent: u32,
    /// So many retries may be saved up.
    pub budget_burst: u32,
}

impl Default for RetryOptions {
    fn default() -> Self {
        RetryOptions {
            attempts_max: 10,
            wait_first: Duration::from_millis(50),
            wait_max: Duration::from_secs(10),
            throttled_wait_first: Duration::from_millis(500),
            deadline: Duration::from_secs(120),
            budget_percent: 10,
            budget_burst: 50,
        }
    }
}

/// What retrying came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryStatus {
    /// Requests that were repeats.
    pub retries: u64,
    /// Operations given up although their failure was transient.
    pub given_up: u64,
}

/// The decorator.
#[derive(Debug)]
pub struct RetryStore {
    inner: Arc<dyn ObjectStore>,
    deadline: Duration,
    pace: Mutex<Pace>,
}

impl RetryStore {
    /// Wraps `inner`. The waits come from `seed`: hosts should not share it.
    pub fn new(inner: Arc<dyn ObjectStore>, options: RetryOptions, seed: u64) -> Self {
        RetryStore {
            inner,
            deadline: options.deadline,
            pace: Mutex::new(Pace::new(options, seed)),
        }
    }

    /// What retrying came to so far.
    pub fn status(&self) -> RetryStatus {
        let pace = self.pace.lock();
        RetryStatus {
            retries: pace.retries,
            given_up: pace.given_up,
        }
    }

    async fn around<'a, T: Answer>(
        &self,
        call: Call<'_>,
        run: impl Fn() -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        let mut turn = self.begin();
        loop {
            let result = match self.within(&mut turn, &run).await {
                Some(result) => result,
                None => return Err(turn.out_of_time(&call, self.deadline)),
            };
            match result {
                Ok(answer) => {
                    self.pace.lock().succeeded(Instant::now());
                    return Ok(answer);
                }
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => {
                    if !self.wait_for_retry(&turn, error.kind()).await {
                        return Err(turn.given_up(&call, error));
                    }
                }
            }
        }
    }

    /// Only the names that failed are asked for again.
    async fn delete_many_around(&self, keys: &[Key]) -> Vec<Result<()>> {
        let mut results: Vec<Result<()>> = keys.iter().map(|_| Err(no_result())).collect();
        let mut open: Vec<usize> = (0..keys.len()).collect();
        let call = Call::of_keys(keys);
        let mut turn = self.begin();
        while !open.is_empty() {
            let asked: Vec<Key> = open.iter().map(|&i| keys[i].clone()).collect();
            let Some(answers) = self
                .within(&mut turn, &|| self.inner.delete_many(&asked))
                .await
            else {
                for &i in &open {
                    results[i] = Err(turn.out_of_time(&call, self.deadline));
                }
                break;
            };
            for (&i, answer) in open.iter().zip(answers) {
                results[i] = answer;
            }
            let transient = |i: &usize| results[*i].as_ref().is_err_and(Error::is_transient);
            open.retain(transient);
            let throttled = open.iter().any(|&i| {
                results[i]
                    .as_ref()
                    .is_err_and(|e| e.kind() == ErrorKind::Throttled)
            });
            let kind = if throttled {
                ErrorKind::Throttled
            } else {
                ErrorKind::Unavailable
            };
            if open.is_empty() {
                self.pace.lock().succeeded(Instant::now());
            } else if !self.wait_for_retry(&turn, kind).await {
                break;
            }
        }
        results
    }

    fn begin(&self) -> Turn {
        self.pace.lock().begin();
        let now = Instant::now();
        // Without a sensible end, a day: far beyond what anybody waits for.
        let day = Duration::from_secs(86_400);
        Turn {
            attempts: 0,
            deadline: now + self.deadline.min(day),
        }
    }

    /// One request, after the common pause; `None` if the deadline came first.
    async fn within<'a, T>(
        &self,
        turn: &mut Turn,
        run: &(impl Fn() -> BoxFuture<'a, T> + Send + Sync),
    ) -> Option<T> {
        loop {
            let now = Instant::now();
            let Some(hold) = self.pace.lock().hold(now) else {
                break;
            };
            if now + hold >= turn.deadline {
                return None;
            }
            sleep(hold).await;
        }
        turn.attempts += 1;
        timeout_at(turn.deadline, run()).await.ok()
    }

    /// `false`: there is no retry.
    async fn wait_for_retry(&self, turn: &Turn, kind: ErrorKind) -> bool {
        let throttled = kind == ErrorKind::Throttled;
        let wait =
            self.pace
                .lock()
                .retry_in(turn.attempts, throttled, Instant::now(), turn.deadline);
        match wait {
            Some(wait) => {
                sleep(wait).await;
                true
            }
            None => false,
        }
    }
}

/// One operation's requests.
#[derive(Debug)]
struct Turn {
    attempts: u32,
    deadline: Instant,
}

impl Turn {
    fn given_up(&self, call: &Call<'_>, error: Error) -> Error {
        let (operation, attempts) = (call.operation.name(), self.attempts);
        let context = format!(
            "{operation} {}: given up after {attempts} requests",
            call.name
        );
        Error::new(error.kind(), context).with_source(error)
    }

    fn out_of_time(&self, call: &Call<'_>, deadline: Duration) -> Error {
        let (operation, attempts) = (call.operation.name(), self.attempts);
        let context = format!(
            "{operation} {}: no success within {deadline:?} in {attempts} requests",
            call.name
        );
        Error::new(ErrorKind::Unavailable, context)
    }
}

object_store_around!(RetryStore);

#[cfg(test)]
mod tests;
