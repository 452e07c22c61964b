//! T24: whatever stands in a request, it is answered, shortly, and never by a 5xx.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use tower::ServiceExt;
use vpool_api::Task;

use super::super::list::Listing;
use super::super::query::Query;
use super::{routes, to_bytes};

/// Requests of each kind.
const CASES: u32 = 2_000;

/// What a problem may have at the most, however long the request.
const PROBLEM_BYTES_MAX: usize = 2_000;

/// What stands in a query, a path or a header: mostly with what has a meaning there.
fn piece() -> impl Strategy<Value = String> {
    let meant = vec![
        "limit",
        "after",
        "sort",
        "filter",
        "fields",
        "wait",
        "dry_run",
        "pool",
        "id",
        "state",
        "-created_at",
        "created_at",
        "running",
        "true",
        "false",
        "1",
        "1000",
        "0",
        "18446744073709551616",
        "5b225d",
        "=",
        "&",
        "~",
        ",",
        "+",
        "%",
        "%00",
        "%FF",
        "%C3%B6",
        "%E2%80",
        "%2F",
        "..",
        "/",
        ":",
        "@",
        ";",
        "ö",
        "\u{202e}",
    ];
    let meant = proptest::sample::select(meant).prop_map(str::to_owned);
    let anything = any::<String>();
    let long = (any::<char>(), 0..20_000_usize).prop_map(|(c, n)| c.to_string().repeat(n));
    let piece = prop_oneof![8 => meant, 2 => anything, 1 => long];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// The same with `=` and `&` in their places.
fn query() -> impl Strategy<Value = String> {
    let pair = (piece(), piece()).prop_map(|(name, value)| format!("{name}={value}"));
    let pairs = proptest::collection::vec(pair, 0..6).prop_map(|pairs| pairs.join("&"));
    prop_oneof![piece(), pairs]
}

fn runner() -> TestRunner {
    TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn any_query_is_taken_or_refused() {
    let run = runner().run(&query(), |text| {
        let mut query = Query::parse(&text);
        let listing = Listing::<Task>::of(&mut query);
        let problem = match listing {
            Ok(listing) => {
                assert!(listing.page(Vec::new()).items.is_empty());
                query.end().err()
            }
            Err(problem) => Some(problem),
        };
        if let Some(problem) = problem {
            let bytes = serde_json::to_vec(&problem).expect("plain data").len();
            assert!(bytes < PROBLEM_BYTES_MAX, "{problem:?}");
        }
        Ok(())
    });
    run.expect("no case fails");
}

#[test]
fn any_request_is_answered() {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let routes = routes(&dir);
    let path = prop_oneof![
        Just("/v1/disks/".to_owned()),
        Just("/v1/pools".to_owned()),
        Just("/v1/make".to_owned()),
        piece()
    ];
    let methods = vec![
        Method::GET,
        Method::POST,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let method = proptest::sample::select(methods);
    let body = proptest::collection::vec(any::<u8>(), 0..200);
    let request = (method, path, piece(), query(), piece(), piece(), body);
    let run = runner().run(&request, |(method, path, name, query, key, kind, body)| {
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}{name}?{query}"))
            .header("idempotency-key", key)
            .header("content-type", kind)
            .body(Body::from(body));
        // What is no request at all HTTP refuses by itself.
        let Ok(request) = request else {
            return Ok(());
        };
        let response = runtime.block_on(routes.clone().oneshot(request));
        let response = response.expect("infallible");
        let status = response.status();
        let body = runtime.block_on(to_bytes(response.into_body(), 1 << 20));
        let body = body.expect("a short body");
        assert!(!status.is_server_error(), "{status}: {body:?}");
        if status != StatusCode::OK {
            assert!(body.len() < PROBLEM_BYTES_MAX, "{status}: {body:?}");
        }
        Ok(())
    });
    run.expect("no case fails");
}
