//! Many at once.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::Place;

/// Disks that are made at once.
const RACERS: u64 = 50;

#[test]
fn racing_creates_are_all_listed() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    let door = place.unix();
    let before = door.get("/api/v1/disks")?;
    let base: u64 = sizes(&before)?;
    // Each disk is asked for twice: one of the two is refused.
    let statuses: Vec<anyhow::Result<u16>> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..2 * RACERS)
            .map(|n| {
                let door = door.clone();
                scope.spawn(move || {
                    let disk = n / 2;
                    let body = json!({"name": format!("d{disk}"), "size_bytes": 512 * (disk + 1)});
                    door.ask("POST", "/api/v1/disks", &body)
                        .map(|answer| answer.status)
                })
            })
            .collect();
        let ended = racers.into_iter().map(|racer| racer.join());
        ended
            .map(|status| status.expect("no racer panics"))
            .collect()
    });
    let mut won = 0;
    for status in statuses {
        match status? {
            200 => won += 1,
            status => ensure!(status == 409, "{status}"),
        }
    }
    assert_eq!(won, RACERS);

    let mut names = BTreeSet::new();
    let (mut sum, mut after) = (0, String::new());
    loop {
        let page = door.get(&format!("/api/v1/disks?limit=7&sort=-size_bytes{after}"))?;
        ensure!(
            page["total"] == before["total"].as_u64().context("a number")? + RACERS,
            "{page}"
        );
        for disk in page["items"].as_array().context("items")? {
            let name = disk["name"].as_str().context("a name")?;
            ensure!(names.insert(name.to_owned()), "{name} is there twice");
            sum += disk["size_bytes"].as_u64().context("a size")?;
        }
        match &page["next"] {
            Value::String(next) => after = format!("&after={next}"),
            _ => break,
        }
    }
    assert_eq!(sum, base + 512 * RACERS * (RACERS + 1) / 2);
    for disk in 0..RACERS {
        assert!(names.contains(&format!("d{disk}")), "d{disk}");
    }
    let pools = door.get("/api/v1/pools")?;
    assert_eq!(pools["items"][0]["disks"], names.len());
    let metrics = door.ask("GET", "/metrics", &Value::Null)?.text;
    let line = format!("}} {}", names.len());
    let disks = metrics
        .lines()
        .find(|line| line.starts_with("vpool_pool_disks{"));
    assert!(
        disks.is_some_and(|disks| disks.ends_with(&line)),
        "{disks:?}"
    );
    Ok(())
}

fn sizes(page: &Value) -> anyhow::Result<u64> {
    let items = page["items"].as_array().context("items")?;
    let sizes = items.iter().map(|disk| disk["size_bytes"].as_u64());
    sizes.sum::<Option<u64>>().context("sizes")
}
