//! Time.

use std::fmt;

/// The two clocks of a host. Neither orders anything: sequences do.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds since 1970 by the wall clock, which may jump. A label for people.
    fn wall_ms(&self) -> u64;

    /// Nanoseconds on CLOCK_BOOTTIME: monotonic, and goes on while the host sleeps.
    fn boot_ns(&self) -> u64;
}
