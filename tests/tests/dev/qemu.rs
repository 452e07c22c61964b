//! Reading and writing by `qemu-io`.
//!
//! Owns: finding it, and saying so when it is missing. Does not own: installing it
//! (`make test` does).

use std::process::Command;

use anyhow::ensure;

use crate::{Done, run};

/// Whether `qemu-io` is installed. Where it is not, the test that asks is left out and says
/// so; with `CI=true` nothing is left out.
pub(crate) fn installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|dir| dir.join("qemu-io").is_file()) {
        return true;
    }
    let remedy = "qemu-io is not installed; `make test` as root installs it";
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{remedy}");
    #[expect(clippy::print_stderr, reason = "a test left out says so")]
    {
        eprintln!("SKIPPED: {remedy}");
    }
    false
}

/// Runs commands on an NBD URI.
pub(crate) fn io(uri: &str, commands: &[&str]) -> anyhow::Result<Done> {
    let mut command = Command::new("qemu-io");
    command.args(["-f", "raw", "-t", "none"]);
    for one in commands {
        command.args(["-c", one]);
    }
    run(command.arg(uri))
}

/// The same; an error if any of them fails, or reads what it should not.
pub(crate) fn io_ok(uri: &str, commands: &[&str]) -> anyhow::Result<()> {
    let done = io(uri, commands)?;
    // qemu-io says so when a pattern is not found, and exits with 0 in old versions.
    let good = done.code == 0 && !done.stdout.contains("Pattern verification failed");
    ensure!(good, "qemu-io {uri} {commands:?}: {done:?}");
    Ok(())
}
