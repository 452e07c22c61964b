//! Names, sizes and settings of disks that exist: changed, interrupted anywhere, found again.

use std::time::Duration;

use vpool_block::{BlockDevice, Exports};
use vpool_engine::error::{Error, ErrorKind};
use vpool_engine::limits::DISK_BYTES_MAX;
use vpool_engine::router::DiskChange;
use vpool_host::sim::Dice;
use vpool_object::faults::FaultPlan;

use crate::bytes::image;
use crate::figures::{Figures, seeds};
use crate::rig::{Life, PLACE, Rig, check_error, place};

const LONG: Duration = Duration::from_secs(3600);

pub async fn life_with_disk(life: &Life, size: u64) {
    life.create_pool().await;
    let made = life.router.create_disk(None, "a", size, true).await;
    made.expect("a disk");
}

async fn write(life: &Life, at: u64, bytes: &[u8]) {
    let device = life.router.device("a").await.expect("attach");
    device.write(at, bytes).await.expect("within the disk");
    device.flush().await.expect("flush");
}

async fn content(life: &Life, name: &str) -> Vec<u8> {
    image(&life.router.device(name).await.expect("attach")).await
}

#[test]
fn a_disk_grows_while_it_is_used() {
    let _figures = Figures::one("changes_a_disk_grows_while_it_is_used");
    let mut rig = Rig::new(1);
    rig.live(|life| async move {
        life_with_disk(&life, 1024).await;
        let device = life.router.device("a").await.expect("attach");
        device.write(512, &[1; 512]).await.expect("the last sector");
        let before = device.write(1024, &[2; 512]).await;
        before.expect_err("beyond the end");
        let resized = life.router.resize_disk("a", 8192, false).await;
        let resized = resized.expect("it grows");
        assert_eq!((resized.entry.size, device.size()), (8192, 8192));
        assert_eq!(resized.clients, ["this host"]);
        device
            .write(8192 - 512, &[3; 512])
            .await
            .expect("the new end");
        device.flush().await.expect("flush");
        // To the same size is no change.
        let same = life.router.resize_disk("a", 8192, true).await;
        let same = same.expect("nothing to do");
        assert_eq!((same.entry, same.clients), (resized.entry, Vec::new()));
        life.router.sync_disk("a").await.expect("sync");
        let export = life.router.list().await.remove(0);
        assert_eq!(export.description, "8192 bytes");
    });
    let expected = |bytes: &[u8]| {
        assert_eq!(bytes.len(), 8192);
        assert!(bytes[..512].iter().all(|b| *b == 0) && bytes[512..1024].iter().all(|b| *b == 1));
        assert!(bytes[1024..7680].iter().all(|b| *b == 0));
        assert!(bytes[7680..].iter().all(|b| *b == 3));
    };
    rig.host.kill();
    rig.live(|life| async move { expected(&content(&life, "a").await) });
    let mut elsewhere = rig.elsewhere(2);
    elsewhere.live(|life| async move {
        let store = life.site().store.clone();
        let adopted = life.router.adopt_pool(None, place(PLACE), store, true);
        adopted.await.expect("the bucket is enough");
        expected(&content(&life, "a").await);
    });
    assert_eq!(rig.store().reused_names(), [], "P3");
}

#[test]
fn sizes_that_are_refused() {
    let _figures = Figures::one("changes_sizes_that_are_refused");
    let mut rig = Rig::new(1);
    rig.live(|life| async move {
        life_with_disk(&life, 1 << 20).await;
        for (size, why) in [
            (0, "is 0"),
            (513, "multiple of 512"),
            (DISK_BYTES_MAX + 512, "64 TiB"),
        ] {
            let error = life.router.resize_disk("a", size, true).await;
            check_error(&error.expect_err(why), ErrorKind::Invalid, &[why, "\"a\""]);
        }
        let error = life.router.resize_disk("a", 512, false).await;
        let words = ["disk a", "1048576 bytes", "512", "shrinking"];
        check_error(&error.expect_err("smaller"), ErrorKind::Invalid, &words);
        let error = life.router.resize_disk("b", 512, false).await;
        check_error(
            &error.expect_err("no disk"),
            ErrorKind::NotFound,
            &["\"b\""],
        );
        let device = life.router.device("a").await.expect("attach");
        let error = life.router.resize_disk("a", 512, true).await;
        let words = ["a", "in use", "1 client", "disconnect", "shrink"];
        check_error(&error.expect_err("in use"), ErrorKind::Conflict, &words);
        assert_eq!(device.size(), 1 << 20);
        drop(device);
        life.router
            .resize_disk("a", DISK_BYTES_MAX, false)
            .await
            .expect("the largest");
    });
}

/// What was cut off does not come back, whichever way the ends lie in a block.
#[test]
fn what_was_cut_off_reads_as_zeroes_when_the_disk_grows_again() {
    let figures = Figures::of("changes_what_was_cut_off_is_gone");
    let mut cases = 0;
    for small in [512, 4096, 4608, 8192 - 512] {
        for large in [small + 512, 8192, 8192 + 512, 64 << 10] {
            for shipped in [false, true] {
                let mut rig = Rig::new(cases + 1);
                rig.live(|life| async move {
                    life_with_disk(&life, 16 << 10).await;
                    write(&life, 0, &[7; 16 << 10]).await;
                    if shipped {
                        life.router.sync_disk("a").await.expect("sync");
                    }
                    let router = &life.router;
                    let shrunk = router.resize_disk("a", small, true).await.expect("shrink");
                    assert_eq!(shrunk.entry.size, small);
                    assert_eq!(content(&life, "a").await, vec![7; small as usize]);
                });
                rig.host.crash();
                rig.live(|life| async move {
                    let grown = life.router.resize_disk("a", large, false).await;
                    grown.expect("grow");
                    let bytes = content(&life, "a").await;
                    let (kept, new) = bytes.split_at(small as usize);
                    assert!(kept.iter().all(|b| *b == 7) && new.iter().all(|b| *b == 0));
                    assert_eq!(bytes.len() as u64, large);
                });
                cases += 1;
            }
        }
    }
    figures.tell(&[("cases", cases)]);
}

/// Nor where only the bucket is left, of which the log had not come to the cut.
#[test]
fn what_was_cut_off_is_gone_on_another_host() {
    let _figures = Figures::one("changes_what_was_cut_off_is_gone_elsewhere");
    let mut rig = Rig::new(1);
    rig.live(|life| async move {
        life_with_disk(&life, 16 << 10).await;
        write(&life, 0, &[7; 16 << 10]).await;
        life.router.sync_disk("a").await.expect("sync");
        for size in [4096, 32 << 10] {
            let resized = life.router.resize_disk("a", size, true).await;
            assert_eq!(resized.expect("it is up").entry.size, size);
        }
    });
    let mut elsewhere = rig.elsewhere(2);
    elsewhere.live(|life| async move {
        let store = life.site().store.clone();
        let adopted = life.router.adopt_pool(None, place(PLACE), store, true);
        adopted.await.expect("the bucket is enough");
        let bytes = content(&life, "a").await;
        assert_eq!(bytes.len(), 32 << 10);
        assert!(bytes[..4096].iter().all(|b| *b == 7) && bytes[4096..].iter().all(|b| *b == 0));
    });
}

/// A change whose note could not be written may still be: what is served is what a restart finds.
#[test]
fn a_change_that_is_noted_late_is_in_force_at_once() {
    let _figures = Figures::one("changes_noted_late");
    let mut rig = Rig::new(1);
    rig.live(|life| async move {
        life_with_disk(&life, 16 << 10).await;
        write(&life, 0, &[7; 16 << 10]).await;
    });
    rig.host.kill();
    let world = rig.host.store_world("meta").expect("it was opened");
    rig.live(|life| async move {
        let device = life.router.device("a").await.expect("attach");
        drop(device);
        world.fail_writes(Some(std::io::ErrorKind::StorageFull));
        let error = life.router.resize_disk("a", 4096, true).await;
        assert_ne!(error.expect_err("no space").kind(), ErrorKind::Conflict);
        world.fail_writes(None);
        let device = life.router.device("a").await.expect("attach");
        assert_eq!(device.size(), 4096);
        drop(device);
        let made = life.router.create_disk(None, "b", 512, false).await;
        made.expect("what was not written is written first");
    });
    rig.host.kill();
    rig.live(|life| async move {
        assert_eq!(content(&life, "a").await, [7; 4096]);
        let again = life.router.resize_disk("a", 16 << 10, false).await;
        again.expect("it grows");
        let bytes = content(&life, "a").await;
        assert!(
            bytes[4096..].iter().all(|b| *b == 0),
            "and shows nothing old"
        );
    });
}

#[test]
fn a_name_changes_when_nobody_is_attached() {
    let _figures = Figures::one("changes_a_name_changes_when_nobody_is_attached");
    let mut rig = Rig::new(1);
    rig.live(|life| async move {
        life_with_disk(&life, 4096).await;
        let router = life.router.clone();
        let made = router.create_disk(None, "taken", 4096, false).await;
        made.expect("another disk");
        write(&life, 0, &[5; 4096]).await;
        for (to, kind) in [
            ("taken", ErrorKind::Conflict),
            ("", ErrorKind::Invalid),
            ("x:y", ErrorKind::Invalid),
        ] {
            let error = router.rename_disk("a", to).await.expect_err(to);
            check_error(&error, kind, &[&format!("{to:?}")]);
        }
        let error = router.rename_disk("b", "c").await.expect_err("no disk");
        check_error(&error, ErrorKind::NotFound, &["\"b\""]);
        let device = router.device("a").await.expect("attach");
        let error = router.rename_disk("a", "b").await.expect_err("in use");
        check_error(&error, ErrorKind::Conflict, &["in use", "rename"]);
        let same = router.rename_disk("a", "a").await.expect("its own name");
        assert_eq!(same.descriptor, 1);
        drop(device);
        let renamed = router.rename_disk("a", "web/é").await.expect("free");
        assert_eq!((renamed.name.as_str(), renamed.descriptor), ("web/é", 2));
        router.device("a").await.expect_err("the old name is free");
        assert_eq!(content(&life, "default:web/é").await, [5; 4096]);
        // Errors say the new name, of the disk that is open too.
        let device = router.device("web/é").await.expect("attach");
        let error = device.write(4096, &[1]).await.expect_err("beyond the end");
        assert!(error.to_string().contains("default:web/é"), "{error}");
        let made = router.create_disk(None, "a", 512, false).await;
        made.expect("the old name is free");
        router.sync_disk("web/é").await.expect("sync");
    });
    rig.host.kill();
    rig.live(|life| async move { assert_eq!(content(&life, "web/é").await, [5; 4096]) });
    let mut elsewhere = rig.elsewhere(2);
    elsewhere.live(|life| async move {
        let store = life.site().store.clone();
        let adopted = life.router.adopt_pool(None, place(PLACE), store, true);
        let adopted = adopted.await.expect("the bucket is enough");
        assert_eq!(adopted.disks, ["a", "taken", "web/é"]);
        assert_eq!(content(&life, "web/é").await, [5; 4096]);
    });
}

#[test]
fn settings_are_kept_and_told_to_clients() {
    let _figures = Figures::one("changes_settings_are_kept_and_told_to_clients");
    let mut rig = Rig::new(1);
    let set = |description: Option<&str>, read_only| DiskChange {
        description: description.map(str::to_owned),
        read_only,
    };
    rig.live(|life| async move {
        life_with_disk(&life, 4096).await;
        let router = &life.router;
        let device = router.device("a").await.expect("attach");
        assert!(!device.limits().read_only);
        let error = router.set_disk("a", &set(None, Some(true))).await;
        check_error(
            &error.expect_err("clients believe what they were told"),
            ErrorKind::Conflict,
            &["in use", "read-only"],
        );
        for bad in ["x\n", &"x".repeat(1025)] {
            let error = router.set_disk("a", &set(Some(bad), None)).await;
            let words = ["disk a", "description"];
            check_error(&error.expect_err(bad), ErrorKind::Invalid, &words);
        }
        let described = set(Some("the shop"), Some(false));
        let entry = router.set_disk("a", &described).await;
        let entry = entry.expect("a description needs nobody's leave");
        assert_eq!(entry.settings.description, "the shop");
        drop(device);
        let entry = router.set_disk("a", &set(None, Some(true))).await;
        assert_eq!(entry.expect("nobody is attached").descriptor, 3);
        let device = router.device("a").await.expect("attach");
        assert!(device.limits().read_only);
        router.sync_disk("a").await.expect("sync");
    });
    rig.host.kill();
    let check = |life: Life| async move {
        let disk = life.router.disk("a").expect("it is there");
        assert_eq!(disk.entry.settings.description, "the shop");
        let device = life.router.device("a").await.expect("attach");
        assert!(device.limits().read_only);
    };
    rig.live(check);
    let mut elsewhere = rig.elsewhere(2);
    elsewhere.live(|life| async move {
        let store = life.site().store.clone();
        let adopted = life.router.adopt_pool(None, place(PLACE), store, true);
        adopted.await.expect("the bucket is enough");
        check(life).await;
    });
}

#[test]
fn a_pool_without_disks_is_forgotten_and_adopted_again() {
    let _figures = Figures::one("changes_a_pool_is_forgotten_and_adopted_again");
    let mut rig = Rig::new(1);
    rig.live(|life| async move {
        life_with_disk(&life, 4096).await;
        write(&life, 0, &[1; 4096]).await;
        let router = &life.router;
        let error = router.delete_pool("default").await.expect_err("a disk");
        check_error(
            &error,
            ErrorKind::Conflict,
            &["default", "1 disk", "delete"],
        );
        router.delete_disk("a").await.expect("nobody uses it");
        router.delete_pool("default").await.expect("no disks");
        let error = router.delete_pool("default").await.expect_err("gone");
        check_error(&error, ErrorKind::NotFound, &["default"]);
        assert!(router.pools().is_empty());
    });
    let files = rig.host.host().files;
    for directory in ["/data/journal", "/data/cache"] {
        let left = files.list(directory.as_ref()).expect("the directory");
        assert!(left.is_empty(), "{left:?}");
    }
    rig.host.kill();
    rig.live(|life| async move {
        assert!(life.opened.is_empty());
        let store = life.site().store.clone();
        let adopted = life.router.adopt_pool(None, place(PLACE), store, false);
        let adopted = adopted.await.expect("it is this grid's own");
        assert_eq!((adopted.pool.as_str(), adopted.disks.len()), ("default", 0));
        let made = life.router.create_disk(None, "a", 4096, false).await;
        made.expect("the pool serves again");
        assert_eq!(content(&life, "a").await, [0; 4096]);
    });
}

/// What the test knows of its disk: what was flushed, and what may come of the change under way.
struct Known {
    bytes: Vec<u8>,
    name: String,
    /// Size and name of the change that was interrupted.
    doubtful: Option<(u64, String)>,
}

impl Known {
    /// Takes over which of both it is, and checks the content.
    async fn settle(&mut self, life: &Life) {
        let disks = life.router.disks(None).expect("the list");
        assert_eq!(disks.len(), 1);
        let found = &disks[0].entry;
        let old = (self.bytes.len() as u64, self.name.clone());
        let now = (found.size, found.name.clone());
        assert!(
            now == old || Some(&now) == self.doubtful.as_ref(),
            "{now:?}"
        );
        self.doubtful = None;
        self.name = now.1;
        self.bytes.resize(now.0 as usize, 0);
        let read = content(life, &self.name).await;
        assert!(read == self.bytes, "{} of {} bytes", self.name, read.len());
    }
}

async fn change(life: &Life, known: &mut Known, dice: &mut Dice) -> Result<(), Error> {
    let sizes = 512 * (1 + dice.below(40));
    if dice.chance(70) {
        known.doubtful = Some((sizes, known.name.clone()));
        life.router.resize_disk(&known.name, sizes, true).await?;
        known.bytes.resize(sizes as usize, 0);
    } else {
        let name = format!("disk-{}", dice.below(1000));
        known.doubtful = Some((known.bytes.len() as u64, name.clone()));
        life.router.rename_disk(&known.name, &name).await?;
        known.name = name;
    }
    known.doubtful = None;
    Ok(())
}

async fn write_some(life: &Life, known: &mut Known, dice: &mut Dice) {
    let device = life.router.device(&known.name).await.expect("attach");
    let size = known.bytes.len() as u64;
    let at = dice.below(size);
    let end = at + 1 + dice.below(size - at);
    let mut data = vec![0; (end - at) as usize];
    dice.fill(&mut data);
    device.write(at, &data).await.expect("within the disk");
    device.flush().await.expect("flush");
    known.bytes[at as usize..end as usize].copy_from_slice(&data);
    if dice.chance(30) {
        life.router.sync_disk(&known.name).await.expect("sync");
    }
}

/// Changes are interrupted anywhere, by kills, power cuts and stores that fail: the disk is then
/// as it was or as it was to be, and never shows what was cut off.
#[test]
fn changes_that_are_interrupted_anywhere() {
    let figures = Figures::of("changes_that_are_interrupted_anywhere");
    let (mut changes, mut interrupted) = (0, 0);
    let seeds = seeds(60);
    let played = seeds.end - seeds.start;
    for seed in seeds {
        let mut rig = Rig::new(seed);
        let mut dice = Dice::new(seed, "changes");
        let mut known = Known {
            bytes: vec![0; 4096],
            name: "a".to_owned(),
            doubtful: None,
        };
        rig.live(|life| async move { life_with_disk(&life, 4096).await });
        for _life in 0..6 {
            let before = changes;
            (known, dice, changes, interrupted) = rig.live(|life| async move {
                let (mut changes, mut interrupted) = (before, interrupted);
                known.settle(&life).await;
                life.faults().set_plan(FaultPlan {
                    delay_max: Duration::from_millis(40),
                    error_before: 0.05,
                    error_after: 0.05,
                    ..FaultPlan::default()
                });
                for _step in 0..1 + dice.below(5) {
                    write_some(&life, &mut known, &mut dice).await;
                    let limit = match dice.chance(30) {
                        true => Duration::from_micros(dice.below(60_000)),
                        false => LONG,
                    };
                    let done = change(&life, &mut known, &mut dice);
                    match tokio::time::timeout(limit, done).await {
                        Ok(done) => done.expect("the store answers in the end"),
                        Err(_) => {
                            interrupted += 1;
                            break;
                        }
                    }
                    changes += 1;
                }
                (known, dice, changes, interrupted)
            });
            if dice.chance(50) {
                rig.host.kill();
            } else {
                rig.host.crash();
            }
        }
        known = rig.live(|life| async move {
            known.settle(&life).await;
            life.router.sync_disk(&known.name).await.expect("sync");
            known
        });
        let mut elsewhere = rig.elsewhere(seed ^ 0xface);
        elsewhere.live(|life| async move {
            let store = life.site().store.clone();
            let adopted = life.router.adopt_pool(None, place(PLACE), store, true);
            adopted.await.expect("the bucket is enough");
            known.settle(&life).await;
        });
        assert_eq!(rig.store().reused_names(), [], "P3");
    }
    assert!(interrupted > 0 && changes > 0);
    figures.tell(&[
        ("seeds", played),
        ("changes", changes),
        ("interrupted", interrupted),
    ]);
}
