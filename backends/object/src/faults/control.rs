//! The handle on a fault injector's state, and the drawing of faults.
//!
//! Owns: plan, scripts, outage, counts and the random stream. Does not own: requests.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tokio::sync::watch;
use tokio::time::Instant;

use super::lag::Lag;
use super::plan::{Fault, FaultPlan, Outage, Script};
use crate::error::ErrorKind;
use crate::operation::{Operation, Operations};

/// Changes what goes wrong while requests run. Clones steer the same store.
#[derive(Debug, Clone)]
pub struct FaultControl {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) outage: watch::Sender<Option<Outage>>,
}

#[derive(Debug)]
pub(super) struct State {
    plan: FaultPlan,
    scripts: Vec<Script>,
    random: ChaCha8Rng,
    pub(super) lag: Lag,
    /// When the last body has passed, where a rate is set.
    link_free_at: Option<Instant>,
    counts: FaultCounts,
}

/// What came and what was done to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Requests by [`Operation::index`], those that met a fault or an outage included.
    pub requests: [u64; Operation::COUNT],
    /// Requests that met a fault.
    pub faults: u64,
    /// Requests that met an outage.
    pub outages: u64,
}

impl FaultCounts {
    /// All requests.
    pub fn total(&self) -> u64 {
        self.requests.iter().sum()
    }

    /// The requests of one operation.
    pub fn of(&self, operation: Operation) -> u64 {
        self.requests[operation.index()]
    }
}

/// What one request will meet, drawn when it comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    pub(super) fault: Option<Fault>,
    pub(super) delay: Duration,
    /// Chooses the byte, bit or half of a spoiled body.
    pub(super) spoil: u64,
    pub(super) read_lag: Duration,
    pub(super) list_lag: Duration,
}

impl FaultControl {
    pub(super) fn new(seed: u64) -> Self {
        FaultControl {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    plan: FaultPlan::default(),
                    scripts: Vec::new(),
                    random: ChaCha8Rng::seed_from_u64(seed),
                    lag: Lag::default(),
                    link_free_at: None,
                    counts: FaultCounts::default(),
                }),
                outage: watch::Sender::new(None),
            }),
        }
    }

    /// Sets the plan for requests that come from now on.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.shared.state.lock().plan = plan;
    }

    /// Changes the plan for requests that come from now on.
    pub fn change_plan(&self, change: impl FnOnce(&mut FaultPlan)) {
        change(&mut self.shared.state.lock().plan);
    }

    /// Adds a fault for certain requests to come. Of several that match one request the
    /// oldest counts it and applies.
    pub fn add_script(&self, script: Script) {
        self.shared.state.lock().scripts.push(script);
    }

    /// Starts, changes or (`None`) ends an outage. Requests that hang in it fail when it
    /// changes; an answer that was under way when it started is lost.
    pub fn set_outage(&self, outage: Option<Outage>) {
        self.shared.outage.send_replace(outage);
    }

    /// No plan, no scripts, no outage. Lags that were drawn run on.
    pub fn heal(&self) {
        let mut state = self.shared.state.lock();
        state.plan = FaultPlan::default();
        state.scripts.clear();
        state.link_free_at = None;
        drop(state);
        self.set_outage(None);
    }

    /// What came so far.
    pub fn counts(&self) -> FaultCounts {
        self.shared.state.lock().counts
    }
}

impl State {
    pub(super) fn count_outage(&mut self) {
        self.counts.outages += 1;
    }

    /// Draws what a request meets. The number of values taken from the random stream is
    /// the same for every request, so that a change of plan does not shift what others get.
    pub(super) fn draw(&mut self, operation: Operation, key: &str) -> Draw {
        self.counts.requests[operation.index()] += 1;
        let dice = self.fraction();
        let hang_dice = self.fraction();
        let duplicate_dice = self.fraction();
        let delay_dice = self.fraction();
        let read_lag_dice = self.fraction();
        let list_lag_dice = self.fraction();
        let spoil = self.random.next_u64();
        let fault = match self.scripted(operation, key) {
            Some(fault) => Some(fault),
            None => self.planned(operation, key, dice, hang_dice, duplicate_dice),
        };
        self.counts.faults += u64::from(fault.is_some());
        let plan = &self.plan;
        let spread = plan.delay_max.saturating_sub(plan.delay_min);
        Draw {
            fault,
            delay: plan.delay_min + spread.mul_f64(delay_dice),
            spoil,
            read_lag: plan.read_lag_max.mul_f64(read_lag_dice),
            list_lag: plan.list_lag_max.mul_f64(list_lag_dice),
        }
    }

    /// How long `bytes` take to pass, after all that is passing already.
    pub(super) fn transfer(&mut self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.plan.bytes_per_second else {
            return Duration::ZERO;
        };
        let micros = u128::from(bytes) * 1_000_000 / u128::from(rate.max(1));
        let length = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        let end = self.link_free_at.map_or(now, |free_at| free_at.max(now)) + length;
        self.link_free_at = Some(end);
        end - now
    }

    /// Evenly from 0.0 to below 1.0.
    fn fraction(&mut self) -> f64 {
        f64::from(self.random.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }

    fn scripted(&mut self, operation: Operation, key: &str) -> Option<Fault> {
        let index = self
            .scripts
            .iter()
            .position(|script| script.matches(operation, key))?;
        let script = &mut self.scripts[index];
        if script.skip > 0 {
            script.skip -= 1;
            return None;
        }
        let fault = script.fault;
        script.count = script.count.saturating_sub(1);
        if script.count == 0 {
            self.scripts.remove(index);
        }
        Some(fault)
    }

    fn planned(
        &self,
        operation: Operation,
        key: &str,
        mut dice: f64,
        hang_dice: f64,
        duplicate_dice: f64,
    ) -> Option<Fault> {
        let plan = &self.plan;
        if !plan.operations.contains(operation) || !key.starts_with(&plan.key_prefix) {
            return None;
        }
        let reads = Operations::READS.contains(operation);
        let bodies = matches!(
            operation,
            Operation::Get | Operation::GetRange | Operation::GetTail
        );
        let puts = operation == Operation::Put;
        let hang = Fault::Hang {
            wait: plan.hang_wait,
            applies: !reads && hang_dice < plan.hang_applies,
        };
        let duplicate = Fault::DuplicatePut {
            after: plan.duplicate_after_max.mul_f64(duplicate_dice),
        };
        let menu = [
            (
                true,
                plan.error_before,
                Fault::ErrorBefore(ErrorKind::Unavailable),
            ),
            (
                true,
                plan.error_after,
                Fault::ErrorAfter(ErrorKind::Unavailable),
            ),
            (
                true,
                plan.throttled,
                Fault::ErrorBefore(ErrorKind::Throttled),
            ),
            (reads, plan.damaged, Fault::ErrorBefore(ErrorKind::Damaged)),
            (true, plan.hang, hang),
            (bodies, plan.short_body, Fault::ShortBody),
            (bodies, plan.flip_bit, Fault::FlipBit),
            (puts, plan.duplicate_put, duplicate),
        ];
        for (applies, chance, fault) in menu {
            if !applies {
                continue;
            }
            if dice < chance {
                return Some(fault);
            }
            dice -= chance;
        }
        None
    }
}
