//! Swift with its own auth, version 1.

use bytes::Bytes;
use vpool_object::conformance::{self, ConformanceOptions};
use vpool_object::probe::{ListAfterWrite, ProbeOptions, Support, probe};
use vpool_object::{ErrorKind, Key};
use vpool_swift::{CredentialSource, Credentials, SwiftConfig, SwiftStore};
use vpool_test_stores::{Auth, Swift};
use zeroize::Zeroizing;

use crate::{body, config, connect, key};

#[tokio::test]
async fn conformance_under_a_prefix_and_at_the_root() {
    let Some(swift) = Swift::shared() else {
        return;
    };
    let store = connect(config(swift, "conformance"));
    let options = ConformanceOptions {
        big_body_bytes: Some(16 << 20),
        ..ConformanceOptions::default()
    };
    let report = conformance::check(&store, &options).await.unwrap();
    assert!(report.skipped.is_empty(), "{report:?}");
    assert!(
        store.list("", None, 1).await.unwrap().objects.is_empty(),
        "something is left"
    );

    swift.create_container("conformance-root").unwrap();
    let url = format!("{}/conformance-root", swift.auth_url());
    let mut config = SwiftConfig::from_url(&url, swift.credentials_file()).unwrap();
    config.guard_puts = false;
    let options = ConformanceOptions {
        detects_conflicts: false,
        ..ConformanceOptions::default()
    };
    conformance::check(&connect(config), &options)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_the_probe_finds() {
    let Some(swift) = Swift::shared() else {
        return;
    };
    let store = connect(config(swift, "probe"));
    let report = probe(&store, &ProbeOptions::new(0x5eed)).await.unwrap();
    // As Swift is. How many of several creators win is another number each time.
    assert_eq!(report.create_if_absent, Support::Works, "{report}");
    assert_eq!(report.if_match_quoted, Support::Ignored, "{report}");
    assert_eq!(report.if_match_unquoted, Support::Ignored, "{report}");
    assert_eq!(report.if_match_missing, Support::Ignored, "{report}");
    assert_eq!(report.list_after_write, ListAfterWrite::AtOnce, "{report}");
    assert_eq!(report.bulk_delete, Support::Works, "{report}");
    assert_eq!(report.checksum_trailers, Support::Unsupported, "{report}");
    assert!(report.left_behind.is_empty(), "{report}");
}

#[tokio::test]
async fn small_things() {
    let Some(swift) = Swift::shared() else {
        return;
    };
    names_that_are_none_of_ours_are_passed_over(swift).await;
    empty_objects(swift).await;
    more_deletions_than_one_request_takes(swift).await;
    ranges_beyond_the_end(swift).await;
    debug_and_settings_show_no_secret(swift).await;
}

async fn names_that_are_none_of_ours_are_passed_over(swift: &Swift) {
    let config = config(swift, "foreign");
    // Below our prefix, but no names of ours: capitals.
    for name in ["A", "B", "C"] {
        swift
            .create_object("foreign", &format!("some/prefix/{name}"))
            .unwrap();
    }
    // Beside our prefix.
    swift.create_object("foreign", "some/prefix2/x").unwrap();
    let store = connect(config);
    store.put(&key("a"), body(5)).await.unwrap();
    store.put(&key("b"), body(6)).await.unwrap();
    let page = store.list("", None, 1).await.unwrap();
    assert_eq!(page.objects.len(), 1);
    assert_eq!(page.objects[0].key, key("a"));
    assert!(page.more);
    let page = store.list("", Some(&key("a")), 10).await.unwrap();
    assert_eq!(page.objects.len(), 1);
    assert_eq!(
        (page.objects[0].key.clone(), page.objects[0].bytes),
        (key("b"), 6)
    );
    assert!(!page.more);
}

async fn empty_objects(swift: &Swift) {
    let store = connect(config(swift, "empty"));
    let name = key("empty");
    store.put(&name, Bytes::new()).await.unwrap();
    store.put(&name, Bytes::new()).await.unwrap();
    assert_eq!(store.head(&name).await.unwrap(), 0);
    assert_eq!(store.get(&name).await.unwrap(), Bytes::new());
    for length in [0, 1, 100] {
        let tail = store.get_tail(&name, length).await.unwrap();
        assert_eq!((tail.bytes.len(), tail.object_bytes), (0, 0));
    }
    let error = store.get_range(&name, 0..1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

async fn more_deletions_than_one_request_takes(swift: &Swift) {
    let store = connect(config(swift, "bulk"));
    let keys: Vec<Key> = (0..2_100).map(|i| key(&format!("bulk/{i:05}"))).collect();
    for held in [0, 999, 1_000, 2_099] {
        store.put(&keys[held], body(10)).await.unwrap();
    }
    let results = store.delete_many(&keys).await;
    assert_eq!(results.len(), keys.len());
    assert!(results.iter().all(Result::is_ok));
    assert!(store.list("", None, 1).await.unwrap().objects.is_empty());
    assert!(store.delete_many(&[]).await.is_empty());
}

async fn ranges_beyond_the_end(swift: &Swift) {
    let store = connect(config(swift, "beyond"));
    let name = key("ten");
    store.put(&name, body(10)).await.unwrap();
    for range in [10..11, 9..11, 0..11, 100..200, 5..5] {
        let error = store.get_range(&name, range.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{range:?}: {error}");
    }
    assert_eq!(store.get_range(&name, 0..10).await.unwrap(), body(10));
}

async fn debug_and_settings_show_no_secret(swift: &Swift) {
    let mut config = config(swift, "debug");
    config.credentials = CredentialSource::Given(Credentials::V1 {
        user: "nobody:else".to_owned(),
        key: Zeroizing::new("canary-secret".to_owned()),
    });
    let text = format!("{config:?}");
    let store = SwiftStore::connect(config).unwrap();
    let error = vpool_object::ObjectStore::get(&store, &key("x"))
        .await
        .unwrap_err();
    let text = format!("{text} {store:?} {error} {error:?} {error:#?}");
    assert!(!text.contains("canary"), "{text}");
    assert!(format!("{store:?}").contains("/debug/some/prefix"));
}

/// Every token is forgotten by the proxy while many use them: no operation fails.
#[tokio::test]
async fn lost_tokens_are_replaced() {
    let Some(swift) = Swift::start_or_skip(Auth::Temp) else {
        return;
    };
    let store = connect(config(&swift, "tokens"));
    let held = body(300_000);
    store.put(&key("held"), held.clone()).await.unwrap();
    let keys: Vec<Key> = (0..20).map(|i| key(&format!("many/{i}"))).collect();
    for _ in 0..3 {
        swift.lose_tokens().unwrap();
        let reads = (0..16).map(|_| async { store.get(&key("held")).await.unwrap() });
        for read in futures::future::join_all(reads).await {
            assert_eq!(read, held);
        }
        swift.lose_tokens().unwrap();
        store.put(&keys[0], body(10)).await.unwrap();
        swift.lose_tokens().unwrap();
        assert_eq!(store.list("many/", None, 9).await.unwrap().objects.len(), 1);
        // The first name of a bulk deletion meets the lost token, under a status of success.
        swift.lose_tokens().unwrap();
        let deleted = store.delete_many(&keys).await;
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
        assert_eq!(store.list("many/", None, 9).await.unwrap().objects.len(), 0);
    }
}
