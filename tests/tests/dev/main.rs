//! `vpoold dev` and `vpool` as a person uses them: processes, sockets, kill -9.

mod command;
mod forgotten;
mod forms;
mod life;
mod qemu;
mod rotation;
mod s3;
mod trouble;
mod verbs;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use vpool_tests::daemon::{Daemon, Flags, World};

/// A host for one daemon at a time.
struct Place {
    world: World,
    /// For what lies beside the data directory.
    dir: tempfile::TempDir,
}

/// What a command came to.
#[derive(Debug)]
struct Done {
    /// Its exit code; -1 if a signal ended it.
    code: i32,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> anyhow::Result<Place> {
        Ok(Place {
            world: World::new("dev")?,
            dir: tempfile::tempdir()?,
        })
    }

    /// Starts a small daemon. An error holds what it wrote to its standard error.
    fn start(&self) -> anyhow::Result<Daemon> {
        self.world.start(&Flags {
            journal: "256M".to_owned(),
            memory: "256M".to_owned(),
            cache: "256M".to_owned(),
            ..Flags::default()
        })
    }

    /// Starts a daemon that must not start; the answer is what it says.
    fn refusal(&self) -> String {
        let error = self.start().expect_err("it should not start");
        error.to_string()
    }

    fn data(&self) -> &Path {
        self.world.data()
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `vpool`, without a terminal.
    fn vpool(&self, arguments: &[&str]) -> anyhow::Result<Done> {
        run(self.world.vpool_command().args(arguments))
    }

    /// The same; an error if it fails. The answer is what it printed.
    fn vpool_ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let done = self.vpool(arguments)?;
        ensure!(
            done.code == 0,
            "vpool {arguments:?}: {done:?}\n{}",
            self.log()
        );
        Ok(done.stdout)
    }

    fn api_socket(&self) -> PathBuf {
        self.nbd_socket().with_file_name("api")
    }

    fn nbd_socket(&self) -> PathBuf {
        self.world.door("").socket
    }

    /// The NBD URI of an export whose name needs no quoting.
    fn uri(&self, export: &str) -> String {
        format!(
            "nbd+unix:///{export}?socket={}",
            self.nbd_socket().display()
        )
    }

    /// All that daemons logged here.
    fn log(&self) -> String {
        std::fs::read_to_string(self.world.log()).unwrap_or_default()
    }

    /// Removes what is not the bucket or the key.
    fn lose(&self, parts: &[&str]) -> anyhow::Result<()> {
        for part in parts {
            let path = self.data().join(part);
            std::fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

fn run(command: &mut Command) -> anyhow::Result<Done> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    Ok(Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
