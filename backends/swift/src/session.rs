//! Sessions: the token that requests carry, and the URL that they go to.
//!
//! ```text
//! current ──▶ held? ──▶ good ────────────────────────▶ it
//!               │   └─▶ nearly over ──▶ one renews it, the others use it on
//!               └─▶ over, none, or refused ──▶ one asks, the others wait for what it gets
//! ```
//!
//! Owns: holding a session, asking for another once for all who need it.
//! Does not own: how it is asked for (`v1`, `v3`), which answers refuse a token (`call`).

mod clock;
mod v1;
mod v3;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Client;
use reqwest::header::{HeaderName, HeaderValue};
use tokio::time::Instant;
use vpool_object::ErrorKind;

use crate::config::SwiftConfig;
use crate::credentials::{Credentials, Keyring};
use crate::failure::Failure;
use crate::limits::{FORBIDDEN_AGE_MIN, RENEWAL_MARGIN_MAX, RENEWAL_PAUSE, TOKEN_BYTES_MAX};

/// No token is taken to be good for longer.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The field that carries a token.
pub(crate) const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// What an auth service gives.
#[derive(Debug)]
struct Grant {
    /// Marked as sensitive, so that nobody shows it.
    token: HeaderValue,
    /// The account's URL, without a `/` at its end.
    storage_url: String,
    /// How long the token is good for, where that is said.
    lifetime: Option<Duration>,
}

/// A token in force.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) token: HeaderValue,
    /// The account's URL, without a `/` at its end.
    pub(crate) storage_url: String,
    begun: Instant,
    /// When to ask for another, and when it ends; `None`: that is not known.
    due: Option<Instant>,
    over: Option<Instant>,
    /// Grows with every session.
    number: u64,
}

impl Session {
    /// Whether a request that failed so may succeed with another token.
    pub(crate) fn is_worth_renewing(&self, failure: &Failure) -> bool {
        match failure.status {
            Some(401) => true,
            Some(403) => self.begun.elapsed() >= FORBIDDEN_AGE_MIN,
            _ => false,
        }
    }
}

/// Gives out the session in force.
#[derive(Debug)]
pub(crate) struct Sessions {
    client: Client,
    config: SwiftConfig,
    keyring: Keyring,
    held: Mutex<Option<Arc<Session>>>,
    /// Whoever holds it asks the auth service.
    flight: tokio::sync::Mutex<Flight>,
    /// How many times it was asked.
    asked: AtomicU64,
    /// The storage URL that the auth service named first.
    place: OnceLock<String>,
}

/// How the last flight ended.
#[derive(Debug, Default)]
struct Flight {
    failure: Option<(Failure, Instant)>,
}

impl Sessions {
    pub(crate) fn new(client: Client, config: SwiftConfig, keyring: Keyring) -> Sessions {
        Sessions {
            client,
            config,
            keyring,
            held: Mutex::default(),
            flight: tokio::sync::Mutex::default(),
            asked: AtomicU64::new(0),
            place: OnceLock::new(),
        }
    }

    /// Where the credentials are from.
    pub(crate) fn place(&self) -> String {
        self.keyring.place()
    }

    /// The session in force.
    pub(crate) async fn current(&self) -> Result<Arc<Session>, Failure> {
        let Some(session) = self.held() else {
            return self.ask(None).await;
        };
        let now = Instant::now();
        if session.over.is_some_and(|over| now >= over) {
            return self.ask(Some(&session)).await;
        }
        if session.due.is_some_and(|due| now >= due) {
            return Ok(self.renew_early(session).await);
        }
        Ok(session)
    }

    /// Another session than one that was refused.
    pub(crate) async fn another(&self, refused: &Session) -> Result<Arc<Session>, Failure> {
        self.ask(Some(refused)).await
    }

    fn held(&self) -> Option<Arc<Session>> {
        self.held.lock().clone()
    }

    /// Asks for another session than `old`, or waits for one who does already and takes
    /// what that one gets, be it a failure.
    async fn ask(&self, old: Option<&Session>) -> Result<Arc<Session>, Failure> {
        let asked = self.asked.load(Ordering::Acquire);
        let mut flight = self.flight.lock().await;
        let old_number = old.map_or(0, |session| session.number);
        if let Some(session) = self.held().filter(|held| held.number > old_number) {
            return Ok(session);
        }
        if self.asked.load(Ordering::Acquire) > asked
            && let Some((failure, _)) = &flight.failure
        {
            return Err(failure.clone());
        }
        self.fly(&mut flight).await
    }

    /// While the old token is good nobody waits for a new one but who asks for it.
    async fn renew_early(&self, old: Arc<Session>) -> Arc<Session> {
        let Ok(mut flight) = self.flight.try_lock() else {
            return old;
        };
        let rests = flight
            .failure
            .as_ref()
            .is_some_and(|(_, at)| at.elapsed() < RENEWAL_PAUSE);
        if rests || self.held().is_none_or(|held| held.number > old.number) {
            return self.held().unwrap_or(old);
        }
        match self.fly(&mut flight).await {
            Ok(session) => session,
            Err(failure) => {
                tracing::warn!(cause = %failure, "no new token; the old one is good for a while");
                old
            }
        }
    }

    async fn fly(&self, flight: &mut Flight) -> Result<Arc<Session>, Failure> {
        let begun = Instant::now();
        let credentials = self.keyring.newest().await;
        let granted = self.log_in(&credentials).await;
        let number = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let granted = granted
            .and_then(|grant| self.check(grant))
            .and_then(|grant| self.check_place(grant));
        match granted {
            Ok(grant) => {
                let session = Arc::new(self.session(grant, begun, number));
                flight.failure = None;
                *self.held.lock() = Some(session.clone());
                Ok(session)
            }
            Err(failure) => {
                let failure = failure.during(format_args!("auth {}", self.config.location.auth()));
                flight.failure = Some((failure.clone(), Instant::now()));
                Err(failure)
            }
        }
    }

    fn session(&self, grant: Grant, begun: Instant, number: u64) -> Session {
        // An auth service may give the same token again while it is good: then its end is
        // what has to be waited for.
        let again = self.held().is_some_and(|held| held.token == grant.token);
        let margin = |lifetime: Duration| match again {
            true => Duration::ZERO,
            false => (lifetime / 5).min(RENEWAL_MARGIN_MAX),
        };
        // Past which no clock could say when it ends.
        let lifetime = grant.lifetime.map(|lifetime| lifetime.min(LIFETIME_MAX));
        Session {
            token: grant.token,
            storage_url: grant.storage_url,
            begun,
            due: lifetime.map(|lifetime| begun + lifetime.saturating_sub(margin(lifetime))),
            over: lifetime.map(|lifetime| begun + lifetime),
            number,
        }
    }

    async fn log_in(&self, credentials: &Credentials) -> Result<Grant, Failure> {
        let (client, config) = (&self.client, &self.config);
        match credentials {
            Credentials::V1 { user, key } => v1::log_in(client, config, user, key).await,
            Credentials::V3 { .. } => v3::log_in(client, config, credentials).await,
        }
    }

    /// A store stays where it is as long as it is used: objects of one pool in two places, as a
    /// catalog in another order or another project in the credentials would have it, are a pool lost.
    fn check_place(&self, grant: Grant) -> Result<Grant, Failure> {
        let place = self.place.get_or_init(|| grant.storage_url.clone());
        if *place == grant.storage_url {
            return Ok(grant);
        }
        let cause = format!(
            "the auth service names another place now, {:?}, than {place:?}, where this pool is",
            vpool_http::cause::printable(&grant.storage_url)
        );
        Err(Failure::new(ErrorKind::NoLocation, cause).with_remedy(
            "undo that; or, where the objects are there now, choose the region or start vpoold anew",
        ))
    }

    /// A storage URL that requests can go to.
    fn check(&self, mut grant: Grant) -> Result<Grant, Failure> {
        let refuse = |why: &str| {
            let cause = format!(
                "the storage URL {:?} {why}",
                vpool_http::cause::printable(&grant.storage_url)
            );
            Failure::new(ErrorKind::NoLocation, cause)
        };
        let url = reqwest::Url::parse(&grant.storage_url).map_err(|_| refuse("is no URL"))?;
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain {
            return Err(refuse("is none of http or https, or has more than a path"));
        }
        if self.config.location.is_https() && url.scheme() == "http" {
            let failure = refuse("is not encrypted, but the auth URL is");
            return Err(failure.with_remedy("have the auth service name an https:// URL"));
        }
        grant.storage_url = url.as_str().trim_end_matches('/').to_owned();
        Ok(grant)
    }
}

/// A token as a header field.
fn token(text: Option<&str>) -> Result<HeaderValue, Failure> {
    let value = text
        .filter(|text| !text.is_empty() && text.len() <= TOKEN_BYTES_MAX)
        .and_then(|text| HeaderValue::from_str(text).ok());
    let mut value = value.ok_or_else(|| {
        let cause = "the answer holds no token: not from an auth service, or damaged";
        Failure::new(ErrorKind::Damaged, cause)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
