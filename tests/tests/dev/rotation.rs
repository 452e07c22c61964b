//! The keys of a store are exchanged while machines write: the old ones are refused, writers wait, the
//! new ones are set, nobody has seen an error.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use std::io::Write;

use anyhow::{Context, ensure};
use serde_json::Value;
use vpool_test_stores::CephRgw;
use vpool_tests::daemon::Flags;

use super::{Place, qemu};

/// More than the pool has of the journal.
const WRITES: [&str; 4] = [
    "write -P 0x21 0 64M",
    "write -P 0x22 64M 64M",
    "write -P 0x23 128M 64M",
    "write -P 0x24 192M 64M",
];

/// What the machine finds afterwards.
const READS: [&str; 4] = [
    "read -P 0x21 0 64M",
    "read -P 0x22 64M 64M",
    "read -P 0x23 128M 64M",
    "read -P 0x24 192M 64M",
];

/// Nothing here takes longer.
const TIME_MAX: Duration = Duration::from_secs(60);

fn flags() -> Flags {
    Flags {
        journal: "256M".to_owned(),
        memory: "256M".to_owned(),
        cache: "0".to_owned(),
        ..Flags::default()
    }
}

fn keys(path: &Path, access: &str, secret: &str) -> anyhow::Result<String> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "access_key={access}\nsecret_key={secret}")?;
    Ok(path.to_string_lossy().into_owned())
}

fn pool(place: &Place) -> anyhow::Result<Value> {
    let text = place.vpool_ok(&["pool", "show", "cloud", "-o", "json"])?;
    let shown: Value = serde_json::from_str(&text)?;
    Ok(match shown {
        Value::Array(mut one) => one.remove(0),
        one => one,
    })
}

/// Looks at the pool until it is as it should be.
fn until(place: &Place, what: &str, is: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let now = pool(place)?;
        if is(&now) {
            return Ok(());
        }
        ensure!(begun.elapsed() < TIME_MAX, "not {what}: {now}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn keys_are_exchanged_under_writers() -> anyhow::Result<()> {
    let Some(ceph) = CephRgw::shared() else {
        return Ok(());
    };
    if !qemu::installed() {
        return Ok(());
    }
    ceph.create_bucket("rotation")?;
    ceph.add_key("rotation-old", "secret-old")?;
    let place = Place::new()?;
    let old = keys(&place.beside("old"), "rotation-old", "secret-old")?;
    let new = keys(&place.beside("new"), "rotation-new", "secret-new")?;
    let url = format!("{}/rotation/one", ceph.endpoint);
    let daemon = place.world.start(&flags())?;
    let at = ["--s3", &url, "--credentials-file", &old];
    place.vpool_ok(&[&["pool", "create", "cloud"], &at[..]].concat())?;
    place.vpool_ok(&["disk", "create", "cloud:vm1", "--size", "1G"])?;
    let uri = place.uri("cloud:vm1");
    qemu::io_ok(&uri, &["write -P 0x20 512M 1M", "flush"])?;
    place.vpool_ok(&["pool", "sync", "cloud"])?;

    // The old keys are refused from here on; writers fill the journal, and wait.
    ceph.remove_key("rotation-old")?;
    let writer = std::thread::spawn({
        let uri = uri.clone();
        move || qemu::io_ok(&uri, &[&WRITES[..], &["flush"]].concat())
    });
    let full = |pool: &Value| {
        let used = pool["journal_used_bytes"].as_u64().unwrap_or(0);
        let most = pool["journal_max_bytes"].as_u64().unwrap_or(u64::MAX);
        pool["store"]["trouble"].is_string() && used * 2 >= most
    };
    until(&place, "refused and full", full)?;
    ensure!(
        !writer.is_finished(),
        "more than the journal holds was taken"
    );

    // Ways that lead nowhere are refused, and change nothing.
    let set = ["pool", "set", "cloud", "--credentials-file"];
    let refused = place.vpool(&[&set[..], &[&new]].concat())?;
    ensure!(refused.code == 4, "not a key of the store yet: {refused:?}");
    let refused = place.vpool(&[&set[..], &["/nowhere/keys"]].concat())?;
    ensure!(refused.code == 2, "{refused:?}");
    let ca = place.vpool(&["pool", "set", "cloud", "--ca-file", "/nowhere/ca"])?;
    ensure!(ca.code != 0, "{ca:?}");
    ensure!(pool(&place)?["location"]["credentials_file"] == old.as_str());
    ensure!(!writer.is_finished(), "it writes, or has failed");

    ceph.add_key("rotation-new", "secret-new")?;
    let planned = place.vpool_ok(&[&set[..], &[&new, "--dry-run"]].concat())?;
    ensure!(planned.contains("leads to it"), "{planned}");
    ensure!(pool(&place)?["location"]["credentials_file"] == old.as_str());
    let shown = place.vpool_ok(&[&set[..], &[&new]].concat())?;
    ensure!(shown.contains(&new), "{shown}");
    let written = writer.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
    written.context("the writer saw an error")?;
    place.vpool_ok(&["pool", "sync", "cloud"])?;
    until(&place, "well again", |pool| {
        pool["store"]["trouble"].is_null()
    })?;
    qemu::io_ok(&uri, &READS)?;

    // The next life knows the new way only.
    daemon.kill()?;
    let daemon = place.world.start(&flags())?;
    ensure!(pool(&place)?["location"]["credentials_file"] == new.as_str());
    qemu::io_ok(&uri, &READS)?;
    qemu::io_ok(&uri, &["read -P 0x20 512M 1M"])?;
    daemon.terminate()?;

    // A pool that does not open because its keys are gone is brought back by setting others.
    std::fs::remove_file(&new)?;
    let _daemon = place.world.start(&flags())?;
    let closed = pool(&place)?;
    ensure!(closed["error"].is_string(), "{closed}");
    let moved = keys(&place.beside("moved"), "rotation-new", "secret-new")?;
    place.vpool_ok(&[&set[..], &[&moved]].concat())?;
    ensure!(pool(&place)?["error"].is_null());
    qemu::io_ok(&uri, &READS)
}
