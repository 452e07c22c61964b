//! Images in and out, with the daemon killed in the middle; what hostile images get; what an
//! interrupted import leaves.
//!
//! Owns: which image is made and what must come of it. Does not own: the images' formats
//! (`qemu-img` makes and compares them).
//!
//! `VPOOL_IMAGE_MIB` is how large the image is (256); a quarter of it holds data, the rest is a
//! hole.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use vpool_tests::daemon::{Flags, World, lock};
use vpool_tests::{need, report};

/// Nothing here takes longer, but what waits for ever.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Between two looks at what goes on meanwhile.
const PAUSE: Duration = Duration::from_millis(2);

/// A world with an image beside it.
struct Rig {
    world: World,
    dir: tempfile::TempDir,
}

impl Rig {
    fn new() -> anyhow::Result<Rig> {
        Ok(Rig {
            world: World::new("images")?,
            // Beside the data: images are too large for a file system in memory.
            dir: tempfile::tempdir_in(vpool_tests::daemon::target_dir()?)?,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    fn vpool(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Ok(self.world.vpool_command().args(arguments).output()?)
    }

    /// Runs a command that must succeed and prints JSON.
    fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.world.vpool(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }

    /// Checks the exit code and that something is said.
    fn check(&self, code: i32, arguments: &[&str], word: &str) -> anyhow::Result<()> {
        let output = self.vpool(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let good = output.status.code() == Some(code) && said.contains(word);
        ensure!(good, "{arguments:?}: {} {said}", output.status);
        Ok(())
    }

    fn start(&self, arguments: &[&str]) -> anyhow::Result<Child> {
        let mut command = self.world.vpool_command();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command.spawn()?)
    }

    /// Waits until a draft of `name` holds something.
    fn half_filled(&self, name: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let list = self.json(&["disk", "list", "--filter", &format!("name~{name}.importing-")])?;
            let log = &list["items"][0]["log"];
            if log["written_bytes"].as_u64() > Some(0) {
                return Ok(());
            }
            ensure!(begun.elapsed() < TIME_MAX, "no draft of {name} is written: {list}");
            std::thread::sleep(PAUSE);
        }
    }

    fn disks(&self) -> anyhow::Result<String> {
        self.world.vpool(&["disk", "list", "-o", "name"])
    }
}

fn usable() -> bool {
    need::programs(&["qemu-img", "prlimit"])
}

fn size_mib() -> anyhow::Result<u64> {
    let text = std::env::var("VPOOL_IMAGE_MIB").unwrap_or_else(|_| "256".to_owned());
    text.parse().context("VPOOL_IMAGE_MIB is a number")
}

/// A sparse raw image: every fourth MiB holds bytes that do not pack; its end is in the middle of
/// a sector.
fn raw_image(path: &Path, mib: u64) -> anyhow::Result<()> {
    let file = File::create(path)?;
    let mut random = ChaCha8Rng::seed_from_u64(mib);
    let mut block = vec![0; 1 << 20];
    for number in (0..mib).step_by(4) {
        random.fill_bytes(&mut block);
        file.write_all_at(&block, number << 20)?;
    }
    file.write_all_at(b"the end", mib << 20)?;
    Ok(())
}

fn succeed(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?}: {} {said}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn convert(from: &Path, format: &str, to: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("qemu-img");
    command.args(["convert", "-f", "raw", "-O", format]).arg(from).arg(to);
    succeed(&mut command).map(drop)
}

fn compare(one: &Path, format: &str, other: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("qemu-img");
    command.args(["compare", "-f", "raw", "-F", format]).arg(one).arg(other);
    succeed(&mut command).map(drop)
}

fn signal(child: &Child, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(child.id())?;
    Ok(kill_process(Pid::from_raw(pid).context("a process")?, signal)?)
}

fn ended(child: Child) -> anyhow::Result<(Option<i32>, String, String)> {
    let output = child.wait_with_output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

/// Every format goes in and comes out equal; the daemon is killed while an image goes in, and
/// while one comes out.
#[test]
fn in_and_out_with_kills_in_the_middle() -> anyhow::Result<()> {
    if !usable() {
        return Ok(());
    }
    let _alone = lock("kill")?;
    let begun = Instant::now();
    let mib = size_mib()?;
    let rig = Rig::new()?;
    let raw = rig.path("a.raw");
    raw_image(&raw, mib)?;
    for format in ["qcow2", "vmdk"] {
        convert(&raw, format, &rig.path(&format!("a.{format}")))?;
    }
    let mut daemon = rig.world.start(&Flags::default())?;
    let mut sums = Vec::new();
    let mut seconds = Vec::new();
    for format in ["raw", "qcow2", "vmdk"] {
        let name = format!("from {format}");
        let image = rig.text(&format!("a.{format}"));
        let one = Instant::now();
        let import = rig.start(&["disk", "import", &name, &image, "--compare", "-o", "json"])?;
        if format == "qcow2" {
            rig.half_filled(&name)?;
            daemon.kill()?;
            ensure!(rig.world.vpool_command().arg("version").output()?.status.code() == Some(8));
            daemon = rig.world.start(&Flags::default())?;
        }
        let (code, text, said) = ended(import)?;
        ensure!(code == Some(0), "{format}: {code:?} {said}");
        seconds.push(one.elapsed().as_secs_f64());
        let image: Value = serde_json::from_str(&text).context(text.clone())?;
        assert_eq!(image["size_bytes"], json!((mib << 20) + 512), "{image}");
        assert_eq!(image["compared"], json!(true));
        let noted = said.contains(&format!("the image has {} bytes", (mib << 20) + 7));
        assert_eq!(noted, format == "raw", "{said}");
        sums.push(image["blake3"].clone());
    }
    // The same content has the same sum, whatever it came in; and it is that of the raw bytes.
    assert!(sums[0].is_string() && sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
    assert!(!rig.disks()?.contains("importing"), "{}", rig.disks()?);

    for format in ["raw", "qcow2", "vmdk"] {
        let out = rig.path(&format!("out.{format}"));
        let target = out.to_string_lossy().into_owned();
        let arguments = ["disk", "export", "from qcow2", &target, "--format", format, "-o", "json"];
        let export = rig.start(&arguments)?;
        if format == "qcow2" {
            wait_for_draft(rig.dir.path())?;
            daemon.kill()?;
            daemon = rig.world.start(&Flags::default())?;
        }
        let (code, text, said) = ended(export)?;
        ensure!(code == Some(0), "{format}: {code:?} {said}");
        let image: Value = serde_json::from_str(&text).context(text.clone())?;
        assert_eq!(image["blake3"], sums[0], "{format}");
        compare(&raw, format, &out)?;
        let stored = fs::metadata(&out)?.blocks() * 512;
        assert!(stored < (mib << 20) / 2, "{format} takes {stored} bytes: it is not sparse");
    }
    daemon.terminate()?;
    let complaints = rig.world.log_complaints()?;
    ensure!(complaints.is_empty(), "in the daemon's log: {complaints:#?}");
    let figures = json!({
        "mib": mib,
        "kills": 2,
        "import_seconds_with_compare_and_checksum": {
            "raw": seconds[0], "qcow2_with_a_kill": seconds[1], "vmdk": seconds[2],
        },
        "seconds": begun.elapsed().as_secs(),
    });
    report::add("images", "in_and_out", figures)?;
    Ok(())
}

/// Waits until an export has written something.
fn wait_for_draft(directory: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let draft = entry.file_name().to_string_lossy().contains(".exporting-");
            // It may get its name between the two looks.
            if draft && entry.metadata().is_ok_and(|found| found.blocks() > 2048) {
                return Ok(());
            }
        }
        ensure!(begun.elapsed() < TIME_MAX, "no draft appears");
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn interrupted_work_leaves_nothing() -> anyhow::Result<()> {
    if !usable() {
        return Ok(());
    }
    let _alone = lock("kill")?;
    let rig = Rig::new()?;
    raw_image(&rig.path("a.raw"), size_mib()?)?;
    let _daemon = rig.world.start(&Flags::default())?;
    let before = rig.disks()?;
    for how in [Signal::INT, Signal::TERM] {
        let import = rig.start(&["disk", "import", "a", &rig.text("a.raw")])?;
        rig.half_filled("a")?;
        signal(&import, how)?;
        let (code, _, said) = ended(import)?;
        assert_eq!(code, Some(130), "{said}");
        assert_eq!(rig.disks()?, before, "{said}");
    }
    rig.world.vpool(&["disk", "import", "a", &rig.text("a.raw"), "--no-checksum"])?;
    let export = rig.start(&["disk", "export", "a", &rig.text("b.raw")])?;
    wait_for_draft(rig.dir.path())?;
    signal(&export, Signal::TERM)?;
    assert_eq!(ended(export)?.0, Some(130));
    let left = fs::read_dir(rig.dir.path())?.count();
    assert_eq!(left, 1, "the image alone");
    // Nor does what fails: the image's table points to nowhere.
    File::options().write(true).open(rig.path("a.raw"))?.set_len(1 << 20)?;
    convert(&rig.path("a.raw"), "qcow2", &rig.path("torn.qcow2"))?;
    let torn = File::options().write(true).open(rig.path("torn.qcow2"))?;
    torn.write_all_at(&[0x7f; 512], 256 << 10)?;
    let before = rig.disks()?;
    rig.check(1, &["disk", "import", "torn", &rig.text("torn.qcow2")], "qemu-img")?;
    assert_eq!(rig.disks()?, before);
    Ok(())
}

#[test]
fn through_pipes() -> anyhow::Result<()> {
    if !usable() {
        return Ok(());
    }
    let rig = Rig::new()?;
    raw_image(&rig.path("a.raw"), 16)?;
    convert(&rig.path("a.raw"), "qcow2", &rig.path("a.qcow2"))?;
    let _daemon = rig.world.start(&Flags::default())?;
    let feed = |name: &str, image: &str, flags: &[&str]| -> anyhow::Result<(Option<i32>, Value, String)> {
        let mut command = rig.world.vpool_command();
        command.args(["disk", "import", name, "-", "-o", "json"]).args(flags);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
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
    assert_eq!((code, &image["size_bytes"]), (Some(0), &json!(size)), "{said}");
    assert!(said.contains("copied to"), "{said}");
    let sum = image["blake3"].clone();
    let (code, image, said) = feed("sized", "a.raw", &["--size", "32M", "--compare"])?;
    assert_eq!((code, &image["size_bytes"]), (Some(0), &json!(32 << 20)), "{said}");
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
    let output = rig.vpool(&["disk", "export", "file", "-", "--format", "qcow2"])?;
    fs::write(rig.path("piped.qcow2"), &output.stdout)?;
    compare(&rig.path("a.raw"), "qcow2", &rig.path("piped.qcow2"))?;
    let disks = rig.disks()?;
    assert!(!disks.contains("importing") && !disks.contains("small"), "{disks}");

    // From another disk, over NBD.
    let uri = format!("nbd+unix:///default:file?socket={}", rig.world.door("").socket.display());
    let copied = rig.json(&["disk", "import", "copy", &uri, "--compare", "--encrypt"])?;
    assert_eq!(copied["blake3"], sum);
    Ok(())
}

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
        command.args(["create", "-q", "-f"]).args(arguments).arg(rig.path(name)).arg("1M");
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
    let hostile = ["backing.qcow2", "data.qcow2", "flat.vmdk", "secret.vmdk", "sparse.vmdk"];
    for image in hostile {
        rig.check(1, &["disk", "import", "a", &rig.text(image)], "--allow-backing")?;
        // Nor through a pipe.
        let mut command = rig.world.vpool_command();
        let output = command
            .args(["disk", "import", "a", "-"])
            .stdin(File::open(rig.path(image))?)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("--allow-backing"), "{said}");
    }
    // A word for another format does not help: it is not that.
    rig.check(1, &["disk", "import", "a", &rig.text("secret.vmdk"), "--format", "qcow2"], "")?;
    for (source, code, word) in [
        ("/nowhere/a.raw", 3, "/nowhere"),
        ("/dev/null", 2, "no file"),
        ("json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}", 3, "json"),
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
    rig.check(3, &["disk", "import", "a", &secret, "--pool", "none"], "none")?;
    rig.check(2, &["disk", "import", "a", &secret, "--size", "512"], "bytes")?;
    assert_eq!(rig.disks()?, before);
    // As raw bytes, or where a person says so, they go in.
    rig.world.vpool(&["disk", "import", "as-raw", &rig.text("backing.qcow2"), "--format", "raw"])?;
    let trusted = ["disk", "import", "trusted", &rig.text("backing.qcow2"), "--allow-backing", "--compare"];
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
    rig.check(3, &["disk", "export", "nothing", &rig.text("out")], "nothing")?;
    rig.world.vpool(&["disk", "export", "as-raw", &rig.text("out, a:b"), "--compare"])?;
    let mut bytes = Vec::new();
    File::open(rig.path("out, a:b"))?.read_to_end(&mut bytes)?;
    let mut expect = fs::read(rig.path("backing.qcow2"))?;
    expect.resize(bytes.len(), 0);
    assert!(bytes == expect, "an image as raw bytes comes out as it went in");
    Ok(())
}
