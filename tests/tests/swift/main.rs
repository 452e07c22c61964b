//! Pools on a real OpenStack Swift: beside another pool, over tokens that end, and with
//! listings that lag.
//!
//! Owns: what the daemon is led through. Does not own: Swift (`vpool_test_stores`), what a
//! disk must hold (`vpool_tests::oracle`).

mod keystone;
mod lag;
mod two_pools;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use vpool_test_stores::Swift;
use vpool_tests::daemon::{Daemon, Flags, World};
use vpool_tests::nbd::Door;
use vpool_tests::oracle::{Ended, Mix, Oracle};

/// Every disk of an oracle, in MiB.
const DISK_MIB: u64 = 32;

/// How long an oracle writes at a time.
const SPELL: Duration = Duration::from_secs(2);

/// The flags that lead to a prefix of a container, by an auth service of the given URL.
struct Place {
    url: String,
    auth: &'static str,
    credentials: String,
}

impl Place {
    fn new(swift: &Swift, auth: &'static str, auth_url: &str, path: &str) -> Place {
        Place {
            url: format!("{auth_url}/{path}"),
            auth,
            credentials: swift.credentials_file().to_string_lossy().into_owned(),
        }
    }

    /// A command with the location behind it.
    fn at<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        let location = [
            "--swift",
            &self.url,
            "--auth",
            self.auth,
            "--credentials-file",
            &self.credentials,
        ];
        [command, &location].concat()
    }
}

fn oracle(disk: u64) -> anyhow::Result<Oracle> {
    let mix = Mix {
        pause: Duration::from_millis(2),
        ..Mix::default()
    };
    Oracle::new(disk, DISK_MIB << 20, mix, disk)
}

fn create_disk(world: &World, disk: &str) -> anyhow::Result<()> {
    let size = format!("{DISK_MIB}M");
    world.vpool(&["disk", "create", disk, "--size", &size])?;
    Ok(())
}

/// Has each oracle write to its disk for a while, all at once; `meanwhile` runs beside them.
fn write_all(
    oracles: &mut [(&mut Oracle, Door)],
    meanwhile: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stop = &AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = oracles
            .iter_mut()
            .map(|(oracle, door)| scope.spawn(move || oracle.run(door, stop)))
            .collect();
        thread::sleep(SPELL);
        let done = meanwhile();
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            let ended = writer
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked")));
            ensure!(ended? == Ended::Stopped, "the daemon went away");
        }
        done
    })
}

/// A new daemon that has nothing but the key of another.
fn heir_of(world: &World) -> anyhow::Result<(World, Daemon)> {
    let heir = World::new("swift-heir")?;
    std::fs::copy(world.data().join("grid.key"), heir.data().join("grid.key"))
        .context("copy the key")?;
    let daemon = heir.start(&Flags::default())?;
    Ok((heir, daemon))
}

fn no_complaints(world: &World) -> anyhow::Result<()> {
    let complaints = world.log_complaints()?;
    ensure!(
        complaints.is_empty(),
        "in the daemon's log: {complaints:#?}"
    );
    Ok(())
}
