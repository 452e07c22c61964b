//! Changes of disks that the bucket was not told of yet, or that the metadata may have forgotten.

use std::time::Duration;

use vpool_block::BlockDevice;
use vpool_engine::error::ErrorKind;
use vpool_engine::router::DiskChange;
use vpool_object::ErrorKind as StoreKind;
use vpool_object::faults::Outage;

use crate::changes::life_with_disk;
use crate::figures::Figures;
use crate::rig::{PLACE, Rig, check_error, place, within};

/// While the store is away a change is noted, and is not more than that; it is completed by the
/// next change, the next opening, the next start, or after a while; numbers have no gap.
#[test]
fn a_store_that_is_away_keeps_no_change_from_being_completed() {
    let _figures = Figures::one("changes_are_completed_when_the_store_is_back");
    for later in 0..4 {
        let mut rig = Rig::new(later + 1);
        rig.live(|life| async move {
            life_with_disk(&life, 4096).await;
            let router = &life.router;
            let device = router.device("a").await.expect("attach");
            let down = Some(Outage::Refuse(StoreKind::Unavailable));
            life.faults().set_outage(down);
            let error = router.resize_disk("a", 8192, false).await;
            let words = ["disk a", "noted", "as soon as the store answers"];
            check_error(
                &error.expect_err("the bucket cannot be told"),
                ErrorKind::Unavailable,
                &words,
            );
            assert_eq!(device.size(), 4096, "not before the bucket knows");
            drop(device);
            life.faults().heal();
            match later {
                0 => {
                    let again = router.resize_disk("a", 8192, false).await;
                    let entry = again.expect("it is up").entry;
                    assert_eq!((entry.size, entry.descriptor), (8192, 2));
                    let device = router.device("a").await.expect("attach");
                    assert_eq!(device.size(), 8192);
                }
                1 => {
                    let renamed = router.rename_disk("a", "b").await.expect("it is up");
                    assert_eq!((renamed.size, renamed.descriptor), (8192, 3));
                }
                2 => router.delete_disk("a").await.expect("it is up"),
                _ => {}
            }
        });
        rig.host.kill();
        rig.live(|life| async move {
            let name = if later == 1 { "b" } else { "a" };
            match life.router.device(name).await {
                Ok(device) => assert_eq!((device.size(), later == 2), (8192, false)),
                Err(error) => assert!(later == 2, "{error}"),
            }
            let descriptors = life.router.disks(None).expect("the list");
            let descriptors = descriptors.first().map(|disk| disk.entry.descriptor);
            assert_eq!(
                descriptors,
                [Some(2), Some(3), None, Some(2)][later as usize]
            );
        });
        let mut elsewhere = rig.elsewhere(9);
        elsewhere.live(|life| async move {
            let store = life.site().store.clone();
            let adopted = life.router.adopt_pool(None, place(PLACE), store, true);
            let adopted = adopted.await.expect("the numbers have no gap");
            assert_eq!(adopted.disks.len(), usize::from(later != 2));
        });
        assert_eq!(rig.store().reused_names(), [], "P3");
    }
}

/// Nobody has to come back to a change, a deletion or a creation that the bucket was not told of.
#[test]
fn what_the_bucket_was_not_told_is_told_when_it_answers() {
    let _figures = Figures::one("changes_are_completed_by_themselves");
    let mut rig = Rig::new(1);
    rig.live(|life| async move {
        life_with_disk(&life, 4096).await;
        let router = &life.router;
        for name in ["gone", "renamed"] {
            let made = router.create_disk(None, name, 4096, false).await;
            made.expect("a disk");
        }
        let device = router.device("a").await.expect("attach");
        let down = Some(Outage::Refuse(StoreKind::Unavailable));
        life.faults().set_outage(down);
        for failed in [
            router.resize_disk("a", 8192, false).await.map(|_| ()),
            router.rename_disk("renamed", "b").await.map(|_| ()),
            router.delete_disk("gone").await,
            router.create_disk(None, "c", 512, false).await.map(|_| ()),
        ] {
            let error = failed.expect_err("the bucket cannot be told");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(device.size(), 4096, "not before the bucket knows");
        let requests = life.faults().counts().total();
        tokio::time::sleep(Duration::from_secs(600)).await;
        let requests = life.faults().counts().total() - requests;
        assert!(requests < 600, "{requests} requests to a dead store");
        life.faults().heal();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(device.size(), 8192);
        let disks = router.disks(None).expect("the list");
        // What came after the first that failed was not begun: names are told first.
        let found: Vec<_> = disks
            .iter()
            .map(|disk| (disk.entry.name.as_str(), disk.entry.described))
            .collect();
        assert_eq!(found, [("a", true), ("renamed", true)]);
    });
    // Without another start.
    let mut elsewhere = rig.elsewhere(2);
    elsewhere.live(|life| async move {
        let store = life.site().store.clone();
        let adopted = life.router.adopt_pool(None, place(PLACE), store, true);
        let adopted = adopted.await.expect("the bucket is enough");
        assert_eq!(adopted.disks, ["a", "renamed"]);
        assert_eq!(life.router.disk("a").expect("there").entry.size, 8192);
    });
    assert_eq!(rig.store().reused_names(), [], "P3");
}

/// The number of a change that the metadata may have forgotten is not in the bucket.
#[test]
fn the_bucket_is_not_told_what_may_not_be_noted() {
    let _figures = Figures::one("changes_in_doubt");
    let mut rig = Rig::new(1);
    rig.live(|life| async move { life_with_disk(&life, 4096).await });
    rig.host.kill();
    let world = rig.host.store_world("meta").expect("it was opened");
    rig.live(|life| async move {
        world.fail_writes(Some(std::io::ErrorKind::StorageFull));
        let renamed = life.router.rename_disk("a", "b").await;
        renamed.expect_err("no space");
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.fail_writes(None);
    });
    rig.host.crash();
    rig.live(|life| async move {
        let renamed = life.router.rename_disk("a", "c").await;
        let renamed = renamed.expect("another change, by the same number");
        assert_eq!(renamed.descriptor, 2);
    });
    assert_eq!(rig.store().reused_names(), [], "P3");
}

/// A store that does not answer delays the changes of its own pool only.
#[test]
fn pools_do_not_wait_for_each_other() {
    let _figures = Figures::one("changes_of_pools_side_by_side");
    let mut rig = Rig::new(1);
    let other = std::sync::Arc::new(vpool_object::memory::MemoryStore::new());
    rig.stores.insert("/other".to_owned(), other);
    rig.live(|life| async move {
        life.create_pool().await;
        let store = life.sites["/other"].store.clone();
        let made = life.router.create_pool("other", place("/other"), store);
        made.await.expect("a second pool");
        life.faults().set_outage(Some(Outage::Hang));
        let create = |pool, name| life.router.create_disk(Some(pool), name, 4096, false);
        let mut hangs = Box::pin(create("default", "a"));
        let short = Duration::from_secs(1);
        assert!(within(short, &mut hangs).await.is_none(), "it hangs");
        let made = within(short, &mut Box::pin(create("other", "a"))).await;
        made.expect("at once").expect("its store answers");
        life.faults().heal();
        hangs.await.expect("the store is back");
    });
}

/// What was never written costs nothing, whatever its size.
#[test]
fn the_size_of_an_empty_disk_changes_without_a_log() {
    let _figures = Figures::one("changes_of_an_empty_disk");
    let mut rig = Rig::new(1);
    rig.live(|life| async move {
        life_with_disk(&life, 4096).await;
        for size in [1 << 40, 512, 8192] {
            let resized = life.router.resize_disk("a", size, true).await;
            assert_eq!(resized.expect("it is up").entry.size, size);
        }
        assert_eq!(life.router.pools()[0].journal_used_bytes, 0);
    });
}

/// The newest of many descriptors is found, and without reading them all.
#[test]
fn the_newest_of_many_changes_is_adopted() {
    let _figures = Figures::one("changes_many_then_adopted");
    let mut rig = Rig::new(1);
    let names = 100_u64;
    rig.live(|life| async move {
        life_with_disk(&life, 4096).await;
        for number in 0..names {
            let (from, to) = (format!("d{number}"), format!("d{}", number + 1));
            let from = if number == 0 { "a" } else { &from };
            let renamed = life.router.rename_disk(from, &to).await;
            assert_eq!(renamed.expect("it is up").descriptor, number + 2);
        }
    });
    let mut elsewhere = rig.elsewhere(2);
    elsewhere.live(|life| async move {
        let store = life.site().store.clone();
        let adopted = life.router.adopt_pool(None, place(PLACE), store, true);
        let adopted = adopted.await.expect("the bucket is enough");
        assert_eq!(adopted.disks, [format!("d{names}")]);
        let entry = life.router.disk(&adopted.disks[0]).expect("there").entry;
        assert_eq!(entry.descriptor, names + 1);
    });
}

/// A change in doubt that turns out never to have been: the disk is as the metadata has it, and
/// goes on being changed.
#[test]
fn a_change_that_never_was_is_taken_back() {
    let _figures = Figures::one("changes_that_never_were");
    let mut rig = Rig::new(1);
    rig.live(|life| async move { life_with_disk(&life, 4096).await });
    rig.host.kill();
    let world = rig.host.store_world("meta").expect("it was opened");
    rig.live(|life| async move {
        let router = &life.router;
        world.fail_writes(Some(std::io::ErrorKind::StorageFull));
        // Whether there is a disk of this name is not known from here on.
        let made = router.create_disk(None, "b", 4096, false).await;
        made.expect_err("no space");
        let renamed = router.rename_disk("a", "b").await;
        renamed.expect_err("no space");
        world.fail_writes(None);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(router.disk("a").expect("it is taken back").entry.name, "a");
        let change = DiskChange {
            description: Some("goes on".to_owned()),
            read_only: None,
        };
        let set = router.set_disk("a", &change).await;
        assert_eq!(set.expect("it is up").descriptor, 2);
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    assert_eq!(rig.store().reused_names(), [], "P3");
}
