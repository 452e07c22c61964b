//! The API of a real daemon, asked by hand over both of its doors.
//!
//! Owns: starting it. Does not own: single rules of requests (unit tests of `vpoold`), the command.

mod deleted;
mod doors;
mod events;
mod http;
mod load;
mod metrics;
mod openapi;
mod races;
mod repeats;
mod routes;
mod tasks;
mod tls;

use std::fs;

use anyhow::Context;
use vpool_tests::daemon::{Daemon, Flags, World};

use http::Door;

/// A host for one daemon at a time.
struct Place {
    world: World,
    /// For what lies beside the data directory.
    beside: tempfile::TempDir,
}

impl Place {
    fn new() -> anyhow::Result<Place> {
        Ok(Place {
            world: World::new("api")?,
            beside: tempfile::tempdir().context("make a directory")?,
        })
    }

    fn start(&self) -> anyhow::Result<Daemon> {
        self.world.start(&Flags {
            journal: "256M".to_owned(),
            cache: "256M".to_owned(),
            api_tcp: "127.0.0.1:0".to_owned(),
            ..Flags::default()
        })
    }

    fn unix(&self) -> Door {
        Door::Unix(self.world.api_socket())
    }

    /// The other door, with the token: the daemon says where it is.
    fn tcp(&self) -> anyhow::Result<Door> {
        let version = self.unix().get("/api/v1/version")?;
        let address = version["api_tcp"].as_str().context("an address")?;
        let token = fs::read_to_string(self.world.data().join("api.token"))?;
        Ok(Door::Tcp(address.to_owned(), token.trim().to_owned()))
    }

    /// A directory beside, made, as text.
    fn directory(&self, name: &str) -> anyhow::Result<String> {
        let path = self.beside.path().join(name);
        fs::create_dir(&path)?;
        Ok(path.to_string_lossy().into_owned())
    }
}
