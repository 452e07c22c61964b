//! How long a retry waits, and whether there is one.
//!
//! Owns: backoff with full jitter, the retry budget, the common pause after "slow down".
//! Synchronous; the time comes from the caller, the randomness from a seed.
//! Does not own: waiting and asking again.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tokio::time::Instant;

use super::RetryOptions;

/// What a whole token is, so that a percentage of one is a whole number.
const TOKEN: u64 = 100;

#[derive(Debug)]
pub(super) struct Pace {
    options: RetryOptions,
    random: ChaCha8Rng,
    /// In hundredths of a retry.
    budget: u64,
    pause_until: Option<Instant>,
    /// Pauses in a row, without a success between.
    pauses: u32,
    pub(super) retries: u64,
    pub(super) given_up: u64,
}

impl Pace {
    pub(super) fn new(options: RetryOptions, seed: u64) -> Self {
        Pace {
            budget: u64::from(options.budget_burst) * TOKEN,
            options,
            random: ChaCha8Rng::seed_from_u64(seed),
            pause_until: None,
            pauses: 0,
            retries: 0,
            given_up: 0,
        }
    }

    /// A caller asks for something new: that pays for a fraction of a retry.
    pub(super) fn begin(&mut self) {
        let max = u64::from(self.options.budget_burst) * TOKEN;
        self.budget = (self.budget + u64::from(self.options.budget_percent)).min(max);
    }

    /// How long any request must wait because the store asked for fewer.
    pub(super) fn hold(&mut self, now: Instant) -> Option<Duration> {
        let until = self.pause_until.filter(|until| *until > now)?;
        // Not all at once when it is over.
        Some(until - now + self.jitter(self.options.wait_first))
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        if self.pause_until.is_none_or(|until| until <= now) {
            self.pauses = 0;
        }
    }

    /// After `attempts` requests of which the last failed: how long to wait before the
    /// next, or `None` to give up.
    pub(super) fn retry_in(
        &mut self,
        attempts: u32,
        throttled: bool,
        now: Instant,
        deadline: Instant,
    ) -> Option<Duration> {
        if throttled {
            self.pause(now);
        }
        let exponent = attempts.saturating_sub(1).min(31);
        let ceiling = self.options.wait_first.saturating_mul(1 << exponent);
        let mut wait = self.jitter(ceiling.min(self.options.wait_max));
        if let Some(hold) = self.hold(now) {
            wait = wait.max(hold);
        }
        let in_time = now.checked_add(wait).is_some_and(|then| then < deadline);
        if attempts >= self.options.attempts_max || !in_time || self.budget < TOKEN {
            self.given_up += 1;
            return None;
        }
        self.budget -= TOKEN;
        self.retries += 1;
        Some(wait)
    }

    /// All requests to this store wait; longer each time it happens again. Answers to
    /// requests that were sent together count once.
    fn pause(&mut self, now: Instant) {
        if self.pause_until.is_some_and(|until| until > now) {
            return;
        }
        let exponent = self.pauses.min(31);
        let ceiling = self
            .options
            .throttled_wait_first
            .saturating_mul(1 << exponent);
        let length = ceiling.min(self.options.wait_max);
        self.pauses = self.pauses.saturating_add(1);
        self.pause_until = now.checked_add(length / 2 + self.jitter(length / 2));
    }

    /// Evenly from nothing to below `ceiling`.
    fn jitter(&mut self, ceiling: Duration) -> Duration {
        ceiling.mul_f64(f64::from(self.random.next_u32()) / (f64::from(u32::MAX) + 1.0))
    }
}
