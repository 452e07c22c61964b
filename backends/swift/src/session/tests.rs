//! One login for all who need it, renewal before the end and after a refusal, and what an
//! auth service may answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use vpool_object::ErrorKind;
use vpool_object::{Key, ObjectStore};
use zeroize::Zeroizing;

use super::{Session, Sessions};
use crate::client;
use crate::config::SwiftConfig;
use crate::credentials::{CredentialSource, Credentials, Keyring};
use crate::store::SwiftStore;
use crate::stub::{Stub, answer};

fn config(stub: &Stub) -> SwiftConfig {
    let keys = CredentialSource::Given(Credentials::V1 {
        user: "test:tester".to_owned(),
        key: Zeroizing::new("canary".to_owned()),
    });
    let url = format!("{}/auth/v1.0/c/p", stub.url);
    SwiftConfig::new(url.parse().unwrap(), keys)
}

fn sessions(stub: &Stub) -> Sessions {
    let config = config(stub);
    let keyring = Keyring::open(config.credentials.clone(), config.location.auth()).unwrap();
    Sessions::new(client::client(&config).unwrap(), config, keyring)
}

/// Gives a token of another number each time.
fn grant(number: usize, lifetime: &str) -> String {
    let fields = format!(
        "X-Auth-Token: t{number}\r\nX-Storage-Url: http://127.0.0.1:9/v1/AUTH_x/\r\n\
         X-Auth-Token-Expires: {lifetime}\r\n"
    );
    answer("200 OK", &fields, "")
}

async fn numbered(lifetime: &'static str) -> Stub {
    let number = AtomicUsize::new(0);
    Stub::start(move |_| grant(number.fetch_add(1, Ordering::Relaxed), lifetime)).await
}

fn token(session: &Session) -> &str {
    session.token.to_str().unwrap()
}

#[tokio::test]
async fn many_at_once_log_in_once() {
    let stub = numbered("3600").await;
    let sessions = sessions(&stub);
    let all = join_all((0..64).map(|_| sessions.current())).await;
    for session in &all {
        let session = session.as_ref().unwrap();
        assert_eq!(token(session), "t0");
        assert_eq!(session.storage_url, "http://127.0.0.1:9/v1/AUTH_x");
        assert!(session.token.is_sensitive());
        assert!(!format!("{session:?}").contains("t0"), "{session:?}");
    }
    assert_eq!(stub.count("get /auth/v1.0 "), 1);

    // All are refused with the same token: one asks for another.
    let refused = all[0].as_ref().unwrap();
    let again = join_all((0..64).map(|_| sessions.another(refused))).await;
    for session in again {
        assert_eq!(token(&session.unwrap()), "t1");
    }
    assert_eq!(stub.count("get"), 2);
    // Who was refused with an old one finds a newer there.
    assert_eq!(token(&sessions.another(refused).await.unwrap()), "t1");
    assert_eq!(stub.count("get"), 2);
}

#[tokio::test]
async fn many_at_once_fail_once_and_later_again() {
    let stub = Stub::start(|_| answer("401 Unauthorized", "", "no")).await;
    let sessions = sessions(&stub);
    for round in 1..=2 {
        for result in join_all((0..16).map(|_| sessions.current())).await {
            let failure = result.unwrap_err();
            assert_eq!(failure.kind, ErrorKind::Denied);
            assert!(failure.to_string().contains("auth v1: 401"), "{failure}");
        }
        assert_eq!(stub.count("get"), round);
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end() {
    let stub = numbered("10").await;
    let sessions = sessions(&stub);
    let first = sessions.current().await.unwrap();
    // Of ten seconds the last two are for renewing.
    let left = first.over.unwrap() - first.due.unwrap();
    assert_eq!(left, Duration::from_secs(2));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(9)).await;
    tokio::time::resume();
    assert_eq!(token(&sessions.current().await.unwrap()), "t1");
    assert_eq!(stub.count("get"), 2);
}

/// A catalog in another order, or another account in the credentials: the pool is not there.
#[tokio::test]
async fn a_store_stays_in_its_place() {
    let number = AtomicUsize::new(0);
    let stub = Stub::start(move |_| match number.fetch_add(1, Ordering::Relaxed) {
        1 => grant(1, "100").replace("AUTH_x", "AUTH_y"),
        number => grant(number, "100"),
    })
    .await;
    let sessions = sessions(&stub);
    let first = sessions.current().await.unwrap();
    let failure = sessions.another(&first).await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::NoLocation);
    let text = failure.to_string();
    assert!(text.contains("AUTH_x") && text.contains("AUTH_y"), "{text}");
    assert_eq!(token(&sessions.another(&first).await.unwrap()), "t2");
}

#[tokio::test]
async fn a_token_without_an_end_is_asked_for_again_all_the_same() {
    let stub = numbered("18446744073709551615").await;
    let session = sessions(&stub).current().await.unwrap();
    assert!(session.over.is_some());
}

#[tokio::test]
async fn an_early_renewal_that_fails_leaves_the_old_token_until_its_end() {
    let number = AtomicUsize::new(0);
    let stub = Stub::start(move |_| match number.fetch_add(1, Ordering::Relaxed) {
        0 => grant(0, "100"),
        _ => answer("503 Service Unavailable", "", ""),
    })
    .await;
    let sessions = sessions(&stub);
    sessions.current().await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(90)).await;
    tokio::time::resume();
    for _ in 0..3 {
        assert_eq!(token(&sessions.current().await.unwrap()), "t0");
    }
    assert_eq!(stub.count("get"), 2, "no storm of logins");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    let failure = sessions.current().await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn the_same_token_again_is_used_to_its_end() {
    let stub = Stub::start(|_| grant(7, "100")).await;
    let sessions = sessions(&stub);
    let first = sessions.current().await.unwrap();
    let again = sessions.another(&first).await.unwrap();
    assert_eq!(again.due, again.over);
}

#[tokio::test]
async fn answers_that_are_no_session() {
    for (answer_text, kind, word) in [
        (
            answer("200 OK", "", ""),
            ErrorKind::Damaged,
            "X-Storage-Url",
        ),
        (
            answer("200 OK", "X-Storage-Url: http://h/v1/a\r\n", ""),
            ErrorKind::Damaged,
            "no token",
        ),
        (
            answer(
                "200 OK",
                "X-Auth-Token: t\r\nX-Storage-Url: ftp://h/a\r\n",
                "",
            ),
            ErrorKind::NoLocation,
            "storage URL",
        ),
        (
            answer(
                "200 OK",
                "X-Auth-Token: t\r\nX-Storage-Url: http://u:p@h/a\r\n",
                "",
            ),
            ErrorKind::NoLocation,
            "storage URL",
        ),
        (
            answer("404 Not Found", "", ""),
            ErrorKind::Unavailable,
            "404",
        ),
        (
            answer("302 Found", "Location: /x\r\n", ""),
            ErrorKind::NoLocation,
            "302",
        ),
        (answer("429 Slow", "", ""), ErrorKind::Throttled, "429"),
    ] {
        let stub = Stub::start(move |_| answer_text.clone()).await;
        let failure = sessions(&stub).current().await.unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.to_string().contains(word), "{failure}");
    }
}

/// A store whose token is refused once: the request is repeated with another, and when that
/// is refused too, it is over.
#[tokio::test]
async fn a_refused_request_is_repeated_once() {
    let url = Arc::new(std::sync::OnceLock::<String>::new());
    let (of_stub, logins) = (url.clone(), AtomicUsize::new(0));
    let stub = Stub::start(move |request| {
        let base = of_stub.get().unwrap();
        if request.starts_with("get /auth/v1.0 ") {
            let number = logins.fetch_add(1, Ordering::Relaxed);
            let fields = format!("X-Auth-Token: t{number}\r\nX-Storage-Url: {base}/v1/AUTH_x\r\n");
            return answer("200 OK", &fields, "");
        }
        let good = request.contains("x-auth-token: t1") && !request.contains("/never");
        match good {
            true => answer("200 OK", "ETag: x\r\n", "abc"),
            false => answer("401 Unauthorized", "X-Trans-Id: tx\r\n", "who?"),
        }
    })
    .await;
    url.set(stub.url.clone()).unwrap();
    let store = SwiftStore::connect(config(&stub)).unwrap();
    let key = |name: &str| Key::new(name).unwrap();
    assert_eq!(store.get(&key("a")).await.unwrap(), "abc");
    assert_eq!(stub.count("get /v1/auth_x/c/p/a "), 2);
    assert_eq!(stub.count("get /auth"), 2);

    let error = store.get(&key("never")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert_eq!(stub.count("get /v1/auth_x/c/p/never "), 2);
    assert_eq!(stub.count("get /auth"), 3);
}

/// A missing object in a container that is not there is a missing container.
#[tokio::test]
async fn a_404_is_of_the_object_or_of_the_container() {
    let url = Arc::new(std::sync::OnceLock::<String>::new());
    let (of_stub, heads) = (url.clone(), AtomicUsize::new(0));
    let stub = Stub::start(move |request| {
        let base = of_stub.get().unwrap();
        if request.starts_with("get /auth/v1.0 ") {
            let fields = format!("X-Auth-Token: t\r\nX-Storage-Url: {base}/v1/AUTH_x\r\n");
            return answer("200 OK", &fields, "");
        }
        if request.starts_with("head /v1/auth_x/c ") {
            // Its servers are away, it is there, it is away, they are away again.
            return match heads.fetch_add(1, Ordering::Relaxed) {
                0 => answer("503 Service Unavailable", "X-Trans-Id: tx\r\n", ""),
                1 => answer("204 No Content", "X-Trans-Id: tx\r\n", ""),
                2 => answer("503 Service Unavailable", "X-Trans-Id: tx\r\n", ""),
                _ => answer("404 Not Found", "X-Trans-Id: tx\r\n", ""),
            };
        }
        answer("404 Not Found", "X-Trans-Id: tx\r\n", "")
    })
    .await;
    url.set(stub.url.clone()).unwrap();
    let store = SwiftStore::connect(config(&stub)).unwrap();
    let key = Key::new("a").unwrap();
    let kind = || async { store.get(&key).await.unwrap_err().kind() };
    let later = || async {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(11)).await;
        tokio::time::resume();
    };
    assert_eq!(kind().await, ErrorKind::Unavailable, "never seen");
    assert_eq!(kind().await, ErrorKind::NotFound, "seen");
    assert_eq!(kind().await, ErrorKind::NotFound, "not asked again");
    assert_eq!(stub.count("head"), 2);
    later().await;
    assert_eq!(kind().await, ErrorKind::NotFound, "seen before");
    assert_eq!(kind().await, ErrorKind::NoLocation);
    assert_eq!(kind().await, ErrorKind::NoLocation, "asked again");
    assert_eq!(stub.count("head"), 5);
}
