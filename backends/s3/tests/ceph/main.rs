//! The S3 store against a real Ceph gateway, near and behind a broken network.
//!
//! One cluster for all tests here, a bucket for each; `outage` has a cluster of its own.
//! Without Ceph they are skipped with a reason, in CI they fail.

#![expect(clippy::unwrap_used, clippy::panic, reason = "all of it is tests")]

mod faults;
mod outage;
mod refusals;
mod requests;
mod tls;

use std::sync::Arc;

use bytes::Bytes;
use vpool_object::conformance::{self, ConformanceOptions};
use vpool_object::probe::{ListAfterWrite, ProbeOptions, Support, probe};
use vpool_object::{Key, ObjectStore};
use vpool_s3::{CredentialSource, S3Config, S3Store};
use vpool_test_stores::CephRgw;

/// Settings for a bucket of the cluster, reached through `endpoint`.
fn config_at(ceph: &CephRgw, endpoint: &str, bucket: &str) -> S3Config {
    ceph.create_bucket(bucket).unwrap();
    let url = format!("{endpoint}/{bucket}/some/prefix");
    S3Config::from_url(&url, ceph.credentials_file()).unwrap()
}

fn config(ceph: &CephRgw, bucket: &str) -> S3Config {
    config_at(ceph, &ceph.endpoint, bucket)
}

fn connect(config: S3Config) -> Arc<dyn ObjectStore> {
    Arc::new(S3Store::connect(config).unwrap())
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

#[tokio::test]
async fn conformance_under_a_prefix() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let store = connect(config(ceph, "conformance"));
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
}

#[tokio::test]
async fn conformance_at_the_root_without_guard_or_signed_bodies() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    ceph.create_bucket("conformance-root").unwrap();
    let url = format!("{}/conformance-root", ceph.endpoint);
    let mut config = S3Config::from_url(&url, ceph.credentials_file()).unwrap();
    config.guard_puts = false;
    config.payload_signing = vpool_s3::PayloadSigning::Never;
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
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let store = connect(config(ceph, "probe"));
    let report = probe(&store, &ProbeOptions::new(0x5eed)).await.unwrap();
    // As Ceph 16.2 is: conditions are atomic, tags want no quotes, trailers are unknown.
    assert!(report.create_is_atomic(), "{report}");
    assert_eq!(report.if_match_quoted, Support::Refused, "{report}");
    assert_eq!(report.if_match_unquoted, Support::Works, "{report}");
    assert_eq!(report.if_match_missing, Support::Works, "{report}");
    assert_eq!(report.list_after_write, ListAfterWrite::AtOnce, "{report}");
    assert_eq!(report.bulk_delete, Support::Works, "{report}");
    assert_eq!(report.checksum_trailers, Support::Unsupported, "{report}");
    assert!(report.left_behind.is_empty(), "{report}");
}

#[tokio::test]
async fn names_that_are_none_of_ours_are_passed_over() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let config = config(ceph, "foreign");
    // Below our prefix, but no names of ours: capitals.
    for name in ["A", "B", "C"] {
        ceph.create_object("foreign", &format!("some/prefix/{name}"))
            .unwrap();
    }
    // Beside our prefix.
    ceph.create_object("foreign", "some/prefix2/x").unwrap();
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

#[tokio::test]
async fn empty_objects() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let store = connect(config(ceph, "empty"));
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
    assert_eq!(error.kind(), vpool_object::ErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn more_deletions_than_one_request_takes() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let store = connect(config(ceph, "bulk"));
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

#[tokio::test]
async fn debug_and_settings_show_no_secret() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let mut config = config(ceph, "debug");
    let keys = vpool_s3::Credentials::new("AK", "canary-secret").with_session_token("canary-token");
    config.credentials = CredentialSource::Given(keys);
    let text = format!("{config:?}");
    let store = S3Store::connect(config).unwrap();
    let error = store.get(&key("x")).await.unwrap_err();
    let text = format!("{text} {store:?} {error} {error:?} {error:#?}");
    assert!(!text.contains("canary"), "{text}");
    assert!(format!("{store:?}").contains("/debug/some/prefix"));
}
