//! Pools whose place is gone are forgotten: not by mistake, with nothing left behind, and they come back
//! with their place.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Place, qemu};

/// The names of the journals and caches.
fn files(place: &Place) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for directory in ["journal", "cache"] {
        for file in fs::read_dir(place.data().join(directory))? {
            names.push(file?.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// A pool on `at` with a disk, of which one write is shipped; the answer is the pool's id.
fn pool(place: &Place, at: &Path) -> anyhow::Result<String> {
    fs::create_dir(at)?;
    place.vpool_ok(&["pool", "create", "nas", "--fs", &at.to_string_lossy()])?;
    place.vpool_ok(&["disk", "create", "nas:a", "--size", "64M"])?;
    qemu::io_ok(&place.uri("nas:a"), &["write -P 0x31 0 1M", "flush"])?;
    place.vpool_ok(&["pool", "sync", "nas"])?;
    let shown = place.vpool_ok(&["pool", "list", "-o", "json"])?;
    let shown: Value = serde_json::from_str(&shown)?;
    let pools = shown["items"].as_array().expect("a list");
    let nas = pools.iter().find(|pool| pool["name"] == "nas");
    Ok(nas.expect("it was made")["id"]
        .as_str()
        .expect("an id")
        .to_owned())
}

#[test]
fn a_pool_whose_place_is_gone() -> anyhow::Result<()> {
    if !qemu::installed() {
        return Ok(());
    }
    let place = Place::new()?;
    let (at, away) = (place.beside("nas"), place.beside("away"));
    let daemon = place.start()?;
    let id = pool(&place, &at)?;
    daemon.terminate()?;
    fs::rename(&at, &away)?;
    let _daemon = place.start()?;

    let delete = ["pool", "delete", "nas"];
    let plain = place.vpool(&[&delete[..], &["--yes"]].concat())?;
    assert_eq!(plain.code, 5, "{plain:?}");
    assert!(
        plain.stderr.contains("1 disk") && plain.stderr.contains("--forget"),
        "{plain:?}"
    );
    let asked = place.vpool(&[&delete[..], &["--forget"]].concat())?;
    assert_eq!(asked.code, 2, "nobody is there to be asked: {asked:?}");
    let misused = place.vpool(&[&delete[..], &["--accept-loss", "--yes"]].concat())?;
    assert_eq!(misused.code, 2, "{misused:?}");
    let planned = place.vpool_ok(&[&delete[..], &["--forget", "--dry-run"]].concat())?;
    assert!(
        planned.contains("disks a") && planned.contains(&*at.to_string_lossy()),
        "{planned}"
    );
    assert!(files(&place)?.iter().any(|name| name.starts_with(&id)));

    let gone = place.vpool_ok(&[&delete[..], &["--forget", "--yes"]].concat())?;
    assert!(gone.contains("its objects stay"), "{gone}");
    assert!(!place.vpool_ok(&["pool", "list"])?.contains("nas"));
    assert!(!files(&place)?.iter().any(|name| name.starts_with(&id)));
    let again = place.vpool(&[&delete[..], &["--forget", "--yes"]].concat())?;
    assert_eq!(again.code, 3, "{again:?}");

    fs::rename(&away, &at)?;
    place.vpool_ok(&["pool", "adopt", "--fs", &at.to_string_lossy(), "--yes"])?;
    qemu::io_ok(&place.uri("nas:a"), &["read -P 0x31 0 1M"])
}

#[test]
fn what_only_the_journal_holds_is_named_first() -> anyhow::Result<()> {
    if !qemu::installed() {
        return Ok(());
    }
    let place = Place::new()?;
    let (at, away) = (place.beside("nas"), place.beside("away"));
    let daemon = place.start()?;
    pool(&place, &at)?;
    fs::rename(&at, &away)?;
    qemu::io_ok(&place.uri("nas:a"), &["write -P 0x32 1M 1M", "flush"])?;

    let forget = ["pool", "delete", "nas", "--forget", "--yes"];
    let refuse = || -> anyhow::Result<()> {
        let refused = place.vpool(&forget)?;
        assert_eq!(refused.code, 5, "{refused:?}");
        assert!(
            refused.stderr.contains("of a"),
            "it names the disk: {refused:?}"
        );
        Ok(())
    };
    // While it is open, and when it does not open any more.
    refuse()?;
    daemon.kill()?;
    let daemon = place.start()?;
    refuse()?;
    // It comes back with its place, and nothing has been lost.
    daemon.terminate()?;
    fs::rename(&away, &at)?;
    let daemon = place.start()?;
    let reads = ["read -P 0x31 0 1M", "read -P 0x32 1M 1M"];
    qemu::io_ok(&place.uri("nas:a"), &reads)?;
    place.vpool_ok(&["pool", "sync", "nas"])?;
    fs::rename(&at, &away)?;
    qemu::io_ok(&place.uri("nas:a"), &["write -P 0x33 1M 1M", "flush"])?;
    daemon.kill()?;
    let _daemon = place.start()?;
    refuse()?;
    place.vpool_ok(&[&forget[..], &["--accept-loss"]].concat())?;
    fs::rename(&away, &at)?;
    place.vpool_ok(&["pool", "adopt", "--fs", &at.to_string_lossy(), "--yes"])?;
    qemu::io_ok(&place.uri("nas:a"), &reads)
}
