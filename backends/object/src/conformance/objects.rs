//! Clauses about single objects: bodies, ranges, tails, names, repetition.
//!
//! Owns: those checks. Does not own: lists and deletions.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;

use super::{Check, Suite, body, expect_body, expect_kind, told};
use crate::error::ErrorKind;
use crate::key::Key;

impl Suite {
    pub(super) async fn absent(&self) -> Check {
        let key = self.key("absent/none");
        expect_kind("get", self.store.get(&key).await, ErrorKind::NotFound)?;
        expect_kind(
            "get_range",
            self.store.get_range(&key, 0..1).await,
            ErrorKind::NotFound,
        )?;
        expect_kind(
            "get_tail",
            self.store.get_tail(&key, 1).await,
            ErrorKind::NotFound,
        )?;
        expect_kind("head", self.store.head(&key).await, ErrorKind::NotFound)
    }

    pub(super) async fn bodies(&self) -> Check {
        for length in [
            0,
            1,
            2,
            511,
            4095,
            4096,
            4097,
            65_535,
            1_000_003,
            (5 << 20) + 1,
        ] {
            self.comes_back(length).await?;
        }
        Ok(())
    }

    pub(super) async fn big_body(&self, length: usize) -> Check {
        self.comes_back(length).await
    }

    async fn comes_back(&self, length: usize) -> Check {
        let key = self.key(&format!("bodies/{length}"));
        let body = body(length, length as u64);
        self.put(&key, &body).await?;
        expect_body(
            &format!("get {length} bytes"),
            self.store.get(&key).await,
            &body,
        )?;
        let head = self
            .store
            .head(&key)
            .await
            .map_err(|error| told("head", &key, &error))?;
        if head != length as u64 {
            return Err(format!("head: {head} bytes instead of {length}"));
        }
        Ok(())
    }

    pub(super) async fn ranges(&self) -> Check {
        let (key, body) = self.ranged().await?;
        let end = body.len();
        let ranges = [
            0..1,
            0..end,
            end - 1..end,
            1..end - 1,
            4095..4097,
            4096..8192,
            100_000..100_001,
            12_345..end,
        ];
        for range in ranges {
            let asked = range.start as u64..range.end as u64;
            let found = self.store.get_range(&key, asked).await;
            expect_body(&format!("get_range {range:?}"), found, &body[range])?;
        }
        Ok(())
    }

    pub(super) async fn bad_ranges(&self) -> Check {
        let (key, body) = self.ranged().await?;
        let end = body.len() as u64;
        #[expect(clippy::reversed_empty_ranges, reason = "that is what must be refused")]
        let ranges = [
            0..0,
            5..5,
            5..4,
            end..end,
            end..end + 1,
            end - 1..end + 1,
            0..end + 1,
        ];
        for range in ranges {
            let found = self.store.get_range(&key, range.clone()).await;
            expect_kind(
                &format!("get_range {range:?} of {end}"),
                found,
                ErrorKind::Invalid,
            )?;
        }
        let empty = self.key("ranges/empty");
        self.put(&empty, &Bytes::new()).await?;
        let found = self.store.get_range(&empty, 0..1).await;
        expect_kind("get_range 0..1 of nothing", found, ErrorKind::Invalid)
    }

    async fn ranged(&self) -> std::result::Result<(Key, Bytes), String> {
        let key = self.key("ranges/object");
        let body = body(150_001, 1);
        self.put(&key, &body).await?;
        Ok((key, body))
    }

    pub(super) async fn tails(&self) -> Check {
        for length in [0_usize, 1, 10_000] {
            let key = self.key(&format!("tails/{length}"));
            let body = body(length, 2);
            self.put(&key, &body).await?;
            for asked in [0_usize, 1, 2, 9_999, 10_000, 10_001, 1 << 30] {
                let what = format!("get_tail {asked} of {length}");
                let tail = self
                    .store
                    .get_tail(&key, asked as u64)
                    .await
                    .map_err(|error| told(&what, "", &error))?;
                let expect = &body[length.saturating_sub(asked)..];
                expect_body(&what, Ok(tail.bytes), expect)?;
                if tail.object_bytes != length as u64 {
                    return Err(format!("{what}: says {} bytes in all", tail.object_bytes));
                }
            }
        }
        Ok(())
    }

    pub(super) async fn names(&self) -> Check {
        let room = self
            .options
            .key_bytes_max
            .saturating_sub(self.options.prefix.len() + 1);
        let mut names: Vec<String> = [
            "n",
            "0",
            "-",
            "_",
            ".n",
            "n.",
            "..n",
            "n..",
            "n.n-n_n",
            "dots/.n/..n/n..",
            "-/-/-",
        ]
        .map(|name| format!("names/{name}"))
        .to_vec();
        names.push("l".repeat(room));
        names.push("m/".repeat(room / 2 - 1) + &"m".repeat(room - (room / 2 - 1) * 2));
        if self.options.nested_names {
            names.extend(["nest", "nest/a", "nest/a/b", "nest.a", "nest-a"].map(str::to_owned));
        }
        let mut written = Vec::new();
        for (seed, name) in (100..).zip(&names) {
            let (key, body) = (self.key(name), body(50, seed));
            self.put(&key, &body).await?;
            written.push((key, body));
        }
        for (key, body) in &written {
            expect_body(&format!("get {key}"), self.store.get(key).await, body)?;
        }
        Ok(())
    }

    pub(super) async fn repeated_put(&self) -> Check {
        for length in [0, 70_000] {
            let key = self.key(&format!("repeat/{length}"));
            let body = body(length, 3);
            for _ in 0..3 {
                self.put(&key, &body).await?;
            }
            expect_body("get", self.store.get(&key).await, &body)?;
        }
        let key = self.key("repeat/together");
        let body = body(30_000, 4);
        try_join_all((0..8).map(|_| self.put(&key, &body))).await?;
        expect_body(
            "get after puts at the same time",
            self.store.get(&key).await,
            &body,
        )
    }

    pub(super) async fn conflict(&self) -> Check {
        let key = self.key("conflict");
        let first = body(1000, 5);
        self.put(&key, &first).await?;
        let others = [body(1000, 6), body(999, 5), body(1001, 5), Bytes::new()];
        for other in others {
            let what = format!("put {} other bytes", other.len());
            expect_kind(
                &what,
                self.store.put(&key, other).await,
                ErrorKind::Conflict,
            )?;
            expect_body("get", self.store.get(&key).await, &first)?;
        }
        Ok(())
    }

    pub(super) async fn parallel(&self) -> Check {
        let tasks = (0..self.options.parallel as u64).map(|i| {
            let key = self.key(&format!("parallel/{}/{i}", i % 5));
            let body = body(20_000 + usize::try_from(i).unwrap_or(0), 1000 + i);
            let store = Arc::clone(&self.store);
            tokio::spawn(async move {
                store
                    .put(&key, body.clone())
                    .await
                    .map_err(|error| told("put", &key, &error))?;
                let whole = store.get(&key);
                let part = store.get_range(&key, 100..200);
                let (whole, part) = futures::join!(whole, part);
                expect_body(&format!("get {key}"), whole, &body)?;
                expect_body(&format!("get_range {key}"), part, &body[100..200])
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await
                .map_err(|error| format!("a task failed: {error}"))??;
        }
        Ok(())
    }
}
