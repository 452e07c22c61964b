//! Listing.
//!
//! Owns: paging by name, our prefix taken off, names that are none of ours passed over.
//! Does not own: anything that recovery rests on; a listing is a hint.

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use vpool_object::{ErrorKind, Key, Listed, Page, Result};

use crate::failure::Failure;
use crate::limits::{LIST_FOREIGN_PAGES_MAX, LIST_KEYS_MAX};
use crate::store::S3Store;

impl S3Store {
    /// One page with at least one name of ours, unless there is none.
    pub(crate) async fn list_page(
        &self,
        prefix: &str,
        after: Option<&Key>,
        count_max: usize,
    ) -> Result<Page> {
        let place = format!("{}/{prefix}", self.config.location);
        let listed = self.list_ours(prefix, after, count_max).await;
        listed.map_err(|failure| failure.into_error("list", &place, &self.keyring.place()))
    }

    async fn list_ours(
        &self,
        prefix: &str,
        after: Option<&Key>,
        count_max: usize,
    ) -> std::result::Result<Page, Failure> {
        let prefix = format!("{}{prefix}", self.root);
        let mut after = after.map(|key| self.name(key));
        for _ in 0..LIST_FOREIGN_PAGES_MAX {
            let answer =
                self.send_list(&prefix, after.as_deref(), count_max.clamp(1, LIST_KEYS_MAX));
            let answer = answer.await?;
            let raw = RawPage::check(&answer, &prefix, after.as_deref())?;
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
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> std::result::Result<ListObjectsV2Output, Failure> {
        let count_max = i32::try_from(count_max).expect("at most LIST_KEYS_MAX");
        let list = self
            .client
            .list_objects_v2()
            .bucket(self.config.location.bucket());
        let list = list.prefix(prefix).max_keys(count_max);
        // By name, not by the server's token: the caller's next page may be of another day.
        let list = list.set_start_after(after.map(str::to_owned));
        self.call(0, || list.clone().send()).await
    }
}

/// A page as the server gave it: names with our prefix, in order.
struct RawPage {
    names: Vec<(String, u64)>,
    last: Option<String>,
    more: bool,
}

impl RawPage {
    /// Names out of order, or outside of what was asked for, make paging skip or repeat.
    fn check(
        answer: &ListObjectsV2Output,
        prefix: &str,
        after: Option<&str>,
    ) -> std::result::Result<RawPage, Failure> {
        let damaged = |cause: &str| Failure::new(ErrorKind::Damaged, cause);
        let mut names: Vec<(String, u64)> = Vec::with_capacity(answer.contents().len());
        for object in answer.contents() {
            let name = object
                .key()
                .ok_or_else(|| damaged("a listed object has no name"))?;
            let bytes = object.size().and_then(|bytes| u64::try_from(bytes).ok());
            let bytes = bytes.ok_or_else(|| damaged("a listed object has no length"))?;
            let last = names.last().map(|(last, _)| last.as_str()).or(after);
            if last.is_some_and(|last| name <= last) || !name.starts_with(prefix) {
                return Err(damaged("the listing is out of order"));
            }
            names.push((name.to_owned(), bytes));
        }
        let last = names.last().map(|(name, _)| name.clone());
        let more = answer.is_truncated().unwrap_or(false);
        if more && last.is_none() {
            return Err(damaged("the listing is empty, and should go on"));
        }
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
mod tests;
