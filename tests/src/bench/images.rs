//! Images into disks, beside `qemu-img convert` of the same to a raw file.
//!
//! Owns: these rows. Does not own: the command, the daemon.
//!
//! Both read the image from the page cache, and what they write is on the SSD when they end: the disk's
//! objects, and the file (`-t writeback`, which syncs at the end). Rates are of the image's data; as much
//! again are holes.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::figures::Figures;
use super::rig::{Place, Rig, flags};
use super::{Options, columns, rows};

const DISK: &str = "imported";

/// Row, format, flags of the import, whether `qemu-img` does the like.
const IMPORTS: [(&str, &str, &[&str], bool); 4] = [
    (rows::IMPORT_QCOW2, "qcow2", &[], true),
    (rows::IMPORT_PLAIN, "qcow2", &["--no-checksum"], true),
    (rows::IMPORT_VMDK, "vmdk", &[], true),
    (rows::IMPORT_COMPARED, "vmdk", &["--compare"], false),
];

/// Those that the quick form runs.
const QUICK: [&str; 2] = [rows::IMPORT_QCOW2, rows::IMPORT_VMDK];

/// One round.
pub(super) fn round(options: &Options, round: u32, figures: &mut Figures) -> anyhow::Result<()> {
    let wanted: Vec<_> = IMPORTS
        .iter()
        .filter(|(row, ..)| options.wants(row))
        .filter(|(row, ..)| !options.quick || QUICK.contains(row))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let rig = Rig::start(options, None, Place::Fs, flags())?;
    let place = tempfile::tempdir_in(&options.directory).context("a directory for images")?;
    let raw = place.path().join("raw");
    write_image(&raw, options.converted_mib)?;
    let image = |format: &str| place.path().join(format);
    for format in ["qcow2", "vmdk"] {
        convert(&["-f", "raw", "-O", format], &raw, &image(format))?;
    }
    fs::remove_file(&raw).context("remove an image")?;
    let data_mib = f64::from(u32::try_from(options.converted_mib)?);
    for (row, format, flags, has_peer) in wanted {
        let image = image(format);
        let ours = || {
            let begun = Instant::now();
            let path = image.to_str().context("a path in UTF-8")?;
            rig.vpool(&[&["disk", "import", DISK, path], *flags].concat())?;
            let seconds = begun.elapsed().as_secs_f64();
            rig.vpool(&["disk", "delete", DISK, "--yes"])?;
            anyhow::Ok((columns::VPOOL, seconds))
        };
        let theirs = || {
            let begun = Instant::now();
            let how = ["-T", "writeback", "-t", "writeback", "-O", "raw", "-f"];
            convert(&[&how[..], &[format]].concat(), &image, &raw)?;
            let seconds = begun.elapsed().as_secs_f64();
            fs::remove_file(&raw).context("remove an image")?;
            anyhow::Ok((columns::QEMU_IMG, seconds))
        };
        // Who is first changes from round to round.
        let measured = match (has_peer, round % 2) {
            (false, _) => vec![ours()?],
            (true, 0) => vec![ours()?, theirs()?],
            (true, _) => vec![theirs()?, ours()?],
        };
        for (column, seconds) in measured {
            figures.add(row, rows::MIB_S, column, data_mib / seconds);
        }
    }
    rig.finish(figures)
}

/// Every other MiB holds bytes that do not pack, so many in all.
fn write_image(path: &Path, data_mib: u64) -> anyhow::Result<()> {
    let file = File::create(path).context("make an image")?;
    file.set_len(data_mib << 21).context("make an image")?;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut piece = vec![0; 1 << 20];
    for number in 0..data_mib {
        random.fill_bytes(&mut piece);
        file.write_all_at(&piece, number << 21)
            .context("write an image")?;
    }
    Ok(())
}

fn convert(how: &[&str], from: &Path, to: &Path) -> anyhow::Result<()> {
    let output = Command::new("qemu-img")
        .arg("convert")
        .args(how)
        .args([from, to])
        .stdin(Stdio::null())
        .output()
        .context("start qemu-img")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "convert {}: {errors}",
        from.display()
    );
    Ok(())
}
