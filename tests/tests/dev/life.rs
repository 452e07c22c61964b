//! Starting, being killed, starting again: what was written is there.

use std::fs;

use super::{Place, qemu};

#[test]
fn what_was_acknowledged_outlives_kill_and_restart() -> anyhow::Result<()> {
    if !qemu::installed() {
        return Ok(());
    }
    let place = Place::new()?;
    let daemon = place.start()?;
    let flushed = ["write -P 0x11 1M 1M", "write -P 0x22 1536K 512", "flush"];
    qemu::io_ok(&place.uri("default:demo"), &flushed)?;
    // Acknowledged and never flushed: a kill of the process may not lose it (P1).
    qemu::io_ok(&place.uri("demo"), &["write -P 0x33 5G 64K"])?;
    daemon.kill()?;

    let reads = [
        "read -P 0x11 1M 512K",
        "read -P 0x22 1536K 512",
        "read -P 0x33 5G 64K",
        "read -P 0 0 1M",
    ];
    let daemon = place.start()?;
    qemu::io_ok(&place.uri("demo"), &reads)?;
    place.vpool_ok(&["disk", "sync", "demo"])?;
    daemon.kill()?;
    let daemon = place.start()?;
    qemu::io_ok(&place.uri("demo"), &reads)?;
    daemon.terminate()?;

    // An order of SIGTERM leaves everything in the store: the caches are not needed.
    place.lose(&["cache"])?;
    let _daemon = place.start()?;
    qemu::io_ok(&place.uri("demo"), &reads)?;
    assert!(!place.log().contains("panic"), "{}", place.log());
    Ok(())
}

#[test]
fn objects_and_key_alone_bring_the_disks_back() -> anyhow::Result<()> {
    if !qemu::installed() {
        return Ok(());
    }
    let place = Place::new()?;
    let daemon = place.start()?;
    place.vpool_ok(&["disk", "create", "vm/a", "--size", "1G", "--encrypt"])?;
    qemu::io_ok(&place.uri("demo"), &["write -P 0x11 1M 1M"])?;
    qemu::io_ok(&place.uri("default:vm/a"), &["write -P 0x22 0 64K"])?;
    place.vpool_ok(&["pool", "sync", "default"])?;
    daemon.kill()?;

    place.lose(&["meta", "journal", "cache"])?;
    let daemon = place.start()?;
    qemu::io_ok(&place.uri("demo"), &["read -P 0x11 1M 1M"])?;
    qemu::io_ok(&place.uri("default:vm/a"), &["read -P 0x22 0 64K"])?;
    let list = place.vpool_ok(&["disk", "list"])?;
    assert_eq!(list.matches("demo").count(), 1, "{list}");
    // They go on: what is written now is as safe as before.
    qemu::io_ok(&place.uri("demo"), &["write -P 0x44 8M 64K", "flush"])?;
    daemon.kill()?;
    let _daemon = place.start()?;
    qemu::io_ok(
        &place.uri("demo"),
        &["read -P 0x44 8M 64K", "read -P 0x11 1M 1M"],
    )?;
    Ok(())
}

#[test]
fn a_deleted_demo_does_not_come_back() -> anyhow::Result<()> {
    let place = Place::new()?;
    let daemon = place.start()?;
    place.vpool_ok(&["disk", "delete", "demo", "--yes"])?;
    daemon.terminate()?;
    let daemon = place.start()?;
    assert_eq!(place.vpool_ok(&["disk", "list", "-o", "name"])?, "");
    daemon.terminate()?;

    place.lose(&["meta", "journal", "cache"])?;
    let _daemon = place.start()?;
    assert_eq!(place.vpool_ok(&["disk", "list", "-o", "name"])?, "");
    Ok(())
}

#[test]
fn caches_may_vanish_or_rot_between_two_starts() -> anyhow::Result<()> {
    if !qemu::installed() {
        return Ok(());
    }
    let place = Place::new()?;
    let daemon = place.start()?;
    qemu::io_ok(&place.uri("demo"), &["write -P 0x55 0 4M", "flush"])?;
    place.vpool_ok(&["disk", "sync", "demo"])?;
    daemon.kill()?;
    let map = place.data().join("cache/map");
    let manifest = fs::read_to_string(map.join("CURRENT"))?;
    fs::write(map.join(manifest.trim()), "rotten")?;
    let _daemon = place.start()?;
    assert!(place.log().contains("made anew"), "{}", place.log());
    qemu::io_ok(&place.uri("demo"), &["read -P 0x55 0 4M"])?;
    Ok(())
}
