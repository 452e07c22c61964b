//! Images through pipes, and from another disk over NBD.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::Stdio;

use anyhow::Context;
use serde_json::{Value, json};
use vpool_tests::daemon::Flags;

use super::{Rig, compare, convert, ended, raw_image, succeed, usable};

#[test]
fn through_pipes() -> anyhow::Result<()> {
    if !usable() {
        return Ok(());
    }
    let rig = Rig::new()?;
    raw_image(&rig.path("a.raw"), 16)?;
    convert(&rig.path("a.raw"), "qcow2", &rig.path("a.qcow2"))?;
    let _daemon = rig.world.start(&Flags::default())?;
    let feed =
        |name: &str, image: &str, flags: &[&str]| -> anyhow::Result<(Option<i32>, Value, String)> {
            let mut command = rig.world.vpool_command();
            command
                .args(["disk", "import", name, "-", "-o", "json"])
                .args(flags);
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let mut child = command.spawn()?;
            let mut stdin = child.stdin.take().context("piped")?;
            let bytes = fs::read(rig.path(image))?;
            // Whoever refuses the image does not read it to its end.
            let _refused = stdin.write_all(&bytes);
            drop(stdin);
            let (code, text, said) = ended(child)?;
            Ok((code, serde_json::from_str(&text).unwrap_or_default(), said))
        };
    let size = (16 << 20) + 512;
    let (code, image, said) = feed("qcow2", "a.qcow2", &["--compare"])?;
    assert_eq!(
        (code, &image["size_bytes"]),
        (Some(0), &json!(size)),
        "{said}"
    );
    assert!(said.contains("copied to"), "{said}");
    let sum = image["blake3"].clone();
    let (code, image, said) = feed("sized", "a.raw", &["--size", "32M", "--compare"])?;
    assert_eq!(
        (code, &image["size_bytes"]),
        (Some(0), &json!(32 << 20)),
        "{said}"
    );
    let (code, _, said) = feed("small", "a.raw", &["--size", "8M"])?;
    assert!(code == Some(1) && said.contains("longer"), "{said}");
    let (code, image, said) = feed("cut", "a.raw", &["--compare"])?;
    assert_eq!((code, &image["blake3"]), (Some(0), &sum), "{said}");
    assert_eq!(image["size_bytes"], json!(size));

    // From a file that is the standard input its size is known.
    let mut command = rig.world.vpool_command();
    command.args(["disk", "import", "file", "-", "-o", "json"]);
    let text = succeed(command.stdin(File::open(rig.path("a.raw"))?))?;
    assert_eq!(serde_json::from_str::<Value>(&text)?["blake3"], sum);

    let output = rig.vpool(&["disk", "export", "file", "-"])?;
    let mut expect = fs::read(rig.path("a.raw"))?;
    expect.resize(size, 0);
    assert!(output.status.success() && output.stdout == expect);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(sum.as_str().context("a sum")?), "{said}");
    // Who reads a part of an image has none.
    for format in ["raw", "qcow2"] {
        let mut child = rig.start(&["disk", "export", "file", "-", "--format", format])?;
        let mut part = [0; 100];
        child
            .stdout
            .take()
            .context("piped")?
            .read_exact(&mut part)?;
        let (code, _, said) = ended(child)?;
        assert!(code == Some(1) && said.contains("has ended"), "{said}");
    }
    let output = rig.vpool(&["disk", "export", "file", "-", "--format", "qcow2"])?;
    fs::write(rig.path("piped.qcow2"), &output.stdout)?;
    compare(&rig.path("a.raw"), "qcow2", &rig.path("piped.qcow2"))?;
    let disks = rig.disks()?;
    assert!(
        !disks.contains("importing") && !disks.contains("small"),
        "{disks}"
    );

    // From another disk, over NBD.
    let uri = format!(
        "nbd+unix:///default:file?socket={}",
        rig.world.door("").socket.display()
    );
    let copied = rig.json(&["disk", "import", "copy", &uri, "--compare", "--encrypt"])?;
    assert_eq!(copied["blake3"], sum);
    Ok(())
}
