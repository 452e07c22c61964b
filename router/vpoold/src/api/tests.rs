//! The rules that hold for every path, without a daemon behind them.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use tower::ServiceExt;
use vpool_api::limits::REQUEST_BYTES_MAX;
use vpool_api::{Code, CreateDisk, Problem};

use super::request::{Failed, Named, Query, json};
use super::with_rules;

fn routes() -> Router {
    let disk =
        |disk: Named| async move { disk.disk().map(|d| d.to_string()).map_err(Failed::from) };
    let pool = |query: Query| async move { query.pool.unwrap_or_default() };
    let body =
        |body: Bytes| async move { json::<CreateDisk>(&body).map(|_| ()).map_err(Failed::from) };
    with_rules(
        Router::new()
            .route("/disks/{disk}", get(disk))
            .route("/pools", get(pool))
            .route("/make", post(body)),
    )
}

async fn ask(method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(body.into());
    let response = routes()
        .oneshot(request.expect("a good request"))
        .await
        .expect("infallible");
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
    problem
}

#[tokio::test]
async fn names_come_through_percent_encoding() {
    for (path, name) in [
        ("/disks/demo", "demo"),
        ("/disks/default%3Avm%2Fa%20b", "default:vm/a b"),
        ("/disks/Gr%C3%B6%C3%9Fe", "Größe"),
        ("/disks/100%25", "100%"),
    ] {
        let (status, body) = ask("GET", path, Body::empty()).await;
        assert_eq!(
            (status, &body[..]),
            (StatusCode::OK, name.as_bytes()),
            "{path}"
        );
    }
    for path in [
        "/disks/%FF",
        "/disks/a%2F..%2Fb",
        "/disks/%00",
        "/disks/a%0Ab",
        "/disks/a%40b",
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
        problem("PUT", "/pools", Body::empty()).await.code,
        Code::MethodNotAllowed
    );
    assert_eq!(
        problem("GET", "/pools?pol=a", Body::empty()).await.code,
        Code::Invalid
    );
    assert_eq!(
        ask("GET", "/pools?pool=a%20b", Body::empty()).await.1,
        "a b"
    );
}

#[tokio::test]
async fn bodies_are_read_strictly_and_within_bounds() {
    let good = r#"{"name": "a", "size_bytes": 512}"#;
    assert_eq!(ask("POST", "/make", good).await.0, StatusCode::OK);
    for bad in [
        "",
        "{",
        "[]",
        r#"{"name": "a"}"#,
        r#"{"name": "a", "size_bytes": -1}"#,
        r#"{"name": 1}"#,
    ] {
        assert_eq!(
            problem("POST", "/make", bad).await.code,
            Code::Invalid,
            "{bad}"
        );
    }
    let long = vec![b' '; REQUEST_BYTES_MAX + 1];
    assert_eq!(problem("POST", "/make", long).await.code, Code::TooLarge);
    let deep = "[".repeat(100_000);
    assert_eq!(problem("POST", "/make", deep).await.code, Code::Invalid);
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
        problem("POST", "/make", Body::new(Never)).await.code,
        Code::Invalid
    );
}
