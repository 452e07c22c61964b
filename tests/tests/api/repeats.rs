//! Requests that are repeated with their key.

use anyhow::ensure;
use serde_json::{Value, json};

use super::Place;

#[test]
fn a_repeated_request_is_carried_out_once() -> anyhow::Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    let door = place.unix();
    let key = [("idempotency-key", "a key of mine")];
    let body = json!({"name": "a", "size_bytes": 512});
    let ask = |path: &str, body: &Value| door.ask_with("POST", path, &key, body);
    // Asked about first: that spends no key.
    ensure!(ask("/api/v1/disks?dry_run=true", &body)?.status == 200);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| ask("/api/v1/disks", &body)))
            .collect();
        racers
            .into_iter()
            .map(|racer| racer.join().expect("no panic"))
            .collect()
    });
    let mut first = None;
    for answer in answers {
        let answer = answer?;
        ensure!(answer.status == 200, "{answer:?}");
        let first = first.get_or_insert_with(|| answer.json.clone());
        ensure!(*first == answer.json, "{answer:?}");
    }
    let other = json!({"name": "b", "size_bytes": 512});
    let other = ask("/api/v1/disks", &other)?;
    ensure!(
        other.status == 409 && other.json["code"] == "conflict",
        "{other:?}"
    );
    daemon.kill()?;
    let _daemon = place.start()?;
    let again = ask("/api/v1/disks", &body)?;
    ensure!(Some(&again.json) == first.as_ref(), "{again:?}");
    ensure!(
        again.head.contains("idempotency-replayed: true"),
        "{again:?}"
    );
    let without = door.ask("POST", "/api/v1/disks", &body)?;
    ensure!(without.status == 409, "{without:?}");
    Ok(())
}

#[test]
fn what_is_not_carried_out_spends_no_key() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    let door = place.unix();
    let body = json!({"name": "a", "size_bytes": 512});
    let ask = |method: &str, path: &str, key: &str| {
        door.ask_with(method, path, &[("idempotency-key", key)], &body)
    };
    for (method, path, status) in [
        ("PUT", "/api/v1/disks", 405),
        ("POST", "/api/v1/nothing", 404),
        ("POST", "/api/v1/disks?dry_run=true", 200),
        ("POST", "/api/v1/disks", 200),
        ("PUT", "/api/v1/disks", 405),
        ("POST", "/api/v1/disks?dry_run=false", 409),
    ] {
        let answer = ask(method, path, "k")?;
        ensure!(answer.status == status, "{method} {path}: {answer:?}");
    }
    // A key that is none is refused, whatever it would have been for.
    for path in ["/api/v1/disks", "/api/v1/disks?dry_run=true"] {
        for key in ["", "\u{e4}", &"k".repeat(65)] {
            let answer = ask("POST", path, key)?;
            ensure!(answer.status == 400, "{path} {key:?}: {answer:?}");
        }
    }
    Ok(())
}
