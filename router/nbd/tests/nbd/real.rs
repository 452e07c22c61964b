//! The clients that people use: libnbd's tools, QEMU's, fio.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::fake::{Event, Fixture};
use crate::transmission::pattern;

const MIB: usize = 1 << 20;

/// Whether `name` can be used; if not, it says so, or fails where CI demands it.
pub(crate) async fn has(name: &str, arguments: &[&str]) -> bool {
    let mut run = Command::new(name);
    run.args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let found = run.status().await.is_ok_and(|status| status.success());
    if !found {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "{name} is missing"
        );
        println!("skipped: {name} {arguments:?} does not work here");
    }
    found
}

/// What the tool prints; it must succeed, in good time.
pub(crate) async fn run<A: AsRef<OsStr>>(name: &str, arguments: &[A]) -> String {
    let output = Command::new(name)
        .args(arguments)
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(60), output)
        .await
        .expect("it does not hang");
    let output = output.unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {stdout}{stderr}");
    stdout
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nbdinfo_sees_all_that_is_offered() {
    if !has("nbdinfo", &["--version"]).await {
        return;
    }
    let fixture = Fixture::new(MIB);
    let uri = fixture.uri();
    let list = run("nbdinfo", &["--list", "--json", &uri]).await;
    assert_eq!(list.matches("\"export-name\"").count(), 2, "{list}");
    assert!(list.contains("\"description\": \"a disk\""), "{list}");
    let one = run("nbdinfo", &["--json", &uri]).await;
    for can in [
        "cache",
        "df",
        "fast_zero",
        "flush",
        "fua",
        "multi_conn",
        "trim",
        "zero",
    ] {
        assert!(
            one.contains(&format!("\"can_{can}\": true")),
            "{can}: {one}"
        );
    }
    for line in [
        "\"export-size\": 1048576,",
        "\"is_read_only\": false",
        "\"base:allocation\"",
        "\"block_size_minimum\": 1,",
        "\"block_size_preferred\": 4096,",
        "\"block_size_maximum\": 33554432,",
        "\"structured\": true",
    ] {
        assert!(one.contains(line), "{line}: {one}");
    }
    let size = run("nbdinfo", &["--size", &uri]).await;
    assert_eq!(size.trim(), "1048576");
    let missing = Command::new("nbdinfo")
        .arg(uri.replace("///", "///nothing"))
        .output();
    let missing = missing.await.unwrap();
    assert!(!missing.status.success());
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("nothing"), "it names the export: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nbdcopy_brings_back_what_it_took() {
    if !has("nbdcopy", &["--version"]).await {
        return;
    }
    let fixture = Fixture::new(24 * MIB);
    let folder = tempfile::tempdir().unwrap();
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    let mut bytes = pattern(24 * MIB, 1);
    bytes[3 * MIB..9 * MIB].fill(0);
    std::fs::write(&there, &bytes).unwrap();
    let uri = fixture.uri();
    run("nbdcopy", &["--flush", text(&there), &uri]).await;
    assert!(fixture.disk.events().contains(&Event::Flush));
    let several = ["--connections=4", "--requests=64", "--request-size=65536"];
    run("nbdcopy", &[&several[..], &[&uri, text(&back)]].concat()).await;
    assert!(std::fs::read(&back).unwrap() == bytes);
    let map = run("nbdinfo", &["--map", "--totals", &uri]).await;
    assert!(
        map.contains("6291456") && map.contains("hole,zero"),
        "{map}"
    );
}

/// What libnbd can ask for that the tools do not.
const SCRIPT: &str = r#"
import nbd, os, sys
uri = sys.argv[1]
def connect():
    h = nbd.NBD()
    h.add_meta_context("base:allocation")
    h.connect_uri(uri)
    return h
h = connect()
size = h.get_size()
assert h.can_multi_conn() and h.can_fua() and h.can_fast_zero() and h.can_cache()

# FUA, zeroes, trim, cache, at odd places
data = os.urandom(100001)
h.pwrite(data, 4095, nbd.CMD_FLAG_FUA)
assert h.pread(100001, 4095) == data
h.zero(5000, 5001, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE)
h.zero(5000, 20001, nbd.CMD_FLAG_FAST_ZERO)
h.trim(4097, 40001, nbd.CMD_FLAG_FUA)
h.cache(1 << 20, 3)
h.flush()
expect = bytearray(4095) + data
for at, length in ((5001, 5000), (20001, 5000), (40001, 4097)):
    expect[at:at + length] = bytes(length)
assert h.pread(len(expect), 0) == expect
assert h.pread_structured(70000, 1, lambda *a: 0, nbd.CMD_FLAG_DF) == expect[1:70001]

# holes
extents = []
h.block_status(size, 0, lambda context, offset, entries, error: extents.append((context, entries)))
assert extents[0][0] == "base:allocation" and sum(extents[0][1][::2]) <= size
extents.clear()
h.block_status(size, 0, lambda *a: extents.append(a[2]), nbd.CMD_FLAG_REQ_ONE)
assert len(extents[0]) == 2

# what is out of bounds
h.set_strict_mode(0)
for call, errno in (
    (lambda: h.pread(512, size), "EINVAL"),
    (lambda: h.pread(512, size - 511), "EINVAL"),
    (lambda: h.pwrite(bytes(512), size - 511), "ENOSPC"),
    (lambda: h.zero(512, size), "ENOSPC"),
    (lambda: h.trim(512, size), "EINVAL"),
    (lambda: h.block_status(512, size, lambda *a: 0), "EINVAL"),
):
    try:
        call()
        assert False, "not refused"
    except nbd.Error as error:
        assert error.errno == errno, (error.errno, errno)

# 64 in flight on each of 8 connections; a flush on one covers all
handles = [connect() for _ in range(8)]
buffers = {}
for lap in range(4):
    cookies = []
    for n, c in enumerate(handles):
        for i in range(64):
            at = (1 << 20) + ((n * 64 + i) * 8191)
            block = os.urandom(8191)
            buffers[at] = block
            cookies.append((c, c.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(block)), at)))
    for c, cookie in cookies:
        while not c.aio_command_completed(cookie):
            c.poll(-1)
    handles[lap].flush()
reads = []
for n, (at, block) in enumerate(buffers.items()):
    buffer = nbd.Buffer(8191)
    c = handles[n % 8]
    reads.append((c, c.aio_pread(buffer, at), buffer, block))
for c, cookie, buffer, block in reads:
    while not c.aio_command_completed(cookie):
        c.poll(-1)
    assert buffer.to_bytearray() == block
for c in handles:
    c.shutdown()

# the old way in, without structured replies
o = nbd.NBD()
o.set_request_structured_replies(False)
o.set_handshake_flags(0)
o.connect_uri(uri)
assert not o.get_structured_replies_negotiated()
assert o.pread(len(expect), 0) == expect
o.pwrite(b"simple", 7)
assert o.pread(3 << 20, 0)[7:13] == b"simple"
o.shutdown()
print("well")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn libnbd_can_use_everything() {
    if !has("/usr/bin/python3", &["-c", "import nbd"]).await {
        return;
    }
    let fixture = Fixture::new(16 * MIB);
    let said = run("/usr/bin/python3", &["-c", SCRIPT, &fixture.uri()]).await;
    assert_eq!(said.trim(), "well");
    let flushes = fixture
        .disk
        .events()
        .iter()
        .filter(|event| **event == Event::Flush)
        .count();
    assert_eq!(
        flushes,
        3 + 1 + 4,
        "each FUA and each flush reaches the disk"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_img_converts_maps_and_compares() {
    if !has("qemu-img", &["--version"]).await {
        return;
    }
    let fixture = Fixture::new(32 * MIB);
    let folder = tempfile::tempdir().unwrap();
    let (raw, qcow) = (folder.path().join("raw"), folder.path().join("qcow2"));
    let mut bytes = pattern(32 * MIB, 2);
    bytes[MIB..17 * MIB].fill(0);
    std::fs::write(&raw, &bytes).unwrap();
    let uri = fixture.uri();
    let info = run("qemu-img", &["info", "--output=json", &uri]).await;
    assert!(info.contains("\"virtual-size\": 33554432"), "{info}");
    run(
        "qemu-img",
        &["convert", "-n", "-f", "raw", "-O", "raw", text(&raw), &uri],
    )
    .await;
    run(
        "qemu-img",
        &["compare", "-f", "raw", "-F", "raw", text(&raw), &uri],
    )
    .await;
    let map = run("qemu-img", &["map", "--output=json", "-f", "raw", &uri]).await;
    let hole = "\"start\": 1048576, \"length\": 16777216";
    assert!(
        map.contains(hole) && map.contains("\"zero\": true"),
        "{map}"
    );
    run(
        "qemu-img",
        &[
            "convert",
            "-f",
            "raw",
            "-O",
            "qcow2",
            "-c",
            &uri,
            text(&qcow),
        ],
    )
    .await;
    run(
        "qemu-img",
        &[
            "compare",
            "-f",
            "raw",
            "-F",
            "qcow2",
            text(&raw),
            text(&qcow),
        ],
    )
    .await;
    assert!(
        fixture.disk.events().contains(&Event::Flush),
        "QEMU flushes at the end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_io_writes_zeroes_discards_and_verifies() {
    if !has("qemu-io", &["--version"]).await {
        return;
    }
    let fixture = Fixture::new(8 * MIB);
    let commands = [
        "write -P 0xab 0 64k",
        "write -f -P 0xcd 65536 512",
        "aio_write -P 0x11 1M 1M",
        "aio_write -P 0x12 3M 1M",
        "aio_flush",
        "write -z -u 1M 512k",
        "write -z 3145728 4096",
        "discard 2M 64k",
        "flush",
        "read -P 0xab 0 64k",
        "read -P 0xcd 64k 512",
        "read -P 0 1M 512k",
        "read -P 0x11 1536k 512k",
        "read -P 0 3M 4k",
        "read -P 0x12 3149824 1044480",
        "read -P 0xab 5 61",
    ];
    let mut arguments = vec!["-f".to_owned(), "raw".to_owned()];
    for command in commands {
        arguments.extend(["-c".to_owned(), command.to_owned()]);
    }
    arguments.push(fixture.uri());
    let said = run("qemu-io", &arguments).await;
    assert!(
        !said.contains("failed") && !said.contains("error"),
        "{said}"
    );
    let events = fixture.disk.events();
    let fua = events
        .windows(2)
        .any(|pair| pair == [Event::Write(65536), Event::Flush]);
    assert!(fua, "a FUA write is flushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn fio_verifies_what_it_wrote() {
    if !has("fio", &["--version"]).await {
        return;
    }
    let fixture = Fixture::new(32 * MIB);
    let uri = format!("--uri={}", fixture.uri());
    let job = [
        "--name=v",
        "--ioengine=nbd",
        "--size=32M",
        "--verify=crc32c",
        &uri,
    ];
    let table: [&[&str]; 3] = [
        &["--rw=randrw", "--bsrange=4k-64k", "--iodepth=32"],
        &[
            "--rw=randwrite",
            "--bsrange=512-128k",
            "--bs_unaligned",
            "--iodepth=16",
        ],
        &["--rw=write", "--bs=1M", "--iodepth=8", "--fsync=4"],
    ];
    for workload in table {
        let said = run("fio", &[&job[..], workload].concat()).await;
        assert!(said.contains("err= 0"), "{said}");
    }
}
