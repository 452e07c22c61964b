//! Bad input: names, sizes, places. Each error has its kind and names the thing and the remedy.

use std::path::Path;
use std::sync::Arc;

use vpool_block::{BlockDevice, ErrorKind as BlockKind, Exports};
use vpool_engine::error::ErrorKind;
use vpool_engine::limits::DISK_BYTES_MAX;
use vpool_host::sim::{Call, Fault};
use vpool_object::ErrorKind as StoreKind;
use vpool_object::faults::Outage;
use vpool_object::memory::MemoryStore;

use crate::figures::Figures;
use crate::rig::{Life, PLACE, Rig, check_block_error, check_error, place};

const OTHER: &str = "/other";
const SIZE: u64 = 1 << 20;

async fn create(life: &Life, name: &str, size: u64) -> Result<(), vpool_engine::error::Error> {
    life.router
        .create_disk(None, name, size, false)
        .await
        .map(|_| ())
}

#[test]
fn bad_names_and_sizes() {
    let figures = Figures::of("names_and_sizes");
    let mut rig = Rig::new(1);
    let long = "x".repeat(256);
    rig.live(|life| async move {
        life.create_pool().await;
        let mut cases = 0;
        let bad = [
            ("", "is empty"),
            (&long[..], "255 bytes"),
            ("a:b", "`:`"),
            ("a@b", "`@`"),
            ("a//b", "part"),
            ("/a", "part"),
            ("a/", "part"),
            ("a/../b", "`..`"),
            (".", "`.`"),
            ("a\nb", "control character"),
            ("a\u{9f}b", "control character"),
        ];
        for (name, why) in bad {
            let error = create(&life, name, SIZE).await.expect_err(name);
            check_error(
                &error,
                ErrorKind::Invalid,
                &["disk name", &format!("{name:?}"), why],
            );
            let store = life.site().store.clone();
            let made = life
                .router
                .create_pool(name, place("/new"), store.clone())
                .await;
            check_error(
                &made.expect_err(name),
                ErrorKind::Invalid,
                &["pool name", why],
            );
            let adopted = life
                .router
                .adopt_pool(Some(name), place(PLACE), store, true)
                .await;
            check_error(
                &adopted.expect_err(name),
                ErrorKind::Invalid,
                &["pool name", why],
            );
            cases += 3;
        }
        let sizes = [
            (0, "is 0"),
            (1, "multiple of 512"),
            (513, "multiple of 512"),
            (DISK_BYTES_MAX + 512, "over 64 TiB"),
            (u64::MAX, "64 TiB"),
        ];
        for (size, why) in sizes {
            let error = create(&life, "a", size).await.expect_err(why);
            let size = size.to_string();
            check_error(
                &error,
                ErrorKind::Invalid,
                &["\"a\"", &size, why, "512 bytes to 64 TiB"],
            );
            cases += 1;
        }
        for (name, size) in [
            ("a", 512),
            ("b/c d", DISK_BYTES_MAX),
            (&long[..255], 512 * 9),
            ("é…", 1024),
        ] {
            create(&life, name, size).await.expect("good");
            assert_eq!(life.router.device(name).await.expect("attach").size(), size);
            cases += 1;
        }
        figures.tell(&[("cases", cases)]);
    });
}

#[test]
fn what_is_taken_in_use_or_missing() {
    let _figures = Figures::one("names_what_is_taken_in_use_or_missing");
    let mut rig = Rig::new(2);
    rig.stores
        .insert(OTHER.to_owned(), Arc::new(MemoryStore::new()));
    rig.live(|life| async move {
        let router = life.router.clone();
        let error = create(&life, "a", SIZE).await.expect_err("no pool");
        check_error(&error, ErrorKind::NotFound, &["pool", "vpool pool create"]);
        life.create_pool().await;
        create(&life, "a", SIZE).await.expect("a disk");

        let error = create(&life, "a", SIZE).await.expect_err("taken");
        check_error(
            &error,
            ErrorKind::Conflict,
            &["default", "\"a\"", "another name"],
        );

        // In use, then not.
        let device = router.device("a").await.expect("attach");
        device.write(0, &[1; 512]).await.expect("write");
        let error = router.delete_disk("a").await.expect_err("in use");
        check_error(
            &error,
            ErrorKind::Conflict,
            &["a", "in use", "1 client", "disconnect"],
        );
        device
            .read(0, &mut [0; 512])
            .await
            .expect("nothing happened to it");
        drop(device);
        router.delete_disk("a").await.expect("nobody uses it");
        let error = router.delete_disk("a").await.expect_err("gone");
        check_error(&error, ErrorKind::NotFound, &["\"a\"", "vpool disk list"]);
        for full in ["a", "default:a", "nowhere:a", "default:"] {
            let error = router.device(full).await.expect_err("gone");
            let remedy = if full.starts_with("nowhere") {
                "vpool pool list"
            } else {
                "vpool disk list"
            };
            check_error(&error, ErrorKind::NotFound, &[remedy]);
            let error = router.attach(full, None).await.expect_err("gone");
            check_block_error(&error, &[BlockKind::NotFound]);
        }
        assert!(
            router.sync_disk("a").await.is_err() && router.repair_disk("a", true).await.is_err()
        );

        // The name is free again, for a new disk that knows nothing of the old one.
        create(&life, "a", SIZE).await.expect("the name is free");
        let device = router.device("a").await.expect("attach");
        let mut bytes = [1; 512];
        device.read(0, &mut bytes).await.expect("read");
        assert_eq!(bytes, [0; 512]);

        // Two pools: a name may be in both, and is then not enough.
        let store = life.sites[OTHER].store.clone();
        let made = router
            .create_pool("default", place(OTHER), store.clone())
            .await;
        check_error(
            &made.expect_err("taken"),
            ErrorKind::Conflict,
            &["\"default\"", "another name"],
        );
        router
            .create_pool("other", place(OTHER), store)
            .await
            .expect("a second pool");
        router
            .create_disk(Some("other"), "a", SIZE, false)
            .await
            .expect("a disk");
        let error = router.device("a").await.expect_err("ambiguous");
        check_error(&error, ErrorKind::Invalid, &["\"a\"", "POOL:a"]);
        router.device("other:a").await.expect("named in full");
        let names: Vec<String> = router
            .list()
            .await
            .into_iter()
            .map(|export| export.name)
            .collect();
        assert_eq!(names, ["default:a", "other:a"]);
        let made = router.create_disk(Some("third"), "a", SIZE, false).await;
        check_error(
            &made.expect_err("no such pool"),
            ErrorKind::NotFound,
            &["\"third\"", "pool list"],
        );
        let error = router.sync_pool("third").await.expect_err("no such pool");
        check_error(&error, ErrorKind::NotFound, &["\"third\"", "pool list"]);
    });
    assert_eq!(rig.store().reused_names(), [], "P3");
}

#[test]
fn places_that_are_claimed() {
    let _figures = Figures::one("names_places_that_are_claimed");
    let mut rig = Rig::new(3);
    rig.live(|life| async move { life.create_pool().await });
    rig.host.kill();
    let before = rig.store().snapshot();
    rig.live(|life| async move {
        let store = life.site().store.clone();
        let made = life.router.create_pool("second", place(PLACE), store).await;
        let words = [
            PLACE,
            "default",
            "this grid",
            "vpool pool adopt",
            "empty prefix",
        ];
        check_error(&made.expect_err("claimed"), ErrorKind::Conflict, &words);
    });
    let mut foreign = rig.elsewhere(4);
    foreign.live(|life| async move {
        for name in ["default", "mine"] {
            let store = life.site().store.clone();
            let made = life.router.create_pool(name, place(PLACE), store).await;
            let words = [
                PLACE,
                "default",
                "another grid",
                "vpool pool adopt",
                "empty prefix",
            ];
            check_error(&made.expect_err("claimed"), ErrorKind::Conflict, &words);
        }
        assert!(life.router.pools().is_empty());
    });
    assert!(before == rig.store().snapshot(), "nothing was written");
    // Another place than the pool's, and a claim that is damaged.
    for (lose, words) in [
        (true, ["holds no claim", "mount or restore"]),
        (false, ["damaged", "restore it"]),
    ] {
        for key in before.keys() {
            if lose {
                rig.store().lose(key).expect("it is there");
            } else {
                assert!(rig.store().flip_bit(key, 999));
            }
        }
        rig.live(|life| async move {
            let error = life.opened[0].1.clone().expect_err("not its place");
            check_error(&error, ErrorKind::Corrupt, &[&[PLACE], &words[..]].concat());
        });
        rig.store().restore(before.clone());
    }
}

#[test]
fn stores_that_refuse() {
    let _figures = Figures::one("names_stores_that_refuse");
    let mut rig = Rig::new(5);
    rig.live(|life| async move {
        for (kind, expect) in [
            (StoreKind::Denied, ErrorKind::Unavailable),
            (StoreKind::NoLocation, ErrorKind::NotFound),
            (StoreKind::Unavailable, ErrorKind::Unavailable),
            (StoreKind::NoSpace, ErrorKind::NoSpace),
        ] {
            life.faults().set_outage(Some(Outage::Refuse(kind)));
            let store = life.site().store.clone();
            let made = life
                .router
                .create_pool("default", place(PLACE), store)
                .await;
            check_error(&made.expect_err("refused"), expect, &[PLACE]);
        }
        life.faults().set_outage(None);
        life.create_pool().await;
        life.faults()
            .set_outage(Some(Outage::Refuse(StoreKind::Unavailable)));
        let error = create(&life, "a", SIZE)
            .await
            .expect_err("a creation needs its descriptor");
        check_error(&error, ErrorKind::Unavailable, &["disk a"]);
        life.faults().set_outage(None);
        create(&life, "a", SIZE).await.expect("made at last");
    });
    assert_eq!(rig.store().reused_names(), [], "P3");
}

#[test]
fn a_data_directory_that_cannot_be_used() {
    let _figures = Figures::one("names_a_data_directory_that_cannot_be_used");
    const EROFS: i32 = 30;
    let mut rig = Rig::new(6);
    rig.live(|life| async move {
        life.create_pool().await;
        create(&life, "a", SIZE).await.expect("a disk");
    });
    rig.host.kill();
    for (call, errno) in [(Call::Open, EROFS), (Call::Read, 5), (Call::SyncDir, 5)] {
        rig.host
            .disk()
            .inject(Fault::new(call, errno).on("journal"));
        rig.live(|life| async move {
            if let Err(error) = &life.opened[0].1 {
                check_error(error, ErrorKind::Io, &["/data/journal", "journal"]);
            } else {
                assert_eq!(call, Call::Read, "there was nothing to be read");
            }
        });
        rig.host.disk().clear_faults();
        rig.host.kill();
    }
    rig.live(|life| async move {
        life.opened[0].1.as_ref().expect("all is well");
        life.router.device("a").await.expect("attach");
    });
}

/// The journals of two pools are exchanged: neither is touched, and both errors say which.
#[test]
fn a_journal_of_another_pool_is_refused() {
    let _figures = Figures::one("names_a_journal_of_another_pool_is_refused");
    let mut rig = Rig::new(7);
    rig.stores
        .insert(OTHER.to_owned(), Arc::new(MemoryStore::new()));
    rig.live(|life| async move {
        life.create_pool().await;
        let store = life.sites[OTHER].store.clone();
        life.router
            .create_pool("other", place(OTHER), store)
            .await
            .expect("a pool");
        for pool in ["default", "other"] {
            life.router
                .create_disk(Some(pool), "a", SIZE, false)
                .await
                .expect("a disk");
            let device = life
                .router
                .device(&format!("{pool}:a"))
                .await
                .expect("attach");
            device.write(0, pool.as_bytes()).await.expect("write");
            device.flush().await.expect("flush");
        }
    });
    rig.host.kill();
    exchange(&rig);
    rig.live(|life| async move {
        for (_, opened) in &life.opened {
            let error = opened.as_ref().expect_err("not its journal");
            check_error(
                error,
                ErrorKind::Conflict,
                &["/data/journal", "belongs to pool", "restore"],
            );
        }
    });
    rig.host.kill();
    exchange(&rig);
    rig.live(|life| async move {
        for pool in ["default", "other"] {
            let device = life
                .router
                .device(&format!("{pool}:a"))
                .await
                .expect("attach");
            let mut bytes = vec![0; pool.len()];
            device.read(0, &mut bytes).await.expect("read");
            assert_eq!(bytes, pool.as_bytes());
        }
    });
}

fn exchange(rig: &Rig) {
    let files = rig.host.host().files;
    let directory = Path::new("/data/journal");
    let mut found = files.list(directory).expect("the journals");
    found.retain(|file| file.extension().is_some_and(|kind| kind == "journal"));
    let [a, b] = [directory.join(&found[0]), directory.join(&found[1])];
    let aside = directory.join("aside");
    for (from, to) in [(&a, &aside), (&b, &a), (&aside, &b)] {
        files.rename(from, to).expect("rename");
    }
}
