//! What can go wrong, and how often.
//!
//! Owns: [`FaultPlan`], [`Fault`], [`Outage`], [`Script`]. Does not own: carrying it out.

use std::time::Duration;

use crate::error::ErrorKind;
use crate::operation::{Operation, Operations};

/// One thing that goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request fails and nothing was done.
    ErrorBefore(ErrorKind),
    /// What was asked is done, and the request fails.
    ErrorAfter(ErrorKind),
    /// No answer for so long, then [`ErrorKind::Unavailable`].
    Hang {
        /// How long.
        wait: Duration,
        /// A put or delete is done at the end of that time, even if the caller has long
        /// given up.
        applies: bool,
    },
    /// A read answers fewer bytes than it should, as if that were right: a breach of the
    /// trait's contract, to see whether callers check. At random one byte less, or half.
    ShortBody,
    /// A read answers with one bit inverted, as if that were right.
    FlipBit,
    /// A put is answered, and done once more after this time.
    DuplicatePut {
        /// How long after the answer.
        after: Duration,
    },
}

/// What every request meets while the store is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It fails at once with this kind; nothing is done.
    Refuse(ErrorKind),
    /// It gets no answer until the outage is over, and then fails; nothing is done.
    Hang,
}

/// Chances (0.0 never to 1.0 always), times and rates. The default has no faults. At most
/// one fault meets a request, so the chances of those that apply to it should add up to
/// no more than 1.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultPlan {
    /// The requests that the chances apply to.
    pub operations: Operations,
    /// ... whose key (of a listing: prefix; of `delete_many`: first key) starts with this.
    pub key_prefix: String,
    /// [`ErrorKind::Unavailable`], nothing done.
    pub error_before: f64,
    /// [`ErrorKind::Unavailable`], but done.
    pub error_after: f64,
    /// [`ErrorKind::Throttled`], nothing done.
    pub throttled: f64,
    /// [`ErrorKind::Damaged`], on reads only.
    pub damaged: f64,
    /// [`Fault::Hang`], for `hang_wait`.
    pub hang: f64,
    /// How long a hanging request hangs.
    pub hang_wait: Duration,
    /// Of the hanging puts and deletes, how many are done at the end all the same.
    pub hang_applies: f64,
    /// [`Fault::ShortBody`], on reads of bodies only.
    pub short_body: f64,
    /// [`Fault::FlipBit`], on reads of bodies only.
    pub flip_bit: f64,
    /// [`Fault::DuplicatePut`], on puts only.
    pub duplicate_put: f64,
    /// The duplicate comes up to so much later.
    pub duplicate_after_max: Duration,
    /// A new object appears in lists, and a deleted one leaves them, up to so much later.
    pub list_lag_max: Duration,
    /// Reads of a new object say that it is not there until up to so much later.
    pub read_lag_max: Duration,
    /// Every request takes at least so long.
    pub delay_min: Duration,
    /// Every request takes at most so long, beside the transfer.
    pub delay_max: Duration,
    /// All bodies together, in both directions, pass at this rate.
    pub bytes_per_second: Option<u64>,
}

impl Default for FaultPlan {
    fn default() -> Self {
        FaultPlan {
            operations: Operations::ALL,
            key_prefix: String::new(),
            error_before: 0.0,
            error_after: 0.0,
            throttled: 0.0,
            damaged: 0.0,
            hang: 0.0,
            hang_wait: Duration::from_secs(60),
            hang_applies: 0.5,
            short_body: 0.0,
            flip_bit: 0.0,
            duplicate_put: 0.0,
            duplicate_after_max: Duration::from_secs(30),
            list_lag_max: Duration::ZERO,
            read_lag_max: Duration::ZERO,
            delay_min: Duration::ZERO,
            delay_max: Duration::ZERO,
            bytes_per_second: None,
        }
    }
}

/// A fault for the next requests that match, whatever the plan's chances say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The requests meant.
    pub operations: Operations,
    /// Text that their key (or prefix) contains; empty: any.
    pub key_contains: String,
    /// How many matching requests pass before the first that meets the fault.
    pub skip: u32,
    /// How many requests meet it.
    pub count: u32,
    /// What they meet.
    pub fault: Fault,
}

impl Script {
    /// `fault` for the next request of this operation.
    pub fn next(operation: Operation, fault: Fault) -> Script {
        Script {
            operations: Operations::of(&[operation]),
            key_contains: String::new(),
            skip: 0,
            count: 1,
            fault,
        }
    }

    /// Only for keys that contain `text`.
    #[must_use]
    pub fn on(mut self, text: impl Into<String>) -> Script {
        self.key_contains = text.into();
        self
    }

    /// Only after so many matching requests have passed.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Script {
        self.skip = skip;
        self
    }

    /// For so many requests.
    #[must_use]
    pub fn times(mut self, count: u32) -> Script {
        self.count = count;
        self
    }

    pub(super) fn matches(&self, operation: Operation, key: &str) -> bool {
        self.operations.contains(operation) && key.contains(&self.key_contains)
    }
}
