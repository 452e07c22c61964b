//! Checks of this host.
//!
//! Owns: looking at space, clock, limits, programs and sockets. Does not own: what it adds up to
//! (`doctor.rs`).

use std::process::Stdio;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::process::Command;

use vpool_api::{Check, CheckState as State, size};

/// Less free space in the data directory than this stops a daemon soon.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Less than this is worth a look.
const FREE_BYTES_LOW: u64 = 10 << 30;

/// Fewer open files than this are soon used up by clients and segments.
const FILES_MIN: u64 = 4096;

/// No program takes longer to say its version, no socket to answer.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Seconds since 1970 at the start of 2025: no clock that is right says less.
const CLOCK_MIN: u64 = 1_735_689_600;

/// The file system of the daemon's data.
pub(super) fn free_space(data_dir: &str) -> Check {
    const CODE: &str = "free_space";
    let space = match rustix::fs::statvfs(data_dir) {
        Ok(space) => space,
        Err(error) => {
            let detail = format!("{data_dir} cannot be looked at: {error}");
            return Check::new(CODE, State::Skipped, detail);
        }
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let detail = format!("{} are free in {data_dir}", size::format(free));
    let remedy = "make room, or start vpoold with less --journal-size and --cache-size";
    let state = match free {
        0..FREE_BYTES_MIN => State::Wrong,
        FREE_BYTES_MIN..FREE_BYTES_LOW => State::Warning,
        FREE_BYTES_LOW.. => return Check::ok(CODE, detail),
    };
    Check::new(CODE, state, detail).with_remedy(remedy)
}

/// How many files the daemon may have open.
pub(super) fn open_files(pid: u32) -> Check {
    const CODE: &str = "open_files";
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"));
    let Some(limit) = limits.ok().as_deref().and_then(open_files_of) else {
        let detail = format!("the limits of process {pid} cannot be read here");
        return Check::new(CODE, State::Skipped, detail);
    };
    let detail = format!("vpoold may have {limit} files open");
    match limit < FILES_MIN {
        true => Check::new(CODE, State::Warning, detail)
            .with_remedy("LimitNOFILE=65536 in its unit, or ulimit -n 65536 before it starts"),
        false => Check::ok(CODE, detail),
    }
}

/// The soft limit in `/proc/PID/limits`.
fn open_files_of(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Whether the time is right, as far as the kernel knows: stores refuse requests of hosts that
/// are some minutes off.
pub(super) fn clock() -> Check {
    const CODE: &str = "clock";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    if now.map_or(0, |now| now.as_secs()) < CLOCK_MIN {
        let check = Check::new(CODE, State::Wrong, "the clock is years behind");
        return check.with_remedy("set it: timedatectl set-ntp true");
    }
    // SAFETY: all fields are integers, for which zeroes are values.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: with `modes` 0 it writes the state into the struct given, which is ours, and
    // changes nothing.
    match unsafe { libc::adjtimex(&raw mut state) } {
        -1 => Check::new(
            CODE,
            State::Skipped,
            "the kernel does not say how the clock is",
        ),
        libc::TIME_ERROR => {
            let check = Check::new(CODE, State::Warning, "the clock is not synchronised");
            check
                .with_remedy("timedatectl set-ntp true, or run chrony; in a container: on its host")
        }
        _ => Check::ok(CODE, "the clock is synchronised"),
    }
}

/// Whether a program is there, and which version.
pub(super) async fn program(name: &str, package: &str, used_by: &str) -> Check {
    let code = name.replace('-', "_");
    let asked = Command::new(name)
        .arg("--version")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(TIME_MAX, asked).await {
        Ok(Ok(output)) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            Check::ok(&code, text.lines().next().unwrap_or(name))
        }
        Ok(Err(_)) => {
            let detail = format!("{name} is not installed; {used_by} need it");
            let check = Check::new(&code, State::Warning, detail);
            check.with_remedy(format!("apt-get install {package}"))
        }
        _ => Check::new(
            &code,
            State::Warning,
            format!("{name} does not say its version"),
        ),
    }
}

/// Whether clients of this user reach the disks.
pub(super) async fn nbd_socket(path: &str) -> Check {
    const CODE: &str = "nbd";
    let connected = tokio::time::timeout(TIME_MAX, UnixStream::connect(path)).await;
    match connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
        Ok(_) => Check::ok(CODE, format!("disks are served at {path}")),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let detail = format!("you may not use {path}");
            let check = Check::new(CODE, State::Warning, detail);
            check.with_remedy("add who runs virtual machines to the daemon's group")
        }
        Err(error) => Check::new(CODE, State::Wrong, format!("{path}: {error}"))
            .with_remedy("the daemon's log says why; start it anew"),
    }
}

/// Whether somebody listens where the daemon says that it does.
pub(super) async fn port(code: &str, address: &str) -> Check {
    let connected = tokio::time::timeout(TIME_MAX, TcpStream::connect(address)).await;
    match connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
        Ok(_) => Check::ok(code, format!("{address} answers")),
        Err(error) => Check::new(code, State::Wrong, format!("{address}: {error}"))
            .with_remedy("is there a firewall? the daemon's log says more; start it anew"),
    }
}

#[cfg(test)]
mod tests {
    //! What is read of this host.

    use super::{State, free_space, open_files, open_files_of};

    #[test]
    fn limits_are_read() {
        let text = "Limit  Soft Limit  Hard Limit  Units\n\
                    Max processes             1    1    processes\n\
                    Max open files            1024                 524288               files\n";
        assert_eq!(open_files_of(text), Some(1024));
        assert_eq!(
            open_files_of("Max open files unlimited unlimited files"),
            Some(u64::MAX)
        );
        assert_eq!(open_files_of("nothing"), None);
        assert_ne!(open_files(std::process::id()).state, State::Skipped);
        // No process has this number.
        assert_eq!(open_files(u32::MAX).state, State::Skipped);
    }

    #[test]
    fn space_of_a_place_that_is_not_there() {
        assert_eq!(free_space("/nowhere").state, State::Skipped);
        assert_ne!(free_space("/").state, State::Skipped);
    }
}
