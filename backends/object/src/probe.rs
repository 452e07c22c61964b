//! Trying a store out before a pool is trusted to it.
//!
//! What correctness needs is tried first, and a store that lacks any of it is refused with
//! an error that names the remedy. The rest is recorded, never refused: nothing in vPool
//! is correct only because of it.
//!
//! Owns: the trials and the report. All that it writes is under `probe/<nonce>/` and is
//! removed at the end. Does not own: what is made of the findings.

mod findings;
mod needs;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::ObjectStore;
use crate::error::Result;
use crate::key::{KEY_BYTES_MAX, Key};

/// What a probe writes and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeOptions {
    /// A number that was never used before: 128 random bits.
    pub nonce: u128,
    /// The longest key that the pool will use; less than 200 only below another prefix.
    pub key_bytes_max: usize,
    /// The longest body that the pool will put.
    pub body_bytes_max: usize,
    /// How long a list may take to show a new object before that is all that is recorded,
    /// and a deleted object may be read before the store is refused.
    pub patience: Duration,
    /// How many conditional creations race for one name.
    pub racers: u32,
    /// In how many races.
    pub races: u32,
}

impl ProbeOptions {
    /// The usual probe: keys of 200 bytes, bodies of 64 MiB, 16 racers.
    pub fn new(nonce: u128) -> Self {
        ProbeOptions {
            nonce,
            key_bytes_max: KEY_BYTES_MAX,
            body_bytes_max: 64 << 20,
            patience: Duration::from_secs(10),
            racers: 16,
            races: 4,
        }
    }
}

/// What a store makes of something that it need not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// The client has no request for it.
    NotOffered,
    /// The store says that it does not know the request.
    Unsupported,
    /// The store says that it did it, and did not.
    Ignored,
    /// The store refuses although it should not.
    Refused,
    /// It works.
    Works,
    /// It could not be found out: the store failed.
    Failed,
}

/// Whether a list shows an object that was put before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListAfterWrite {
    /// The first list after the put did.
    AtOnce,
    /// One did, so long after the put.
    Within(Duration),
    /// None did for so long.
    NotWithin(Duration),
    /// Lists fail.
    Failed,
}

/// What was found out about a store that has all that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// Creating a name only if it is absent, one request after the other.
    pub create_if_absent: Support,
    /// Of how many requests at the same time.
    pub create_racers: u32,
    /// The most and the fewest that won in one race; `None` where none was run.
    pub create_winners: Option<(u32, u32)>,
    /// Replacing an object if it has the given tag in quotes.
    pub if_match_quoted: Support,
    /// The same, the tag without quotes.
    pub if_match_unquoted: Support,
    /// Refusing to "replace" a name that holds nothing.
    pub if_match_missing: Support,
    /// Lists after puts.
    pub list_after_write: ListAfterWrite,
    /// Deleting several names in one call.
    pub bulk_delete: Support,
    /// A checksum after the body.
    pub checksum_trailers: Support,
    /// What the probe wrote and could not remove.
    pub left_behind: Vec<Key>,
}

impl ProbeReport {
    /// Whether of several creators of one name exactly one won, in every race.
    pub fn create_is_atomic(&self) -> bool {
        self.create_if_absent == Support::Works && self.create_winners == Some((1, 1))
    }
}

/// Tries `store` out. An error means that it must not hold a pool: its kind says whether
/// trying later can help, its text names what is missing and the remedy.
pub async fn probe(store: &Arc<dyn ObjectStore>, options: &ProbeOptions) -> Result<ProbeReport> {
    let probe = Probe {
        store: store.clone(),
        options: options.clone(),
        used: Mutex::default(),
    };
    let outcome = probe.run().await;
    let left_behind = probe.clean().await;
    let mut report = outcome?;
    report.left_behind = left_behind;
    Ok(report)
}

struct Probe {
    store: Arc<dyn ObjectStore>,
    options: ProbeOptions,
    /// Every name written, to be removed.
    used: Mutex<BTreeSet<Key>>,
}

impl Probe {
    async fn run(&self) -> Result<ProbeReport> {
        self.needs().await?;
        let (create_if_absent, create_winners) = self.creation().await;
        let (if_match_quoted, if_match_unquoted, if_match_missing) = self.matching().await;
        Ok(ProbeReport {
            create_if_absent,
            create_racers: self.options.racers,
            create_winners,
            if_match_quoted,
            if_match_unquoted,
            if_match_missing,
            list_after_write: self.list_after_write().await,
            bulk_delete: self.bulk_delete().await,
            checksum_trailers: self.checksum_trailers().await,
            left_behind: Vec::new(),
        })
    }

    /// A name of the probe, remembered for the end. `name` is valid and short.
    fn key(&self, name: &str) -> Key {
        let key = Key::new(format!("{}{name}", self.place())).expect("a valid name");
        self.used.lock().insert(key.clone());
        key
    }

    fn place(&self) -> String {
        format!("probe/{:032x}/", self.options.nonce)
    }

    async fn clean(&self) -> Vec<Key> {
        let keys: Vec<Key> = self.used.lock().iter().cloned().collect();
        let mut left_behind = Vec::new();
        for key in keys {
            if let Err(error) = self.store.delete(&key).await {
                tracing::warn!(%key, %error, "the probe could not remove what it wrote");
                left_behind.push(key);
            }
        }
        left_behind
    }

    /// Bytes that no store can compress or know already.
    fn body(&self, length: usize, number: u64) -> Bytes {
        let low = u64::try_from(self.options.nonce & u128::from(u64::MAX)).expect("masked");
        let mut bytes = vec![0; length];
        ChaCha8Rng::seed_from_u64(low ^ number).fill_bytes(&mut bytes);
        Bytes::from(bytes)
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Support::NotOffered => "not offered by the client",
            Support::Unsupported => "not supported",
            Support::Ignored => "IGNORED (the store says that it worked)",
            Support::Refused => "refused where it should work",
            Support::Works => "works",
            Support::Failed => "could not be found out",
        })
    }
}

impl fmt::Display for ListAfterWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListAfterWrite::AtOnce => f.write_str("at once"),
            ListAfterWrite::Within(lag) => write!(f, "after {lag:.1?}"),
            ListAfterWrite::NotWithin(lag) => write!(f, "not within {lag:.1?}"),
            ListAfterWrite::Failed => f.write_str("lists fail"),
        }
    }
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "all that is needed:      works")?;
        write!(f, "create if absent:        {}", self.create_if_absent)?;
        match self.create_winners {
            None => writeln!(f)?,
            Some((1, 1)) => writeln!(f, ", one of {} racers wins", self.create_racers)?,
            Some((most, fewest)) => {
                let racers = self.create_racers;
                writeln!(f, ", NOT ATOMIC: {fewest} to {most} of {racers} racers win")?;
            }
        }
        writeln!(f, "replace if match, \"tag\": {}", self.if_match_quoted)?;
        writeln!(f, "replace if match, tag:   {}", self.if_match_unquoted)?;
        writeln!(f, "  refused when absent:   {}", self.if_match_missing)?;
        writeln!(f, "new objects in lists:    {}", self.list_after_write)?;
        writeln!(f, "bulk delete:             {}", self.bulk_delete)?;
        write!(f, "checksum trailers:       {}", self.checksum_trailers)?;
        if !self.left_behind.is_empty() {
            write!(f, "\nleft behind:             {:?}", self.left_behind)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
