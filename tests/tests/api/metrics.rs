//! What Prometheus is told, beside what was done.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use vpool_tests::nbd::Client;

use super::Place;

#[test]
fn counters_say_what_was_done() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    let door = place.unix();
    let name = "it's \"a\\b\"";
    door.post(
        "/api/v1/disks",
        &json!({"name": name, "size_bytes": 1 << 20}),
    )?;
    let mut client = Client::connect(&place.world.door(&format!("default:{name}")), 1)?;
    for at in 0..10 {
        client.write(at * 4096, &[7; 4096])?;
    }
    client.flush()?;
    client.read(0, 8192)?;
    let statistics = door.get("/api/v1/statistics/disks?filter=writes=10")?;
    ensure!(statistics["total"] == 1, "{statistics}");
    let one = &statistics["items"][0];
    for (field, value) in [
        ("written_bytes", 40960),
        ("read_bytes", 8192),
        ("attached", 1),
    ] {
        ensure!(one[field] == value, "{field}: {one}");
    }
    ensure!(
        one["flushes"].as_u64() >= Some(1) && one["reads"].as_u64() >= Some(1),
        "{one}"
    );
    let text = |path: &str| anyhow::Ok(door.ask("GET", path, &Value::Null)?.text);
    let all = text("/metrics")?;
    ensure!(
        !all.contains(name) && !all.contains("it's"),
        "names without being asked for"
    );
    ensure!(!all.contains("default"), "names without being asked for");
    let each = text("/metrics?disks=true")?;
    let line = r#"vpool_disk_writes_total{pool="default",disk="it's \"a\\b\""} 10"#;
    ensure!(each.lines().any(|found| found == line), "{each}");
    let sum = |text: &str| -> anyhow::Result<u64> {
        let mut values = text
            .lines()
            .filter(|line| line.starts_with("vpool_written_bytes_total"));
        let line = values.next().context("a sum")?;
        Ok(line.rsplit(' ').next().context("a value")?.parse()?)
    };
    ensure!(sum(&all)? == 40960, "{all}");
    // Sums outlive their parts.
    drop(client);
    let path = format!("/api/v1/disks/{}", "it%27s%20%22a%5Cb%22");
    let mut deleted = door.ask("DELETE", &path, &Value::Null)?;
    while deleted.status == 409 {
        // The daemon has not noticed yet that the client is gone.
        deleted = door.ask("DELETE", &path, &Value::Null)?;
    }
    ensure!(deleted.status == 204, "{deleted:?}");
    ensure!(sum(&text("/metrics")?)? == 40960);
    check_form(&each)
}

/// Each sample belongs to a family that was announced just before; counters end in `_total`.
fn check_form(text: &str) -> anyhow::Result<()> {
    let (mut family, mut kind) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, of) = rest.split_once(' ').context("a type")?;
            (family, kind) = (name.to_owned(), of.to_owned());
            ensure!(family.ends_with("_total") == (kind == "counter"), "{line}");
        } else if !line.starts_with("# HELP ") {
            let name = line.split(['{', ' ']).next().context("a name")?;
            let rest = name.strip_prefix(family.as_str());
            let parts: &[&str] = match kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            ensure!(
                rest.is_some_and(|rest| parts.contains(&rest)),
                "{family}: {line}"
            );
            let value = line.rsplit(' ').next().context("a value")?;
            ensure!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    Ok(())
}
