//! P4: the bucket is enough. Hosts are thrown away; what was shipped comes back, names and all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vpool_block::BlockDevice;
use vpool_engine::error::ErrorKind;
use vpool_engine::router::Adopted;
use vpool_host::sim::Dice;
use vpool_object::ErrorKind as StoreKind;
use vpool_object::faults::{Fault, FaultPlan, Outage, Script};
use vpool_object::memory::MemoryStore;
use vpool_object::operation::Operation;

use crate::bytes::{Bytes, image, step};
use crate::figures::Figures;
use crate::rig::{Life, PLACE, Rig, check_error, key_of, place};

/// A disk as the test knows it.
#[derive(Clone)]
struct Known {
    name: String,
    model: Bytes,
    /// So many operations may not be lost.
    floor: usize,
    /// Nobody may bring it back.
    deleted: bool,
}

const LONG: Duration = Duration::from_secs(3600);

/// So long, in ms, that objects are not young any more.
const OLD_MS: i64 = 700_000;

async fn adopt(life: &Life, take_over: bool) -> Result<Adopted, vpool_engine::error::Error> {
    let store = life.site().store.clone();
    life.router
        .adopt_pool(None, place(PLACE), store, take_over)
        .await
}

fn living(disks: &[Known]) -> Vec<String> {
    let mut names: Vec<String> = disks
        .iter()
        .filter(|disk| !disk.deleted)
        .map(|disk| disk.name.clone())
        .collect();
    names.sort();
    names
}

/// Every disk is there with its name, size and content, and no other.
async fn check_all(life: &Life, disks: &mut [Known]) {
    let listed = life.router.disks(None).expect("the list");
    let mut found: Vec<String> = listed.iter().map(|disk| disk.entry.name.clone()).collect();
    found.sort();
    assert_eq!(found, living(disks));
    for disk in disks.iter_mut().filter(|disk| !disk.deleted) {
        let device = life.router.device(&disk.name).await.expect("attach");
        assert_eq!(device.size(), disk.model.size, "{}", disk.name);
        disk.model.check_prefix(&image(&device).await, disk.floor);
    }
}

/// Makes, deletes and writes disks; ships all, or all but a little.
async fn work(life: &Life, disks: &mut Vec<Known>, dice: &mut Dice) {
    for _ in 0..1 + dice.below(2) {
        let name = format!("disk-{}/é", disks.len());
        let size = 512 * (1 + dice.below(900));
        let entry = life
            .router
            .create_disk(None, &name, size, dice.chance(50))
            .await;
        entry.expect("a disk");
        let model = Bytes::new(disks.len() as u64 + 1, size);
        disks.push(Known {
            name,
            model,
            floor: 0,
            deleted: false,
        });
    }
    for disk in disks.iter_mut().filter(|disk| !disk.deleted) {
        let device = life.router.device(&disk.name).await.expect("attach");
        for _ in 0..dice.below(40) {
            step(&device, &mut disk.model, dice)
                .await
                .expect("in health");
        }
        if dice.chance(70) {
            life.router.sync_disk(&disk.name).await.expect("sync");
            disk.model.shipped = disk.model.ops.len();
        }
    }
    let alive: Vec<usize> = (0..disks.len()).filter(|at| !disks[*at].deleted).collect();
    if alive.len() > 1 && dice.chance(50) {
        let gone = alive[dice.below(alive.len() as u64) as usize];
        life.router
            .delete_disk(&disks[gone].name)
            .await
            .expect("delete");
        disks[gone].deleted = true;
    }
}

async fn adopt_through_faults(life: &Life, disks: &[Known]) {
    life.faults().set_plan(FaultPlan {
        error_before: 0.1,
        error_after: 0.1,
        delay_max: Duration::from_millis(200),
        ..FaultPlan::default()
    });
    let adopted = tokio::time::timeout(LONG, adopt(life, true)).await;
    let adopted = adopted.expect("it ends").expect("adopted");
    assert_eq!(
        (adopted.pool.as_str(), adopted.disks),
        ("default", living(disks))
    );
    life.faults().heal();
}

fn play(seed: u64) -> u64 {
    let mut rig = Rig::new(seed);
    // Every open disk holds an extent.
    rig.journal_bytes = 64 * 64 * 4096;
    let mut dice = Dice::new(seed, "adoption");
    let mut disks: Vec<Known> = Vec::new();
    let mut adoptions = 0;
    for host in 0..3 + dice.below(3) {
        if host > 0 {
            rig = rig.elsewhere(seed * 1000 + host);
            adoptions += 1;
        }
        for disk in &mut disks {
            disk.floor = disk.model.shipped;
        }
        for life in 0..1 + dice.below(3) {
            let (all, rolls) = (&mut disks, &mut dice);
            rig.live(|started| async move {
                if host == 0 && life == 0 {
                    started.create_pool().await;
                } else if life == 0 {
                    adopt_through_faults(&started, all).await;
                }
                check_all(&started, all).await;
                work(&started, all, rolls).await;
                if rolls.chance(30) {
                    started
                        .router
                        .shutdown(Duration::from_secs(600))
                        .await
                        .expect("shutdown");
                    for disk in all.iter_mut() {
                        disk.model.shipped = disk.model.ops.len();
                    }
                }
            });
            rig.host.kill();
            // Between the lives of one host nothing acknowledged is lost.
            for disk in &mut disks {
                disk.floor = disk.model.ops.len();
            }
            if let Some(local) = rig.host.store_world("local").filter(|_| dice.chance(50)) {
                local.wipe();
            }
        }
    }
    assert_eq!(rig.store().reused_names(), [], "P3");
    adoptions
}

#[test]
fn p4_the_bucket_alone_brings_every_disk_back() {
    let figures = Figures::of("p4_adoption");
    let (mut cases, mut adoptions) = (0, 0);
    for seed in figures.seeds(60) {
        cases += 1;
        adoptions += play(seed);
    }
    figures.tell(&[("cases", cases), ("adoptions", adoptions)]);
}

/// A pool with two disks, shipped; its host is gone.
fn shipped(seed: u64) -> (Rig, Vec<Known>) {
    let mut rig = Rig::new(seed);
    let mut disks = Vec::new();
    let mut dice = Dice::new(seed, "shipped");
    let (disks_ref, dice) = (&mut disks, &mut dice);
    rig.live(|life| async move {
        life.create_pool().await;
        for (at, encrypt) in [(0u64, false), (1, true)] {
            let name = format!("d{at}");
            life.router
                .create_disk(None, &name, 200 << 10, encrypt)
                .await
                .expect("a disk");
            let device = life.router.device(&name).await.expect("attach");
            let mut model = Bytes::new(at + 1, 200 << 10);
            for _ in 0..30 {
                step(&device, &mut model, dice).await.expect("in health");
            }
            life.router.sync_disk(&name).await.expect("sync");
            model.shipped = model.ops.len();
            let floor = model.shipped;
            disks_ref.push(Known {
                name,
                model,
                floor,
                deleted: false,
            });
        }
    });
    rig.host.kill();
    (rig, disks)
}

#[test]
fn a_wrong_key_is_an_error_and_writes_nothing() {
    let _figures = Figures::one("p4_a_wrong_key_is_an_error_and_writes_nothing");
    let (rig, _) = shipped(21);
    let before = rig.store().snapshot();
    let mut other = rig.elsewhere(22);
    other.key = key_of(23);
    other.host.clock().jump_wall_ms(OLD_MS);
    other.live(|life| async move {
        let error = adopt(&life, true).await.expect_err("a wrong key");
        check_error(&error, ErrorKind::Conflict, &[PLACE, "key", "default"]);
        // Nor may a pool be made over it.
        let store = life.site().store.clone();
        let error = life
            .router
            .create_pool("default", place(PLACE), store)
            .await;
        let error = error.expect_err("it is claimed");
        check_error(&error, ErrorKind::Conflict, &[PLACE, "adopt"]);
        assert!(life.router.pools().is_empty());
    });
    assert!(before == rig.store().snapshot(), "nothing was written");
    // A host whose own key file was exchanged says so too, and writes nothing.
    let mut rig = rig;
    rig.key = key_of(24);
    rig.live(|life| async move {
        let (pool, opened) = &life.opened[0];
        let error = opened.as_ref().expect_err("a wrong key");
        check_error(error, ErrorKind::Conflict, &[pool, "key"]);
    });
    assert!(before == rig.store().snapshot(), "nothing was written");
}

#[test]
fn young_objects_need_take_over() {
    let _figures = Figures::one("p4_young_objects_need_take_over");
    let (rig, mut disks) = shipped(31);
    let before = rig.store().snapshot();
    let mut young = rig.elsewhere(32);
    young.live(|life| async move {
        let error = adopt(&life, false)
            .await
            .expect_err("the old grid may be alive");
        check_error(&error, ErrorKind::Conflict, &[PLACE, "--take-over"]);
    });
    assert!(before == rig.store().snapshot(), "nothing was written");
    let mut old = rig.elsewhere(33);
    old.host.clock().jump_wall_ms(OLD_MS);
    let disks = &mut disks;
    old.live(|life| async move {
        adopt(&life, false).await.expect("its objects are old");
        check_all(&life, disks).await;
    });
}

/// What was written last decides how young a location is, not when its disks were made.
#[test]
fn segments_of_a_living_grid_are_young() {
    let _figures = Figures::one("p4_segments_of_a_living_grid_are_young");
    let (mut rig, disks) = shipped(34);
    let mut model = disks[0].model.clone();
    rig.host.clock().jump_wall_ms(OLD_MS);
    rig.live(|life| async move {
        let device = life.router.device("d0").await.expect("attach");
        let mut dice = Dice::new(34, "later");
        for _ in 0..20 {
            step(&device, &mut model, &mut dice)
                .await
                .expect("in health");
        }
        life.router.sync_disk("d0").await.expect("sync");
    });
    let mut other = rig.elsewhere(35);
    other.host.clock().jump_wall_ms(OLD_MS + 600_000 - 60_000);
    other.live(|life| async move {
        let error = adopt(&life, false)
            .await
            .expect_err("the old grid wrote a minute ago");
        check_error(&error, ErrorKind::Conflict, &["--take-over"]);
    });
}

/// At a foreign claim a router stops shipping, and says why; after a restart it does not open the
/// pool, and what it has is not mixed with what the new grid writes.
#[test]
fn the_old_router_is_refused_after_a_restart() {
    let _figures = Figures::one("p4_the_old_router_is_refused_after_a_restart");
    let (mut rig, mut disks) = shipped(41);
    let mut other = rig.elsewhere(42);
    let there = &mut disks.clone();
    other.live(|life| async move {
        adopt(&life, true).await.expect("adopted");
        check_all(&life, there).await;
    });
    let before = rig.store().snapshot();
    rig.live(|life| async move {
        let (pool, opened) = &life.opened[0];
        let error = opened.as_ref().expect_err("adopted elsewhere");
        check_error(error, ErrorKind::Fenced, &[pool, PLACE, "adopt"]);
        assert!(life.router.device("d0").await.is_err());
    });
    assert!(
        before == rig.store().snapshot(),
        "the old grid writes nothing"
    );
    // It may adopt it back, and then the other is the old one.
    let disks = &mut disks;
    let mut third = rig.elsewhere(43);
    third.live(|life| async move {
        adopt(&life, true).await.expect("adopted again");
        check_all(&life, disks).await;
    });
    other.host.kill();
    other.live(|life| async move {
        assert_eq!(
            life.opened[0].1.as_ref().expect_err("old").kind(),
            ErrorKind::Fenced
        );
    });
}

/// DESIGN: a router re-reads the claim while it ships; at a foreign claim it stops shipping,
/// deleting and serving.
#[test]
fn the_old_router_stops_at_a_foreign_claim() {
    let _figures = Figures::one("p4_the_old_router_stops_at_a_foreign_claim");
    let (mut rig, mut disks) = shipped(51);
    let mut other = rig.elsewhere(52);
    let store = rig.store().clone();
    rig.live(|life| async move {
        let device = life.router.device("d0").await.expect("attach");
        let there = &mut disks.clone();
        // The other grid's life is played on a thread of its own: runtimes do not nest.
        std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    other.live(|life| async move {
                        adopt(&life, true).await.expect("adopted");
                        check_all(&life, there).await;
                    });
                })
                .join()
                .expect("the adoption");
        });
        let before = store.object_count();
        let mut dice = Dice::new(51, "stale");
        let mut stopped = None;
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_secs(30)).await;
            if let Err(error) = step(&device, &mut disks[0].model, &mut dice).await {
                stopped = Some(error);
                break;
            }
        }
        let error = stopped.expect("it stops serving");
        assert_eq!(error.kind(), vpool_block::ErrorKind::Fenced, "{error}");
        assert!(store.object_count() <= before + 16, "it stops shipping");
    });
}

#[test]
fn adoption_is_repeated_where_it_was_interrupted() {
    let figures = Figures::of("p4_interrupted_adoptions");
    let (mut cases, mut interrupted) = (0, 0);
    for at in 0..40u32 {
        let (rig, mut disks) = shipped(61);
        let mut other = rig.elsewhere(6200 + u64::from(at));
        let failed = other.live(|life| async move {
            // The store goes away at some request and stays away.
            let fault = Fault::Hang {
                wait: Duration::from_secs(7200),
                applies: at % 2 == 0,
            };
            life.faults().add_script(Script {
                operations: vpool_object::operation::Operations::ALL,
                key_contains: String::new(),
                skip: at,
                count: u32::MAX,
                fault,
            });
            // The host dies before the answer.
            tokio::time::timeout(Duration::from_secs(3600), adopt(&life, true))
                .await
                .is_err()
        });
        other.host.kill();
        interrupted += u64::from(failed);
        let disks = &mut disks;
        other.live(|life| async move {
            if life.opened.is_empty() {
                adopt(&life, true).await.expect("adopted at last");
            } else {
                life.opened[0].1.as_ref().expect("it is ours");
            }
            check_all(&life, disks).await;
        });
        assert_eq!(rig.store().reused_names(), [], "P3");
        cases += 1;
    }
    assert!(interrupted > 0);
    figures.tell(&[("cases", cases), ("interrupted", interrupted)]);
}

#[test]
fn adoption_twice_on_one_host_is_refused() {
    let _figures = Figures::one("p4_adoption_twice_on_one_host_is_refused");
    let (rig, mut disks) = shipped(71);
    let mut other = rig.elsewhere(72);
    let disks = &mut disks;
    other.live(|life| async move {
        adopt(&life, true).await.expect("adopted");
        let error = adopt(&life, true).await.expect_err("it is open here");
        check_error(&error, ErrorKind::Conflict, &["default"]);
        let store = life.site().store.clone();
        let again = life
            .router
            .adopt_pool(Some("new"), place(PLACE), store, true)
            .await;
        check_error(
            &again.expect_err("open here"),
            ErrorKind::Conflict,
            &["default", PLACE],
        );
        check_all(&life, disks).await;
    });
}

#[test]
fn a_place_without_a_pool_is_not_adopted() {
    let _figures = Figures::one("p4_a_place_without_a_pool_is_not_adopted");
    let mut rig = Rig::new(81);
    rig.live(|life| async move {
        let error = adopt(&life, true).await.expect_err("nothing there");
        check_error(
            &error,
            ErrorKind::NotFound,
            &[PLACE, "check bucket and prefix"],
        );
    });
    assert_eq!(rig.store().object_count(), 0);
}

/// Listings that lag behind, and stores that answer 404 for a while.
#[test]
fn stale_listings_bring_back_every_disk_or_nothing() {
    let figures = Figures::of("p4_stale_listings");
    let (mut cases, mut late) = (0, 0);
    for seed in figures.seeds(30) {
        let (rig, mut disks) = shipped(seed);
        let mut other = rig.elsewhere(9100 + seed);
        // The store says how late it may be, and the router waits so long.
        other.tuning.store_lag = Duration::from_secs(30);
        let store = Arc::new(MemoryStore::new());
        let objects = rig.store().snapshot();
        other.stores = BTreeMap::from([(PLACE.to_owned(), store)]);
        let disks = &mut disks;
        let seen = other.live(|life| async move {
            // All of it is put anew through a store whose lists lag, just before the adoption.
            let lag = Duration::from_secs(25);
            life.faults().set_plan(FaultPlan {
                list_lag_max: lag,
                ..FaultPlan::default()
            });
            for (key, body) in objects {
                life.site().store.put(&key, body).await.expect("put");
            }
            adopt(&life, true).await.expect("adopted");
            let all = life.router.disks(None).expect("the list").len() == disks.len();
            if all {
                check_all(&life, disks).await;
            }
            all
        });
        cases += 1;
        late += u64::from(!seen);
    }
    assert_eq!(
        late, 0,
        "a disk was missed in a listing within the declared lag"
    );
    figures.tell(&[("cases", cases)]);
}

/// The store is away in the middle: an error that says so, and nothing is half adopted.
#[test]
fn adoption_without_a_store_is_an_error() {
    let _figures = Figures::one("p4_adoption_without_a_store_is_an_error");
    let (rig, mut disks) = shipped(91);
    let mut other = rig.elsewhere(92);
    let disks = &mut disks;
    other.live(|life| async move {
        for kind in [StoreKind::Unavailable, StoreKind::Denied] {
            life.faults().set_outage(Some(Outage::Refuse(kind)));
            let error = adopt(&life, true).await.expect_err("the store is away");
            check_error(&error, ErrorKind::Unavailable, &[PLACE]);
            assert!(life.router.pools().is_empty());
        }
        life.faults().set_outage(None);
        life.faults().add_script(Script::next(
            Operation::List,
            Fault::ErrorBefore(StoreKind::Denied),
        ));
        let error = adopt(&life, true).await.expect_err("it may not list");
        check_error(&error, ErrorKind::Unavailable, &[PLACE]);
        adopt(&life, true).await.expect("adopted");
        check_all(&life, disks).await;
    });
}

/// A creation that was given up while the store was away leaves nothing that an adoption would
/// stumble over; its name is free at once.
#[test]
fn a_creation_that_was_given_up_is_no_obstacle() {
    let mut rig = Rig::new(51);
    rig.live(|life| async move {
        life.create_pool().await;
        let made = life.router.create_disk(None, "a", 1 << 20, false).await;
        made.expect("a disk");
        let outage = Outage::Refuse(StoreKind::Unavailable);
        life.faults().set_outage(Some(outage));
        let refused = life.router.create_disk(None, "b", 1 << 20, false).await;
        check_error(
            &refused.expect_err("no store"),
            ErrorKind::Unavailable,
            &["b"],
        );
        life.faults().set_outage(None);
        let made = life.router.create_disk(None, "b", 2 << 20, false).await;
        made.expect("the name is free");
    });
    rig.host.kill();
    rig.live(|life| async move {
        let names = |life: &Life| -> Vec<String> {
            let disks = life.router.disks(None).expect("the list");
            disks.into_iter().map(|disk| disk.entry.name).collect()
        };
        assert_eq!(names(&life), ["a", "b"], "the start has cleared up");
    });
    let mut other = rig.elsewhere(52);
    other.live(|life| async move {
        let adopted = adopt(&life, true).await.expect("adopted");
        assert_eq!(adopted.disks, ["a", "b"]);
        let size = life.router.disk("b").expect("listed").entry.size;
        assert_eq!(size, 2 << 20, "the one that was made");
    });
    assert_eq!(rig.store().reused_names(), [], "P3");
}

/// The old grid may take its pool back: what its own metadata says of it gives way.
#[test]
fn a_fenced_router_adopts_its_pool_back() {
    let (mut rig, mut disks) = shipped(53);
    let mut other = rig.elsewhere(54);
    let there = &mut disks.clone();
    other.live(|life| async move {
        adopt(&life, true).await.expect("adopted");
        check_all(&life, there).await;
    });
    other.host.kill();
    rig.host.kill();
    let disks = &mut disks;
    rig.live(|life| async move {
        let fenced = life.opened[0].1.as_ref().expect_err("adopted elsewhere");
        assert_eq!(fenced.kind(), ErrorKind::Fenced);
        adopt(&life, true).await.expect("adopted back");
        check_all(&life, disks).await;
    });
    assert_eq!(rig.store().reused_names(), [], "P3");
}

/// A pool of this grid that does not open is mended, not adopted: what only this host holds of it
/// would be forgotten. Who says so can do it all the same.
#[test]
fn a_pool_of_this_grid_is_not_adopted_by_accident() {
    let _figures = Figures::one("p4_a_pool_of_this_grid_is_not_adopted");
    let (mut rig, mut disks) = shipped(47);
    rig.host.kill();
    let disk = rig.host.disk().clone();
    disk.inject(vpool_host::sim::Fault::io(vpool_host::sim::Call::Open).on("journal"));
    let disks = &mut disks;
    rig.live(|life| async move {
        life.opened[0].1.as_ref().expect_err("no journal");
        disk.clear_faults();
        let error = adopt(&life, false).await.expect_err("it is ours");
        check_error(&error, ErrorKind::Conflict, &["default", "take it over"]);
        adopt(&life, true).await.expect("adopted");
        check_all(&life, disks).await;
    });
}
