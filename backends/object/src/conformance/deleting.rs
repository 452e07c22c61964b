//! Clauses about deletions.
//!
//! Owns: those checks. A deleted object may be seen for as long as the options allow.

use super::{Check, Suite, body, expect_body, expect_kind, told};
use crate::error::ErrorKind;
use crate::key::Key;

/// More names in one request than S3 takes (1,000): the client must split it.
const MANY: usize = 1_030;

impl Suite {
    pub(super) async fn delete(&self) -> Check {
        let key = self.key("delete/one");
        let other = self.key("delete/other");
        self.put(&key, &body(10, 9)).await?;
        self.put(&other, &body(10, 10)).await?;
        for _ in 0..2 {
            self.store
                .delete(&key)
                .await
                .map_err(|error| told("delete", &key, &error))?;
        }
        let never = self.key("delete/never/there");
        self.store
            .delete(&never)
            .await
            .map_err(|error| told("delete", &never, &error))?;
        self.gone(&key).await?;
        expect_body(
            "get of its neighbour",
            self.store.get(&other).await,
            &body(10, 10),
        )
    }

    pub(super) async fn delete_many(&self) -> Check {
        if !self.store.delete_many(&[]).await.is_empty() {
            return Err("deleting nothing answers something".to_owned());
        }
        let keys: Vec<Key> = (0..MANY)
            .map(|i| self.key(&format!("many/{}/{i}", i % 3)))
            .collect();
        let present: Vec<&Key> = keys.iter().step_by(100).collect();
        for key in &present {
            self.put(key, &body(10, 11)).await?;
        }
        let stays = self.key("many/stays");
        self.put(&stays, &body(10, 12)).await?;
        let results = self.store.delete_many(&keys).await;
        if results.len() != keys.len() {
            return Err(format!(
                "{} results for {} names",
                results.len(),
                keys.len()
            ));
        }
        for (key, result) in keys.iter().zip(results) {
            result.map_err(|error| told("delete_many", key, &error))?;
        }
        for key in present {
            self.gone(key).await?;
        }
        expect_body(
            "get of its neighbour",
            self.store.get(&stays).await,
            &body(10, 12),
        )
    }

    async fn gone(&self, key: &Key) -> Check {
        self.settled(|| async move {
            expect_kind(
                "get of the deleted",
                self.store.get(key).await,
                ErrorKind::NotFound,
            )?;
            let page = self
                .store
                .list(key.as_str(), None, 10)
                .await
                .map_err(|error| told("list", key, &error))?;
            if page.objects.iter().any(|listed| listed.key == *key) {
                return Err(format!("{key} is deleted, but listed"));
            }
            Ok(())
        })
        .await
    }
}
