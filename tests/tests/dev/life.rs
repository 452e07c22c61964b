//! Starting, being killed, starting again: what was written is there.

use std::fs;

use vpool_tests::daemon::Daemon;
use vpool_tests::tools::{installed, qemu_io_ok};

use super::Place;

#[test]
fn what_was_acknowledged_outlives_kill_and_restart() -> anyhow::Result<()> {
    if !installed("qemu-io") {
        return Ok(());
    }
    let place = Place::new();
    let daemon = Daemon::start(&place.data())?;
    let flushed = ["write -P 0x11 1M 1M", "write -P 0x22 1536K 512", "flush"];
    qemu_io_ok(&daemon.uri("default:demo"), &flushed)?;
    // Acknowledged and never flushed: a kill of the process may not lose it (P1).
    qemu_io_ok(&daemon.uri("demo"), &["write -P 0x33 5G 64K"])?;
    daemon.kill()?;

    let reads = [
        "read -P 0x11 1M 512K",
        "read -P 0x22 1536K 512",
        "read -P 0x33 5G 64K",
        "read -P 0 0 1M",
    ];
    let daemon = Daemon::start(&place.data())?;
    qemu_io_ok(&daemon.uri("demo"), &reads)?;
    daemon.vpool_ok(&["disk", "sync", "demo"])?;
    daemon.kill()?;
    let daemon = Daemon::start(&place.data())?;
    qemu_io_ok(&daemon.uri("demo"), &reads)?;
    assert!(daemon.terminate()?.success());

    // An order of SIGTERM leaves everything in the store: the caches are not needed.
    fs::remove_dir_all(place.data().join("cache"))?;
    let daemon = Daemon::start(&place.data())?;
    qemu_io_ok(&daemon.uri("demo"), &reads)?;
    assert!(!daemon.log().contains("panic"), "{}", daemon.log());
    Ok(())
}

#[test]
fn objects_and_key_alone_bring_the_disks_back() -> anyhow::Result<()> {
    if !installed("qemu-io") {
        return Ok(());
    }
    let place = Place::new();
    let daemon = Daemon::start(&place.data())?;
    daemon.vpool_ok(&["disk", "create", "vm/a", "--size", "1G", "--encrypt"])?;
    qemu_io_ok(&daemon.uri("demo"), &["write -P 0x11 1M 1M"])?;
    qemu_io_ok(&daemon.uri("default:vm/a"), &["write -P 0x22 0 64K"])?;
    daemon.vpool_ok(&["pool", "sync", "default"])?;
    daemon.kill()?;

    for gone in ["meta", "journal", "cache"] {
        fs::remove_dir_all(place.data().join(gone))?;
    }
    let daemon = Daemon::start(&place.data())?;
    qemu_io_ok(&daemon.uri("demo"), &["read -P 0x11 1M 1M"])?;
    qemu_io_ok(&daemon.uri("default:vm/a"), &["read -P 0x22 0 64K"])?;
    let list = daemon.vpool_ok(&["disk", "list"])?;
    assert_eq!(list.matches("demo").count(), 1, "{list}");
    // They go on: what is written now is as safe as before.
    qemu_io_ok(&daemon.uri("demo"), &["write -P 0x44 8M 64K", "flush"])?;
    daemon.kill()?;
    let daemon = Daemon::start(&place.data())?;
    qemu_io_ok(
        &daemon.uri("demo"),
        &["read -P 0x44 8M 64K", "read -P 0x11 1M 1M"],
    )?;
    Ok(())
}

#[test]
fn a_deleted_demo_does_not_come_back() -> anyhow::Result<()> {
    let place = Place::new();
    let daemon = Daemon::start(&place.data())?;
    daemon.vpool_ok(&["disk", "delete", "demo", "--yes"])?;
    assert!(daemon.terminate()?.success());
    let daemon = Daemon::start(&place.data())?;
    assert_eq!(
        daemon.vpool_ok(&["disk", "list", "-o", "json"])?.trim(),
        "[]"
    );
    assert!(daemon.terminate()?.success());

    for gone in ["meta", "journal", "cache"] {
        fs::remove_dir_all(place.data().join(gone))?;
    }
    let daemon = Daemon::start(&place.data())?;
    assert_eq!(
        daemon.vpool_ok(&["disk", "list", "-o", "json"])?.trim(),
        "[]"
    );
    Ok(())
}

#[test]
fn caches_may_vanish_or_rot_between_two_starts() -> anyhow::Result<()> {
    if !installed("qemu-io") {
        return Ok(());
    }
    let place = Place::new();
    let daemon = Daemon::start(&place.data())?;
    qemu_io_ok(&daemon.uri("demo"), &["write -P 0x55 0 4M", "flush"])?;
    daemon.vpool_ok(&["disk", "sync", "demo"])?;
    daemon.kill()?;
    let map = place.data().join("cache/map");
    let manifest = fs::read_to_string(map.join("CURRENT"))?;
    fs::write(map.join(manifest.trim()), "rotten")?;
    let daemon = Daemon::start(&place.data())?;
    assert!(daemon.log().contains("made anew"), "{}", daemon.log());
    qemu_io_ok(&daemon.uri("demo"), &["read -P 0x55 0 4M"])?;
    Ok(())
}
