//! What a store says of itself, at `/info`.
//!
//! Owns: asking once, where it is, bulk deletion among it. Does not own: bulk deletion.

use reqwest::StatusCode;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::call::{collect_up_to, failure_text, send};
use crate::failure::Failure;
use crate::limits::{ANSWER_BYTES_MAX, DELETE_KEYS_MAX};
use crate::store::SwiftStore;

/// What was found out; nothing is asked before it is needed.
pub(crate) type Known = OnceCell<Info>;

/// Of what a store says, what is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Info {
    /// How many names a bulk deletion takes; `None`: the store knows none.
    pub(crate) bulk_delete_max: Option<usize>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    bulk_delete: Option<BulkDelete>,
}

#[derive(Deserialize)]
struct BulkDelete {
    #[serde(default)]
    max_deletes_per_request: Option<usize>,
}

impl SwiftStore {
    /// What the store says. A failure is none of the caller's: it does without, and asks
    /// again the next time.
    pub(crate) async fn info(&self) -> Info {
        match self.info.get_or_try_init(|| self.ask_info()).await {
            Ok(info) => *info,
            Err(failure) => {
                tracing::warn!(store = ?self, cause = %failure, "the store does not say what it can");
                Info::default()
            }
        }
    }

    async fn ask_info(&self) -> Result<Info, Failure> {
        let session = self.sessions.current().await?;
        let request = self.client.get(info_url(&session.storage_url));
        let mut answer = send(&self.config, request, 0).await?;
        let status = answer.status();
        if status == StatusCode::OK {
            let body = collect_up_to(&self.config, answer, ANSWER_BYTES_MAX).await?;
            return Ok(parse(&body));
        }
        let text = failure_text(&self.config, &mut answer).await;
        if status.is_client_error() {
            // It has none, or does not show it.
            return Ok(Info::default());
        }
        Err(Failure::from_answer(status, answer.headers(), &text))
    }
}

/// It stands beside the version of the API: `…/v1/AUTH_x` ▶ `…/info`.
fn info_url(storage_url: &str) -> String {
    let path = storage_url.find("://").map_or(0, |at| at + 3);
    let begin = storage_url[path..].find('/').map(|at| path + at);
    let end = begin.and_then(|begin| storage_url[begin..].find("/v1").map(|at| begin + at));
    let base = &storage_url[..end.or(begin).unwrap_or(storage_url.len())];
    format!("{base}/info")
}

/// What is no such document says nothing.
fn parse(body: &[u8]) -> Info {
    let answer: Answer = serde_json::from_slice(body).unwrap_or(Answer { bulk_delete: None });
    let max = |bulk: BulkDelete| bulk.max_deletes_per_request.unwrap_or(DELETE_KEYS_MAX);
    Info {
        bulk_delete_max: answer
            .bulk_delete
            .map(|bulk| max(bulk).min(DELETE_KEYS_MAX))
            .filter(|max| *max > 1),
    }
}

#[cfg(test)]
mod tests {
    //! Where it is, and what is read.

    use super::{info_url, parse};

    #[test]
    fn places() {
        let check = |url: &str, expect: &str| assert_eq!(info_url(url), expect, "{url}");
        check("http://h:1/v1/AUTH_x", "http://h:1/info");
        check("http://h/swift/v1/AUTH_x", "http://h/swift/info");
        check("http://h/swift/v1", "http://h/swift/info");
        check("https://v1.example/v1/a", "https://v1.example/info");
        check("http://h/other", "http://h/info");
        check("http://h", "http://h/info");
    }

    #[test]
    fn documents() {
        let check = |text: &str, expect: Option<usize>| {
            assert_eq!(parse(text.as_bytes()).bulk_delete_max, expect, "{text}");
        };
        check(
            r#"{"bulk_delete": {"max_deletes_per_request": 10000}}"#,
            Some(1000),
        );
        check(
            r#"{"bulk_delete": {"max_deletes_per_request": 50}}"#,
            Some(50),
        );
        check(
            r#"{"bulk_delete": {}, "swift": {"version": "1"}}"#,
            Some(1000),
        );
        check(r#"{"bulk_delete": {"max_deletes_per_request": 0}}"#, None);
        check(r#"{"swift": {}}"#, None);
        check("<html>", None);
        check("", None);
    }
}
