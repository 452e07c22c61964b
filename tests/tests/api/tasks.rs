//! Tasks of a daemon whose store goes away, and over kills.

use std::fs;

use anyhow::ensure;
use serde_json::{Value, json};
use vpool_tests::nbd::Client;

use super::Place;

#[test]
fn tasks_are_kept_over_restarts() -> anyhow::Result<()> {
    let place = Place::new()?;
    let store = place.directory("store")?;
    let daemon = place.start()?;
    let door = place.unix();
    let location = json!({"kind": "fs", "path": store});
    door.post(
        "/api/v1/pools",
        &json!({"name": "nas", "location": location}),
    )?;
    door.post(
        "/api/v1/disks",
        &json!({"pool": "nas", "name": "d", "size_bytes": 64 << 20}),
    )?;
    let write = || -> anyhow::Result<()> {
        let mut client = Client::connect(&place.world.door("nas:d"), 1)?;
        let data = 0x0102_0304_u32.to_le_bytes().repeat(1 << 18);
        for at in 0..8 {
            client.write(at << 20, &data)?;
        }
        client.flush()
    };
    write()?;
    let task = door.post("/api/v1/disks/nas%3Ad/sync", &Value::Null)?;
    let done = door.get(&format!("/api/v1/tasks/{}?wait=30", task["id"]))?;
    ensure!(
        done["state"] == "done" && done["object"] == "nas:d",
        "{done}"
    );

    // The store goes away: a sync waits, and says so.
    let mut events = door.events(None)?;
    fs::rename(&store, format!("{store}.away"))?;
    write()?;
    let stuck = door.post("/api/v1/pools/nas/sync", &Value::Null)?;
    ensure!(
        stuck["state"] == "running" && stuck["cancellable"] == true,
        "{stuck}"
    );
    let other = door.post("/api/v1/disks/nas%3Ad/sync", &Value::Null)?;
    let path = format!("/api/v1/tasks/{}", other["id"]);
    let still = door.get(&format!("{path}?wait=1"))?;
    ensure!(still["state"] == "running", "{still}");
    ensure!(still["total_bytes"].as_u64() >= Some(8 << 20), "{still}");
    let plan = door.post(&format!("{path}/cancel?dry_run=true"), &Value::Null)?;
    ensure!(plan["changes"][0]["action"] == "cancel", "{plan}");
    let cancelled = door.post(&format!("{path}/cancel"), &Value::Null)?;
    ensure!(cancelled["state"] == "cancelled", "{cancelled}");
    let (kind, trouble) = loop {
        let (kind, data) = events.next_of("nas")?;
        if kind != "task" {
            break (kind, data);
        }
    };
    ensure!(
        matches!(kind.as_str(), "trouble" | "store-down"),
        "{trouble}"
    );
    let health = door.get("/healthz")?;
    ensure!(health["status"] == "degraded", "{health}");
    ensure!(health["reasons"][0]["object"] == "pool nas", "{health}");
    // Trouble of one pool is none of the other's.
    door.post(
        "/api/v1/disks",
        &json!({"pool": "default", "name": "x", "size_bytes": 512}),
    )?;

    daemon.kill()?;
    fs::rename(format!("{store}.away"), &store)?;
    let _daemon = place.start()?;
    let tasks = door.get("/api/v1/tasks")?;
    ensure!(tasks["total"] == 3, "{tasks}");
    ensure!(tasks["items"][0] == done, "{tasks}");
    let interrupted = &tasks["items"][1];
    ensure!(
        interrupted["id"] == stuck["id"] && interrupted["state"] == "failed",
        "{tasks}"
    );
    ensure!(interrupted["problem"]["code"] == "interrupted", "{tasks}");
    ensure!(tasks["items"][2] == cancelled, "{tasks}");
    // Asked for again it is done.
    let again = door.post("/api/v1/pools/nas/sync", &Value::Null)?;
    ensure!(again["id"].as_u64() > other["id"].as_u64(), "{again}");
    let again = door.get(&format!("/api/v1/tasks/{}?wait=30", again["id"]))?;
    ensure!(again["state"] == "done", "{again}");
    Ok(())
}
