//! Reading and writing by `qemu-io`.
//!
//! Owns: its commands. Does not own: finding it (`vpool_tests::need`), installing it
//! (`make test` does).

use std::process::Command;

use anyhow::ensure;
use vpool_tests::need;

use crate::{Done, run};

/// Whether `qemu-io` is installed; else the test that asks is left out.
pub(crate) fn installed() -> bool {
    need::programs(&["qemu-io"])
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
