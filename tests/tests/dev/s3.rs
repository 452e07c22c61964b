//! A pool on a real S3 server by one command, and what can be wrong with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use vpool_test_stores::CephRgw;
use vpool_tests::daemon::Daemon;
use vpool_tests::tools::{installed, qemu_io_ok};

use super::Place;

#[test]
fn write_kill_restart_read_on_s3() -> anyhow::Result<()> {
    let Some(ceph) = CephRgw::shared() else {
        return Ok(());
    };
    if !installed("qemu-io") {
        return Ok(());
    }
    ceph.create_bucket("dev")?;
    let url = format!("{}/dev/one", ceph.endpoint);
    let keys = ceph.credentials_file().to_string_lossy().into_owned();
    let place = Place::new();
    let daemon = Daemon::start(&place.data())?;
    daemon.vpool_ok(&[
        "pool",
        "create",
        "cloud",
        "--s3",
        &url,
        "--credentials-file",
        &keys,
    ])?;
    daemon.vpool_ok(&["disk", "create", "cloud:vm1", "--size", "40G", "--encrypt"])?;
    qemu_io_ok(&daemon.uri("cloud:vm1"), &["write -P 0x11 1G 8M", "flush"])?;
    qemu_io_ok(&daemon.uri("vm1"), &["write -P 0x12 2G 64K"])?;
    daemon.kill()?;
    let reads = [
        "read -P 0x11 1G 8M",
        "read -P 0x12 2G 64K",
        "read -P 0 0 1M",
    ];
    let daemon = Daemon::start(&place.data())?;
    qemu_io_ok(&daemon.uri("cloud:vm1"), &reads)?;
    daemon.vpool_ok(&["disk", "sync", "cloud:vm1"])?;
    assert!(daemon.terminate()?.success());
    fs::remove_dir_all(place.data().join("cache"))?;
    let daemon = Daemon::start(&place.data())?;
    qemu_io_ok(&daemon.uri("cloud:vm1"), &reads)?;
    let pool = daemon.vpool_ok(&["pool", "show", "cloud"])?;
    assert!(pool.contains(&url) && pool.contains("up"), "{pool}");
    Ok(())
}

#[test]
fn wrong_keys_missing_bucket_and_no_server() -> anyhow::Result<()> {
    let Some(ceph) = CephRgw::shared() else {
        return Ok(());
    };
    ceph.create_bucket("trouble")?;
    let place = Place::new();
    let good = ceph.credentials_file().to_string_lossy().into_owned();
    let wrong = place.join("wrong");
    fs::write(
        &wrong,
        format!(
            "access_key={}\nsecret_key=not-the-secret\n",
            ceph.access_key
        ),
    )?;
    let open = place.join("open");
    fs::copy(&wrong, &open)?;
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600))?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644))?;
    let (wrong, open) = (
        wrong.to_string_lossy().into_owned(),
        open.to_string_lossy().into_owned(),
    );
    let daemon = Daemon::start(&place.data())?;
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
        let done = daemon.vpool(&create)?;
        assert!(
            done.code == code && done.stderr.contains(text),
            "{create:?}: {done:?}"
        );
    }
    let list = daemon.vpool_ok(&["pool", "list"])?;
    assert_eq!(list.lines().count(), 2, "nothing was made: {list}");
    Ok(())
}
