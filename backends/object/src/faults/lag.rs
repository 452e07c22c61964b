//! What a store whose reads and lists lag does not show yet, and what it shows still.
//!
//! Owns: which names are hidden and which are ghosts at a given time. Synchronous; time
//! comes from the caller. Does not own: drawing the lags.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::key::Key;
use crate::{Listed, Page};

/// Names whose last change is not seen everywhere.
#[derive(Debug, Default)]
pub(super) struct Lag {
    fresh: BTreeMap<Key, Fresh>,
    /// Deleted objects that lists show still: length, until when.
    ghosts: BTreeMap<Key, (u64, Instant)>,
}

#[derive(Debug)]
struct Fresh {
    readable_at: Instant,
    listed_at: Instant,
}

impl Lag {
    /// A new object is in the store.
    pub(super) fn born(
        &mut self,
        key: &Key,
        now: Instant,
        readable_at: Instant,
        listed_at: Instant,
    ) {
        self.forget(now);
        self.ghosts.remove(key);
        if readable_at > now || listed_at > now {
            self.fresh.insert(
                key.clone(),
                Fresh {
                    readable_at,
                    listed_at,
                },
            );
        }
    }

    /// An object of `bytes` is gone from the store, and listed until then.
    pub(super) fn died(&mut self, key: &Key, bytes: u64, now: Instant, listed_until: Instant) {
        self.forget(now);
        let was_listed = self
            .fresh
            .remove(key)
            .is_none_or(|fresh| fresh.listed_at <= now);
        if was_listed && listed_until > now {
            self.ghosts.insert(key.clone(), (bytes, listed_until));
        }
    }

    /// Whether reads of the object say that it is not there.
    pub(super) fn unreadable(&self, key: &Key, now: Instant) -> bool {
        self.fresh
            .get(key)
            .is_some_and(|fresh| fresh.readable_at > now)
    }

    /// Makes of a true page the one that a lagging list gives. The answer may be empty
    /// though more follows: then the caller goes on after the true page.
    pub(super) fn blur(
        &self,
        page: Page,
        prefix: &str,
        after: Option<&Key>,
        count_max: usize,
        now: Instant,
    ) -> Page {
        let last = page.objects.last().map(|listed| listed.key.clone());
        let mut objects: Vec<Listed> = page
            .objects
            .into_iter()
            .filter(|listed| {
                self.fresh
                    .get(&listed.key)
                    .is_none_or(|fresh| fresh.listed_at <= now)
            })
            .collect();
        let ghosts = self.ghosts.iter().filter(|(key, (_, until))| {
            let in_page = !page.more || last.as_ref().is_some_and(|last| *key <= last);
            let wanted = key.as_str().starts_with(prefix) && after.is_none_or(|after| *key > after);
            *until > now && in_page && wanted
        });
        objects.extend(ghosts.map(|(key, (bytes, _))| Listed {
            key: key.clone(),
            bytes: *bytes,
        }));
        objects.sort();
        objects.dedup_by(|a, b| a.key == b.key);
        let more = page.more || objects.len() > count_max;
        objects.truncate(count_max);
        Page { objects, more }
    }

    fn forget(&mut self, now: Instant) {
        self.fresh
            .retain(|_, fresh| fresh.readable_at > now || fresh.listed_at > now);
        self.ghosts.retain(|_, (_, until)| *until > now);
    }
}
