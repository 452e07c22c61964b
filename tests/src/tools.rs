//! The programs that tests use as clients.
//!
//! Owns: finding them, and saying so when one is missing; reading and writing by `qemu-io`.
//! Does not own: installing them (`make test` does).

use std::process::Command;

use anyhow::ensure;

use crate::daemon::{Done, run};

/// Whether a program is installed. Where it is not, the test that asks is left out and says
/// so; with `CI=true` nothing is left out.
///
/// # Panics
/// With `CI=true`, if it is missing.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join(program).is_file()) {
        return true;
    }
    let remedy = format!("{program} is not installed; `make test` as root installs it");
    assert!(
        !std::env::var("CI").is_ok_and(|ci| ci == "true"),
        "{remedy}"
    );
    #[expect(clippy::print_stderr, reason = "a test left out says so")]
    {
        eprintln!("SKIPPED: {remedy}");
    }
    false
}

/// Runs `qemu-io` commands on an NBD URI.
pub fn qemu_io(uri: &str, commands: &[&str]) -> anyhow::Result<Done> {
    let mut command = Command::new("qemu-io");
    command.args(["-f", "raw", "-t", "none"]);
    for one in commands {
        command.args(["-c", one]);
    }
    run(command.arg(uri))
}

/// The same; an error if any of them fails, or reads what it should not.
pub fn qemu_io_ok(uri: &str, commands: &[&str]) -> anyhow::Result<()> {
    let done = qemu_io(uri, commands)?;
    // qemu-io says so when a pattern is not found, and exits with 0 in old versions.
    let good = done.code == 0 && !done.stdout.contains("Pattern verification failed");
    ensure!(good, "qemu-io {uri} {commands:?}: {done:?}");
    Ok(())
}
