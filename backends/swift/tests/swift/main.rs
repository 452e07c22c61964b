//! The Swift store against a real OpenStack Swift with both kinds of auth, and against
//! Ceph's gateway in its Swift dialect; near, and behind a broken network.
//!
//! One Swift for all parts of a test; `lag` and `keystone` have one of their own. Without
//! Swift or Ceph they are skipped with a reason, in CI they fail.

#![expect(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

mod ceph;
mod faults;
mod keystone;
mod lag;
mod refusals;
mod s3;
mod tempauth;

use std::sync::Arc;

use bytes::Bytes;
use vpool_object::{Key, ObjectStore};
use vpool_swift::{SwiftConfig, SwiftStore};
use vpool_test_stores::Swift;

/// Settings for a new container.
fn config(swift: &Swift, container: &str) -> SwiftConfig {
    swift.create_container(container).unwrap();
    let url = format!("{}/{container}/some/prefix", swift.auth_url());
    SwiftConfig::from_url(&url, swift.credentials_file()).unwrap()
}

fn connect(config: SwiftConfig) -> Arc<dyn ObjectStore> {
    Arc::new(SwiftStore::connect(config).unwrap())
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

/// Bytes in which every place differs from its neighbours.
fn body(length: usize) -> Bytes {
    // A prime period, shifted from one 64 KiB to the next.
    let byte = |i: usize| u8::try_from((i + i / 65_536) % 251).expect("less than 251");
    (0..length).map(byte).collect()
}

/// Runs every operation of the trait once, and tells how it went. `held` exists where the
/// store is sound.
async fn every_operation(
    store: &dyn ObjectStore,
    held: &Key,
) -> Vec<(&'static str, vpool_object::Result<()>)> {
    let fresh = key("every/operation");
    let two = [key("every/one"), key("every/two")];
    let mut results = vec![
        ("put", store.put(&fresh, body(1000)).await),
        ("get", store.get(held).await.map(drop)),
        ("get_range", store.get_range(held, 1..9).await.map(drop)),
        ("get_tail", store.get_tail(held, 9).await.map(drop)),
        ("head", store.head(held).await.map(drop)),
        ("list", store.list("", None, 10).await.map(drop)),
        ("delete", store.delete(&fresh).await),
    ];
    results.extend(
        store
            .delete_many(&two)
            .await
            .into_iter()
            .map(|result| ("delete_many", result)),
    );
    assert_eq!(results.len(), 9);
    results
}
