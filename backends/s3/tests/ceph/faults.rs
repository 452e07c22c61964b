//! A broken network between the store and us: the right kind of error, never wrong bytes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vpool_object::ErrorKind::{self, Damaged, NoSpace, Throttled, Unavailable};
use vpool_object::ObjectStore;
use vpool_test_stores::{CephRgw, Mode, Proxy};

use crate::{body, config_at, connect, every_operation, key};

/// The silence after which the store gives up here.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

const HELD_BYTES: usize = 1 << 20;

/// A store behind a proxy, with the object `held` in it.
struct World {
    proxy: Proxy,
    store: Arc<dyn ObjectStore>,
}

impl World {
    async fn new(bucket: &str) -> Option<World> {
        let ceph = CephRgw::shared()?;
        let proxy = Proxy::start(ceph.port()).await.unwrap();
        let mut config = config_at(ceph, &proxy.endpoint(), bucket);
        config.answer_timeout = ANSWER_TIMEOUT;
        config.bytes_per_second_min = NonZeroU32::new(1 << 20).unwrap();
        let store = connect(config);
        store.put(&key("held"), body(HELD_BYTES)).await.unwrap();
        Some(World { proxy, store })
    }

    async fn set(&self, mode: Mode) {
        self.proxy.set_mode(mode).await.unwrap();
    }

    async fn every_operation_fails_with(&self, mode: Mode, kinds: &[ErrorKind]) {
        self.set(mode.clone()).await;
        for (operation, result) in every_operation(&*self.store, &key("held")).await {
            let error = result
                .err()
                .unwrap_or_else(|| panic!("{operation} succeeds in {mode:?}"));
            assert!(
                kinds.contains(&error.kind()),
                "{operation} in {mode:?}: {error:?}"
            );
        }
    }

    async fn is_sound(&self) {
        self.set(Mode::Pass).await;
        for (operation, result) in every_operation(&*self.store, &key("held")).await {
            result.unwrap_or_else(|error| panic!("{operation}: {error}"));
        }
        assert!(self.store.get(&key("held")).await.unwrap() == body(HELD_BYTES));
    }
}

fn kind<T: std::fmt::Debug>(result: vpool_object::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn refused_hanging_and_garbled() {
    let Some(world) = World::new("f-garbled").await else {
        return;
    };
    for mode in [Mode::Refuse, Mode::garbage(), Mode::LoseAnswer] {
        world.every_operation_fails_with(mode, &[Unavailable]).await;
        world.is_sound().await;
    }
    world.set(Mode::Hang).await;
    let begin = std::time::Instant::now();
    assert_eq!(kind(world.store.get(&key("held")).await), Unavailable);
    assert_eq!(
        kind(world.store.put(&key("fresh"), body(10)).await),
        Unavailable
    );
    assert!(
        begin.elapsed() < 3 * ANSWER_TIMEOUT,
        "hung for {:?}",
        begin.elapsed()
    );
    world.is_sound().await;
}

#[tokio::test]
async fn answers_with_an_error() {
    let Some(world) = World::new("f-errors").await else {
        return;
    };
    let check = |status, code, kind| (Mode::s3_error(status, code), kind);
    for (mode, kind) in [
        check("503 Service Unavailable", "SlowDown", Throttled),
        check("429 Too Many Requests", "TooManyRequests", Throttled),
        check("503 Service Unavailable", "ServiceUnavailable", Unavailable),
        check("500 Internal Server Error", "InternalError", Unavailable),
        check("507 Insufficient Storage", "InsufficientStorage", NoSpace),
        check("403 Forbidden", "QuotaExceeded", NoSpace),
        check("403 Forbidden", "RequestTimeTooSkewed", ErrorKind::Denied),
        (
            Mode::answer("502 Bad Gateway", "", b"<html>no</html>"),
            Unavailable,
        ),
        (Mode::answer("504 Gateway Timeout", "", b""), Unavailable),
        (Mode::answer("429 Too Many Requests", "", b""), Throttled),
        // A page that is not found is not an object that is not there.
        (
            Mode::answer("404 Not Found", "", b"<html>nginx</html>"),
            Unavailable,
        ),
        (
            Mode::answer("302 Found", "Location: http://127.0.0.1:1/\r\n", b""),
            ErrorKind::NoLocation,
        ),
    ] {
        world.every_operation_fails_with(mode, &[kind]).await;
    }
    world.is_sound().await;
}

#[tokio::test]
async fn a_success_that_is_none() {
    let Some(world) = World::new("f-success").await else {
        return;
    };
    let transient = [Unavailable, Damaged];
    let page = b"<html>welcome to the hotel's wireless network</html>";
    for mode in [
        Mode::s3_error("200 OK", "InternalError"),
        Mode::answer("200 OK", "Content-Type: text/html\r\n", page),
    ] {
        world.set(mode.clone()).await;
        for (operation, result) in every_operation(&*world.store, &key("held")).await {
            // A delete's answer has nothing in it that could be checked but an error.
            let unchecked = operation == "delete"
                && mode == Mode::answer("200 OK", "Content-Type: text/html\r\n", page);
            match result {
                Ok(()) => assert!(unchecked, "{operation} succeeds in {mode:?}"),
                Err(error) => assert!(transient.contains(&error.kind()), "{operation}: {error}"),
            }
        }
    }
    world.is_sound().await;
}

#[tokio::test]
async fn bodies_that_break_off() {
    let Some(world) = World::new("f-bodies").await else {
        return;
    };
    let held = key("held");
    for after_bytes in [0, 1, 1_000, HELD_BYTES - 1] {
        world.set(Mode::ShortAnswer { after_bytes }).await;
        assert_eq!(
            kind(world.store.get(&held).await),
            Damaged,
            "short after {after_bytes}"
        );
        world.set(Mode::ResetAnswer { after_bytes }).await;
        assert_eq!(
            kind(world.store.get(&held).await),
            Unavailable,
            "reset after {after_bytes}"
        );
    }
    world.set(Mode::ShortAnswer { after_bytes: 100 }).await;
    assert_eq!(kind(world.store.get_range(&held, 5..5_000).await), Damaged);
    assert_eq!(kind(world.store.get_tail(&held, 5_000).await), Damaged);
    assert_eq!(kind(world.store.list("", None, 10).await), Damaged);
    world.is_sound().await;
}

#[tokio::test]
async fn puts_that_break_off_or_whose_answer_is_lost() {
    let Some(world) = World::new("f-puts").await else {
        return;
    };
    let (torn, lost) = (key("torn"), key("lost"));
    world
        .set(Mode::ResetRequest {
            after_bytes: 300_000,
        })
        .await;
    assert_eq!(
        kind(world.store.put(&torn, body(HELD_BYTES)).await),
        Unavailable
    );
    world.set(Mode::LoseAnswer).await;
    assert_eq!(
        kind(world.store.put(&lost, body(HELD_BYTES)).await),
        Unavailable
    );

    world.set(Mode::Pass).await;
    assert_eq!(
        kind(world.store.get(&torn).await),
        ErrorKind::NotFound,
        "half a body was taken"
    );
    world.store.put(&torn, body(HELD_BYTES)).await.unwrap();
    // It had been done; the repeat finds its own bytes, other bytes find a conflict.
    assert!(world.store.get(&lost).await.unwrap() == body(HELD_BYTES));
    world.store.put(&lost, body(HELD_BYTES)).await.unwrap();
    assert_eq!(
        kind(world.store.put(&lost, body(HELD_BYTES - 1)).await),
        ErrorKind::Conflict
    );
    let mut other = body(HELD_BYTES).to_vec();
    other[HELD_BYTES / 2] ^= 1;
    assert_eq!(
        kind(world.store.put(&lost, Bytes::from(other)).await),
        ErrorKind::Conflict
    );
    assert!(world.store.get(&lost).await.unwrap() == body(HELD_BYTES));
}

#[tokio::test]
async fn slow_is_not_broken_until_it_is_stuck() {
    let Some(world) = World::new("f-slow").await else {
        return;
    };
    world.set(Mode::Delay(Duration::from_millis(300))).await;
    assert!(world.store.get(&key("held")).await.unwrap() == body(HELD_BYTES));
    world
        .set(Mode::Rate {
            bytes_per_second: 4 << 20,
        })
        .await;
    assert!(world.store.get(&key("held")).await.unwrap() == body(HELD_BYTES));
    world
        .store
        .put(&key("slow"), body(HELD_BYTES))
        .await
        .unwrap();
    // 1 MiB at 50 KB/s takes 20 s; it has 2 s and one for the MiB.
    world
        .set(Mode::Rate {
            bytes_per_second: 50_000,
        })
        .await;
    assert_eq!(kind(world.store.get(&key("held")).await), Unavailable);
    assert_eq!(
        kind(world.store.put(&key("slower"), body(HELD_BYTES)).await),
        Unavailable
    );
    world.is_sound().await;
}

#[tokio::test]
async fn parts_that_are_not_what_was_asked_for() {
    let Some(world) = World::new("f-parts").await else {
        return;
    };
    let held = key("held");
    let range = |range: &str, bytes: usize| {
        let fields = format!("ETag: \"x\"\r\nContent-Range: {range}\r\n");
        Mode::answer("206 Partial Content", &fields, &body(bytes))
    };
    let chunked = b"HTTP/1.1 206 Partial Content\r\nETag: \"x\"\r\nTransfer-Encoding: chunked\r\n\
        Content-Range: bytes 10-19/100\r\n\r\na\r\n0123456789\r\n0\r\n\r\n";
    for mode in [
        range("bytes 11-20/100", 10),
        range("bytes 10-19/100", 9),
        range("bytes 10-18/100", 9),
        range("bytes 0-99/100", 100),
        range("10-19/100", 10),
        range("bytes 19-10/100", 10),
        Mode::answer("200 OK", "ETag: \"x\"\r\n", &body(100)),
        Mode::answer("200 OK", "ETag: \"x\"\r\n", &body(10)),
        Mode::answer(
            "206 Partial Content",
            "Content-Range: bytes 10-19/100\r\n",
            &body(10),
        ),
        Mode::Answer(chunked.to_vec()),
    ] {
        world.set(mode.clone()).await;
        assert_eq!(
            kind(world.store.get_range(&held, 10..20).await),
            Damaged,
            "{mode:?}"
        );
    }
    // The end of the object, by its own account, lies before the part's.
    world.set(range("bytes 10-14/15", 5)).await;
    assert_eq!(
        kind(world.store.get_range(&held, 10..20).await),
        ErrorKind::Invalid
    );

    for mode in [
        range("bytes 80-89/100", 10),
        range("bytes 89-99/100", 11),
        range("bytes 90-99/*", 10),
        range("bytes 90-99/100", 9),
        Mode::answer("200 OK", "ETag: \"x\"\r\n", &body(100)),
    ] {
        world.set(mode.clone()).await;
        assert_eq!(
            kind(world.store.get_tail(&held, 10).await),
            Damaged,
            "{mode:?}"
        );
    }
    world.set(range("bytes 0-0/*", 1)).await;
    assert_eq!(kind(world.store.head(&held).await), Damaged);
    world.is_sound().await;
}

#[tokio::test]
async fn stores_that_know_less() {
    let Some(world) = World::new("f-less").await else {
        return;
    };
    // Refuses bulk deletion and conditions: the same is done without, and that is refused
    // here too, but by its own request.
    world
        .every_operation_fails_with(
            Mode::s3_error("501 Not Implemented", "NotImplemented"),
            &[ErrorKind::Invalid],
        )
        .await;
    world.is_sound().await;
    let (a, b) = (key("less/a"), key("less/b"));
    world.store.put(&a, body(10)).await.unwrap();
    let results = world.store.delete_many(&[a.clone(), b]).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(kind(world.store.get(&a).await), ErrorKind::NotFound);
}

#[tokio::test]
async fn connections_are_used_again() {
    let Some(world) = World::new("f-reuse").await else {
        return;
    };
    let before = world.proxy.connections_accepted();
    for i in 0..20 {
        let range = i * 1000..i * 1000 + 500;
        let bytes = world
            .store
            .get_range(&key("held"), range.clone())
            .await
            .unwrap();
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        assert_eq!(bytes, body(HELD_BYTES).slice(range));
        world.store.head(&key("held")).await.unwrap();
        assert_eq!(
            kind(world.store.get(&key("absent")).await),
            ErrorKind::NotFound
        );
        world
            .store
            .put(&key(&format!("reuse/{i}")), body(5_000))
            .await
            .unwrap();
    }
    let opened = world.proxy.connections_accepted() - before;
    assert!(
        opened <= 1,
        "{opened} connections for requests one after the other"
    );
}
