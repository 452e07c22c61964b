//! `vpoold dev` and `vpool` as a person uses them: processes, sockets, kill -9.

mod command;
mod life;
mod s3;
mod trouble;

use std::path::PathBuf;

/// A directory for one daemon and its log, removed at the end.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            dir: tempfile::Builder::new().prefix("vpool-").tempdir().unwrap(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn join(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
