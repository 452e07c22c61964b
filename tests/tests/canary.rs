//! T30: what a guest writes to an encrypted disk, and the grid's key, stand nowhere in clear.
//!
//! A second disk, not encrypted, holds another canary, which must be found: it proves that
//! the search finds.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use vpool_tests::daemon::{Daemon, Flags, World};
use vpool_tests::nbd::{Client, Door};

const SECRET: &[u8] = b"canary-of-the-sealed-disk-5e1f0c";

const OPEN: &[u8] = b"canary-of-the-open-disk-77a0b2";

/// Where the canaries are written.
const PLACES: u64 = 64;

#[test]
fn nothing_secret_in_clear() -> anyhow::Result<()> {
    let world = World::new("canary")?;
    let flags = Flags {
        journal: "128M".to_owned(),
        cache: "256M".to_owned(),
        log: "debug".to_owned(),
        ..Flags::default()
    };
    let daemon = world.start(&flags)?;
    world.vpool(&["disk", "create", "sealed", "--size", "64M", "--encrypt"])?;
    world.vpool(&["disk", "create", "open", "--size", "64M"])?;
    let doors = [(world.door("sealed"), SECRET), (world.door("open"), OPEN)];
    for (door, canary) in &doors {
        write(door, canary, 0)?;
        world.vpool(&["disk", "sync", &door.export])?;
    }
    daemon.kill()?;
    // Caches are filled from the store, and the journal holds what is not shipped.
    fs::remove_dir_all(world.data().join("cache")).context("remove the caches")?;
    let daemon = world.start(&flags)?;
    for (door, canary) in &doors {
        check(door, canary, 0)?;
        write(door, canary, 1)?;
        check(door, canary, 1)?;
    }
    let answers = [
        world.vpool(&["disk", "show", "sealed", "-o", "json"])?,
        world.vpool(&["disk", "attach", "sealed", "-o", "json"])?,
        world.vpool(&["pool", "show", "default", "-o", "json"])?,
    ];
    let mut haystacks = of_process(&daemon)?;
    haystacks.extend(
        answers
            .into_iter()
            .map(|text| ("an answer".into(), text.into())),
    );

    let needles = needles(&world.data().join("grid.key"))?;
    for (name, bytes) in &haystacks {
        look(name, &mut &bytes[..], &needles)?;
    }
    // Both while it runs and after it has ended in order.
    let found_open = search(&world, &needles)?;
    daemon.terminate()?;
    search(&world, &needles)?;
    ensure!(
        found_open,
        "the canary of the open disk was not found either"
    );
    Ok(())
}

/// A secret and what it is called.
struct Needle {
    name: &'static str,
    bytes: Vec<u8>,
    secret: bool,
}

fn needles(key_file: &Path) -> anyhow::Result<Vec<Needle>> {
    let text = fs::read_to_string(key_file).context("read grid.key")?;
    let hex = text.split_whitespace().nth(1).context("a key file")?;
    ensure!(
        hex.len() == 64 && hex.is_ascii(),
        "another form of grid.key"
    );
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
    let raw: Result<Vec<u8>, _> = (0..64).step_by(2).map(digit).collect();
    let needle = |name, bytes: &[u8], secret| Needle {
        name,
        bytes: bytes.to_vec(),
        secret,
    };
    Ok(vec![
        needle("the canary of the sealed disk", SECRET, true),
        needle("the canary of the open disk", OPEN, false),
        needle("the grid key in hex", hex.as_bytes(), true),
        needle(
            "the grid key in upper case",
            hex.to_uppercase().as_bytes(),
            true,
        ),
        needle("the grid key in raw form", &raw.context("hex")?, true),
    ])
}

/// Looks into every file but the key's; whether what is not secret was found.
fn search(world: &World, needles: &[Needle]) -> anyhow::Result<bool> {
    let mut files = vec![world.log()];
    collect(world.data(), &mut files)?;
    let mut found_open = false;
    for path in files.iter().filter(|path| !path.ends_with("grid.key")) {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(mut file) => found_open |= look(&name, &mut file, needles)?,
            // Files of the caches come and go.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(name),
        }
    }
    Ok(found_open)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Command line and environment.
fn of_process(daemon: &Daemon) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let read = |name: &str| -> anyhow::Result<_> {
        let path = format!("/proc/{}/{name}", daemon.pid());
        let bytes = fs::read(&path).with_context(|| path.clone())?;
        Ok((path, bytes))
    };
    Ok(vec![read("cmdline")?, read("environ")?])
}

/// Fails at the first secret in what is read; whether what is not secret was found.
fn look(name: &str, from: &mut dyn Read, needles: &[Needle]) -> anyhow::Result<bool> {
    let overlap = needles.iter().map(|needle| needle.bytes.len()).max();
    let overlap = overlap.context("something to look for")?;
    let mut window = vec![0; 1 << 20];
    let mut kept = 0;
    let mut found_open = false;
    loop {
        let bytes = from
            .read(&mut window[kept..])
            .with_context(|| name.to_owned())?;
        if bytes == 0 {
            return Ok(found_open);
        }
        let filled = &window[..kept + bytes];
        for needle in needles {
            let found = contains(filled, &needle.bytes);
            ensure!(!(found && needle.secret), "{} is in {name}", needle.name);
            found_open |= found;
        }
        // What begins at the end of this piece may end in the next.
        let end = kept + bytes;
        kept = end.min(overlap);
        window.copy_within(end - kept..end, 0);
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let (first, rest) = (needle[0], &needle[1..]);
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
    starts
        .into_iter()
        .any(|(at, _)| bytes[at + 1..].starts_with(rest))
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
