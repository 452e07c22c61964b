//! What is recorded of a store and never refused.
//!
//! Owns: those trials. A trial that fails for a reason of its own is [`Support::Failed`]
//! and logged. Does not own: what is needed.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::{ListAfterWrite, Probe, Support};
use crate::conditional::{Conditional, EtagForm, Outcome};
use crate::error::{ErrorKind, Result};
use crate::key::Key;

/// Objects of one bulk deletion.
const BULK: u64 = 20;

fn or_failed(what: &str, result: Result<Support>) -> Support {
    result.unwrap_or_else(|error| {
        tracing::warn!(what, %error, "the probe could not find it out");
        Support::Failed
    })
}

impl Probe {
    /// Whether conditional creation works, and of how many racers how many won.
    pub(super) async fn creation(&self) -> (Support, Option<(u32, u32)>) {
        let Some(conditional) = self.store.conditional() else {
            return (Support::NotOffered, None);
        };
        let sequential = or_failed("create if absent", self.create_twice(conditional).await);
        if sequential != Support::Works {
            return (sequential, None);
        }
        let mut winners: Option<(u32, u32)> = None;
        for race in 0..self.options.races {
            match self.race(conditional, race).await {
                Ok(won) => {
                    let (most, fewest) = winners.unwrap_or((won, won));
                    winners = Some((most.max(won), fewest.min(won)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a race of creations failed");
                    return (Support::Failed, winners);
                }
            }
        }
        (Support::Works, winners)
    }

    async fn create_twice(&self, conditional: &dyn Conditional) -> Result<Support> {
        let key = self.key("create/twice");
        let (first, second) = (self.body(100, 2), self.body(100, 3));
        match conditional.put_if_absent(&key, first.clone()).await? {
            Outcome::Applied => {}
            Outcome::Refused => return Ok(Support::Refused),
            Outcome::Unsupported => return Ok(Support::Unsupported),
        }
        let answer = conditional.put_if_absent(&key, second).await?;
        let holds = self.store.get(&key).await?;
        Ok(match answer {
            Outcome::Refused if holds == first => Support::Works,
            Outcome::Unsupported if holds == first => Support::Unsupported,
            _ => Support::Ignored,
        })
    }

    /// How many of the creators of one name were told that they won. One told so whose
    /// bytes are not there counts as one too many.
    async fn race(&self, conditional: &dyn Conditional, race: u32) -> Result<u32> {
        let key = &self.key(&format!("create/race-{race}"));
        let bodies: Vec<Bytes> = (0..self.options.racers)
            .map(|racer| self.body(1000, 1000 + u64::from(racer)))
            .collect();
        let racers = bodies
            .iter()
            .map(|body| conditional.put_if_absent(key, body.clone()));
        let answers: Vec<Outcome> = join_all(racers).await.into_iter().collect::<Result<_>>()?;
        let holds = self.store.get(key).await?;
        let told = answers.iter().filter(|answer| **answer == Outcome::Applied);
        let won = u32::try_from(told.count()).unwrap_or(u32::MAX);
        let in_place = answers
            .iter()
            .zip(&bodies)
            .any(|(answer, body)| *answer == Outcome::Applied && holds == *body);
        Ok(if in_place { won } else { won.saturating_add(1) })
    }

    /// Replacing with the tag quoted, unquoted, and of an absent name.
    pub(super) async fn matching(&self) -> (Support, Support, Support) {
        let Some(conditional) = self.store.conditional() else {
            return (
                Support::NotOffered,
                Support::NotOffered,
                Support::NotOffered,
            );
        };
        let quoted = self.replace(conditional, EtagForm::Quoted).await;
        let unquoted = self.replace(conditional, EtagForm::Unquoted).await;
        let missing = self.replace_missing(conditional).await;
        (
            or_failed("if-match, quoted", quoted),
            or_failed("if-match, unquoted", unquoted),
            or_failed("if-match on a missing name", missing),
        )
    }

    async fn replace(&self, conditional: &dyn Conditional, form: EtagForm) -> Result<Support> {
        let key = self.key(&format!("match/{form:?}").to_ascii_lowercase());
        let (first, second, third) = (self.body(90, 4), self.body(91, 5), self.body(92, 6));
        self.store.put(&key, first).await?;
        let stale = conditional.etag(&key).await?;
        match conditional
            .put_if_match(&key, second.clone(), &stale, form)
            .await?
        {
            Outcome::Applied => {}
            Outcome::Refused => return Ok(Support::Refused),
            Outcome::Unsupported => return Ok(Support::Unsupported),
        }
        let answer = conditional.put_if_match(&key, third, &stale, form).await?;
        let kept = self.store.get(&key).await? == second;
        Ok(if answer == Outcome::Refused && kept {
            Support::Works
        } else {
            Support::Ignored
        })
    }

    async fn replace_missing(&self, conditional: &dyn Conditional) -> Result<Support> {
        let model = self.key("match/model");
        let missing = self.key("match/missing");
        self.store.put(&model, self.body(90, 7)).await?;
        let etag = conditional.etag(&model).await?;
        let body = self.body(90, 8);
        let answer = conditional
            .put_if_match(&missing, body, &etag, EtagForm::Unquoted)
            .await;
        let answer = match answer {
            // Most stores say 412, some 404.
            Err(error) if error.kind() == ErrorKind::NotFound => Outcome::Refused,
            answer => answer?,
        };
        Ok(match answer {
            Outcome::Unsupported => Support::Unsupported,
            Outcome::Refused if self.is_absent(&missing).await? => Support::Works,
            Outcome::Refused | Outcome::Applied => Support::Ignored,
        })
    }

    async fn is_absent(&self, key: &Key) -> Result<bool> {
        match self.store.head(key).await {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list_after_write(&self) -> ListAfterWrite {
        let key = self.key("list/new");
        if let Err(error) = self.store.put(&key, self.body(10, 9)).await {
            tracing::warn!(%error, "the probe could not put what lists should show");
            return ListAfterWrite::Failed;
        }
        let begin = Instant::now();
        let mut first = true;
        loop {
            let page = match self
                .store
                .list(&format!("{}list/", self.place()), None, 10)
                .await
            {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "the probe could not list");
                    return ListAfterWrite::Failed;
                }
            };
            let waited = begin.elapsed();
            if page.objects.iter().any(|listed| listed.key == key) {
                return if first {
                    ListAfterWrite::AtOnce
                } else {
                    ListAfterWrite::Within(waited)
                };
            }
            if waited >= self.options.patience {
                return ListAfterWrite::NotWithin(waited);
            }
            first = false;
            sleep(Duration::from_millis(200)).await;
        }
    }

    pub(super) async fn bulk_delete(&self) -> Support {
        or_failed("bulk delete", self.delete_together().await)
    }

    async fn delete_together(&self) -> Result<Support> {
        let keys: Vec<Key> = (0..BULK).map(|i| self.key(&format!("bulk/{i}"))).collect();
        for key in &keys[1..] {
            self.store.put(key, self.body(10, 10)).await?;
        }
        let results = self.store.delete_many(&keys).await;
        if results.len() != keys.len() {
            return Ok(Support::Ignored);
        }
        results.into_iter().collect::<Result<Vec<()>>>()?;
        let end = Instant::now() + self.options.patience;
        for key in &keys {
            while !self.is_absent(key).await? {
                if Instant::now() >= end {
                    return Ok(Support::Ignored);
                }
                sleep(Duration::from_millis(200)).await;
            }
        }
        Ok(Support::Works)
    }

    pub(super) async fn checksum_trailers(&self) -> Support {
        let Some(conditional) = self.store.conditional() else {
            return Support::NotOffered;
        };
        or_failed(
            "checksum trailers",
            self.put_with_trailer(conditional).await,
        )
    }

    async fn put_with_trailer(&self, conditional: &dyn Conditional) -> Result<Support> {
        let key = self.key("trailer");
        let body = self.body(300_000, 11);
        match conditional.put_with_trailer(&key, body.clone()).await? {
            Outcome::Applied => {}
            Outcome::Refused => return Ok(Support::Refused),
            Outcome::Unsupported => return Ok(Support::Unsupported),
        }
        // A store that keeps the encoding of the request in the object gives more bytes.
        match self.store.get(&key).await {
            Ok(found) if found == body => Ok(Support::Works),
            Ok(_) => Ok(Support::Ignored),
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(Support::Ignored),
            Err(error) => Err(error),
        }
    }
}
