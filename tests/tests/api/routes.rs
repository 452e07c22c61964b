//! Every route, with bad input beside good; the table is compared with the OpenAPI document.

use std::collections::BTreeSet;

use anyhow::ensure;
use serde_json::{Value, json};

use super::Place;
use super::http::Door;

/// Method, path as the document has it, what is asked, body, status, and where to look in the answer
/// for what: a problem's code, or a text in it.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    Value,
    u16,
    &'static str,
);

const DISK: &str = "/api/v1/disks/{disk}";
const DISKS: &str = "/api/v1/disks";
const RESIZE: &str = "/api/v1/disks/{disk}/resize";
const RENAME: &str = "/api/v1/disks/{disk}/rename";
const POOLS: &str = "/api/v1/pools";
const POOL: &str = "/api/v1/pools/{pool}";

#[rustfmt::skip] // One line a row, or two.
fn table(other: &str, empty: &str) -> Vec<Row> {
    let fs = |path: &str| json!({"kind": "fs", "path": path});
    let none = || Value::Null;
    vec![
        ("GET", "/healthz", "/healthz", none(), 200, "\"ok\""),
        ("GET", "/healthz", "/healthz?x=1", none(), 400, "invalid"),
        ("GET", "/metrics", "/metrics?disks=true", none(), 200, "vpool_pool_disks"),
        ("GET", "/metrics", "/metrics?disks=yes", none(), 400, "invalid"),
        ("GET", "/api/v1/version", "/api/v1/version", none(), 200, "vpoold"),
        ("GET", "/api/v1/version", "/api/v1/version?x=1", none(), 400, "invalid"),
        ("POST", "/api/v1/checks", "/api/v1/checks", none(), 200, "journal_sync"),
        ("POST", "/api/v1/checks", "/api/v1/checks?dry_run=true", none(), 200, "a file"),
        ("POST", "/api/v1/checks", "/api/v1/checks?x=1", none(), 400, "invalid"),
        ("GET", "/api/v1/openapi.json", "/api/v1/openapi.json", none(), 200, "openapi"),
        ("GET", "/api/v1/openapi.json", "/api/v1/openapi.json?x", none(), 400, "invalid"),
        // Pools.
        ("POST", POOLS, POOLS, json!({"name": "a/b", "location": fs(other)}), 400, "invalid"),
        ("POST", POOLS, POOLS, json!({"name": "second", "location": fs("x")}), 400, "invalid"),
        ("POST", POOLS, POOLS, json!({"name": "s", "location": fs("/none")}), 404, "not_found"),
        ("POST", POOLS, POOLS, json!({"name": "s"}), 400, "location"),
        ("POST", POOLS, "/api/v1/pools?dry_run=true",
            json!({"name": "second", "location": fs(other)}), 200, "create"),
        ("GET", "/api/v1/pools/{pool}", "/api/v1/pools/second", none(), 404, "not_found"),
        ("POST", POOLS, POOLS, json!({"name": "second", "location": fs(other)}), 200, "second"),
        ("POST", POOLS, POOLS, json!({"name": "second", "location": fs(other)}), 409, "conflict"),
        ("POST", POOLS, "/api/v1/pools?dry_run=true",
            json!({"name": "third", "location": fs(other)}), 409, "conflict"),
        ("POST", POOLS, "/api/v1/pools?dry_run=true",
            json!({"name": "third", "location": fs("/none")}), 404, "not_found"),
        ("GET", POOLS, "/api/v1/pools?sort=-disks&fields=name", none(), 200, "second"),
        ("GET", POOLS, "/api/v1/pools?sort=colour", none(), 400, "store_state"),
        ("GET", "/api/v1/pools/{pool}", "/api/v1/pools/second", none(), 200, "journal"),
        ("POST", "/api/v1/pools/{pool}/probe", "/api/v1/pools/second/probe?dry_run=true",
            none(), 200, "probe"),
        ("POST", "/api/v1/pools/{pool}/probe", "/api/v1/pools/second/probe",
            none(), 200, "create_if_absent"),
        ("POST", "/api/v1/pools/{pool}/probe", "/api/v1/pools/none/probe",
            none(), 404, "not_found"),
        ("POST", "/api/v1/pools/{pool}/sync", "/api/v1/pools/second/sync?dry_run=true",
            none(), 200, "sync"),
        ("POST", "/api/v1/pools/{pool}/sync", "/api/v1/pools/second/sync",
            none(), 202, "pool-sync"),
        ("POST", "/api/v1/pools/{pool}/sync", "/api/v1/pools/none/sync", none(), 404, "not_found"),
        ("PATCH", POOL, "/api/v1/pools/second", json!({}), 400, "nothing"),
        ("PATCH", POOL, "/api/v1/pools/second", json!({"credentials_file": "/k"}), 400, "directory"),
        ("PATCH", POOL, "/api/v1/pools/second?dry_run=true", json!({"region": "x"}), 400, "directory"),
        ("PATCH", POOL, "/api/v1/pools/second", json!({"url": "http://h/b"}), 400, "url"),
        ("PATCH", POOL, "/api/v1/pools/none", json!({"region": "x"}), 404, "not_found"),
        ("POST", "/api/v1/adoptions", "/api/v1/adoptions",
            json!({"location": fs(empty)}), 404, "not_found"),
        ("POST", "/api/v1/adoptions", "/api/v1/adoptions?dry_run=true",
            json!({"location": fs(empty)}), 404, "not_found"),
        ("POST", "/api/v1/adoptions", "/api/v1/adoptions?dry_run=true",
            json!({"name": "third", "location": fs(other)}), 200, "adopt"),
        ("POST", "/api/v1/adoptions", "/api/v1/adoptions",
            json!({"location": fs(other)}), 409, "conflict"),
        // Disks.
        ("POST", DISKS, DISKS, json!({"name": "vm1", "size_bytes": 513}), 400, "512"),
        ("POST", DISKS, DISKS, json!({"name": "", "size_bytes": 512}), 400, "invalid"),
        ("POST", DISKS, DISKS, json!([]), 400, "invalid"),
        ("POST", DISKS, DISKS, json!({"name": "vm1", "size_bytes": 512, "pool": "none"}),
            404, "not_found"),
        ("POST", DISKS, "/api/v1/disks?dry_run=true",
            json!({"name": "vm1", "size_bytes": 512}), 200, "default:vm1"),
        ("POST", DISKS, "/api/v1/disks?dry_run=maybe",
            json!({"name": "vm1", "size_bytes": 512}), 400, "dry_run=true"),
        ("GET", DISK, "/api/v1/disks/vm1", none(), 404, "not_found"),
        ("POST", DISKS, DISKS, json!({"name": "vm1", "size_bytes": 65536}), 200, "created_at"),
        ("POST", DISKS, DISKS, json!({"name": "vm1", "size_bytes": 65536}), 409, "conflict"),
        ("POST", DISKS, "/api/v1/disks?dry_run=true",
            json!({"name": "vm1", "size_bytes": 512}), 409, "conflict"),
        ("GET", DISKS, "/api/v1/disks?filter=name=vm1&pool=default", none(), 200, "\"total\":1"),
        ("GET", DISKS, "/api/v1/disks?pool=none", none(), 404, "not_found"),
        ("GET", DISKS, "/api/v1/disks?filter=size_bytes=big", none(), 400, "whole number"),
        ("GET", DISKS, "/api/v1/disks?limit=0", none(), 400, "1 to 1000"),
        ("GET", DISK, "/api/v1/disks/default%3Avm1", none(), 200, "65536"),
        ("GET", DISK, "/api/v1/disks/a%40b", none(), 400, "invalid"),
        ("GET", DISK, "/api/v1/disks/%FF", none(), 400, "invalid"),
        ("GET", "/api/v1/disks/{disk}/connection", "/api/v1/disks/vm1/connection",
            none(), 200, "nbd_socket"),
        ("GET", "/api/v1/disks/{disk}/connection", "/api/v1/disks/none/connection",
            none(), 404, "not_found"),
        ("GET", "/api/v1/disks/{disk}/statistics", "/api/v1/disks/vm1/statistics",
            none(), 200, "read_latency"),
        ("GET", "/api/v1/disks/{disk}/statistics", "/api/v1/disks/none/statistics",
            none(), 404, "not_found"),
        ("GET", "/api/v1/statistics/disks", "/api/v1/statistics/disks?sort=-writes",
            none(), 200, "backlog_bytes"),
        ("GET", "/api/v1/statistics/disks", "/api/v1/statistics/disks?after=7",
            none(), 400, "next"),
        ("POST", "/api/v1/disks/{disk}/sync", "/api/v1/disks/vm1/sync?dry_run=true",
            none(), 200, "sync"),
        ("POST", "/api/v1/disks/{disk}/sync", "/api/v1/disks/vm1/sync",
            none(), 202, "disk-sync"),
        ("POST", "/api/v1/disks/{disk}/sync", "/api/v1/disks/none/sync", none(), 404, "not_found"),
        ("POST", "/api/v1/disks/{disk}/repair", "/api/v1/disks/vm1/repair",
            json!({"accept_loss": false}), 200, "vm1"),
        ("POST", "/api/v1/disks/{disk}/repair", "/api/v1/disks/vm1/repair?dry_run=true",
            json!({"accept_loss": true}), 200, "no repair"),
        ("POST", "/api/v1/disks/{disk}/repair", "/api/v1/disks/vm1/repair",
            json!({}), 400, "accept_loss"),
        ("POST", "/api/v1/disks/{disk}/repair", "/api/v1/disks/none/repair",
            json!({"accept_loss": true}), 404, "not_found"),
        ("POST", RESIZE, "/api/v1/disks/vm1/resize?dry_run=true",
            json!({"size_bytes": 131072}), 200, "resize"),
        ("POST", RESIZE, "/api/v1/disks/vm1/resize",
            json!({"size_bytes": 131072}), 200, "reconnect"),
        ("GET", DISK, "/api/v1/disks/vm1", none(), 200, "131072"),
        ("POST", RESIZE, "/api/v1/disks/vm1/resize", json!({"size_bytes": 513}), 400, "512"),
        ("POST", RESIZE, "/api/v1/disks/vm1/resize", json!({"size_bytes": 512}), 400, "shrink"),
        ("POST", RESIZE, "/api/v1/disks/vm1/resize?dry_run=true",
            json!({"size_bytes": 512}), 400, "shrink"),
        ("POST", RESIZE, "/api/v1/disks/vm1/resize",
            json!({"size_bytes": 512, "shrink": true}), 200, "512"),
        ("POST", RESIZE, "/api/v1/disks/none/resize", json!({"size_bytes": 512}), 404, "not_found"),
        ("PATCH", DISK, "/api/v1/disks/vm1?dry_run=true",
            json!({"description": "the shop", "read_only": true}), 200, "read-only"),
        ("PATCH", DISK, "/api/v1/disks/vm1",
            json!({"description": "the shop", "read_only": true}), 200, "the shop"),
        ("GET", DISKS, "/api/v1/disks?filter=read_only=true&filter=name=vm1", none(), 200, "\"total\":1"),
        ("PATCH", DISK, "/api/v1/disks/vm1", json!({"description": "a\nb"}), 400, "description"),
        ("PATCH", DISK, "/api/v1/disks/vm1", json!({"colour": "red"}), 400, "colour"),
        ("PATCH", DISK, "/api/v1/disks/none", json!({}), 404, "not_found"),
        ("POST", RENAME, "/api/v1/disks/vm1/rename?dry_run=true",
            json!({"name": "web/1"}), 200, "default:web/1"),
        ("POST", RENAME, "/api/v1/disks/vm1/rename", json!({"name": "web/1"}), 200, "web/1"),
        ("POST", RENAME, "/api/v1/disks/vm1/rename", json!({"name": "x"}), 404, "not_found"),
        ("POST", RENAME, "/api/v1/disks/web%2F1/rename", json!({"name": "a:b"}), 400, "invalid"),
        ("POST", RENAME, "/api/v1/disks/web%2F1/rename", json!({"name": "vm1"}), 200, "vm1"),
        ("DELETE", DISK, "/api/v1/disks/none", none(), 404, "not_found"),
        ("DELETE", DISK, "/api/v1/disks/vm1?dry_run=true", none(), 200, "delete"),
        ("DELETE", DISK, "/api/v1/disks/vm1", none(), 204, ""),
        ("DELETE", DISK, "/api/v1/disks/vm1", none(), 404, "not_found"),
        // A pool is forgotten when it has no disks.
        ("POST", DISKS, DISKS, json!({"name": "last", "size_bytes": 512, "pool": "second"}),
            200, "second"),
        ("DELETE", POOL, "/api/v1/pools/second", none(), 409, "1 disk"),
        ("DELETE", POOL, "/api/v1/pools/second?dry_run=true", none(), 409, "1 disk"),
        ("DELETE", POOL, "/api/v1/pools/second?accept_loss=true", none(), 400, "forget"),
        ("DELETE", POOL, "/api/v1/pools/second?forget=yes", none(), 400, "forget=true"),
        ("DELETE", POOL, "/api/v1/pools/second?forget=true&dry_run=true", none(), 200, "last"),
        ("DELETE", POOL, "/api/v1/pools/second?forget=true", none(), 204, ""),
        ("POST", "/api/v1/adoptions", "/api/v1/adoptions",
            json!({"location": fs(other)}), 200, "last"),
        ("DELETE", DISK, "/api/v1/disks/last", none(), 204, ""),
        ("DELETE", POOL, "/api/v1/pools/second?dry_run=true", none(), 200, "adopt"),
        ("DELETE", POOL, "/api/v1/pools/second", none(), 204, ""),
        ("DELETE", POOL, "/api/v1/pools/second", none(), 404, "not_found"),
        ("POST", "/api/v1/adoptions", "/api/v1/adoptions",
            json!({"location": fs(other)}), 200, "second"),
        // Tasks: the two syncs from above.
        ("GET", "/api/v1/tasks", "/api/v1/tasks?sort=-id&filter=kind=disk-sync",
            none(), 200, "\"total\":1"),
        ("GET", "/api/v1/tasks", "/api/v1/tasks?filter=state=paused", none(), 400, "running"),
        ("GET", "/api/v1/tasks/{id}", "/api/v1/tasks/1?wait=30", none(), 200, "\"done\""),
        ("GET", "/api/v1/tasks/{id}", "/api/v1/tasks/1?wait=31", none(), 400, "0 to 30"),
        ("GET", "/api/v1/tasks/{id}", "/api/v1/tasks/99", none(), 404, "not_found"),
        ("GET", "/api/v1/tasks/{id}", "/api/v1/tasks/one", none(), 400, "invalid"),
        ("POST", "/api/v1/tasks/{id}/cancel", "/api/v1/tasks/1/cancel", none(), 409, "conflict"),
        ("POST", "/api/v1/tasks/{id}/cancel", "/api/v1/tasks/99/cancel", none(), 404, "not_found"),
        // Events are looked at in `events.rs`.
        ("GET", "/api/v1/events", "/api/v1/events?x=1", none(), 400, "invalid"),
        // What is not there.
        ("GET", "", "/api/v1/nothing", none(), 404, "not_found"),
        ("GET", "", "/api/v2/version", none(), 404, "not_found"),
        ("GET", "", "/", none(), 404, "not_found"),
        ("PUT", "", "/api/v1/disks", none(), 405, "method_not_allowed"),
        ("DELETE", "", "/api/v1/version", none(), 405, "method_not_allowed"),
        ("POST", "", "/healthz", none(), 405, "method_not_allowed"),
    ]
}

#[test]
fn every_route_with_bad_input_beside_good() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    let other = place.directory("other")?;
    let empty = place.directory("empty")?;
    let rows = table(&other, &empty);
    let document = place.unix().get("/api/v1/openapi.json")?;
    let known: BTreeSet<(String, String)> = operations(&document).into_iter().collect();
    let asked = |good: bool| -> BTreeSet<(String, String)> {
        rows.iter()
            .filter(|row| !row.1.is_empty() && (row.4 < 300) == good)
            .map(|row| (row.0.to_owned(), row.1.to_owned()))
            .collect()
    };
    let mut good = asked(true);
    good.insert(("GET".into(), "/api/v1/events".into()));
    // A task that can be cancelled is in `tasks.rs`.
    good.insert(("POST".into(), "/api/v1/tasks/{id}/cancel".into()));
    // A directory has nothing to set: `rotation.rs` beside `s3.rs`.
    good.insert(("PATCH".into(), POOL.into()));
    assert_eq!(known, good, "the document beside good input");
    assert_eq!(known, asked(false), "the document beside bad input");
    for row in &rows {
        check(&place.unix(), row)?;
    }
    // The other door answers the same.
    let tcp = place.tcp()?;
    for row in rows
        .iter()
        .filter(|row| row.0 == "GET" && !row.2.contains("vm1") && !row.2.contains("second"))
    {
        check(&tcp, row)?;
    }
    Ok(())
}

/// Method and path of all that the document names.
pub(crate) fn operations(document: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for method in operations
            .as_object()
            .into_iter()
            .flat_map(|all| all.keys())
        {
            found.push((method.to_uppercase(), path.clone()));
        }
    }
    found
}

fn check(door: &Door, (method, _, path, body, status, part): &Row) -> anyhow::Result<()> {
    let answer = door.ask(method, path, body)?;
    ensure!(answer.status == *status, "{method} {path}: {answer:?}");
    ensure!(
        answer.text.contains(part),
        "{method} {path}: {part}: {answer:?}"
    );
    if *status < 400 {
        return Ok(());
    }
    ensure!(
        answer
            .head
            .contains("content-type: application/problem+json"),
        "{method} {path}: {answer:?}"
    );
    let problem: vpool_api::Problem = serde_json::from_value(answer.json)?;
    ensure!(problem.status == *status, "{method} {path}: {problem:?}");
    Ok(())
}

#[test]
fn the_document_is_answered_as_it_was_committed() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    let answer = place
        .unix()
        .ask("GET", "/api/v1/openapi.json", &Value::Null)?;
    // Asked for when the test runs: the program may have been built in another checkout.
    let package = std::env::var("CARGO_MANIFEST_DIR")?;
    let path = format!("{package}/../router/vpoold/openapi.json");
    assert!(answer.text == std::fs::read_to_string(path)?);
    Ok(())
}
