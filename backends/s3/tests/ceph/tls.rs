//! TLS: an issuer that is trusted, one that is not, and a server that speaks none.

use vpool_object::ErrorKind;
use vpool_object::conformance::{self, ConformanceOptions};
use vpool_s3::{S3Config, S3Store};
use vpool_test_stores::CephRgw;

use crate::{connect, key};

fn config(ceph: &CephRgw, endpoint: &str) -> S3Config {
    ceph.create_bucket("tls").unwrap();
    S3Config::from_url(&format!("{endpoint}/tls/p"), ceph.credentials_file()).unwrap()
}

#[tokio::test]
async fn conformance_over_tls_with_our_own_issuer() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let mut config = config(ceph, &ceph.tls_endpoint);
    config.ca_file = Some(ceph.ca_file());
    let options = ConformanceOptions {
        parallel: 16,
        ..ConformanceOptions::default()
    };
    conformance::check(&connect(config), &options)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_issuer_that_is_not_trusted() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    // The system's issuers do not know ours.
    let store = S3Store::connect(config(ceph, &ceph.tls_endpoint)).unwrap();
    let error = store.reach().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("set the CA file"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let endpoint = ceph.endpoint.replace("http://", "https://");
    let mut config = config(ceph, &endpoint);
    config.ca_file = Some(ceph.ca_file());
    let store = connect(config);
    let error = store.head(&key("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}
