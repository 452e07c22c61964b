//! Copies of one image, what they take, and a pool beside one whose store is dead.
//!
//! Owns: these rows. Does not own: fio, the daemon.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::figures::Figures;
use super::fio::{self, Extent, Job};
use super::many::settled;
use super::relay::Relay;
use super::rig::{DEFAULT_POOL, Place, Rig, flags, mib};
use super::rows::{self, ROWS};
use super::servers::Servers;
use super::{Options, columns, store};
use crate::daemon::Flags;

const COPIES: u32 = 5;

/// The pool whose store dies, and its disk.
const DEAD: &str = "dead";

/// The journal of two pools beside each other.
const JOURNAL_MIB_MIN: u64 = 1024;

/// Nothing here takes longer to come to rest.
const REST_TIME_MAX: Duration = Duration::from_secs(60);

/// One image five times: how often the SSD cache holds it.
pub(super) fn imports(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    if !options.wants(rows::IMPORTS) && !options.wants(rows::STORED) {
        return Ok(());
    }
    let mut rig = Rig::start(options, None, Place::Fs, flags())?;
    let image = tempfile::NamedTempFile::new_in(&options.directory).context("make an image")?;
    write_image(image.as_file(), options.image_mib)?;
    let names: Vec<_> = (0..COPIES).map(|number| format!("copy{number}")).collect();
    let objects = rig.data().join("objects");
    let before = (store::length(&objects)?, rig.usage()?.cpu_s);
    for name in &names {
        rig.create(name, options.image_mib)?;
        import(image.path(), &rig.door(name).uri())?;
        rig.sync()?;
    }
    let logical = f64::from(COPIES) * f64::from(u32::try_from(options.image_mib)?);
    let stored = mib(store::length(&objects)? - before.0)?;
    figures.add(rows::STORED, "x", columns::VPOOL, stored / logical);
    let cpu = (rig.usage()?.cpu_s - before.1) / (logical / 1024.0);
    figures.add(rows::IMPORT_CPU, "s/GiB", columns::VPOOL, cpu);
    // Whatever was kept in memory alone comes from the SSD or the store now, and is kept.
    rig.restart()?;
    for name in &names {
        let job = Job::warm(options.image_mib);
        fio::run(&rig.disk(name), &job, &options.directory)?;
    }
    let cache = rig.data().join("cache");
    let bytes = settled(|| store::allocated(&cache, ".cache"), REST_TIME_MAX)?;
    figures.add(rows::IMPORTS, "x", columns::VPOOL, mib(bytes)? / logical);
    rig.finish(figures)
}

fn write_image(file: &File, mib: u64) -> anyhow::Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut writer = BufWriter::new(file);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..mib {
        random.fill_bytes(&mut piece);
        writer.write_all(&piece).context("write an image")?;
    }
    writer.flush().context("write an image")
}

fn import(image: &Path, uri: &str) -> anyhow::Result<()> {
    let output = Command::new("qemu-img")
        .args(["convert", "-n", "-f", "raw", "-O", "raw"])
        .arg(image)
        .arg(uri)
        .stdin(Stdio::null())
        .output()
        .context("start qemu-img")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "import to {uri}: {errors}");
    Ok(())
}

/// A store that can be made to die.
#[derive(Debug)]
enum Victim<'a> {
    /// A directory that is removed.
    Directory(tempfile::TempDir),
    /// A bucket whose way is blocked: each request hangs.
    Bucket(&'a Servers, String, Relay),
}

/// Writes to one pool while the other's store is dead and its journal full.
pub(super) fn neighbour(
    options: &Options,
    servers: Option<&Servers>,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    if !options.wants(rows::NEIGHBOUR_UP) && !options.wants(rows::NEIGHBOUR_DOWN) {
        return Ok(());
    }
    let directory = tempfile::tempdir_in(&options.directory).context("make a directory")?;
    beside(
        options,
        Victim::Directory(directory),
        columns::VPOOL,
        figures,
    )?;
    if let Some(servers) = servers {
        let relay = Relay::start(servers.ceph().port(), Duration::ZERO)?;
        let victim = Victim::Bucket(servers, servers.bucket()?, relay);
        beside(options, victim, columns::VPOOL_RGW, figures)?;
    }
    Ok(())
}

fn beside(
    options: &Options,
    victim: Victim<'_>,
    column: &'static str,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    // Large enough for a burst to fit into what is guaranteed to each of two pools, a quarter:
    // this is not about the store's rate.
    let flags = Flags {
        journal: format!("{}M", options.journal_mib.max(JOURNAL_MIB_MIN)),
        ..flags()
    };
    let rig = Rig::start(options, None, Place::Fs, flags)?;
    match &victim {
        Victim::Directory(place) => {
            let path = place.path().to_str().context("a path in UTF-8")?;
            rig.vpool(&["pool", "create", DEAD, "--fs", path])?;
        }
        Victim::Bucket(servers, bucket, relay) => {
            rig.add_s3_pool(DEAD, servers, &relay.endpoint(), bucket)?;
        }
    }
    rig.create("live", options.disk_mib)?;
    let size = format!("{}M", options.disk_mib);
    rig.vpool(&["disk", "create", DEAD, "--pool", DEAD, "--size", &size])?;
    let row = ROWS.iter().find(|row| row.name == "randwrite 4k QD32");
    let row = row.context("it is a row")?;
    let measure = |name: &str, figures: &mut Figures| {
        let job = row.job(options.disk_mib, Extent::Time(options.row_time));
        let measured = fio::run(&rig.disk("live"), &job, &options.directory)?;
        figures.add(name, rows::IOPS, column, measured.sample(rows::IOPS));
        rig.vpool(&["pool", "sync", DEFAULT_POOL])
    };
    measure(rows::NEIGHBOUR_UP, figures)?;
    match &victim {
        Victim::Directory(place) => {
            fs::remove_dir_all(place.path()).context("remove the dead store")?;
        }
        Victim::Bucket(_, _, relay) => relay.block(),
    }
    // A client of the dead pool writes until no journal is left, and waits.
    let shown = rig.pool(DEAD)?;
    let much = Job {
        extent: Extent::Mib(2 * (shown.journal_max_bytes >> 20), None),
        ..Job::fill(options.disk_mib)
    };
    let waiting = fio::start(&rig.disk(DEAD), &much, &options.directory)?;
    let used = settled(|| Ok(rig.pool(DEAD)?.journal_used_bytes), REST_TIME_MAX)?;
    // Half of the journal is guaranteed, in equal parts to both pools.
    ensure!(
        used >= shown.journal_max_bytes / 4,
        "the dead pool's journal fills: {used} of {}",
        shown.journal_max_bytes
    );
    measure(rows::NEIGHBOUR_DOWN, figures)?;
    drop(waiting);
    rig.finish(figures)?;
    if let Victim::Bucket(servers, bucket, relay) = victim {
        drop(relay);
        servers.remove(&bucket)?;
    }
    Ok(())
}
