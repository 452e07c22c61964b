//! Faults of the simulated disk: which call fails, how often, with what.

use std::ops::Range;

/// A kind of call that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Opening (and creating) a file.
    Open,
    /// Writing to a file.
    Write,
    /// Reading from a file.
    Read,
    /// `File::sync`. A failed one loses what it should have written: the pages are clean
    /// from then on, the device has old bytes, and the next sync is good.
    Sync,
    /// `File::set_size`.
    SetSize,
    /// `File::punch_hole`.
    PunchHole,
    /// `Files::rename`.
    Rename,
    /// `Files::remove`.
    Remove,
    /// `Files::sync_dir`. What it should have made durable stays undecided.
    SyncDir,
}

/// A rule: calls that match fail.
#[derive(Debug, Clone)]
pub struct Fault {
    call: Call,
    errno: i32,
    path_contains: String,
    range: Range<u64>,
    skip: u64,
    count: u64,
}

impl Fault {
    /// Every such call fails with the error number.
    pub fn new(call: Call, errno: i32) -> Fault {
        Fault {
            call,
            errno,
            path_contains: String::new(),
            range: 0..u64::MAX,
            skip: 0,
            count: u64::MAX,
        }
    }

    /// Every such call fails with "no space left on device"; a write may do a part first.
    pub fn no_space(call: Call) -> Fault {
        Fault::new(call, libc::ENOSPC)
    }

    /// Every such call fails with "input/output error".
    pub fn io(call: Call) -> Fault {
        Fault::new(call, libc::EIO)
    }

    /// Only files whose path contains `part`.
    pub fn on(mut self, part: impl Into<String>) -> Fault {
        self.path_contains = part.into();
        self
    }

    /// Only calls that touch these bytes of the file.
    pub fn within(mut self, range: Range<u64>) -> Fault {
        self.range = range;
        self
    }

    /// Not the first `calls` that match.
    pub fn skip(mut self, calls: u64) -> Fault {
        self.skip = calls;
        self
    }

    /// Only so many calls; after them the fault is gone.
    pub fn count(mut self, calls: u64) -> Fault {
        self.count = calls;
        self
    }

    /// Whether this call fails, and with what; counts it.
    fn strike(&mut self, call: Call, path: &str, range: &Range<u64>) -> Option<i32> {
        let overlaps = range.start < self.range.end && self.range.start < range.end;
        if self.call != call || !overlaps || !path.contains(&self.path_contains) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.count -= 1;
        Some(self.errno)
    }
}

/// The rules in force.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The error number that this call is to fail with. Each rule counts for itself.
    pub(super) fn strike(&mut self, call: Call, path: &str, range: Range<u64>) -> Option<i32> {
        let mut errno = None;
        self.0.retain(|fault| fault.count > 0);
        for fault in &mut self.0 {
            let struck = fault.strike(call, path, &range);
            errno = errno.or(struck);
        }
        errno
    }
}
