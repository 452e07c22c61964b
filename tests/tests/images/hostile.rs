//! Images of strangers, and sources and targets that are none.

use std::fs::{self, File};
use std::process::Command;

use vpool_tests::daemon::Flags;

use super::{Rig, raw_image, succeed, usable};

/// A header may name any file of the host as a part of the image.
#[test]
fn hostile_images_are_refused() -> anyhow::Result<()> {
    if !usable() {
        return Ok(());
    }
    let rig = Rig::new()?;
    let secret = rig.path("secret");
    fs::write(&secret, "root:x:".repeat(1000))?;
    let create = |arguments: &[&str], name: &str| {
        let mut command = Command::new("qemu-img");
        command
            .args(["create", "-q", "-f"])
            .args(arguments)
            .arg(rig.path(name))
            .arg("1M");
        succeed(&mut command)
    };
    let secret = secret.to_string_lossy().into_owned();
    create(&["qcow2", "-b", &secret, "-F", "raw"], "backing.qcow2")?;
    let data = format!("data_file={}", rig.text("data"));
    create(&["qcow2", "-o", &data], "data.qcow2")?;
    create(&["vmdk", "-o", "subformat=monolithicFlat"], "flat.vmdk")?;
    let descriptor = format!(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
         RW 8 FLAT \"{secret}\" 0\n"
    );
    fs::write(rig.path("secret.vmdk"), &descriptor)?;
    // A sparse VMDK without a capacity, whose descriptor QEMU would follow.
    let mut sparse = vec![0; 4096];
    sparse[..5].copy_from_slice(b"KDMV\x01");
    sparse[28] = 1;
    sparse[512..512 + descriptor.len()].copy_from_slice(descriptor.as_bytes());
    fs::write(rig.path("sparse.vmdk"), sparse)?;
    let _daemon = rig.world.start(&Flags::default())?;
    let before = rig.disks()?;
    let hostile = [
        "backing.qcow2",
        "data.qcow2",
        "flat.vmdk",
        "secret.vmdk",
        "sparse.vmdk",
    ];
    for image in hostile {
        rig.check(
            1,
            &["disk", "import", "a", &rig.text(image)],
            "--allow-backing",
        )?;
        // Nor through a pipe.
        let mut command = rig.world.vpool_command();
        let output = command
            .args(["disk", "import", "a", "-"])
            .stdin(File::open(rig.path(image))?)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(1) && said.contains("--allow-backing"),
            "{said}"
        );
    }
    // A word for another format does not help: it is not that.
    rig.check(
        1,
        &[
            "disk",
            "import",
            "a",
            &rig.text("secret.vmdk"),
            "--format",
            "qcow2",
        ],
        "",
    )?;
    for (source, code, word) in [
        ("/nowhere/a.raw", 3, "/nowhere"),
        ("/dev/null", 2, "no file"),
        (
            "json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}",
            3,
            "json",
        ),
        ("nbd:unix:/nowhere", 3, "nbd"),
        ("nbds://h/x", 2, "TLS"),
        ("nbd+unix:///x", 2, "socket"),
        ("http://127.0.0.1:9/a", 3, "http"),
    ] {
        rig.check(code, &["disk", "import", "a", source], word)?;
    }
    fs::write(rig.path("empty"), "")?;
    rig.check(2, &["disk", "import", "a", &rig.text("empty")], "size 0")?;
    rig.check(5, &["disk", "import", "demo", &secret], "demo")?;
    rig.check(
        3,
        &["disk", "import", "a", &secret, "--pool", "none"],
        "none",
    )?;
    rig.check(
        2,
        &["disk", "import", "a", &secret, "--size", "512"],
        "bytes",
    )?;
    assert_eq!(rig.disks()?, before);
    // As raw bytes, or where a person says so, they go in.
    rig.world.vpool(&[
        "disk",
        "import",
        "as-raw",
        &rig.text("backing.qcow2"),
        "--format",
        "raw",
    ])?;
    let trusted = [
        "disk",
        "import",
        "trusted",
        &rig.text("backing.qcow2"),
        "--allow-backing",
        "--compare",
    ];
    rig.world.vpool(&trusted)?;
    rig.check(0, &["disk", "import", "later", &secret, "--dry-run"], "")?;
    rig.check(3, &["disk", "show", "later"], "later")?;

    for (target, code, word) in [
        ("/nowhere/out.raw", 1, "/nowhere"),
        ("/dev/null", 2, "no file"),
        (&*secret, 5, "--force"),
    ] {
        rig.check(code, &["disk", "export", "as-raw", target], word)?;
    }
    rig.check(
        3,
        &["disk", "export", "nothing", &rig.text("out")],
        "nothing",
    )?;
    rig.world.vpool(&[
        "disk",
        "export",
        "as-raw",
        &rig.text("out, a:b"),
        "--compare",
    ])?;
    let bytes = fs::read(rig.path("out, a:b"))?;
    let mut expect = fs::read(rig.path("backing.qcow2"))?;
    expect.resize(bytes.len(), 0);
    assert!(
        bytes == expect,
        "an image as raw bytes comes out as it went in"
    );
    Ok(())
}

/// What is missing of an image QEMU would read as zeroes.
#[test]
fn images_that_are_cut_off_are_refused() -> anyhow::Result<()> {
    if !usable() {
        return Ok(());
    }
    let rig = Rig::new()?;
    raw_image(&rig.path("a.raw"), 32)?;
    let mut images = Vec::new();
    for (name, format, option) in [
        ("qcow2", "qcow2", "cluster_size=64k"),
        ("vmdk", "vmdk", "subformat=monolithicSparse"),
        ("stream.vmdk", "vmdk", "subformat=streamOptimized"),
    ] {
        let mut command = Command::new("qemu-img");
        command.args(["convert", "-f", "raw", "-O", format, "-o", option]);
        succeed(command.args([rig.path("a.raw"), rig.path(name)]))?;
        images.push(name);
    }
    let _daemon = rig.world.start(&Flags::default())?;
    for name in &images {
        rig.world
            .vpool(&["disk", "import", &format!("whole {name}"), &rig.text(name)])?;
    }
    let before = rig.disks()?;
    for name in images {
        let file = File::options().write(true).open(rig.path(name))?;
        let length = file.metadata()?.len();
        // By the half, and by the last megabyte.
        for left in [length - (1 << 20), length / 2] {
            file.set_len(left)?;
            rig.check(1, &["disk", "import", "cut", &rig.text(name)], "qemu-img")?;
            assert_eq!(rig.disks()?, before, "{name}");
        }
    }
    Ok(())
}
