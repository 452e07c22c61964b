//! Every format goes in and comes out equal, on each kind of store; the daemon is killed while an image
//! goes in, and while one comes out, which then comes from the store alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};
use vpool_tests::daemon::{Flags, lock};
use vpool_tests::report;

use super::places::Place;
use super::{Rig, compare, convert, ended, raw_image, size_mib, usable, wait_for_draft};

#[test]
fn in_and_out_on_a_directory() -> anyhow::Result<()> {
    in_and_out(|| Ok(Some(Place::directory())))
}

#[test]
fn in_and_out_on_s3_that_fails() -> anyhow::Result<()> {
    in_and_out(|| Place::s3(size_mib()?))
}

#[test]
fn in_and_out_on_swift_that_fails() -> anyhow::Result<()> {
    in_and_out(Place::swift)
}

fn in_and_out(place: impl FnOnce() -> anyhow::Result<Option<Place>>) -> anyhow::Result<()> {
    if !usable() {
        return Ok(());
    }
    let _alone = lock("kill")?;
    let Some(place) = place()? else {
        return Ok(());
    };
    let begun = Instant::now();
    let mib = size_mib()?;
    let rig = Rig::new()?;
    let raw = rig.path("a.raw");
    raw_image(&raw, mib)?;
    for format in ["qcow2", "vmdk"] {
        convert(&raw, format, &rig.path(&format!("a.{format}")))?;
    }
    let mut daemon = rig.world.start(&Flags::default())?;
    place.open(&rig.world)?;
    let mut sums = Vec::new();
    let (mut imports, mut exports) = (Map::new(), Map::new());
    for format in ["raw", "qcow2", "vmdk"] {
        let name = format!("from {format}");
        let image = rig.text(&format!("a.{format}"));
        let one = Instant::now();
        let disk = place.disk(&name);
        let import = rig.start(&["disk", "import", &disk, &image, "--compare", "-o", "json"])?;
        if format == "qcow2" {
            rig.half_filled(&name)?;
            daemon.kill()?;
            ensure!(
                rig.world
                    .vpool_command()
                    .arg("version")
                    .output()?
                    .status
                    .code()
                    == Some(8)
            );
            daemon = rig.world.start(&Flags::default())?;
        }
        let (code, text, said) = ended(import)?;
        ensure!(code == Some(0), "{format}: {code:?} {said}");
        imports.insert(format.to_owned(), json!(one.elapsed().as_secs_f64()));
        let image: Value = serde_json::from_str(&text).context(text.clone())?;
        assert_eq!(image["size_bytes"], json!((mib << 20) + 512), "{image}");
        assert_eq!(image["compared"], json!(true));
        let noted = said.contains(&format!("the image has {} bytes", (mib << 20) + 7));
        assert_eq!(noted, format == "raw", "{said}");
        sums.push(image["blake3"].clone());
    }
    // The same content has the same sum, whatever it came in; and it is that of the raw bytes.
    assert!(
        sums[0].is_string() && sums.iter().all(|sum| *sum == sums[0]),
        "{sums:?}"
    );
    assert!(!rig.disks()?.contains("importing"), "{}", rig.disks()?);

    // What comes out comes from the store.
    daemon.terminate()?;
    fs::remove_dir_all(rig.world.data().join("cache"))?;
    daemon = rig.world.start(&Flags::default())?;
    let disk = place.disk("from qcow2");
    for format in ["raw", "qcow2", "vmdk"] {
        let out = rig.path(&format!("out.{format}"));
        let target = out.to_string_lossy().into_owned();
        let arguments = [
            "disk", "export", &disk, &target, "--format", format, "-o", "json",
        ];
        let one = Instant::now();
        let export = rig.start(&arguments)?;
        if format == "qcow2" {
            wait_for_draft(rig.dir.path())?;
            daemon.kill()?;
            daemon = rig.world.start(&Flags::default())?;
        }
        let (code, text, said) = ended(export)?;
        ensure!(code == Some(0), "{format}: {code:?} {said}");
        exports.insert(format.to_owned(), json!(one.elapsed().as_secs_f64()));
        let image: Value = serde_json::from_str(&text).context(text.clone())?;
        assert_eq!(image["blake3"], sums[0], "{format}");
        compare(&raw, format, &out)?;
        let stored = fs::metadata(&out)?.blocks() * 512;
        assert!(
            stored < (mib << 20) / 2,
            "{format} takes {stored} bytes: it is not sparse"
        );
    }
    daemon.terminate()?;
    let complaints = rig.world.log_complaints()?;
    ensure!(
        complaints.is_empty(),
        "in the daemon's log: {complaints:#?}"
    );
    let failed = place.failed();
    ensure!(failed != Some(0), "no request failed");
    let figures = json!({
        "mib": mib,
        "kills": 2,
        "requests_that_failed": failed,
        "import_seconds_with_compare_and_checksum_a_kill_in_qcow2": imports,
        "export_seconds_from_the_store_with_checksum_a_kill_in_qcow2": exports,
        "seconds": begun.elapsed().as_secs(),
    });
    report::add("images", place.name, figures)?;
    Ok(())
}
