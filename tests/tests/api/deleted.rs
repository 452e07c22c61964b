//! The first pool, deleted: it stays so, and whoever has its place now is left alone.

use anyhow::ensure;
use serde_json::{Value, json};
use vpool_tests::nbd::Client;

use super::Place;

#[test]
fn the_first_pool_stays_deleted() -> anyhow::Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    let door = place.unix();
    for path in ["/api/v1/disks/demo", "/api/v1/pools/default"] {
        let deleted = door.ask("DELETE", path, &Value::Null)?;
        ensure!(deleted.status == 204, "{deleted:?}");
    }
    daemon.kill()?;
    let daemon = place.start()?;
    let pools = door.get("/api/v1/pools")?;
    ensure!(pools["total"] == 0, "{pools}");

    let objects = place.world.data().join("objects");
    let request = json!({"name": "other", "location": {"kind": "fs", "path": objects}});
    let adopted = door.post("/api/v1/adoptions", &request)?;
    ensure!(adopted["pool"] == "other", "{adopted}");
    door.post("/api/v1/disks", &json!({"name": "d", "size_bytes": 65536}))?;
    let mut client = Client::connect(&place.world.door("other:d"), 1)?;
    client.write(0, &[7; 4096])?;
    client.flush()?;
    daemon.kill()?;
    let _daemon = place.start()?;
    let pools = door.get("/api/v1/pools?fields=name")?;
    ensure!(pools["items"] == json!([{"name": "other"}]), "{pools}");
    let mut client = Client::connect(&place.world.door("other:d"), 1)?;
    ensure!(
        client.read(0, 4096)? == [7; 4096],
        "what was flushed is there"
    );
    Ok(())
}
