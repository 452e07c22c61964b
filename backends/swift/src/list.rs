//! Listing.
//!
//! Owns: paging by name, our prefix taken off, names that are none of ours passed over.
//! Does not own: anything that recovery rests on; a listing is a hint, and Swift's lags
//! whenever a container's servers were away.

use std::sync::Arc;

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use vpool_http::cause::printable;
use vpool_object::{ErrorKind, Key, Listed, Page, Result};

use crate::call::collect_up_to;
use crate::failure::Failure;
use crate::limits::{LIST_BYTES_MAX, LIST_FOREIGN_PAGES_MAX, LIST_KEYS_MAX};
use crate::session::Session;
use crate::store::SwiftStore;

impl SwiftStore {
    /// One page with at least one name of ours, unless there is none.
    pub(crate) async fn list_page(
        &self,
        prefix: &str,
        after: Option<&Key>,
        count_max: usize,
    ) -> Result<Page> {
        let place = format!("{}/{prefix}", self.config.location);
        let listed = self.list_ours(prefix, after, count_max).await;
        listed.map_err(|failure| failure.into_error("list", &place, &self.sessions.place()))
    }

    async fn list_ours(
        &self,
        prefix: &str,
        after: Option<&Key>,
        count_max: usize,
    ) -> std::result::Result<Page, Failure> {
        let prefix = format!("{}{prefix}", self.root);
        let limit = count_max.clamp(1, LIST_KEYS_MAX);
        let mut after = after.map(|key| self.name(key));
        for _ in 0..LIST_FOREIGN_PAGES_MAX {
            let ask = |session| self.send_list(session, &prefix, after.as_deref(), limit);
            let entries = self.call(ask).await?;
            let raw = RawPage::check(entries, &prefix, after.as_deref(), limit)?;
            let mut objects = raw.ours(&self.root);
            let more = raw.more || objects.len() > count_max;
            objects.truncate(count_max);
            if !objects.is_empty() || !raw.more || count_max == 0 {
                return Ok(Page { objects, more });
            }
            // Foreign names only: the caller could not say where to go on.
            after = raw.last;
        }
        let cause = "thousands of names there are none of ours: it is no vPool location";
        Err(Failure::new(ErrorKind::NoLocation, cause))
    }

    async fn send_list(
        &self,
        session: Arc<Session>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> std::result::Result<Vec<Entry>, Failure> {
        let mut url = Url::parse(&self.container_url(&session))
            .map_err(|error| Failure::new(ErrorKind::Invalid, error.to_string()))?;
        url.query_pairs_mut()
            .append_pair("format", "json")
            .append_pair("limit", &limit.to_string())
            .append_pair("prefix", prefix)
            .append_pair("marker", after.unwrap_or_default());
        let request = self.request(&session, Method::GET, url.as_str());
        let expect = [StatusCode::OK, StatusCode::NO_CONTENT];
        let answer = self.send(request, 0, &expect).await;
        let answer = answer.map_err(|failure| self.of_container(failure))?;
        if answer.status() == StatusCode::NO_CONTENT {
            self.presence.seen();
            return Ok(Vec::new());
        }
        let body = collect_up_to(&self.config, answer, LIST_BYTES_MAX).await?;
        let entries = serde_json::from_slice(&body).map_err(|error| {
            let cause = format!("a listing that is none of Swift's: {error}");
            Failure::new(ErrorKind::Damaged, printable(&cause))
        })?;
        self.presence.seen();
        Ok(entries)
    }
}

/// A line of a listing, as it is sent.
#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    bytes: u64,
}

/// A page as the server gave it: names with our prefix, in order.
struct RawPage {
    names: Vec<(String, u64)>,
    last: Option<String>,
    more: bool,
}

impl RawPage {
    /// Names out of order, or outside of what was asked for, make paging skip or repeat. A
    /// page that is full may have others behind it.
    fn check(
        entries: Vec<Entry>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> std::result::Result<RawPage, Failure> {
        let damaged = |cause: &str| Failure::new(ErrorKind::Damaged, cause);
        if entries.len() > limit {
            return Err(damaged("the listing is longer than was asked for"));
        }
        let more = entries.len() == limit;
        let mut names: Vec<(String, u64)> = Vec::with_capacity(entries.len());
        for Entry { name, bytes } in entries {
            let last = names.last().map(|(last, _)| last.as_str()).or(after);
            if last.is_some_and(|last| *name <= *last) || !name.starts_with(prefix) {
                return Err(damaged("the listing is out of order"));
            }
            names.push((name, bytes));
        }
        let last = names.last().map(|(name, _)| name.clone());
        Ok(RawPage { names, last, more })
    }

    fn ours(&self, root: &str) -> Vec<Listed> {
        let ours = |(name, bytes): &(String, u64)| {
            let key = name.strip_prefix(root).and_then(|name| Key::new(name).ok());
            Some(Listed {
                key: key?,
                bytes: *bytes,
            })
        };
        self.names.iter().filter_map(ours).collect()
    }
}

#[cfg(test)]
mod tests {
    //! Pages that are believed, and pages that are not.

    use super::{Entry, RawPage};

    fn page(names: &[&str], prefix: &str, after: Option<&str>, limit: usize) -> Option<RawPage> {
        let entry = |name: &&str| Entry {
            name: (*name).to_owned(),
            bytes: 1,
        };
        RawPage::check(names.iter().map(entry).collect(), prefix, after, limit).ok()
    }

    #[test]
    fn good_pages() {
        let full = page(&["p/A", "p/a", "p/b"], "p/", None, 3).unwrap();
        assert!(full.more);
        assert_eq!(full.last.as_deref(), Some("p/b"));
        let ours: Vec<_> = full.ours("p/").into_iter().map(|one| one.key).collect();
        assert_eq!(format!("{ours:?}"), "[a, b]", "capitals are none of ours");
        let rest = page(&["p/c"], "p/", Some("p/b"), 3).unwrap();
        assert!(!rest.more);
        assert!(!page(&[], "p/", None, 3).unwrap().more);
    }

    #[test]
    fn bad_pages() {
        assert!(page(&["p/b", "p/a"], "p/", None, 9).is_none(), "backwards");
        assert!(page(&["p/a", "p/a"], "p/", None, 9).is_none(), "twice");
        assert!(page(&["q/a"], "p/", None, 9).is_none(), "elsewhere");
        assert!(page(&["p/a"], "p/", Some("p/a"), 9).is_none(), "not after");
        assert!(page(&["p/a", "p/b"], "p/", None, 1).is_none(), "too many");
    }

    #[test]
    fn a_line_that_lacks_something_is_damage() {
        for text in [
            r#"[{"name": "a"}]"#,
            r#"[{"bytes": 1}]"#,
            r#"{"name": 1}"#,
            "[",
            "",
        ] {
            assert!(serde_json::from_str::<Vec<Entry>>(text).is_err(), "{text}");
        }
        let text = r#"[{"name": "a", "bytes": 1, "hash": "x", "content_type": "y"}]"#;
        assert_eq!(serde_json::from_str::<Vec<Entry>>(text).unwrap().len(), 1);
    }
}
