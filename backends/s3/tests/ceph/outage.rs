//! The store goes away in the middle of work, and comes back.

use std::sync::Arc;
use std::time::Duration;

use vpool_object::{ErrorKind, Key, ObjectStore};
use vpool_test_stores::{CephRgw, Kind};

use crate::{body, config, connect, every_operation, key};

const BODY_BYTES: usize = 2 << 20;

/// Puts numbered objects until one fails; answers what was acknowledged, and the error.
async fn put_until_it_fails(
    store: Arc<dyn ObjectStore>,
    writer: usize,
) -> (Vec<Key>, vpool_object::Error) {
    let mut acknowledged = Vec::new();
    for i in 0.. {
        let name = key(&format!("w{writer}/{i:06}"));
        match store.put(&name, body(BODY_BYTES + i)).await {
            Ok(()) => acknowledged.push(name),
            Err(error) => return (acknowledged, error),
        }
    }
    unreachable!("the loop has no end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_killed_while_we_write_and_returns() {
    let Some(ceph) = CephRgw::start_or_skip(Kind::Memory) else {
        return;
    };
    let ceph = Arc::new(ceph);
    let store = connect(config(&ceph, "outage"));
    store.put(&key("held"), body(100)).await.unwrap();

    let writers: Vec<_> = (0..4)
        .map(|writer| tokio::spawn(put_until_it_fails(store.clone(), writer)))
        .collect();
    let first = key("w0/000003");
    while store.head(&first).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let gateway = ceph.clone();
    tokio::task::spawn_blocking(move || gateway.gateway_stop())
        .await
        .unwrap()
        .unwrap();

    let mut acknowledged = Vec::new();
    for writer in writers {
        let (names, error) = writer.await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        acknowledged.extend(names);
    }
    assert!(!acknowledged.is_empty());
    for (operation, result) in every_operation(&*store, &key("held")).await {
        let error = result.expect_err(operation);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{operation}: {error}");
        assert!(
            error.to_string().contains("Connection refused"),
            "{operation}: {error}"
        );
    }

    let gateway = ceph.clone();
    tokio::task::spawn_blocking(move || gateway.gateway_start())
        .await
        .unwrap()
        .unwrap();
    for (operation, result) in every_operation(&*store, &key("held")).await {
        result.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
    for name in &acknowledged {
        let number: usize = name.as_str().rsplit('/').next().unwrap().parse().unwrap();
        assert!(
            store.get(name).await.unwrap() == body(BODY_BYTES + number),
            "{name}"
        );
    }
    // What was in flight may be there or not; a repeat of the same put settles it.
    let torn = acknowledged
        .iter()
        .filter(|name| name.as_str().starts_with("w0/"))
        .count();
    let name = key(&format!("w0/{torn:06}"));
    store.put(&name, body(BODY_BYTES + torn)).await.unwrap();
    assert!(store.get(&name).await.unwrap() == body(BODY_BYTES + torn));
}
