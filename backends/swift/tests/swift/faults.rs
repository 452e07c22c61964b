//! A broken network between the store and us: the right kind of error, never wrong bytes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vpool_object::ErrorKind::{self, Damaged, Denied, NoLocation, NoSpace, Throttled, Unavailable};
use vpool_object::ObjectStore;
use vpool_swift::SwiftConfig;
use vpool_test_stores::{Mode, Proxy, Swift};

use crate::{body, connect, every_operation, key};

/// The silence after which the store gives up here.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

const HELD_BYTES: usize = 1 << 20;

/// Swift's mark.
const MARK: &str = "X-Trans-Id: tx\r\n";

/// A store behind a proxy, with the object `held` in it.
struct World {
    proxy: Proxy,
    store: Arc<dyn ObjectStore>,
}

impl World {
    async fn new(swift: &Swift, container: &str) -> World {
        let proxy = Proxy::start(swift.port()).await.unwrap();
        swift.create_container(container).unwrap();
        // Swift names the host that it was asked by: the proxy, for the objects too.
        let url = format!("{}/auth/v1.0/{container}/p", proxy.endpoint());
        let mut config = SwiftConfig::from_url(&url, swift.credentials_file()).unwrap();
        config.answer_timeout = ANSWER_TIMEOUT;
        config.bytes_per_second_min = NonZeroU32::new(1 << 20).unwrap();
        let store = connect(config);
        store.put(&key("held"), body(HELD_BYTES)).await.unwrap();
        World { proxy, store }
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
async fn requests_that_fail() {
    let Some(swift) = Swift::shared() else {
        return;
    };
    let world = World::new(swift, "failing").await;
    for mode in [Mode::Refuse, Mode::garbage(), Mode::LoseAnswer] {
        world.every_operation_fails_with(mode, &[Unavailable]).await;
        world.is_sound().await;
    }
    hanging(&world).await;
    answers_with_an_error(&world).await;
    a_success_that_is_none(&world).await;
    connections_are_used_again(&world).await;
}

async fn hanging(world: &World) {
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

async fn answers_with_an_error(world: &World) {
    // An answer to HEAD has no text that could tell two kinds apart.
    let rows: [(&str, &str, &str, &[ErrorKind]); 14] = [
        (
            "503 Service Unavailable",
            MARK,
            "SlowDown",
            &[Throttled, Unavailable],
        ),
        ("429 Too Many Requests", MARK, "", &[Throttled]),
        ("498 Rate Limited", MARK, "", &[Throttled]),
        ("503 Service Unavailable", MARK, "", &[Unavailable]),
        ("500 Internal Server Error", "", "", &[Unavailable]),
        ("502 Bad Gateway", "", "<html>no</html>", &[Unavailable]),
        ("504 Gateway Timeout", "", "", &[Unavailable]),
        ("408 Request Timeout", MARK, "", &[Unavailable]),
        ("507 Insufficient Storage", MARK, "", &[NoSpace]),
        (
            "413 Too Large",
            MARK,
            "Upload exceeds quota.",
            &[NoSpace, ErrorKind::Invalid],
        ),
        ("403 Forbidden", MARK, "", &[Denied]),
        (
            "302 Found",
            "Location: http://127.0.0.1:1/\r\n",
            "",
            &[NoLocation],
        ),
        // A page that is not found is not an object that is not there.
        ("404 Not Found", "", "<html>nginx</html>", &[Unavailable]),
        // Swift knows neither object nor container.
        ("404 Not Found", MARK, "", &[NoLocation]),
    ];
    for (status, fields, body, kinds) in rows {
        let mode = Mode::answer(status, fields, body.as_bytes());
        if status.starts_with("404") && !fields.is_empty() {
            // The container was there a moment ago: that is believed for a while.
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(11)).await;
            tokio::time::resume();
        }
        world.every_operation_fails_with(mode, kinds).await;
    }
    world.is_sound().await;
    // A token that is refused is replaced; here the auth service is the same deaf proxy.
    world
        .every_operation_fails_with(Mode::answer("401 Unauthorized", MARK, b""), &[Denied])
        .await;
    world.is_sound().await;
}

async fn a_success_that_is_none(world: &World) {
    let page = b"<html>welcome to the hotel's wireless network</html>";
    let mode = Mode::answer("200 OK", "Content-Type: text/html\r\n", page);
    world.every_operation_fails_with(mode, &[Damaged]).await;
    world.is_sound().await;
}

async fn connections_are_used_again(world: &World) {
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

#[tokio::test]
async fn bodies_that_are_not_whole() {
    let Some(swift) = Swift::shared() else {
        return;
    };
    let world = World::new(swift, "bodies").await;
    bodies_that_break_off(&world).await;
    puts_that_break_off_or_whose_answer_is_lost(&world).await;
    slow_is_not_broken_until_it_is_stuck(&world).await;
    parts_that_are_not_what_was_asked_for(&world).await;
}

async fn bodies_that_break_off(world: &World) {
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
    world.set(Mode::ShortAnswer { after_bytes: 10 }).await;
    assert_eq!(kind(world.store.list("", None, 10).await), Damaged);
    world.is_sound().await;
}

async fn puts_that_break_off_or_whose_answer_is_lost(world: &World) {
    let (torn, lost) = (key("torn"), key("lost"));
    let after_bytes = 300_000;
    world.set(Mode::ResetRequest { after_bytes }).await;
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
    let mut other = body(HELD_BYTES).to_vec();
    other[HELD_BYTES / 2] ^= 1;
    for other in [Bytes::from(other), body(HELD_BYTES - 1)] {
        assert_eq!(
            kind(world.store.put(&lost, other).await),
            ErrorKind::Conflict
        );
    }
    assert!(world.store.get(&lost).await.unwrap() == body(HELD_BYTES));
    // What was put has another MD5 by the store's account.
    world.set(Mode::OtherEtag).await;
    assert_eq!(kind(world.store.put(&key("tag"), body(10)).await), Damaged);
    world.set(Mode::Pass).await;
    world.store.put(&key("tag"), body(10)).await.unwrap();
}

async fn slow_is_not_broken_until_it_is_stuck(world: &World) {
    let rate = |bytes_per_second| Mode::Rate { bytes_per_second };
    world.set(Mode::Delay(Duration::from_millis(300))).await;
    assert!(world.store.get(&key("held")).await.unwrap() == body(HELD_BYTES));
    world.set(rate(4 << 20)).await;
    assert!(world.store.get(&key("held")).await.unwrap() == body(HELD_BYTES));
    world
        .store
        .put(&key("slow"), body(HELD_BYTES))
        .await
        .unwrap();
    // 1 MiB at 50 KB/s takes 20 s; it has 2 s and one for the MiB.
    world.set(rate(50_000)).await;
    assert_eq!(kind(world.store.get(&key("held")).await), Unavailable);
    assert_eq!(
        kind(world.store.put(&key("slower"), body(HELD_BYTES)).await),
        Unavailable
    );
    world.is_sound().await;
}

async fn parts_that_are_not_what_was_asked_for(world: &World) {
    let held = key("held");
    let range = |range: &str, bytes: usize| {
        let fields = format!("ETag: x\r\nContent-Range: {range}\r\n");
        Mode::answer("206 Partial Content", &fields, &body(bytes))
    };
    let untagged = "Content-Range: bytes 10-19/100\r\n";
    for mode in [
        range("bytes 11-20/100", 10),
        range("bytes 10-19/100", 9),
        range("bytes 10-18/100", 9),
        range("bytes 0-99/100", 100),
        range("10-19/100", 10),
        range("bytes 19-10/100", 10),
        Mode::answer("200 OK", "ETag: x\r\n", &body(100)),
        Mode::answer("200 OK", "ETag: x\r\n", &body(10)),
        Mode::answer("206 Partial Content", untagged, &body(10)),
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
        Mode::answer("200 OK", "ETag: x\r\n", &body(100)),
    ] {
        world.set(mode.clone()).await;
        assert_eq!(
            kind(world.store.get_tail(&held, 10).await),
            Damaged,
            "{mode:?}"
        );
    }
    world.set(range("bytes 0-99/100", 100)).await;
    assert_eq!(kind(world.store.get(&held).await), Damaged);
    world.is_sound().await;
}
