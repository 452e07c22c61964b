//! T30: what a guest writes to an encrypted disk, the grid's key, the API's token and the keys and
//! passwords of stores stand nowhere in clear.
//!
//! A second disk, not encrypted, holds another canary, which must be found: it proves that
//! the search finds.
//!
//! Owns: how secrets get into the daemon, and its lives. Does not own: the search (`search.rs`).

mod search;
mod swift;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::runtime::Runtime;
use vpool_s3::{S3Config, S3Store};
use vpool_test_stores::CephRgw;
use vpool_tests::daemon::{Daemon, Flags, World};
use vpool_tests::nbd::{Client, Door};
use vpool_tests::report;

use search::{Needle, Searched, key_needles, look, of_process, search, search_store, text_needles};

const SECRET: &[u8] = b"canary-of-the-sealed-disk-5e1f0c";

const OPEN: &[u8] = b"canary-of-the-open-disk-77a0b2";

const WRONG_KEY: &[u8] = b"canary-of-a-wrong-key-c91d44";

/// The number of the signal that [`Daemon::abort`] sends.
const ABORT: i32 = 6;

/// Where the canaries are written.
const PLACES: u64 = 64;

#[test]
fn nothing_secret_in_clear() -> anyhow::Result<()> {
    let world = World::new("canary")?;
    let daemon = world.start(&flags("128M"))?;
    world.vpool(&["disk", "create", "sealed", "--size", "64M", "--encrypt"])?;
    world.vpool(&["disk", "create", "open", "--size", "64M"])?;
    let doors = [(world.door("sealed"), SECRET), (world.door("open"), OPEN)];
    let mut needles = key_needles(&world.data().join("grid.key"))?;
    let token = fs::read_to_string(world.data().join("api.token"))?;
    needles.extend(text_needles("the token of the API", token.trim()));
    needles.push(Needle::secret("the canary of the sealed disk", SECRET));
    needles.push(Needle::open("the canary of the open disk", OPEN));

    let daemon = write_over_a_kill(&world, daemon, &doors)?;
    look_at_answers(&world, &daemon, &["sealed"], &needles)?;
    ask_with_tokens(&world, token.trim(), &needles)?;
    // Both while it runs and after it has ended in order.
    let alive = search(&world, &needles)?;
    daemon.terminate()?;
    let ended = search(&world, &needles)?;
    conclude("directory", &needles, alive, ended)
}

#[test]
fn nothing_secret_in_a_bucket() -> anyhow::Result<()> {
    let Some(ceph) = CephRgw::shared() else {
        return Ok(());
    };
    ceph.create_bucket("canary")?;
    let url = format!("{}/canary/some/prefix", ceph.endpoint);
    let keys = ceph.credentials_file();
    let world = World::new("canary")?;
    let daemon = world.start(&flags("128M"))?;
    let create = [
        "pool",
        "create",
        "cloud",
        "--s3",
        &url,
        "--credentials-file",
    ];
    world.vpool(&[&create[..], &[&*keys.to_string_lossy()]].concat())?;
    world.vpool(&["disk", "create", "cloud:s", "--size", "64M", "--encrypt"])?;
    world.vpool(&["disk", "create", "cloud:o", "--size", "64M"])?;
    let doors = [
        (world.door("cloud:s"), SECRET),
        (world.door("cloud:o"), OPEN),
    ];
    let mut needles = key_needles(&world.data().join("grid.key"))?;
    let secret_key = ceph.secret_key.as_bytes();
    needles.push(Needle::secret("the key of the store", secret_key));
    needles.push(Needle::secret("a wrong key of the store", WRONG_KEY));
    needles.push(Needle::secret("the canary of the sealed disk", SECRET));
    needles.push(Needle::open("the canary of the open disk", OPEN));

    let daemon = write_over_a_kill(&world, daemon, &doors)?;
    look_at_a_refusal(&world, ceph, &needles)?;
    look_at_answers(&world, &daemon, &["cloud:s", "cloud:o"], &needles)?;
    search(&world, &needles)?;
    world.vpool(&["pool", "sync", "cloud"])?;
    daemon.terminate()?;
    let ended = search(&world, &needles)?;
    let store = S3Store::connect(S3Config::from_url(&url, keys)?)?;
    let runtime = Runtime::new().context("start a runtime")?;
    let objects = runtime.block_on(search_store(&store, &needles))?;
    conclude("bucket", &needles, objects, ended)
}

#[test]
fn no_core_is_dumped() -> anyhow::Result<()> {
    let world = World::new("canary")?;
    // Where cores are allowed, the daemon forbids its own.
    let allowed = getrlimit(Resource::Core).maximum;
    setrlimit(
        Resource::Core,
        Rlimit {
            current: allowed,
            maximum: allowed,
        },
    )
    .context("allow cores")?;
    let daemon = world.start(&flags("128M"))?;
    let status = daemon.abort()?;
    ensure!(
        status.signal() == Some(ABORT) && !status.core_dumped(),
        "a core was dumped: {status:?}"
    );
    Ok(())
}

/// Reports, if the search finds what is there to be found.
fn conclude(
    part: &str,
    needles: &[Needle],
    first: Searched,
    ended: Searched,
) -> anyhow::Result<()> {
    ensure!(
        first.found_open,
        "the canary of the open disk was not found either"
    );
    let figures = json!({
        "hits": 0,
        "secrets": needles.iter().filter(|needle| needle.secret).count(),
        "files_and_objects": first.count + ended.count,
    });
    report::add("canary", part, figures).map(|_| ())
}

fn flags(journal: &str) -> Flags {
    Flags {
        journal: journal.to_owned(),
        cache: "256M".to_owned(),
        api_tcp: "127.0.0.1:0".to_owned(),
        // All that anything in the daemon has to say.
        log: "trace".to_owned(),
        ..Flags::default()
    }
}

/// Writes, ships, kills, loses the caches, reads and writes: afterwards caches are filled from
/// the store, and the journal holds what is not shipped.
fn write_over_a_kill(
    world: &World,
    daemon: Daemon,
    doors: &[(Door, &[u8])],
) -> anyhow::Result<Daemon> {
    for (door, canary) in doors {
        write(door, canary, 0)?;
        world.vpool(&["disk", "sync", &door.export])?;
    }
    daemon.kill()?;
    fs::remove_dir_all(world.data().join("cache")).context("remove the caches")?;
    let daemon = world.start(&flags("128M"))?;
    for (door, canary) in doors {
        check(door, canary, 0)?;
        write(door, canary, 1)?;
        check(door, canary, 1)?;
    }
    Ok(daemon)
}

/// Looks into what the daemon answers, and into what the system tells of it.
fn look_at_answers(
    world: &World,
    daemon: &Daemon,
    disks: &[&str],
    needles: &[Needle],
) -> anyhow::Result<()> {
    let mut texts = vec![
        world.vpool(&["pool", "list", "-o", "json"])?,
        world.vpool(&["disk", "list", "-o", "json"])?,
        world.vpool(&["pool", "show", "default", "-o", "json"])?,
    ];
    let bundle = world.vpool(&["support-bundle", "-"])?;
    ensure!(bundle.contains("\"pools\""), "{bundle}");
    texts.push(bundle);
    for disk in disks {
        texts.push(world.vpool(&["disk", "show", disk, "-o", "json"])?);
        texts.push(world.vpool(&["disk", "attach", disk, "-o", "json"])?);
        texts.push(world.vpool(&["disk", "attach", disk])?);
        if let Some((pool, _)) = disk.split_once(':') {
            texts.push(world.vpool(&["pool", "show", pool, "-o", "json"])?);
            texts.push(world.vpool(&["pool", "show", pool])?);
        }
    }
    for text in texts {
        look("an answer", &mut text.as_bytes(), needles)?;
    }
    for (name, bytes) in of_process(daemon)? {
        look(&name, &mut &bytes[..], needles)?;
    }
    Ok(())
}

/// Over TCP, with the token and with one that is nearly it: neither is told.
fn ask_with_tokens(world: &World, token: &str, needles: &[Needle]) -> anyhow::Result<()> {
    let version: serde_json::Value =
        serde_json::from_str(&world.vpool(&["version", "-o", "json"])?)?;
    let address = version["daemon"]["api_tcp"].as_str().context("TCP")?;
    for (sent, status) in [(token, " 200 "), (&token[..63], " 401 ")] {
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "GET /api/v1/version HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {sent}\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        ensure!(
            String::from_utf8_lossy(&answer).contains(status),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        look("an answer over TCP", &mut &answer[..], needles)?;
    }
    Ok(())
}

/// The store refuses a wrong key; the answer must not tell which.
fn look_at_a_refusal(world: &World, ceph: &CephRgw, needles: &[Needle]) -> anyhow::Result<()> {
    let directory = tempfile::tempdir().context("make a directory for keys")?;
    let keys = directory.path().join("wrong");
    let wrong = String::from_utf8_lossy(WRONG_KEY);
    let text = format!("access_key={}\nsecret_key={wrong}\n", ceph.access_key);
    fs::write(&keys, text).context("write wrong keys")?;
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).context("close the file")?;
    let url = format!("{}/canary/other", ceph.endpoint);
    let output = world
        .vpool_command()
        .args([
            "pool",
            "create",
            "wrong",
            "--s3",
            &url,
            "--credentials-file",
        ])
        .arg(&keys)
        .output()
        .context("start vpool")?;
    ensure!(!output.status.success(), "a wrong key is taken");
    look("a refusal", &mut &output.stdout[..], needles)?;
    look("a refusal", &mut &output.stderr[..], needles)?;
    Ok(())
}

/// A block of nothing but canaries.
fn block(canary: &[u8]) -> Vec<u8> {
    canary.iter().copied().cycle().take(4096).collect()
}

/// Whole blocks, and a few bytes alone in one.
fn write(door: &Door, canary: &[u8], round: u64) -> anyhow::Result<()> {
    let mut client = Client::connect(door, 1)?;
    for place in 0..PLACES {
        client.write(at(place, round), &block(canary))?;
        client.write(at(place, round) + 10_000, canary)?;
    }
    client.flush()
}

fn check(door: &Door, canary: &[u8], round: u64) -> anyhow::Result<()> {
    let mut client = Client::connect(door, 1)?;
    for place in 0..PLACES {
        let found = client.read(at(place, round), 4096)?;
        ensure!(
            found == block(canary),
            "block {place} of {} differs",
            door.export
        );
        let length = u64::try_from(canary.len())?;
        let found = client.read(at(place, round) + 10_000, length)?;
        ensure!(
            found == canary,
            "bytes at {place} of {} differ",
            door.export
        );
    }
    Ok(())
}

fn at(place: u64, round: u64) -> u64 {
    (round * PLACES + place) * 65_536
}
