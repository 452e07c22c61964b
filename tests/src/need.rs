//! What a test needs of the machine, and what it does where that is missing.
//!
//! Owns: looking for programs, saying that a test is left out. Does not own: installing
//! anything (`scripts/setup.sh test`).

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Whether these programs are installed; the `PATH` of a user may lack what root's has. Where
/// one is missing the test that asks is left out.
///
/// # Panics
/// Where one is missing with `CI=true`: in CI nothing is left out in silence.
pub fn programs(names: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places: Vec<_> = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .collect();
    let missing = |name: &&&str| !places.iter().any(|place| place.join(name).is_file());
    match names.iter().find(missing) {
        Some(name) => left_out(&format!("{name} is not installed")),
        None => true,
    }
}

/// Whether this user is root, as those are who may mount.
///
/// # Panics
/// Where not, with `CI=true`.
pub fn root() -> bool {
    rustix::process::geteuid().is_root() || left_out("mounting needs root")
}

/// Whether this file is there, which something else (named) makes.
///
/// # Panics
/// Where not, with `CI=true`.
pub fn file(path: &Path, maker: &str) -> bool {
    path.exists() || left_out(&format!("{} is missing; {maker} makes it", path.display()))
}

/// Lets this process, and what it starts, hold so many files; whether it may.
pub fn allow_files(count: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.is_none_or(|maximum| maximum >= count);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    enough && setrlimit(Resource::Nofile, raised).is_ok()
}

/// Whether something else that was looked at is so; the reason says what is missing.
///
/// # Panics
/// Where it is not so, with `CI=true`.
pub fn that(holds: bool, reason: &str) -> bool {
    holds || left_out(reason)
}

/// Whether this kernel knows a file system.
///
/// # Panics
/// Where not, with `CI=true`.
pub fn filesystem(name: &str) -> bool {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let known = known
        .lines()
        .any(|line| line.split_whitespace().last() == Some(name));
    that(known, &format!("this kernel has no {name}"))
}

/// Says why a test is left out; always `false`.
fn left_out(reason: &str) -> bool {
    let required = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!required, "{reason}; with CI=true nothing is left out");
    #[expect(clippy::print_stderr, reason = "a test left out says so")]
    {
        eprintln!("SKIPPED: {reason}");
    }
    false
}
