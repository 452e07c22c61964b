//! Time.

use std::fmt;

/// The two clocks of a host. Neither orders anything: sequences do.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds since 1970 by the wall clock, which may jump. A label for people.
    fn wall_ms(&self) -> u64;

    /// Nanoseconds on CLOCK_BOOTTIME: monotonic, and goes on while the host sleeps.
    fn boot_ns(&self) -> u64;

    /// Which boot of the machine this is: what is in its page cache lives as long. Another value
    /// after each power cut; where the kernel does not tell, another at each question.
    fn boot_id(&self) -> u128;
}
