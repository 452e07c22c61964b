//! Deleting many.
//!
//! Owns: bulk deletion with one result for each key, and doing without it.
//! Does not own: what may be deleted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use vpool_http::cause::printable;
use vpool_object::{ErrorKind, Key, ObjectStore, Result};

use crate::call::collect_up_to;
use crate::failure::Failure;
use crate::limits::{ANSWER_BYTES_MAX, SINGLE_DELETES_AT_ONCE_MAX};
use crate::session::Session;
use crate::store::SwiftStore;

/// What a bulk deletion came to; the names that were deleted are not told.
#[derive(Debug, Deserialize)]
struct Outcome {
    #[serde(rename = "Response Status")]
    status: String,
    #[serde(rename = "Number Deleted")]
    deleted: usize,
    #[serde(rename = "Number Not Found")]
    not_found: usize,
    /// `/CONTAINER/NAME` and a status.
    #[serde(rename = "Errors")]
    errors: Vec<(String, String)>,
}

impl SwiftStore {
    pub(crate) async fn delete_all(&self, keys: &[Key]) -> Vec<Result<()>> {
        if keys.len() < 2 || !self.deletes_in_bulk.load(Ordering::Relaxed) {
            return self.delete_singly(keys).await;
        }
        let Some(count_max) = self.info().await.bulk_delete_max else {
            return self.delete_singly(keys).await;
        };
        let mut results = Vec::with_capacity(keys.len());
        for batch in keys.chunks(count_max) {
            results.extend(self.delete_batch(batch).await);
        }
        results
    }

    async fn delete_batch(&self, keys: &[Key]) -> Vec<Result<()>> {
        let failure = match self.bulk_delete(keys).await {
            Ok(results) => return results,
            Err(failure) => failure,
        };
        if failure.kind == ErrorKind::Invalid {
            if self.deletes_in_bulk.swap(false, Ordering::Relaxed) {
                tracing::info!(store = ?self, "the store refuses bulk deletion; one by one then");
            }
            return self.delete_singly(keys).await;
        }
        // One failure, told once for each key.
        let place = format!("{}/ ({} objects)", self.config.location, keys.len());
        let error = failure.into_error("delete", &place, &self.sessions.place());
        keys.iter().map(|_| Err(error.repeat())).collect()
    }

    async fn delete_singly(&self, keys: &[Key]) -> Vec<Result<()>> {
        let deletions: Vec<_> = keys.iter().map(|key| self.delete(key)).collect();
        stream::iter(deletions)
            .buffered(SINGLE_DELETES_AT_ONCE_MAX)
            .collect()
            .await
    }

    async fn bulk_delete(&self, keys: &[Key]) -> std::result::Result<Vec<Result<()>>, Failure> {
        let names: Vec<String> = keys.iter().map(|key| self.path(key)).collect();
        let body = Bytes::from(names.join("\n"));
        let ask = |session| self.send_bulk_delete(session, body.clone());
        let outcome = self.call(ask).await?;
        if outcome.not_found > 0 {
            // Absent objects are fine, those of an absent container are not.
            let absent = Failure::new(ErrorKind::NotFound, "the objects are not there");
            let absent = self.with_presence(absent).await;
            if absent.kind != ErrorKind::NotFound {
                return Err(absent);
            }
        }
        let mut failed = outcome.failures(names.len())?;
        let failures: Vec<_> = names.iter().map(|name| failed.remove(bare(name))).collect();
        if let Some((name, _)) = failed.into_iter().next() {
            let what = format!("the store tells of {name:?}, which was not asked for");
            return Err(Failure::new(ErrorKind::Unavailable, what));
        }
        let result = |(key, failure): (&Key, Option<Failure>)| match failure {
            None => Ok(()),
            Some(failure) => Err(self.error("delete", key, failure)),
        };
        Ok(keys.iter().zip(failures).map(result).collect())
    }

    async fn send_bulk_delete(
        &self,
        session: Arc<Session>,
        names: Bytes,
    ) -> std::result::Result<Outcome, Failure> {
        let url = format!("{}?bulk-delete=true", session.storage_url);
        let request = self
            .request(&session, Method::POST, &url)
            .header(CONTENT_TYPE, "text/plain")
            .header(ACCEPT, "application/json")
            .body(names);
        // 204 is the answer to a POST that is no bulk deletion to the store.
        let expect = [StatusCode::OK, StatusCode::NO_CONTENT];
        let answer = self.send(request, 0, &expect).await;
        let answer = answer.map_err(|failure| match failure.kind {
            ErrorKind::NotFound => failure.of_kind(ErrorKind::NoLocation).during("the account"),
            _ => failure,
        })?;
        if answer.status() == StatusCode::NO_CONTENT {
            let cause = "the store knows no bulk deletion";
            return Err(Failure::new(ErrorKind::Invalid, cause));
        }
        let body = collect_up_to(&self.config, answer, ANSWER_BYTES_MAX).await?;
        let outcome: Outcome = serde_json::from_slice(&body).map_err(|error| {
            let cause = format!("no outcome of a bulk deletion: {error}");
            Failure::new(ErrorKind::Damaged, printable(&cause))
        })?;
        match outcome.refused_token() {
            Some(failure) => Err(failure),
            None => Ok(outcome),
        }
    }
}

impl Outcome {
    /// The token is looked at only when a name is deleted, under an answer that has begun
    /// as a success.
    fn refused_token(&self) -> Option<Failure> {
        let errors = self.errors.iter().map(|(_, status)| status);
        let mut all = std::iter::once(&self.status).chain(errors);
        all.find(|status| status.starts_with("401"))
            .map(|status| Failure::from_words(status))
    }

    /// The names that were not deleted. Whatever the answer does not account for is a
    /// failure of all.
    fn failures(&self, asked: usize) -> std::result::Result<HashMap<&str, Failure>, Failure> {
        let told = self.deleted + self.not_found + self.errors.len();
        if told != asked {
            let status = match self.status.starts_with("200") {
                true => Failure::new(ErrorKind::Unavailable, "200 OK"),
                false => Failure::from_words(&self.status),
            };
            // Repeated it may come to more: what is deleted then is absent.
            let kind = match status.kind {
                ErrorKind::Invalid => ErrorKind::Unavailable,
                kind => kind,
            };
            let what = format!("the store tells of {told} objects out of {asked}");
            return Err(status.of_kind(kind).during(what));
        }
        let errors = self.errors.iter();
        Ok(errors
            .map(|(name, status)| (bare(name), Failure::from_words(status)))
            .filter(|(_, failure)| failure.kind != ErrorKind::NotFound)
            .collect())
    }
}

/// `CONTAINER/NAME`: Swift puts a `/` before it, Ceph does not.
fn bare(name: &str) -> &str {
    name.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    //! What an answer says of each name.

    use super::Outcome;
    use vpool_object::ErrorKind;

    fn outcome(status: &str, deleted: usize, not_found: usize, errors: &str) -> Outcome {
        let text = format!(
            r#"   {{"Number Deleted": {deleted}, "Number Not Found": {not_found}, "Response Body": "",
                "Response Status": "{status}", "Errors": {errors}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn answers() {
        let good = outcome("200 OK", 2, 1, "[]");
        assert!(good.failures(3).unwrap().is_empty());

        let some = outcome(
            "400 Bad Request",
            1,
            1,
            r#"[["/c/p/a", "409 Conflict"], ["/c/p/b", "404 Not Found"]]"#,
        );
        let failed = some.failures(4).unwrap();
        assert_eq!(failed.len(), 1, "what is absent is deleted");
        assert_eq!(failed["c/p/a"].kind, ErrorKind::Unavailable);

        // As Ceph has it.
        let some = outcome("400 Bad Request", 1, 0, r#"[["c/p/a", "409 Conflict"]]"#);
        let failed = some.failures(2).unwrap();
        assert_eq!(failed["c/p/a"].kind, ErrorKind::Unavailable);
    }

    #[test]
    fn a_token_that_is_refused_in_the_middle() {
        assert!(outcome("200 OK", 2, 1, "[]").refused_token().is_none());
        let whole = outcome("401 Unauthorized", 0, 0, "[]");
        let one = outcome("400 Bad Request", 1, 0, r#"[["/c/a", "401 Unauthorized"]]"#);
        for refused in [whole, one] {
            assert_eq!(refused.refused_token().unwrap().status, Some(401));
        }
    }

    #[test]
    fn answers_that_leave_something_out() {
        let check = |status: &str, kind: ErrorKind| {
            let failure = outcome(status, 1, 0, "[]").failures(2).unwrap_err();
            assert_eq!(failure.kind, kind, "{status}");
        };
        check("200 OK", ErrorKind::Unavailable);
        check("400 Bad Request", ErrorKind::Unavailable);
        check("502 Bad Gateway", ErrorKind::Unavailable);
        check("403 Forbidden", ErrorKind::Denied);
    }
}
