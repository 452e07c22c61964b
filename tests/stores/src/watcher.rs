//! A process that outlives this one and ends what this one has started.
//!
//! Owns: noticing the end of this process, in whatever way it came.
//! Does not own: how a store is ended (its script).

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// Ends a store and removes its directory when this is dropped, or when the process ends.
#[derive(Debug)]
pub(crate) struct Watcher(Child);

impl Watcher {
    /// Starts it. `end` adds the command that ends the store of `dir`, whose last argument
    /// will be `dir`.
    pub(crate) fn start(
        dir: &Path,
        end: impl FnOnce(&mut Command) -> &mut Command,
    ) -> anyhow::Result<Watcher> {
        let mut command = Command::new("setsid");
        // Its input is closed by Drop, or by the kernel when this process is gone.
        command.args(["bash", "-c", r#"cat; "$@" "$0" && rm -rf -- "$0""#]);
        end(command.arg(dir))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Watcher)
            .context("starting the watcher of a store")
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let ended = self.0.wait();
        debug_assert!(
            ended.is_ok_and(|status| status.success()),
            "the watcher failed"
        );
    }
}
