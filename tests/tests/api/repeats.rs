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
