//! The rules that hold for every path, without a daemon behind them.

mod random;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode, request};
use axum::routing::{get, post};
use tower::ServiceExt;
use vpool_api::limits::REQUEST_BYTES_MAX;
use vpool_api::{Code, CreateDisk, Problem};
use vpool_host::Host;

use super::query::{NoQuery, Query};
use super::repeats::Repeats;
use super::request::{Failed, Json, Named};
use super::{ANSWERS, with_rules};

fn routes(dir: &tempfile::TempDir) -> Router {
    let disk =
        |disk: Named| async move { disk.disk().map(|d| d.to_string()).map_err(Failed::from) };
    let pool = |mut query: Query| async move {
        let pool = query.one("pool")?;
        query.end()?;
        Ok::<_, Failed>(pool.unwrap_or_default())
    };
    let body = |_: NoQuery, Json(_): Json<CreateDisk>| async {};
    let limits = vpool_rocks::Limits {
        block_cache_bytes: 1 << 20,
        write_buffer_bytes: 1 << 20,
    };
    let store = vpool_rocks::RocksStore::open(dir.path(), &[ANSWERS], &limits);
    let store = Arc::new(store.expect("a new store"));
    let repeats = Repeats::open(store, Host::real()).expect("it is empty");
    let v1 = Router::new()
        .route("/disks/{disk}", get(disk))
        .route("/pools", get(pool))
        .route("/make", post(body));
    with_rules(Router::new().nest("/v1", v1), Arc::new(repeats))
}

async fn ask(method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, Bytes) {
    sent(Request::builder().method(method).uri(path), body).await
}

async fn sent(request: request::Builder, body: impl Into<Body>) -> (StatusCode, Bytes) {
    let dir = tempfile::tempdir().expect("a directory");
    let request = request.body(body.into()).expect("a good request");
    let response = routes(&dir).oneshot(request).await.expect("infallible");
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20)
        .await
        .expect("a short body");
    (status, body)
}

async fn problem(method: &str, path: &str, body: impl Into<Body>) -> Problem {
    let (status, body) = ask(method, path, body).await;
    let problem: Problem = serde_json::from_slice(&body).expect("every error is a problem");
    assert_eq!(problem.status, status.as_u16());
    assert!(problem.kind.ends_with(problem.code.name()));
    problem
}

#[tokio::test]
async fn names_come_through_percent_encoding() {
    for (path, name) in [
        ("/v1/disks/demo", "demo"),
        ("/v1/disks/default%3Avm%2Fa%20b", "default:vm/a b"),
        ("/v1/disks/Gr%C3%B6%C3%9Fe", "Größe"),
        ("/v1/disks/100%25", "100%"),
    ] {
        let (status, body) = ask("GET", path, Body::empty()).await;
        assert_eq!(
            (status, &body[..]),
            (StatusCode::OK, name.as_bytes()),
            "{path}"
        );
    }
    for path in [
        "/v1/disks/%FF",
        "/v1/disks/a%2F..%2Fb",
        "/v1/disks/%00",
        "/v1/disks/a%0Ab",
        "/v1/disks/a%40b",
    ] {
        assert_eq!(
            problem("GET", path, Body::empty()).await.code,
            Code::Invalid,
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    assert_eq!(
        problem("GET", "/nowhere", Body::empty()).await.code,
        Code::NotFound
    );
    assert_eq!(
        problem("GET", "/v1/nowhere", Body::empty()).await.code,
        Code::NotFound
    );
    for method in ["PUT", "DELETE", "BREW"] {
        assert_eq!(
            problem(method, "/v1/pools", Body::empty()).await.code,
            Code::MethodNotAllowed,
            "{method}"
        );
    }
    assert_eq!(
        problem("GET", "/v1/pools?pol=a", Body::empty()).await.code,
        Code::Invalid
    );
    assert_eq!(
        ask("GET", "/v1/pools?pool=a%20b", Body::empty()).await.1,
        "a b"
    );
}

#[tokio::test]
async fn bodies_are_read_strictly_and_within_bounds() {
    let good = r#"{"name": "a", "size_bytes": 512}"#;
    assert_eq!(ask("POST", "/v1/make", good).await.0, StatusCode::OK);
    for bad in [
        "",
        "{",
        "[]",
        r#"{"name": "a"}"#,
        r#"{"name": "a", "size_bytes": -1}"#,
        r#"{"name": 1}"#,
    ] {
        assert_eq!(
            problem("POST", "/v1/make", bad).await.code,
            Code::Invalid,
            "{bad}"
        );
    }
    let long = vec![b' '; REQUEST_BYTES_MAX + 1];
    assert_eq!(problem("POST", "/v1/make", long).await.code, Code::TooLarge);
    let deep = "[".repeat(10_000);
    assert_eq!(problem("POST", "/v1/make", deep).await.code, Code::Invalid);
    // Announced is as bad as sent.
    let announced = Request::post("/v1/make").header("content-length", 1 << 30);
    let (status, _) = sent(announced, good).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    for (kind, expected) in [
        ("application/json", StatusCode::OK),
        ("Application/JSON; charset=utf-8", StatusCode::OK),
        ("text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (
            "application/x-www-form-urlencoded",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        ("", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let request = Request::post("/v1/make").header("content-type", kind);
        assert_eq!(sent(request, good).await.0, expected, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    struct Never;
    impl hyper::body::Body for Never {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
    assert_eq!(
        problem("POST", "/v1/make", Body::new(Never)).await.code,
        Code::Invalid
    );
}
