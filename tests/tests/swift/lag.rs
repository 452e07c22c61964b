//! T6: a container's server is away and its listing lags, until `swift-object-updater` has
//! run. The daemon goes on, starts anew and loses nothing; and from the container alone
//! every disk that is listed comes back with all that was shipped to it.

use anyhow::{Context, ensure};
use tokio::runtime::Runtime;
use vpool_object::ObjectStore;
use vpool_swift::{SwiftConfig, SwiftStore};
use vpool_test_stores::{Auth, Swift};
use vpool_tests::daemon::{Flags, World, lock};

use super::{Place, create_disk, heir_of, no_complaints, oracle, write_all};

#[test]
fn a_listing_that_lags() -> anyhow::Result<()> {
    let Some(swift) = Swift::start_or_skip(Auth::Temp) else {
        return Ok(());
    };
    let _alone = lock("kill")?;
    swift.create_container("lag")?;
    let place = Place::new(&swift, "v1", &swift.auth_url(), "lag/t6");
    let runtime = Runtime::new().context("start a runtime for the listings")?;
    let bare = SwiftStore::connect(SwiftConfig::from_url(&place.url, &place.credentials)?)?;
    let listed = || -> anyhow::Result<Vec<String>> {
        let page = runtime.block_on(bare.list("disk/", None, 1000))?;
        let names = page.objects.iter();
        Ok(names.map(|one| one.key.to_string()).collect())
    };

    let world = World::new("swift-lag")?;
    let mut daemon = world.start(&Flags::default())?;
    world.vpool(&place.at(&["pool", "create", "cloud"]))?;
    create_disk(&world, "cloud:a")?;
    let (mut a, mut b) = (oracle(1)?, oracle(2)?);
    let (door_a, door_b) = (world.door("cloud:a"), world.door("cloud:b"));
    let sync = || world.vpool(&["pool", "sync", "cloud"]).map(drop);
    write_all(&mut [(&mut a, door_a.clone())], sync)?;
    let before = listed()?;

    // No listing from here on: the disk goes on, another is made, and the daemon starts anew.
    swift.server_stop("container")?;
    ensure!(listed().is_err(), "the container's server is not away");
    write_all(&mut [(&mut a, door_a.clone())], sync)?;
    create_disk(&world, "cloud:b")?;
    write_all(
        &mut [(&mut a, door_a.clone()), (&mut b, door_b.clone())],
        sync,
    )?;
    daemon.kill()?;
    daemon = world.start(&Flags::default())?;
    write_all(
        &mut [(&mut a, door_a.clone()), (&mut b, door_b.clone())],
        sync,
    )?;
    a.verify(&door_a).context("while nothing is listed")?;
    b.verify(&door_b).context("while nothing is listed")?;

    // It is back, and its listing is of long ago.
    swift.server_start("container")?;
    ensure!(listed()? == before, "the listing does not lag");
    write_all(
        &mut [(&mut a, door_a.clone()), (&mut b, door_b.clone())],
        sync,
    )?;
    daemon.terminate()?;
    no_complaints(&world)?;

    // From the container alone: what is listed of a disk does not matter, as long as it is.
    let (heir, daemon) = heir_of(&world)?;
    let adopted = heir.vpool(&place.at(&["pool", "adopt", "--yes", "--take-over"]))?;
    ensure!(adopted.contains("  a\n"), "{adopted}");
    a.verify(&heir.door("cloud:a"))
        .context("from the container alone, with a listing that lags")?;
    write_all(&mut [(&mut a, heir.door("cloud:a"))], || {
        heir.vpool(&["pool", "sync", "cloud"]).map(drop)
    })?;
    daemon.terminate()?;
    no_complaints(&heir)?;

    // Once the listing has caught up, all disks are found.
    swift.update()?;
    let now = listed()?;
    ensure!(now.len() > before.len(), "the updater did nothing");
    let (heir, daemon) = heir_of(&world)?;
    let adopted = heir.vpool(&place.at(&["pool", "adopt", "--yes", "--take-over"]))?;
    ensure!(
        adopted.contains("  a\n") && adopted.contains("  b\n"),
        "{adopted}"
    );
    a.verify(&heir.door("cloud:a"))
        .context("from the container alone")?;
    b.verify(&heir.door("cloud:b"))
        .context("from the container alone")?;
    daemon.terminate()?;
    no_complaints(&heir)
}
