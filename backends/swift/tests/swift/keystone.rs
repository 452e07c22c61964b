//! Swift with Keystone v3: tokens that end, a password that changes, a catalog.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use vpool_object::ErrorKind;
use vpool_object::conformance::{self, ConformanceOptions};
use vpool_swift::{CredentialSource, Interface};
use vpool_test_stores::{Auth, Swift};

use crate::{body, config, connect, key};

/// Longer than a bulk deletion of a thousand names, each of which is asked of the token.
const TOKEN_LIFE: Duration = Duration::from_secs(25);

#[tokio::test]
async fn conformance_over_the_ends_of_tokens_and_a_new_password() {
    let auth = Auth::Keystone {
        token_life: TOKEN_LIFE,
    };
    let Some(swift) = Swift::start_or_skip(auth) else {
        return;
    };
    let mut config = config(&swift, "conformance");
    config.region = Some("RegionOne".to_owned());
    let begun = Instant::now();
    let options = ConformanceOptions {
        big_body_bytes: Some(16 << 20),
        // Keystone is asked by each of those that begin with a new token.
        parallel: 16,
        ..ConformanceOptions::default()
    };
    let store = connect(config.clone());
    let report = conformance::check(&store, &options).await.unwrap();
    assert!(report.skipped.is_empty(), "{report:?}");
    // What has not lasted longer than a token goes on until it has.
    store.put(&key("held"), body(1000)).await.unwrap();
    while begun.elapsed() < TOKEN_LIFE + Duration::from_secs(1) {
        assert_eq!(store.get(&key("held")).await.unwrap(), body(1000));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    config.interface = Interface::Internal;
    let internal = connect(config.clone());
    assert_eq!(internal.head(&key("held")).await.unwrap(), 1000);
    config.region = Some("elsewhere".to_owned());
    let error = connect(config.clone()).head(&key("held")).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoLocation, "{error}");
    assert!(error.to_string().contains("public in RegionOne"), "{error}");

    // The password changes, and with it every token is refused. The file is read again.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    let write = |password: &str| {
        let text = format!("user=vpool\npassword={password}\nproject=storage\n");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    };
    fs::copy(swift.credentials_file(), &file).unwrap();
    config.region = None;
    config.credentials = CredentialSource::File(file.clone());
    let store = connect(config);
    store.head(&key("held")).await.unwrap();
    swift.change_password("vpool-test-second").unwrap();
    // Swift keeps what Keystone said of a token for a while, and is made to forget it; both
    // count in whole seconds. At the latest the token ends.
    let changed = Instant::now();
    let error = loop {
        swift.lose_tokens().unwrap();
        match store.head(&key("held")).await {
            Err(error) => break error,
            Ok(_) => assert!(changed.elapsed() < 2 * TOKEN_LIFE, "an old token is good"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let text = error.to_string();
    assert!(text.contains(&file.display().to_string()), "{text}");
    assert!(!text.contains("vpool-test"), "{text}");
    write("vpool-test-second");
    assert_eq!(store.head(&key("held")).await.unwrap(), 1000);
}
