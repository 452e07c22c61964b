//! A pool on Swift and one on a directory, in one daemon: the directory's does not notice
//! that Swift hangs, and a kill takes nothing from either.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::runtime::Runtime;
use vpool_test_stores::{Mode, Proxy, Swift};
use vpool_tests::daemon::{Flags, World, lock};

use super::{Place, create_disk, heir_of, no_complaints, oracle, write_all};

/// A sync of the pool that is well, while the other's store hangs.
const SYNC_TIME_MAX: Duration = Duration::from_secs(20);

#[test]
fn two_pools_of_different_kinds() -> anyhow::Result<()> {
    let Some(swift) = Swift::shared() else {
        return Ok(());
    };
    let _alone = lock("kill")?;
    swift.create_container("two-pools")?;
    let runtime = Runtime::new().context("start a runtime for the proxy")?;
    let proxy = runtime.block_on(Proxy::start(swift.port()))?;
    let auth_url = format!("{}/auth/v1.0", proxy.endpoint());
    let place = Place::new(swift, "v1", &auth_url, "two-pools/some/prefix");

    let world = World::new("swift-two-pools")?;
    let daemon = world.start(&Flags::default())?;
    world.vpool(&place.at(&["pool", "create", "cloud"]))?;
    create_disk(&world, "cloud:a")?;
    create_disk(&world, "default:b")?;
    let (mut cloud, mut local) = (oracle(1)?, oracle(2)?);
    let (cloud_door, local_door) = (world.door("cloud:a"), world.door("default:b"));

    // Both ship at once.
    let mut both = [
        (&mut cloud, cloud_door.clone()),
        (&mut local, local_door.clone()),
    ];
    write_all(&mut both, || {
        world.vpool(&["pool", "sync", "cloud"])?;
        world.vpool(&["pool", "sync", "default"])?;
        Ok(())
    })?;

    // Swift hangs: writes to both go on, and what is written to the other is shipped.
    runtime.block_on(proxy.set_mode(Mode::Hang))?;
    write_all(&mut both, || {
        let begun = Instant::now();
        world.vpool(&["pool", "sync", "default"])?;
        let took = begun.elapsed();
        ensure!(took < SYNC_TIME_MAX, "{took:?} for a sync of another pool");
        Ok(())
    })?;
    daemon.kill()?;
    runtime.block_on(proxy.set_mode(Mode::failing(10)))?;
    let daemon = world.start(&Flags::default())?;
    write_all(&mut both, || Ok(()))?;
    let verified = cloud.verify(&cloud_door)?;
    ensure!(verified.written > 0, "nothing was written");
    local.verify(&local_door)?;
    world.vpool(&["pool", "sync", "cloud"])?;
    runtime.block_on(proxy.set_mode(Mode::Pass))?;
    let pools = world.vpool(&["pool", "list"])?;
    ensure!(
        pools.contains(&place.url) && !pools.contains("FAILED"),
        "{pools}"
    );
    daemon.terminate()?;
    no_complaints(&world)?;

    let (heir, daemon) = heir_of(&world)?;
    let adopted = heir.vpool(&place.at(&["pool", "adopt", "--yes", "--take-over"]))?;
    ensure!(adopted.contains("cloud"), "{adopted}");
    cloud
        .verify(&heir.door("cloud:a"))
        .context("from the container alone")?;
    daemon.terminate()?;
    no_complaints(&heir)
}
