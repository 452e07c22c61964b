//! Runs of `qemu-img`.
//!
//! Owns: its arguments, its limits, its progress, what its failures mean. Does not own: which
//! images it is let near (`header.rs`).
//!
//! It reads what strangers made, so `prlimit` bounds its memory and its CPU time, where that
//! program is there (util-linux: everywhere).

use std::process::{ExitStatus, Stdio};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::place::Place;
use crate::arguments::image::ImageFormat;
use crate::failure::Failure;
use crate::progress::Bar;

/// Address space for a look at an image.
const INFO_MEMORY_MAX: u64 = 1 << 30;

/// CPU seconds for it.
const INFO_CPU_SECONDS_MAX: u64 = 30;

/// Address space for a copy: its buffers, and the reserves of its threads.
const COPY_MEMORY_MAX: u64 = 8 << 30;

/// CPU seconds for a copy: these, and a minute for each GiB.
const COPY_CPU_SECONDS_MIN: u64 = 300;

/// Requests of a copy in flight.
const IN_FLIGHT: &str = "8";

/// As much of its errors is kept, in bytes.
const ERRORS_BYTES_MAX: usize = 16 << 10;

/// As much as a look at an image can say, in bytes.
const INFO_BYTES_MAX: usize = 4 << 20;

/// The size of the disk in an image, in bytes.
pub(super) async fn size(image: &Place, allow_backing: bool) -> Result<u64, Failure> {
    let mut command = qemu_img(INFO_MEMORY_MAX, INFO_CPU_SECONDS_MAX);
    command.args(["info", "--output=json", "--image-opts", &image.options()]);
    let mut text = Vec::new();
    run(command, "look at the image", |bytes| {
        let room = INFO_BYTES_MAX.saturating_sub(text.len());
        text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    })
    .await?;
    let info: Value = serde_json::from_slice(&text)
        .map_err(|error| Failure::failed(format!("what qemu-img says of the image: {error}")))?;
    let names = [
        &info["backing-filename"],
        &info["format-specific"]["data"]["data-file"],
    ];
    if !allow_backing && names.iter().any(|name| !name.is_null()) {
        return Err(Failure::failed("the image names other files"));
    }
    let size = info["virtual-size"].as_u64();
    size.ok_or_else(|| Failure::failed("qemu-img does not say how large the image is"))
}

/// Refuses an image whose tables point to nowhere, as those of a copy that was cut off do: what
/// is missing QEMU reads as zeroes, and says nothing.
pub(super) async fn check(image: &Place, size: u64) -> Result<(), Failure> {
    const LEAKS: i32 = 3;
    const NOT_KNOWN: i32 = 63;
    let mut command = copying(size);
    command.args(["check", "--output=json", "--image-opts", &image.options()]);
    let (status, errors) = output(command, |_| {}).await?;
    match status.code() {
        // Space that nothing uses does no harm; not every format has a check.
        Some(0 | LEAKS | NOT_KNOWN) => Ok(()),
        _ => {
            let first = errors.lines().next().unwrap_or_default();
            Err(failed("use the image", status, first).with_hint(
                "it is damaged, or not all of it is there: `qemu-img check` says more; fetch it again",
            ))
        }
    }
}

/// Copies an image to a disk that reads as zeroes.
pub(super) async fn fill(source: &Place, disk: &Place, size: u64) -> Result<(), Failure> {
    let mut command = copying(size);
    command
        .args([
            "convert",
            "-p",
            "-n",
            "--target-is-zero",
            "-W",
            "-m",
            IN_FLIGHT,
        ])
        .args(["--image-opts", "--target-image-opts"])
        .args([source.options(), disk.options()]);
    watched(command, "import", "copy the image", size).await
}

/// Copies a disk to a new file, over what is there.
pub(super) async fn write(
    disk: &Place,
    path: &std::path::Path,
    format: ImageFormat,
    size: u64,
) -> Result<(), Failure> {
    let mut command = copying(size);
    command
        .args(["convert", "-p", "-m", IN_FLIGHT, "-O", format.name()])
        .args(["--image-opts", &disk.options()])
        // A full path is never taken for a protocol.
        .arg(path);
    watched(command, "export", "write the image", size).await
}

/// Whether two places hold the same; what one has beyond the other's end must be zeroes.
pub(super) async fn equal(one: &Place, other: &Place, size: u64) -> Result<bool, Failure> {
    let mut command = copying(size);
    command
        .args(["compare", "-p", "--image-opts"])
        .args([one.options(), other.options()]);
    let bar = Bar::bytes("compare", size);
    let mut progress = Progress::default();
    let ended = output(command, |bytes| {
        if let Some(percent) = progress.take(bytes) {
            bar.set(share(percent, size));
        }
    });
    let (status, errors) = ended.await?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(failed("compare the image", status, &errors)),
    }
}

/// Runs a copy with a bar.
async fn watched(command: Command, bar: &str, what: &str, size: u64) -> Result<(), Failure> {
    let bar = Bar::bytes(bar, size);
    let mut progress = Progress::default();
    run(command, what, |bytes| {
        if let Some(percent) = progress.take(bytes) {
            bar.set(share(percent, size));
        }
    })
    .await
}

fn copying(size: u64) -> Command {
    let minutes = (size >> 30).saturating_mul(60);
    qemu_img(COPY_MEMORY_MAX, COPY_CPU_SECONDS_MIN + minutes)
}

/// `qemu-img`, to be given its arguments.
fn qemu_img(memory_max: u64, cpu_seconds_max: u64) -> Command {
    let mut command = match installed("prlimit") {
        true => {
            let mut command = Command::new("prlimit");
            command
                .arg(format!("--as={memory_max}"))
                .arg(format!("--cpu={cpu_seconds_max}"))
                .arg("--core=0")
                .args(["--", "qemu-img"]);
            command
        }
        false => Command::new("qemu-img"),
    };
    command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // Control-C is for this program, which ends it then.
        .process_group(0);
    command
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

async fn run(command: Command, what: &str, take: impl FnMut(&[u8])) -> Result<(), Failure> {
    let (status, errors) = output(command, take).await?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(what, status, &errors)),
    }
}

fn failed(what: &str, status: ExitStatus, errors: &str) -> Failure {
    let errors = errors.trim().replace("qemu-img: ", "");
    let why = match errors.is_empty() {
        true => status.to_string(),
        false => errors,
    };
    Failure::failed(format!("cannot {what}: qemu-img: {why}"))
}

/// Runs to the end. The output goes to `take` as it comes; the answer holds the errors.
async fn output(
    mut command: Command,
    mut take: impl FnMut(&[u8]),
) -> Result<(ExitStatus, String), Failure> {
    let missing = || {
        Failure::failed("qemu-img is not installed")
            .with_hint("apt-get install qemu-utils, or dnf install qemu-img")
    };
    if !installed("qemu-img") {
        return Err(missing());
    }
    let broken = |error: std::io::Error| Failure::failed(format!("qemu-img: {error}"));
    let mut child = command.spawn().map_err(|_| missing())?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut errors = Vec::new();
    let reading = pump(stdout, &mut take);
    let complaining = pump(stderr, |bytes| {
        let room = ERRORS_BYTES_MAX.saturating_sub(errors.len());
        errors.extend_from_slice(&bytes[..bytes.len().min(room)]);
    });
    let (read, complained) = tokio::join!(reading, complaining);
    read.and(complained).map_err(broken)?;
    let status = child.wait().await.map_err(broken)?;
    Ok((status, String::from_utf8_lossy(&errors).into_owned()))
}

/// Reads to the end.
async fn pump(
    from: Option<impl AsyncRead + Unpin>,
    mut take: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let Some(mut from) = from else {
        return Ok(());
    };
    let mut block = vec![0; 4096];
    loop {
        match from.read(&mut block).await? {
            0 => return Ok(()),
            length => take(&block[..length]),
        }
    }
}

/// `percent` of `size`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a share of a size is no larger than it, and casts saturate"
)]
fn share(percent: f64, size: u64) -> u64 {
    (percent.clamp(0.0, 100.0) / 100.0 * size as f64) as u64
}

/// What `qemu-img -p` prints: `    (12.34/100%)`, each over the one before.
#[derive(Debug, Default)]
struct Progress(String);

impl Progress {
    /// Takes what came next; the answer is the newest percentage in it.
    fn take(&mut self, bytes: &[u8]) -> Option<f64> {
        const LINE_BYTES_MAX: usize = 256;
        let mut newest = None;
        for byte in bytes {
            match byte {
                b'\r' | b'\n' => self.0.clear(),
                b')' => newest = percent(&self.0).or(newest),
                _ if self.0.len() < LINE_BYTES_MAX => self.0.push(char::from(*byte)),
                _ => {}
            }
        }
        newest
    }
}

fn percent(line: &str) -> Option<f64> {
    let (number, _) = line.split_once('(')?.1.split_once('/')?;
    number
        .trim()
        .parse()
        .ok()
        .filter(|percent: &f64| percent.is_finite())
}

#[cfg(test)]
mod tests {
    //! Progress in any pieces, and what else may be printed.

    use super::{Progress, share};

    #[test]
    fn progress_is_read() {
        let mut progress = Progress::default();
        assert_eq!(progress.take(b"    (0.00/100%)\r    (12.5"), Some(0.0));
        assert_eq!(progress.take(b"0/100%)\r"), Some(12.5));
        assert_eq!(
            progress.take(b"Images are identical.\n (x/y) (/) (nan/100%)\r"),
            None
        );
        assert_eq!(progress.take(&[b'('; 10_000]), None);
        assert_eq!(progress.take(b"\r (100.00/100%)\r"), Some(100.0));
    }

    #[test]
    fn shares() {
        assert_eq!(share(50.0, 1 << 40), 1 << 39);
        assert_eq!(share(1e9, 10), 10);
        assert_eq!(share(-1.0, 10), 0);
    }
}
