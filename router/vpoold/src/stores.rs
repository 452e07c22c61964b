//! Object stores as pools use them: the bare store, and around it what makes it bearable.
//!
//! ```text
//! engine ─▶ trouble ─▶ retry ─▶ breaker ─▶ limit ─▶ metrics ─▶ timeout ─▶ exchange ─▶ the store
//!           remembers   waits     refuses    waits     counts     gives up   is the
//!           what is     without   while it   for a     what was   what hangs place of
//!           wrong now   a slot    is down    slot      sent                  the client
//! ```
//!
//! Owns: that order, its settings, opening a store by its location. Does not own: the
//! decorators (`vpool-object`), the clients (`vpool-object`, `vpool-s3`,
//! `vpool-swift`).

mod exchange;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use vpool_api::{StoreCounts, StoreState};
use vpool_metadata::{Location, SwiftInterface};
use vpool_object::breaker::{BreakerOptions, BreakerState, BreakerStore};
use vpool_object::fs::{DirectoryOptions, DirectoryStore};
use vpool_object::limit::{LimitOptions, LimitStore};
use vpool_object::metrics::{MetricsSnapshot, MetricsStore};
use vpool_object::operation::Operation;
use vpool_object::retry::{RetryOptions, RetryStore};
use vpool_object::timeout::{TimeoutOptions, TimeoutStore};
use vpool_object::{ErrorKind, ObjectStore, Result};
use vpool_s3::{Addressing, S3Config, S3Store};
use vpool_swift::{Interface, SwiftConfig, SwiftStore};

use crate::location::url;
use exchange::ExchangeStore;
use trouble::TroubleStore;

/// The engine asks again for as long as it must, with the journal to wait in; here only
/// what passes by itself is bridged.
const RETRIES: RetryOptions = RetryOptions {
    attempts_max: 5,
    wait_first: Duration::from_millis(50),
    wait_max: Duration::from_secs(5),
    throttled_wait_first: Duration::from_millis(500),
    deadline: Duration::from_secs(60),
    budget_percent: 10,
    budget_burst: 50,
};

/// The operations that bring bytes of objects here.
const GETS: [Operation; 3] = [Operation::Get, Operation::GetRange, Operation::GetTail];

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A new pool: a directory becomes a location.
    Create,
    /// A pool that is there: a directory that is no location is not mounted.
    Use,
}

/// A store with its decorators.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    place: Arc<ExchangeStore>,
    trouble: Arc<TroubleStore>,
    retry: Arc<RetryStore>,
    breaker: Arc<BreakerStore>,
    metrics: Arc<MetricsStore>,
}

impl Store {
    /// Opens the store at a location. `owner` names this host there, the same after a
    /// restart; `seed` is where the waits between retries come from.
    pub(crate) async fn open(
        location: &Location,
        purpose: Purpose,
        owner: &str,
        seed: u64,
    ) -> Result<Store> {
        let bare: Arc<dyn ObjectStore> = match location {
            Location::Directory(path) => {
                let options = DirectoryOptions::new(owner);
                Arc::new(match purpose {
                    Purpose::Create => DirectoryStore::create(path, options).await?,
                    Purpose::Use => DirectoryStore::open(path, options).await?,
                })
            }
            Location::S3 { .. } => Arc::new(S3Store::connect(s3_config(location)?)?),
            Location::Swift { .. } => Arc::new(SwiftStore::connect(swift_config(location)?)?),
        };
        Ok(Store::around(bare, seed))
    }

    fn around(bare: Arc<dyn ObjectStore>, seed: u64) -> Store {
        let place = Arc::new(ExchangeStore::new(bare));
        let timeout = Arc::new(TimeoutStore::new(place.clone(), TimeoutOptions::default()));
        let metrics = Arc::new(MetricsStore::new(timeout));
        let limit = Arc::new(LimitStore::new(metrics.clone(), LimitOptions::default()));
        let breaker = Arc::new(BreakerStore::new(limit, BreakerOptions::default()));
        let retry = Arc::new(RetryStore::new(breaker.clone(), RETRIES, seed));
        let trouble = Arc::new(TroubleStore::new(retry.clone()));
        Store {
            place,
            trouble,
            retry,
            breaker,
            metrics,
        }
    }

    /// For the engine.
    pub(crate) fn decorated(&self) -> Arc<dyn ObjectStore> {
        self.trouble.clone()
    }

    /// Without decorators, to be tried out.
    pub(crate) fn bare(&self) -> Arc<dyn ObjectStore> {
        self.place.now()
    }

    /// Sends requests by the client of another store from now on, which leads to the same objects.
    pub(crate) fn exchange(&self, other: &Store) {
        self.place.exchange(other.bare());
    }

    /// What was asked of it so far.
    pub(crate) fn counts(&self) -> StoreCounts {
        let metrics = self.metrics.snapshot();
        let sum = |of: fn(&vpool_object::metrics::OperationMetrics) -> u64| {
            metrics.operations.iter().map(of).sum()
        };
        StoreCounts {
            state: match self.breaker.status().state {
                BreakerState::Closed => StoreState::Up,
                BreakerState::Open | BreakerState::HalfOpen => StoreState::Down,
            },
            requests: metrics.requests(),
            puts: metrics.of(Operation::Put).requests,
            gets: GETS.iter().map(|of| metrics.of(*of).requests).sum(),
            errors: sum(|one| one.error_count() - one.errors_of(ErrorKind::NotFound)),
            retries: self.retry.status().retries,
            trouble: self.trouble.trouble(),
            sent_bytes: sum(|one| one.sent_bytes),
            received_bytes: sum(|one| one.received_bytes),
        }
    }
}

impl Store {
    /// All that is counted of it, whether it is up, and requests sent again.
    pub(crate) fn figures(&self) -> (MetricsSnapshot, bool, u64) {
        let up = self.breaker.status().state == BreakerState::Closed;
        (self.metrics.snapshot(), up, self.retry.status().retries)
    }
}

fn s3_config(location: &Location) -> Result<S3Config> {
    let Location::S3 {
        endpoint,
        bucket,
        prefix,
        region,
        credentials_file,
        ca_file,
        path_style,
    } = location
    else {
        unreachable!("the caller matched it");
    };
    let mut config = S3Config::from_url(&url(endpoint, bucket, prefix), credentials_file)?;
    config.region.clone_from(region);
    config.ca_file = ca_file.as_ref().map(Into::into);
    config.addressing = if *path_style {
        Addressing::Path
    } else {
        Addressing::VirtualHost
    };
    Ok(config)
}

fn swift_config(location: &Location) -> Result<SwiftConfig> {
    let Location::Swift {
        // The URL says it.
        auth: _,
        auth_url,
        container,
        prefix,
        region,
        interface,
        credentials_file,
        ca_file,
    } = location
    else {
        unreachable!("the caller matched it");
    };
    let mut config = SwiftConfig::from_url(&url(auth_url, container, prefix), credentials_file)?;
    config.region.clone_from(region);
    config.interface = match interface {
        SwiftInterface::Public => Interface::Public,
        SwiftInterface::Internal => Interface::Internal,
        SwiftInterface::Admin => Interface::Admin,
    };
    config.ca_file = ca_file.as_ref().map(Into::into);
    Ok(config)
}

#[cfg(test)]
mod tests {
    //! The order of the decorators, by what they make of a store that is down.

    use super::{RETRIES, Store};
    use bytes::Bytes;
    use std::sync::Arc;
    use std::time::Duration;
    use vpool_api::StoreState;
    use vpool_object::faults::{FaultStore, Outage};
    use vpool_object::memory::MemoryStore;
    use vpool_object::{ErrorKind, Key};

    #[tokio::test(start_paused = true)]
    async fn a_dead_store_costs_few_requests_and_comes_back() {
        let (faults, control) = FaultStore::new(Arc::new(MemoryStore::new()), 1);
        let store = Store::around(faults, 1);
        let key = |n: u32| Key::new(format!("a/{n}")).expect("a good name");
        let engine = store.decorated();
        engine
            .put(&key(0), Bytes::from_static(b"x"))
            .await
            .expect("it is up");
        assert_eq!(store.counts().requests, 1);
        assert_eq!((store.counts().puts, store.counts().gets), (1, 0));
        assert_eq!(store.counts().sent_bytes, 1);

        control.set_outage(Some(Outage::Refuse(ErrorKind::Unavailable)));
        for n in 1..=20 {
            let error = engine
                .put(&key(n), Bytes::new())
                .await
                .expect_err("it is down");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
        let counts = store.counts();
        assert_eq!(counts.state, StoreState::Down);
        let trouble = counts.trouble.clone();
        assert!(trouble.is_some_and(|trouble| trouble.contains("a/20")));
        assert!(
            counts.errors < 20,
            "the breaker lets trials through only: {counts:?}"
        );
        assert!(counts.retries > 0, "{counts:?}");

        control.heal();
        tokio::time::sleep(Duration::from_secs(30)).await;
        engine.put(&key(1), Bytes::new()).await.expect("it is back");
        assert_eq!(store.counts().state, StoreState::Up);
        assert_eq!(store.counts().trouble, None);
        let absent = engine.get(&key(99)).await.expect_err("never put");
        assert_eq!(absent.kind(), ErrorKind::NotFound);
        assert_eq!(store.counts().gets, 1);
        assert_eq!(
            store.counts().errors,
            counts.errors,
            "an absent object is no error"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_is_given_up() {
        let (faults, control) = FaultStore::new(Arc::new(MemoryStore::new()), 1);
        let store = Store::around(faults, 1);
        control.set_outage(Some(Outage::Hang));
        let begin = tokio::time::Instant::now();
        let key = Key::new("a").expect("a good name");
        let error = store.decorated().head(&key).await.expect_err("it hangs");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(begin.elapsed() <= RETRIES.deadline);
        assert!(store.counts().errors > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn another_client_takes_the_place_of_one_that_is_refused() {
        let objects: Arc<MemoryStore> = Arc::new(MemoryStore::new());
        let (faults, control) = FaultStore::new(objects.clone(), 1);
        let store = Store::around(faults, 1);
        let key = Key::new("a").expect("a good name");
        let engine = store.decorated();
        control.set_outage(Some(Outage::Refuse(ErrorKind::Denied)));
        let error = engine.put(&key, Bytes::new()).await;
        assert_eq!(error.expect_err("it is refused").kind(), ErrorKind::Denied);
        store.exchange(&Store::around(objects, 2));
        engine.put(&key, Bytes::new()).await.expect("it is taken");
        assert_eq!(store.counts().trouble, None);
        assert_eq!(store.counts().requests, 2, "the counters go on");
    }
}
