//! Time as the runtime has it (paused, in a simulation), and clocks that jump when told to.

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Clock;

/// 2026-01-01 00:00 UTC, where every simulated world begins.
const WALL_START_MS: i64 = 1_767_225_600_000;
/// A machine is never seen in its first minute of uptime.
const BOOT_START_NS: u64 = 60_000_000_000;

/// Clocks driven by the runtime's time. Time begins at the first question, which must be
/// asked on the runtime.
#[derive(Debug, Default)]
pub struct SimClock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    start: Option<Instant>,
    /// What had passed when time was last parked.
    before_ns: u64,
    /// What wall time is off by.
    wall_offset_ms: i64,
    /// Nanoseconds that boot time is ahead of the runtime's (the machine slept).
    boot_ahead_ns: u64,
    /// What boot time stands at, if it does.
    frozen_ns: Option<u64>,
    /// Power cuts so far.
    boots: u128,
}

impl SimClock {
    /// Clocks at the beginning of time.
    pub fn new() -> SimClock {
        SimClock::default()
    }

    /// Stops time until the next question. Asked at the end of a runtime, so that what passes
    /// outside until the next one begins is not seen.
    pub fn park(&self) {
        let mut state = self.state.lock();
        state.before_ns = state.elapsed_ns();
        state.start = None;
    }

    /// Wall time jumps, either way. Boot time does not notice.
    pub fn jump_wall_ms(&self, by: i64) {
        let mut state = self.state.lock();
        state.wall_offset_ms = state.wall_offset_ms.saturating_add(by);
    }

    /// The machine was suspended: both clocks are ahead, timers of tasks are not.
    pub fn suspend_ns(&self, by: u64) {
        let mut state = self.state.lock();
        state.boot_ahead_ns = state.boot_ahead_ns.saturating_add(by);
        let by_ms = i64::try_from(by / 1_000_000).unwrap_or(i64::MAX);
        state.wall_offset_ms = state.wall_offset_ms.saturating_add(by_ms);
    }

    /// The machine has lost power and starts anew.
    pub(super) fn reboot(&self) {
        self.state.lock().boots += 1;
    }

    /// Boot time stands still, as for a virtual machine that is frozen from outside.
    pub fn freeze_boot(&self) {
        let mut state = self.state.lock();
        let now = state.boot_ns();
        state.frozen_ns = Some(now);
    }

    /// Boot time goes on from where it stood.
    pub fn thaw_boot(&self) {
        let mut state = self.state.lock();
        if let Some(frozen) = state.frozen_ns.take() {
            let lost = state.boot_ns().saturating_sub(frozen);
            state.boot_ahead_ns = state.boot_ahead_ns.wrapping_sub(lost);
        }
    }
}

impl State {
    fn elapsed_ns(&mut self) -> u64 {
        let now = Instant::now();
        let start = *self.start.get_or_insert(now);
        let since = u64::try_from((now - start).as_nanos()).unwrap_or(u64::MAX);
        self.before_ns.saturating_add(since)
    }

    fn boot_ns(&mut self) -> u64 {
        match self.frozen_ns {
            Some(frozen) => frozen,
            // Wrapping: behind the runtime's time is ahead by almost 2^64.
            None => (BOOT_START_NS + self.elapsed_ns()).wrapping_add(self.boot_ahead_ns),
        }
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> u64 {
        let mut state = self.state.lock();
        let elapsed = i64::try_from(state.elapsed_ns() / 1_000_000).unwrap_or(i64::MAX);
        let wall = WALL_START_MS
            .saturating_add(elapsed)
            .saturating_add(state.wall_offset_ms);
        u64::try_from(wall).unwrap_or(0)
    }

    fn boot_ns(&self) -> u64 {
        self.state.lock().boot_ns()
    }

    fn boot_id(&self) -> u128 {
        self.state.lock().boots
    }
}
