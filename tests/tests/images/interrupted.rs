//! What was interrupted or failed leaves nothing, on each kind of store.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use rustix::process::Signal;
use vpool_tests::daemon::{Flags, lock};

use super::places::Place;
use super::{Rig, convert, ended, raw_image, signal, size_mib, usable, wait_for_draft};

#[test]
fn interrupted_work_leaves_nothing_on_a_directory() -> anyhow::Result<()> {
    leaves_nothing(|| Ok(Some(Place::directory())))
}

#[test]
fn interrupted_work_leaves_nothing_on_s3_that_fails() -> anyhow::Result<()> {
    leaves_nothing(|| Place::s3(size_mib()?))
}

#[test]
fn interrupted_work_leaves_nothing_on_swift_that_fails() -> anyhow::Result<()> {
    leaves_nothing(Place::swift)
}

fn leaves_nothing(place: impl FnOnce() -> anyhow::Result<Option<Place>>) -> anyhow::Result<()> {
    if !usable() {
        return Ok(());
    }
    let _alone = lock("kill")?;
    let Some(place) = place()? else {
        return Ok(());
    };
    let rig = Rig::new()?;
    raw_image(&rig.path("a.raw"), size_mib()?)?;
    let _daemon = rig.world.start(&Flags::default())?;
    place.open(&rig.world)?;
    let disk = place.disk("a");
    let before = rig.disks()?;
    for how in [Signal::INT, Signal::TERM] {
        let import = rig.start(&["disk", "import", &disk, &rig.text("a.raw")])?;
        rig.half_filled("a")?;
        signal(&import, how)?;
        let (code, _, said) = ended(import)?;
        assert_eq!(code, Some(130), "{said}");
        assert_eq!(rig.disks()?, before, "{said}");
    }
    rig.world
        .vpool(&["disk", "import", &disk, &rig.text("a.raw"), "--no-checksum"])?;
    let export = rig.start(&["disk", "export", &disk, &rig.text("b.raw")])?;
    wait_for_draft(rig.dir.path())?;
    signal(&export, Signal::TERM)?;
    assert_eq!(ended(export)?.0, Some(130));
    let left = fs::read_dir(rig.dir.path())?.count();
    assert_eq!(left, 1, "the image alone");
    // Nor does what fails: the image's table points to nowhere.
    File::options()
        .write(true)
        .open(rig.path("a.raw"))?
        .set_len(1 << 20)?;
    convert(&rig.path("a.raw"), "qcow2", &rig.path("torn.qcow2"))?;
    let torn = File::options().write(true).open(rig.path("torn.qcow2"))?;
    torn.write_all_at(&[0x7f; 512], 256 << 10)?;
    let before = rig.disks()?;
    rig.check(
        1,
        &[
            "disk",
            "import",
            &place.disk("torn"),
            &rig.text("torn.qcow2"),
        ],
        "qemu-img",
    )?;
    assert_eq!(rig.disks()?, before);
    Ok(())
}
