//! A pool on a real S3 server by one command, and what can be wrong with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;
use serde_json::Value;
use tokio::runtime::Runtime;
use vpool_test_stores::{CephRgw, Mode, Proxy};
use vpool_tests::nbd::Client;

use super::{Place, qemu};

#[test]
fn write_kill_restart_read_on_s3() -> anyhow::Result<()> {
    let Some(ceph) = CephRgw::shared() else {
        return Ok(());
    };
    if !qemu::installed() {
        return Ok(());
    }
    ceph.create_bucket("dev")?;
    let url = format!("{}/dev/one", ceph.endpoint);
    let keys = ceph.credentials_file().to_string_lossy().into_owned();
    let place = Place::new()?;
    let daemon = place.start()?;
    place.vpool_ok(&[
        "pool",
        "create",
        "cloud",
        "--s3",
        &url,
        "--credentials-file",
        &keys,
    ])?;
    place.vpool_ok(&["disk", "create", "cloud:vm1", "--size", "40G", "--encrypt"])?;
    qemu::io_ok(&place.uri("cloud:vm1"), &["write -P 0x11 1G 8M", "flush"])?;
    qemu::io_ok(&place.uri("vm1"), &["write -P 0x12 2G 64K"])?;
    daemon.kill()?;
    let reads = [
        "read -P 0x11 1G 8M",
        "read -P 0x12 2G 64K",
        "read -P 0 0 1M",
    ];
    let daemon = place.start()?;
    qemu::io_ok(&place.uri("cloud:vm1"), &reads)?;
    place.vpool_ok(&["disk", "sync", "cloud:vm1"])?;
    daemon.terminate()?;
    place.lose(&["cache"])?;
    let _daemon = place.start()?;
    qemu::io_ok(&place.uri("cloud:vm1"), &reads)?;
    let pool = place.vpool_ok(&["pool", "show", "cloud"])?;
    assert!(pool.contains(&url) && pool.contains("up"), "{pool}");
    Ok(())
}

#[test]
fn wrong_keys_missing_bucket_and_no_server() -> anyhow::Result<()> {
    let Some(ceph) = CephRgw::shared() else {
        return Ok(());
    };
    ceph.create_bucket("trouble")?;
    let place = Place::new()?;
    let good = ceph.credentials_file().to_string_lossy().into_owned();
    let wrong = place.beside("wrong");
    fs::write(
        &wrong,
        format!(
            "access_key={}\nsecret_key=not-the-secret\n",
            ceph.access_key
        ),
    )?;
    let open = place.beside("open");
    fs::copy(&wrong, &open)?;
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600))?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644))?;
    let (wrong, open) = (
        wrong.to_string_lossy().into_owned(),
        open.to_string_lossy().into_owned(),
    );
    let _daemon = place.start()?;
    let url = |bucket: &str| format!("{}/{bucket}", ceph.endpoint);
    for (url, keys, code, text) in [
        (url("trouble"), &wrong, 4, "key"),
        (url("trouble"), &open, 2, "open"),
        (url("absent"), &good, 3, "absent"),
        (
            "http://127.0.0.1:9/bucket".to_owned(),
            &good,
            1,
            "127.0.0.1:9",
        ),
    ] {
        let create = [
            "pool",
            "create",
            "p",
            "--s3",
            &url,
            "--credentials-file",
            keys,
        ];
        let done = place.vpool(&create)?;
        assert!(
            done.code == code && done.stderr.contains(text),
            "{create:?}: {done:?}"
        );
    }
    let list = place.vpool_ok(&["pool", "list"])?;
    assert_eq!(list.lines().count(), 2, "nothing was made: {list}");
    Ok(())
}

#[test]
fn what_takes_too_long_is_left_to_go_on() -> anyhow::Result<()> {
    let Some(ceph) = CephRgw::shared() else {
        return Ok(());
    };
    ceph.create_bucket("late")?;
    let runtime = Runtime::new().context("start a runtime for the proxy")?;
    let proxy = runtime.block_on(Proxy::start(ceph.port()))?;
    let mode = |mode| runtime.block_on(proxy.set_mode(mode));
    let place = Place::new()?;
    let _daemon = place.start()?;
    let url = format!("{}/late/one", proxy.endpoint());
    let keys = ceph.credentials_file().to_string_lossy().into_owned();
    let create = ["pool", "create", "cloud", "--s3", &url];
    place.vpool_ok(&[&create[..], &["--credentials-file", &keys]].concat())?;
    place.vpool_ok(&["disk", "create", "cloud:a", "--size", "64M"])?;
    mode(Mode::Hang)?;
    let mut client = Client::connect(&place.world.door("cloud:a"), 1)?;
    client.write(0, &[7; 4096])?;
    client.flush()?;
    for arguments in [
        &["disk", "sync", "cloud:a", "--timeout", "1"][..],
        &["pool", "sync", "cloud", "--timeout", "1"],
        &["task", "watch", "1", "--timeout", "1"],
    ] {
        let done = place.vpool(arguments)?;
        assert_eq!(done.code, 6, "{arguments:?}: {done:?}");
        assert!(done.stderr.contains("task"), "{arguments:?}: {done:?}");
    }
    // It goes on, and ends when it can.
    let state = || -> anyhow::Result<Value> {
        let text = place.vpool_ok(&["task", "show", "1", "-o", "json"])?;
        let task: Value = serde_json::from_str(&text)?;
        // One name is one object, or a list of one.
        Ok(task.get(0).unwrap_or(&task)["state"].clone())
    };
    assert_eq!(state()?, "running");
    mode(Mode::Pass)?;
    place.vpool_ok(&["task", "watch", "1", "--timeout", "120"])?;
    assert_eq!(state()?, "done");
    Ok(())
}
