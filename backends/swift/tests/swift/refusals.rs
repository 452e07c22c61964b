//! A store that refuses us: the kind, and a message that an operator can act on.

use vpool_object::ErrorKind;
use vpool_swift::{CredentialSource, Credentials, SwiftConfig, SwiftStore};
use vpool_test_stores::Swift;
use zeroize::Zeroizing;

use crate::{config, connect, every_operation, key};

async fn all_fail_with(config: SwiftConfig, kind: ErrorKind, words: &[&str]) {
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
async fn what_is_wrong_is_said() {
    let Some(swift) = Swift::shared() else {
        return;
    };
    let given = |user: &str| {
        CredentialSource::Given(Credentials::V1 {
            user: user.to_owned(),
            key: Zeroizing::new("canary".to_owned()),
        })
    };
    let mut wrong_key = config(swift, "wrong");
    wrong_key.credentials = given("test:tester");
    let url = swift.auth_url();
    let words = [&*url, "wrong", "auth v1: 401", "secret in the given"];
    all_fail_with(wrong_key.clone(), ErrorKind::Denied, &words).await;

    let mut unknown_user = wrong_key;
    unknown_user.credentials = given("no:body");
    all_fail_with(unknown_user, ErrorKind::Denied, &["auth v1: 401"]).await;

    let url = format!("{}/there-is-none/p", swift.auth_url());
    let absent = SwiftConfig::from_url(&url, swift.credentials_file()).unwrap();
    let words = [url.as_str(), "make the container"];
    all_fail_with(absent.clone(), ErrorKind::NoLocation, &words).await;
    let store = SwiftStore::connect(absent).unwrap();
    let error = store.reach().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoLocation);

    // The proxy listens there, but it is no auth service.
    let url = format!("{}/nothing/v1.0/c/p", swift.endpoint());
    let elsewhere = SwiftConfig::from_url(&url, swift.credentials_file()).unwrap();
    let store = SwiftStore::connect(elsewhere).unwrap();
    let error = store.reach().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("auth v1") && text.contains(&url), "{text}");

    // Free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://127.0.0.1:{port}/auth/v1.0/c");
    let nobody = SwiftConfig::from_url(&url, swift.credentials_file()).unwrap();
    let words = [&*url, "Connection refused", "check the port"];
    all_fail_with(nobody, ErrorKind::Unavailable, &words).await;
}
