//! QEMU's and libnbd's tools, with certificates and without.

use std::path::Path;

use tokio::time::timeout;
use vpool_test_certificates::{Authority, Certified, Purpose, Validity};

use super::{Door, MIB, PATIENCE};
use crate::real::{has, run, text};
use crate::transmission::pattern;

/// What real clients need: a directory for GnuTLS.
fn credentials(door: &Door, own: &Certified) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    door.ca.write_client(folder.path(), own).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_comes_with_certificates() {
    if !has("qemu-img", &["--version"]).await || !has("qemu-io", &["--version"]).await {
        return;
    }
    let door = Door::new(true).await;
    let good = credentials(&door, &door.ca.client().unwrap());
    let object = |folder: &Path| {
        let folder = text(folder);
        format!("tls-creds-x509,id=t,endpoint=client,dir={folder},verify-peer=yes")
    };
    let port = door.address.port();
    let image = format!("driver=nbd,host=127.0.0.1,port={port},export=d,tls-creds=t");
    let object = object(good.path());
    let info = run(
        "qemu-img",
        &["info", "--object", &object, "--image-opts", &image],
    )
    .await;
    assert!(info.contains("24 MiB"), "{info}");
    let io = [
        "--object",
        &object,
        "--image-opts",
        &image,
        "-c",
        "write -P 0x5a 1M 3M",
    ];
    run(
        "qemu-io",
        &[&io[..], &["-c", "read -P 0x5a 1M 3M", "-c", "flush"]].concat(),
    )
    .await;

    // Without certificates, and with one that has expired.
    let plain = format!("nbd://127.0.0.1:{port}/d");
    let past = door
        .ca
        .sign(Purpose::Client, &["x"], Validity::Past)
        .unwrap();
    // QEMU itself refuses to use it, unless it is told not to look.
    let old = credentials(&door, &past);
    let old = format!(
        "tls-creds-x509,id=t,endpoint=client,dir={},sanity-check=no",
        text(old.path())
    );
    for arguments in [
        vec!["info", &plain],
        vec!["info", "--object", &old, "--image-opts", &image],
    ] {
        let output = tokio::process::Command::new("qemu-img")
            .args(&arguments)
            .output();
        let output = timeout(PATIENCE, output).await.expect("no hang").unwrap();
        assert!(!output.status.success(), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libnbd_comes_with_certificates() {
    if !has("nbdinfo", &["--version"]).await || !has("nbdcopy", &["--version"]).await {
        return;
    }
    let door = Door::new(true).await;
    let good = credentials(&door, &door.ca.client().unwrap());
    let at = format!("127.0.0.1:{}", door.address.port());
    let uri = format!("nbds://{at}/d?tls-certificates={}", text(good.path()));
    let info = run("nbdinfo", &["--json", &uri]).await;
    assert!(info.contains("\"TLS\": true"), "{info}");
    let list = run("nbdinfo", &["--list", &uri]).await;
    assert_eq!(list.matches("export=").count(), 2, "{list}");

    let folder = tempfile::tempdir().unwrap();
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    let bytes = pattern(24 * MIB, 1);
    std::fs::write(&there, &bytes).unwrap();
    run("nbdcopy", &["--flush", text(&there), &uri]).await;
    let several = ["--connections=4", "--requests=64", "--request-size=65536"];
    run("nbdcopy", &[&several[..], &[&uri, text(&back)]].concat()).await;
    assert!(std::fs::read(&back).unwrap() == bytes);

    // Somebody between who strips TLS looks like a server without it.
    let any = "127.0.0.1:0".parse().unwrap();
    let stripped = door.fixture.server.listen_tcp(any).await.unwrap();
    let stripped = format!("nbds://{stripped}/d?tls-certificates={}", text(good.path()));

    let seen = *door.fixture.shelf.listed.lock().unwrap();
    let other = Authority::new("another").unwrap();
    let bad = credentials(&door, &other.client().unwrap());
    for uri in [
        format!("nbd://{at}/d"),
        format!("nbds://{at}/d?tls-certificates={}", text(bad.path())),
        stripped,
    ] {
        let output = tokio::process::Command::new("nbdinfo")
            .args(["--list", &uri])
            .output();
        let output = timeout(PATIENCE, output).await.expect("no hang").unwrap();
        assert!(!output.status.success(), "{uri}");
    }
    assert_eq!(*door.fixture.shelf.listed.lock().unwrap(), seen);
}
