//! Requests that are repeated, changed, given up, and too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Path;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use tower::ServiceExt;
use vpool_host::{Host, LocalStore};
use vpool_rocks::{Limits, RocksStore};

use super::{KEYS_MAX, Repeats, TABLE, repeatable};

struct World {
    routes: Router,
    runs: Arc<AtomicUsize>,
}

fn store(dir: &tempfile::TempDir) -> Arc<dyn LocalStore> {
    let limits = Limits {
        block_cache_bytes: 1 << 20,
        write_buffer_bytes: 1 << 20,
    };
    Arc::new(RocksStore::open(dir.path(), &[TABLE], &limits).expect("a new store"))
}

/// A route that counts how often it is run and answers with that and the status in its path.
fn world(store: &Arc<dyn LocalStore>) -> World {
    let repeats = Repeats::open(store.clone(), Host::real()).expect("they can be read");
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let run = move |Path(status): Path<u16>| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let run = count.fetch_add(1, Ordering::SeqCst);
        let status = StatusCode::from_u16(status).expect("a status");
        (status, format!("run {run}"))
    };
    let layer = axum::middleware::from_fn_with_state(Arc::new(repeats), repeatable);
    World {
        routes: Router::new().route("/{status}", post(run)).layer(layer),
        runs,
    }
}

impl World {
    async fn ask(&self, path: &str, key: &str, body: &'static str) -> (u16, String) {
        let request = Request::post(path).header("idempotency-key", key);
        let request = request.body(Body::from(body)).expect("a good request");
        let response = self.routes.clone().oneshot(request).await;
        let response = response.expect("infallible");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20)
            .await
            .expect("short");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn the_same_request_is_carried_out_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir);
    let world_1 = world(&store);
    let (first, second) = tokio::join!(
        world_1.ask("/200", "k", "body"),
        world_1.ask("/200", "k", "body")
    );
    assert_eq!(first, (200, "run 0".to_owned()));
    assert_eq!(first, second);
    assert_eq!(world_1.ask("/409", "l", "").await.1, "run 1");
    assert_eq!(world_1.ask("/409", "l", "").await.1, "run 1");
    // Another request with it, by path, query and body.
    for (path, body) in [("/201", "body"), ("/200?x=1", "body"), ("/200", "bodies")] {
        let (status, problem) = world_1.ask(path, "k", body).await;
        assert_eq!(status, 409, "{path}: {problem}");
        assert!(problem.contains("conflict") && problem.contains("new key"));
    }
    assert_eq!(world_1.runs(), 2);
    // Over a restart.
    let world_2 = world(&store);
    assert_eq!(world_2.ask("/200", "k", "body").await, first);
    assert_eq!(world_2.ask("/200", "k", "other").await.0, 409);
    assert_eq!(world_2.runs(), 0);
}

#[tokio::test]
async fn what_fails_for_the_moment_is_tried_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(&store(&dir));
    for _ in 0..3 {
        assert_eq!(world.ask("/503", "k", "").await.0, 503);
    }
    assert_eq!(world.runs(), 3);
    // A dry run does nothing: no key is spent on it.
    world.ask("/200?dry_run=true", "d", "").await;
    assert_eq!(world.ask("/200", "d", "").await.0, 200);
    assert_eq!(world.runs(), 5);
}

#[tokio::test]
async fn who_goes_away_finds_the_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(&store(&dir));
    let gone = tokio::time::timeout(Duration::from_millis(1), world.ask("/200", "k", ""));
    assert!(gone.await.is_err());
    assert_eq!(world.ask("/200", "k", "").await.1, "run 0");
    assert_eq!(world.runs(), 1);
}

#[tokio::test]
async fn keys_are_checked_and_bounded() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(&dir);
    let world_1 = world(&store);
    for bad in ["", &"x".repeat(65), "a\tb"] {
        assert_eq!(world_1.ask("/200", bad, "").await.0, 400, "{bad:?}");
    }
    assert_eq!(world_1.ask("/200", &"x".repeat(64), "").await.0, 200);
    let all = (0..KEYS_MAX + 9).map(|n| {
        let world = &world_1;
        async move { world.ask("/200", &format!("key {n}"), "").await.0 }
    });
    for status in futures::future::join_all(all).await {
        assert!(matches!(status, 200 | 503), "{status}");
    }
    let kept = store.scan(TABLE.name, &[], None, 10 * KEYS_MAX);
    assert!(kept.expect("it answers").len() <= KEYS_MAX);
}
