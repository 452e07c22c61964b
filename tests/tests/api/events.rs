//! The stream of events: in order, and over a break.

use serde_json::{Value, json};

use super::Place;

#[test]
fn events_come_in_order_and_go_on_after_a_break() -> anyhow::Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    let door = place.unix();
    let create = |name: &str| door.post("/api/v1/disks", &json!({"name": name, "size_bytes": 512}));
    create("before")?;
    let mut events = door.events(None)?;
    create("a")?;
    let (kind, data) = events.next()?;
    assert_eq!(
        (kind.as_str(), &data["object"]),
        ("disk-created", &json!("default:a"))
    );
    let seen = events.last;
    drop(events);

    create("b")?;
    assert_eq!(
        door.ask("DELETE", "/api/v1/disks/a", &Value::Null)?.status,
        204
    );
    door.post("/api/v1/disks/b/sync", &Value::Null)?;
    // A dry run and a refusal are no events.
    door.post(
        "/api/v1/disks?dry_run=true",
        &json!({"name": "c", "size_bytes": 512}),
    )?;
    door.ask(
        "POST",
        "/api/v1/disks",
        &json!({"name": "b", "size_bytes": 512}),
    )?;
    let mut events = place.tcp()?.events(Some(seen))?;
    let mut came = Vec::new();
    while came.len() < 4 {
        let (kind, data) = events.next()?;
        came.push((kind, data["object"].clone(), data["task"]["state"].clone()));
    }
    assert_eq!(
        came,
        [
            ("disk-created".into(), json!("default:b"), Value::Null),
            ("disk-deleted".into(), json!("default:a"), Value::Null),
            ("task".into(), json!("default:b"), json!("running")),
            ("task".into(), json!("default:b"), json!("done")),
        ]
    );
    let last = events.last;

    // What nobody has any more.
    for unknown in [0, 1, last + 1000] {
        let mut events = door.events(Some(unknown))?;
        // It may be that the number was of an older life; then it is told at once.
        assert_eq!(events.next()?.0, "reset", "{unknown}");
    }
    daemon.kill()?;
    let _daemon = place.start()?;
    assert_eq!(door.events(Some(last))?.next()?.0, "reset");
    let bad = door.ask_with(
        "GET",
        "/api/v1/events",
        &[("last-event-id", "x")],
        &Value::Null,
    )?;
    assert_eq!((bad.status, &bad.json["code"]), (400, &json!("invalid")));
    Ok(())
}
