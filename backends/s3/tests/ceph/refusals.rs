//! A store that refuses us: the kind, and a message that an operator can act on.

use std::io::Write;

use vpool_object::ErrorKind;
use vpool_s3::{CredentialSource, Credentials, S3Config, S3Store};
use vpool_test_stores::CephRgw;

use crate::{body, config, connect, every_operation, key};

async fn all_fail_with(config: S3Config, kind: ErrorKind, words: &[&str]) {
    let store = connect(config);
    for (operation, result) in every_operation(&*store, &key("held")).await {
        let error = result.expect_err(operation);
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{operation}: {text}");
        for word in words {
            assert!(text.contains(word), "{operation}: no {word:?} in {text:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_secret_is_denied() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let mut config = config(ceph, "wrong-secret");
    config.credentials = CredentialSource::Given(Credentials::new(&ceph.access_key, "canary"));
    let endpoint = ceph.endpoint.as_str();
    let words = [
        endpoint,
        "wrong-secret",
        "SignatureDoesNotMatch",
        "secret key in the given",
    ];
    all_fail_with(config, ErrorKind::Denied, &words).await;
}

#[tokio::test]
async fn an_unknown_access_key_is_denied() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let mut config = config(ceph, "wrong-key");
    config.credentials = CredentialSource::Given(Credentials::new("nobody", "canary"));
    let words = ["InvalidAccessKeyId", "does not know the access key"];
    all_fail_with(config, ErrorKind::Denied, &words).await;
}

#[tokio::test]
async fn a_missing_bucket_is_no_location() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let url = format!("{}/there-is-none/p", ceph.endpoint);
    let config = S3Config::from_url(&url, ceph.credentials_file()).unwrap();
    let words = [url.as_str(), "NoSuchBucket", "make the bucket"];
    all_fail_with(config.clone(), ErrorKind::NoLocation, &words).await;
    let error = S3Store::connect(config).unwrap().reach().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoLocation);
}

#[tokio::test]
async fn nothing_listens() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    // The port of the monitor's neighbour is ours alone until the process ends.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://127.0.0.1:{port}/bucket");
    let config = S3Config::from_url(&url, ceph.credentials_file()).unwrap();
    all_fail_with(
        config,
        ErrorKind::Unavailable,
        &[&url, "Connection refused", "check the port"],
    )
    .await;
}

#[tokio::test]
async fn new_credentials_in_the_file_need_no_restart() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"access_key=nobody\nsecret_key=canary\n")
        .unwrap();
    let mut config = config(ceph, "renewed");
    config.credentials = CredentialSource::File(file.path().to_owned());
    let store = connect(config);
    let name = key("a");
    let error = store.put(&name, body(1000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let file_name = file.path().display().to_string();
    assert!(error.to_string().contains(&file_name), "{error}");

    std::fs::copy(ceph.credentials_file(), file.path()).unwrap();
    store.put(&name, body(1000)).await.unwrap();
    assert_eq!(store.get(&name).await.unwrap(), body(1000));
}

#[tokio::test]
async fn a_range_beyond_the_end_is_invalid() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let store = connect(config(ceph, "beyond"));
    let name = key("ten");
    store.put(&name, body(10)).await.unwrap();
    for range in [10..11, 9..11, 0..11, 100..200, 5..5] {
        let error = store.get_range(&name, range.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{range:?}: {error}");
    }
    assert_eq!(store.get_range(&name, 0..10).await.unwrap(), body(10));
}
