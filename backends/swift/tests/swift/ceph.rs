//! Ceph's gateway in its Swift dialect: it passes over conditions, and has no `/info` at the
//! root.

use vpool_object::ErrorKind;
use vpool_object::conformance::{self, ConformanceOptions};
use vpool_object::probe::{ProbeOptions, Support, probe};
use vpool_swift::{SwiftConfig, SwiftStore};
use vpool_test_stores::CephRgw;

use crate::{body, connect, every_operation, key};

fn config(ceph: &CephRgw, endpoint: &str, container: &str) -> SwiftConfig {
    ceph.create_bucket(container).unwrap();
    let url = format!("{endpoint}/auth/v1.0/{container}/some/prefix");
    SwiftConfig::from_url(&url, ceph.swift_credentials_file()).unwrap()
}

#[tokio::test]
async fn conformance_and_what_the_probe_finds() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let store = connect(config(ceph, &ceph.endpoint, "swift"));
    let options = ConformanceOptions {
        big_body_bytes: Some(16 << 20),
        // It takes whatever is put.
        detects_conflicts: false,
        ..ConformanceOptions::default()
    };
    conformance::check(&store, &options).await.unwrap();

    let report = probe(&store, &ProbeOptions::new(0x5eed)).await.unwrap();
    assert_eq!(report.create_if_absent, Support::Ignored, "{report}");
    assert_eq!(report.if_match_quoted, Support::Ignored, "{report}");
    assert_eq!(report.bulk_delete, Support::Works, "{report}");
    assert!(report.left_behind.is_empty(), "{report}");
}

#[tokio::test]
async fn conformance_over_tls_with_our_own_issuer() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let mut good = config(ceph, &ceph.tls_endpoint, "tls");
    good.ca_file = Some(ceph.ca_file());
    let options = ConformanceOptions {
        detects_conflicts: false,
        parallel: 16,
        ..ConformanceOptions::default()
    };
    conformance::check(&connect(good.clone()), &options)
        .await
        .unwrap();

    // The system's issuers do not know ours.
    let mut unknown = good.clone();
    unknown.ca_file = None;
    let error = SwiftStore::connect(unknown).unwrap().reach().await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("set the CA file"), "{error}");

    let clear = ceph.endpoint.replace("http://", "https://");
    let mut clear = config(ceph, &clear, "tls");
    clear.ca_file = Some(ceph.ca_file());
    let error = connect(clear).head(&key("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn the_gateway_is_killed_and_returns() {
    let Some(ceph) = CephRgw::start_or_skip(vpool_test_stores::Kind::Memory) else {
        return;
    };
    let store = connect(config(&ceph, &ceph.endpoint, "outage"));
    store.put(&key("held"), body(100_000)).await.unwrap();
    ceph.gateway_stop().unwrap();
    // The first that is sent meets the end of an old connection.
    let error = store.head(&key("held")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    for (operation, result) in every_operation(&*store, &key("held")).await {
        let error = result.expect_err(operation);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{operation}: {error}");
        let text = error.to_string();
        assert!(text.contains("Connection refused"), "{operation}: {text}");
    }
    ceph.gateway_start().unwrap();
    for (operation, result) in every_operation(&*store, &key("held")).await {
        result.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
    assert_eq!(store.get(&key("held")).await.unwrap(), body(100_000));
}
