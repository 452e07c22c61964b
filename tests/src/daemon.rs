//! A real daemon on a directory of its own: started, asked, killed.
//!
//! Owns: the processes, their directories, their logs. Does not own: what they serve.
//!
//! The programs are looked for in `VPOOL_BIN_DIR`, else beside this one in the target
//! directory (`cargo build -p vpoold -p vpool-cli` puts them there).

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::nbd::Door;

/// What the greeting of a daemon that serves begins with.
const GREETING: &str = "vPool ";

/// The number of the signal that [`Daemon::kill`] sends.
const KILL: i32 = 9;

/// The target directory that this program was built into.
pub fn target_dir() -> anyhow::Result<PathBuf> {
    let profile = profile_dir()?;
    let target = profile.parent().unwrap_or(&profile);
    Ok(target.to_owned())
}

/// Waits until no other process of this target directory holds the lock `name`, and holds it
/// until the answer is dropped.
pub fn lock(name: &str) -> anyhow::Result<File> {
    let path = target_dir()?.join(format!("e2e-{name}.lock"));
    let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    flock(&file, FlockOperation::LockExclusive).with_context(|| format!("lock {name}"))?;
    Ok(file)
}

/// `debug` or the like in it: where this program lies, or above its `deps`.
fn profile_dir() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe().context("find this program")?;
    let directory = exe.parent().context("a program lies in a directory")?;
    Ok(match directory.parent() {
        Some(above) if directory.ends_with("deps") => above.to_owned(),
        _ => directory.to_owned(),
    })
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    let directory = match std::env::var_os("VPOOL_BIN_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => profile_dir()?,
    };
    let path = directory.join(name);
    ensure!(
        path.exists(),
        "{} is missing: `cargo build -p vpoold -p vpool-cli` first, or set VPOOL_BIN_DIR",
        path.display()
    );
    Ok(path)
}

/// The place of a daemon over its lives: data, sockets, log. Goes away with this value,
/// except after [`keep`](Self::keep).
#[derive(Debug)]
pub struct World {
    vpoold: PathBuf,
    vpool: PathBuf,
    data: TempDir,
    // The path of a socket has 107 bytes at most, a target directory may be deeper.
    sockets: TempDir,
}

/// Flags of one life of a daemon.
#[derive(Debug, Clone)]
pub struct Flags {
    /// `--journal-size`.
    pub journal: String,
    /// `--memory`.
    pub memory: String,
    /// `--cache-size`.
    pub cache: String,
    /// `--api-tcp`.
    pub api_tcp: String,
    /// `RUST_LOG`.
    pub log: String,
}

impl Default for Flags {
    fn default() -> Self {
        Flags {
            journal: "1G".into(),
            memory: "256M".into(),
            cache: "1G".into(),
            api_tcp: "off".into(),
            log: "info".into(),
        }
    }
}

impl World {
    /// A new place below the target directory, or below `VPOOL_TEST_DIR`.
    pub fn new(name: &str) -> anyhow::Result<World> {
        let below = match std::env::var_os("VPOOL_TEST_DIR") {
            Some(directory) => PathBuf::from(directory),
            None => target_dir()?.join("e2e"),
        };
        World::below(&below, name)
    }

    /// A new place below a directory, which is made where it is missing.
    pub fn below(directory: &Path, name: &str) -> anyhow::Result<World> {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        let prefix = format!("{name}-");
        let data = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(directory);
        Ok(World {
            vpoold: program("vpoold")?,
            vpool: program("vpool")?,
            data: data.context("make a directory for a daemon")?,
            sockets: tempfile::tempdir().context("make a directory for sockets")?,
        })
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The log of all lives.
    pub fn log(&self) -> PathBuf {
        self.sockets.path().join("vpoold.log")
    }

    /// The API's unix socket.
    pub fn api_socket(&self) -> PathBuf {
        self.sockets.path().join("api")
    }

    /// How a client comes to a disk.
    pub fn door(&self, export: &str) -> Door {
        Door {
            socket: self.nbd_socket(),
            export: export.to_owned(),
        }
    }

    /// Starts the daemon; it serves when this returns.
    pub fn start(&self, flags: &Flags) -> anyhow::Result<Daemon> {
        self.start_as(self.dev_command(flags))
    }

    /// What [`start`](Self::start) starts.
    pub fn dev_command(&self, flags: &Flags) -> Command {
        let mut command = self.vpoold_command();
        command
            .args(["dev", "--nbd-tcp", "off", "--data-dir"])
            .arg(self.data())
            .arg("--nbd-socket")
            .arg(self.nbd_socket())
            .arg("--api-socket")
            .arg(self.api_socket())
            .args(["--journal-size", &flags.journal])
            .args(["--memory", &flags.memory])
            .args(["--cache-size", &flags.cache])
            .args(["--api-tcp", &flags.api_tcp])
            .env("RUST_LOG", &flags.log);
        command
    }

    /// Starts the daemon by a command of one's own, which must name the data directory and the
    /// sockets of this place; it serves when this returns.
    pub fn start_as(&self, mut command: Command) -> anyhow::Result<Daemon> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log());
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.with_context(|| format!("open {}", self.log().display()))?)
            .spawn()
            .with_context(|| format!("start {}", self.vpoold.display()))?;
        let stdout = child.stdout.take().context("the output is piped")?;
        let mut daemon = Daemon { child, started };
        let mut output = BufReader::new(stdout);
        let mut line = String::new();
        loop {
            line.clear();
            let bytes = output.read_line(&mut line).context("read the greeting")?;
            if line.starts_with(GREETING) {
                break;
            }
            if bytes == 0 {
                let status = daemon.child.wait().context("wait for the daemon")?;
                bail!("the daemon ended ({status}); its log:\n{}", self.log_end()?);
            }
        }
        // The rest of the greeting fits into the pipe: nobody has to read it.
        Ok(daemon)
    }

    /// `vpoold`, to be given its arguments.
    pub fn vpoold_command(&self) -> Command {
        Command::new(&self.vpoold)
    }

    /// The path of the NBD socket.
    pub fn nbd_socket(&self) -> PathBuf {
        self.sockets.path().join("nbd")
    }
    /// Runs `vpool` and gives its output.
    pub fn vpool(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.vpool_command().args(arguments).output();
        let output = output.context("start vpool")?;
        ensure!(
            output.status.success(),
            "vpool {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).context("vpool writes UTF-8")
    }

    /// `vpool`, to be given its arguments.
    pub fn vpool_command(&self) -> Command {
        let mut api = std::ffi::OsString::from("unix:");
        api.push(self.api_socket());
        let mut command = Command::new(&self.vpool);
        command.arg("--api").arg(api).stdin(Stdio::null());
        command
    }

    /// Lines of the log that no healthy daemon writes.
    pub fn log_complaints(&self) -> anyhow::Result<Vec<String>> {
        let file = File::open(self.log()).context("open the daemon's log")?;
        let mut found = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.context("read the daemon's log")?;
            if line.contains(" ERROR ") || line.contains("panic") {
                found.push(line);
            }
        }
        Ok(found)
    }

    fn log_end(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        File::open(self.log())
            .and_then(|mut file| file.read_to_string(&mut text))
            .context("read the daemon's log")?;
        let lines: Vec<_> = text.lines().collect();
        Ok(lines[lines.len().saturating_sub(40)..].join("\n"))
    }

    /// Leaves everything where it is, for a person to look at; the answer is where.
    pub fn keep(self) -> (PathBuf, PathBuf) {
        (self.data.keep(), self.sockets.keep())
    }
}

/// One life of a daemon; killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    started: Instant,
}

impl Daemon {
    /// When the process was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, at once. A daemon that had ended before by itself is an error.
    pub fn kill(mut self) -> anyhow::Result<()> {
        let ended = self.child.try_wait().context("look at the daemon")?;
        if let Some(status) = ended {
            bail!("the daemon ended by itself: {status}");
        }
        self.child.kill().context("kill the daemon")?;
        let status = self.child.wait().context("wait for the daemon")?;
        ensure!(
            status.signal() == Some(KILL),
            "the daemon ended by itself: {status}"
        );
        Ok(())
    }

    /// SIGABRT, as a failed assertion in C would send it; the answer is how it ended.
    pub fn abort(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::ABORT)?;
        self.child.wait().context("wait for the daemon")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).context("a process number")?;
        let pid = Pid::from_raw(pid).context("a process number")?;
        kill_process(pid, signal).with_context(|| format!("send {signal:?}"))
    }

    /// SIGTERM; the answer is how long the daemon took to end in order.
    pub fn terminate(mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.signal(Signal::TERM)?;
        let status: ExitStatus = self.child.wait().context("wait for the daemon")?;
        ensure!(
            status.success(),
            "the daemon ended with {status} on SIGTERM"
        );
        Ok(begun.elapsed())
    }

    /// Memory in use and time of all CPUs so far, from `/proc`: bytes and seconds.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let read = |name: &str| {
            let path = format!("/proc/{}/{name}", self.pid());
            fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let status = read("status")?;
        let kib = |name: &str| {
            let rest = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = rest.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            kib.with_context(|| format!("{name} in status"))
        };
        let stat = read("stat")?;
        // The name in brackets may hold anything; fields are counted behind it.
        let (_, fields) = stat.rsplit_once(')').context("a line of stat")?;
        let ticks = |at: usize| fields.split_whitespace().nth(at)?.parse::<u32>().ok();
        let ticks = ticks(11).zip(ticks(12)).context("times in stat")?;
        Ok(Usage {
            rss_bytes: kib("VmRSS:")? * 1024,
            rss_bytes_max: kib("VmHWM:")? * 1024,
            cpu_s: f64::from(ticks.0 + ticks.1) / 100.0,
        })
    }
}

/// What a daemon has used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Memory now.
    pub rss_bytes: u64,
    /// The most memory at any time.
    pub rss_bytes_max: u64,
    /// CPU seconds.
    pub cpu_s: f64,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
