//! A circuit breaker: a store that is down costs a few requests, not one for each caller.
//!
//! ```text
//!          failures in a row                  the wait is over
//! Closed ────────────────────▶ Open(wait) ─────────────────────▶ Half-open
//!    ▲                            ▲                                  │ │
//!    │                            └── the trial fails; wait doubles ─┘ │
//!    └──────────────────────────── the trials succeed ─────────────────┘
//! ```
//!
//! Owns: that decision, kept pure in `Circuit`. Does not own: waiting until the store is
//! back; a refused caller is told when the next trial is due. Nothing is sent unasked, so
//! an idle store stays idle.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::ObjectStore;
use crate::around::{Answer, Call, delete_many_as_one, object_store_around};
use crate::error::{Error, ErrorKind, Result};
use crate::operation::Operation;

/// When the circuit opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// So many failures in a row open it, at least 1.
    pub failures_to_open: u32,
    /// The first wait before a trial.
    pub wait_first: Duration,
    /// The longest wait before a trial.
    pub wait_max: Duration,
    /// So many trials in a row must succeed before it closes, at least 1.
    pub successes_to_close: u32,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        BreakerOptions {
            failures_to_open: 8,
            wait_first: Duration::from_secs(1),
            wait_max: Duration::from_secs(15),
            successes_to_close: 1,
        }
    }
}

/// What the circuit lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing until the wait is over.
    Open,
    /// One request at a time.
    HalfOpen,
}

/// What callers may see of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerStatus {
    /// What it lets through.
    pub state: BreakerState,
    /// How often it opened from closed.
    pub opened: u64,
    /// Requests that it refused.
    pub refused: u64,
    /// While open: how long until a trial is let through.
    pub next_trial_in: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        wait: Duration,
    },
    HalfOpen {
        busy: bool,
        successes: u32,
        wait: Duration,
    },
}

/// The deciding part: no clock, no waiting.
#[derive(Debug)]
struct Circuit {
    options: BreakerOptions,
    phase: Phase,
    /// Grows with each change of phase: an answer to a request of an older phase says
    /// nothing about the present one.
    generation: u64,
    opened: u64,
    refused: u64,
}

/// A request that was let through, in this generation.
#[derive(Debug, Clone, Copy)]
struct Pass(u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Healthy,
    Failed,
    /// Dropped before its answer came.
    Unknown,
}

impl Circuit {
    fn enter(&mut self, now: Instant) -> std::result::Result<Pass, Duration> {
        if let Phase::Open { until, wait } = self.phase {
            if now < until {
                self.refused += 1;
                return Err(until - now);
            }
            self.change(Phase::HalfOpen {
                busy: false,
                successes: 0,
                wait,
            });
        }
        if let Phase::HalfOpen { busy, wait, .. } = &mut self.phase {
            if *busy {
                self.refused += 1;
                return Err(*wait);
            }
            *busy = true;
        }
        Ok(Pass(self.generation))
    }

    fn leave(&mut self, pass: Pass, verdict: Verdict, now: Instant) {
        if pass.0 != self.generation {
            return;
        }
        match (self.phase, verdict) {
            (Phase::Closed { .. }, Verdict::Healthy) => self.phase = Phase::Closed { failures: 0 },
            (Phase::Closed { failures }, Verdict::Failed) => {
                let failures = failures + 1;
                self.phase = Phase::Closed { failures };
                if failures >= self.options.failures_to_open {
                    self.opened += 1;
                    let wait = self.options.wait_first;
                    self.change(Phase::Open {
                        until: now + wait,
                        wait,
                    });
                }
            }
            (
                Phase::HalfOpen {
                    successes, wait, ..
                },
                Verdict::Healthy,
            ) => {
                let successes = successes + 1;
                if successes >= self.options.successes_to_close {
                    self.change(Phase::Closed { failures: 0 });
                } else {
                    self.phase = Phase::HalfOpen {
                        busy: false,
                        successes,
                        wait,
                    };
                }
            }
            (Phase::HalfOpen { wait, .. }, Verdict::Failed) => {
                let wait = wait.saturating_mul(2).min(self.options.wait_max);
                self.change(Phase::Open {
                    until: now + wait,
                    wait,
                });
            }
            (
                Phase::HalfOpen {
                    successes, wait, ..
                },
                Verdict::Unknown,
            ) => {
                self.phase = Phase::HalfOpen {
                    busy: false,
                    successes,
                    wait,
                };
            }
            (Phase::Closed { .. }, Verdict::Unknown) | (Phase::Open { .. }, _) => {}
        }
    }

    fn change(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
    }
}

/// The decorator. Only [`ErrorKind::Unavailable`] is a failure of the store: whoever says
/// "not found" or "slower, please" is alive.
#[derive(Debug)]
pub struct BreakerStore {
    inner: Arc<dyn ObjectStore>,
    circuit: Mutex<Circuit>,
}

/// A request under way: reports that nothing is known if it is dropped.
struct Trial<'a> {
    circuit: &'a Mutex<Circuit>,
    pass: Pass,
    verdict: Verdict,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.circuit
            .lock()
            .leave(self.pass, self.verdict, Instant::now());
    }
}

impl BreakerStore {
    /// Wraps `inner`; closed at first.
    pub fn new(inner: Arc<dyn ObjectStore>, options: BreakerOptions) -> Self {
        let options = BreakerOptions {
            failures_to_open: options.failures_to_open.max(1),
            successes_to_close: options.successes_to_close.max(1),
            wait_max: options.wait_max.max(options.wait_first),
            ..options
        };
        let circuit = Mutex::new(Circuit {
            options,
            phase: Phase::Closed { failures: 0 },
            generation: 0,
            opened: 0,
            refused: 0,
        });
        BreakerStore { inner, circuit }
    }

    /// What it does now.
    pub fn status(&self) -> BreakerStatus {
        let circuit = self.circuit.lock();
        let (state, next_trial_in) = match circuit.phase {
            Phase::Closed { .. } => (BreakerState::Closed, None),
            Phase::HalfOpen { .. } => (BreakerState::HalfOpen, None),
            Phase::Open { until, .. } => (
                BreakerState::Open,
                Some(until.saturating_duration_since(Instant::now())),
            ),
        };
        BreakerStatus {
            state,
            opened: circuit.opened,
            refused: circuit.refused,
            next_trial_in,
        }
    }

    async fn around<'a, T: Answer>(
        &self,
        call: Call<'_>,
        run: impl Fn() -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        let entered = self.circuit.lock().enter(Instant::now());
        let pass = entered.map_err(|wait| {
            let Call {
                operation, name, ..
            } = call;
            let operation = operation.name();
            Error::new(
                ErrorKind::Unavailable,
                format!("{operation} {name}: the store is down, next trial within {wait:?}"),
            )
        })?;
        let mut trial = Trial {
            circuit: &self.circuit,
            pass,
            verdict: Verdict::Unknown,
        };
        let result = run().await;
        trial.verdict = match &result {
            Err(error) if error.kind() == ErrorKind::Unavailable => Verdict::Failed,
            _ => Verdict::Healthy,
        };
        result
    }

    delete_many_as_one!();
}

object_store_around!(BreakerStore);

#[cfg(test)]
mod tests;
