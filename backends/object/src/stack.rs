//! The decorators in the order in which they belong around a bare store.
//!
//! ```text
//! caller ▶ settle ▶ retry ▶ breaker ▶ limit ▶ timeout ▶ metrics ▶ store
//! ```
//!
//! A retry that waits holds no permit; a request that the breaker refuses takes none and
//! costs the store nothing; waiting for a permit is not counted as the store's time; what
//! is measured is what was sent.
//!
//! Owns: that order. Does not own: the figures, which belong to the pool's settings.

use std::sync::Arc;
use std::time::Duration;

use crate::ObjectStore;
use crate::breaker::{BreakerOptions, BreakerStore};
use crate::limit::{LimitOptions, LimitStore};
use crate::metrics::MetricsStore;
use crate::retry::{RetryOptions, RetryStore};
use crate::settle::SettleStore;
use crate::timeout::{TimeoutOptions, TimeoutStore};

/// The options of each decorator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StackOptions {
    /// How often and how long to ask again.
    pub retry: RetryOptions,
    /// When to stop asking.
    pub breaker: BreakerOptions,
    /// How many requests at a time.
    pub limit: LimitOptions,
    /// How long one may take.
    pub timeout: TimeoutOptions,
    /// How long reads of new names lag; zero for almost every store.
    pub lag: Duration,
}

/// A store in its decorators, and those that can be asked how it goes.
#[derive(Debug, Clone)]
pub struct Stack {
    /// What callers use.
    pub store: Arc<dyn ObjectStore>,
    /// How much is asked again.
    pub retry: Arc<RetryStore>,
    /// Whether the store is held to be down.
    pub breaker: Arc<BreakerStore>,
    /// What was sent to the store.
    pub metrics: Arc<MetricsStore>,
}

/// Puts the decorators around `bare`. The waits of retries come from `seed`.
pub fn stack(bare: Arc<dyn ObjectStore>, options: StackOptions, seed: u64) -> Stack {
    let metrics = Arc::new(MetricsStore::new(bare));
    let timeout = Arc::new(TimeoutStore::new(metrics.clone(), options.timeout));
    let limit = Arc::new(LimitStore::new(timeout, options.limit));
    let breaker = Arc::new(BreakerStore::new(limit, options.breaker));
    let retry = Arc::new(RetryStore::new(breaker.clone(), options.retry, seed));
    let store: Arc<dyn ObjectStore> = if options.lag.is_zero() {
        retry.clone()
    } else {
        Arc::new(SettleStore::new(retry.clone(), options.lag))
    };
    Stack {
        store,
        retry,
        breaker,
        metrics,
    }
}
