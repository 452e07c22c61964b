//! Clauses about lists.
//!
//! Owns: those checks. Since lists may lag, each is repeated as long as the options allow.

use super::{Check, Suite, body, told};
use crate::Listed;
use crate::key::Key;

/// Names whose order as whole names is not the order of their parts.
const NAMES: [&str; 14] = [
    "a-",
    "a-b",
    "a.b",
    "a/b-c",
    "a/b.c",
    "a/b/c",
    "a/b/d",
    "a/b0",
    "a/c",
    "a0",
    "a_",
    "aa",
    "b/a/a/a/a",
    "c",
];

/// More of them where an object's name may be another's directory.
const NESTED: [&str; 3] = ["a", "a/b", "b/a/a"];

impl Suite {
    /// Puts what the lists shall show, and answers it in order, under `place`.
    async fn listed(&self, place: &str) -> std::result::Result<Vec<Listed>, String> {
        let mut names: Vec<&str> = NAMES.to_vec();
        if self.options.nested_names {
            names.extend(NESTED);
        }
        let mut expect = Vec::new();
        for (i, name) in names.into_iter().enumerate() {
            let key = self.key(&format!("{place}/{name}"));
            self.put(&key, &body(i * 7, 7)).await?;
            expect.push(Listed {
                key,
                bytes: i as u64 * 7,
            });
        }
        expect.sort();
        Ok(expect)
    }

    pub(super) async fn lists(&self) -> Check {
        let all = &self.listed("list/one").await?;
        let beside = self.key("list/one0");
        self.put(&beside, &body(1, 8)).await?;
        let place = &format!("{}/list/one/", self.options.prefix);
        for count_max in [1, 2, 3, 5, 16, 17, 18, 1000] {
            for part in [
                "", "a", "a/", "a/b", "a/b/", "a/b/c", "a0", "b/a", "c", "d", "a//", "a/../",
            ] {
                let prefix = &format!("{place}{part}");
                self.settled(|| async move {
                    let found = self.list_all(prefix, None, count_max).await?;
                    expect_list(prefix, count_max, all, &found, |key| {
                        key.starts_with(prefix)
                    })
                })
                .await?;
            }
        }
        Ok(())
    }

    pub(super) async fn lists_after(&self) -> Check {
        let all = &self.listed("list/two").await?;
        let place = &format!("{}/list/two/", self.options.prefix);
        let between = ["0", "a/b/", "a/b/bb", "a/bb", "a/z", "b/a/a/a", "zz"];
        let mut starts: Vec<Key> = all.iter().map(|listed| listed.key.clone()).collect();
        for name in between {
            let name = format!("{place}{name}");
            starts.push(Key::new(name.trim_end_matches('/')).map_err(|e| e.to_string())?);
        }
        starts.push(Key::new("0").map_err(|error| error.to_string())?);
        starts.push(Key::new("zzz").map_err(|error| error.to_string())?);
        for after in &starts {
            for part in ["", "a/", "a/b"] {
                let prefix = &format!("{place}{part}");
                self.settled(|| async move {
                    let found = self.list_all(prefix, Some(after), 4).await?;
                    let what = format!("{prefix} after {after}");
                    expect_list(&what, 4, all, &found, |key| {
                        key.starts_with(prefix) && key > after.as_str()
                    })
                })
                .await?;
            }
        }
        Ok(())
    }

    /// All pages one after the other, each checked by itself.
    async fn list_all(
        &self,
        prefix: &str,
        after: Option<&Key>,
        count_max: usize,
    ) -> std::result::Result<Vec<Listed>, String> {
        let mut found = Vec::new();
        let mut after = after.cloned();
        loop {
            let page = self
                .store
                .list(prefix, after.as_ref(), count_max)
                .await
                .map_err(|error| told("list", prefix, &error))?;
            if page.objects.len() > count_max {
                return Err(format!("list {prefix}: more than {count_max} in a page"));
            }
            let last = page.objects.last().map(|listed| listed.key.clone());
            found.extend(page.objects);
            match last {
                _ if !page.more => return Ok(found),
                Some(last) if after.as_ref().is_none_or(|after| last > *after) => {
                    after = Some(last);
                }
                _ => {
                    return Err(format!(
                        "list {prefix}: a page with more to come leads nowhere"
                    ));
                }
            }
        }
    }
}

fn expect_list(
    what: &str,
    count_max: usize,
    all: &[Listed],
    found: &[Listed],
    wanted: impl Fn(&str) -> bool,
) -> Check {
    let expect: Vec<&Listed> = all
        .iter()
        .filter(|listed| wanted(listed.key.as_str()))
        .collect();
    if found.iter().eq(expect.iter().copied()) {
        return Ok(());
    }
    Err(format!(
        "list {what} by {count_max}: {found:?} instead of {expect:?}"
    ))
}
