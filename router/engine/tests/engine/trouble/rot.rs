//! T4: bits that flip on the SSD, in journal, cache and local store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vpool_block::{BlockDevice, ErrorKind as BlockKind};
use vpool_engine::error::ErrorKind;
use vpool_engine::router::local_tables;
use vpool_engine::vdisk::device::Device;
use vpool_host::sim::{Dice, SimDisk};
use vpool_object::ErrorKind as StoreKind;
use vpool_object::faults::Outage;

use crate::bytes::{Bytes, image, sound_pieces, step};
use crate::figures::Figures;
use crate::rig::{Life, Rig, check_block_error, check_error};

const SIZE: u64 = 512 << 10;
const EXTENT_BYTES: u64 = 64 * 4096;

fn rig(seed: u64) -> Rig {
    let mut rig = Rig::new(seed);
    rig.journal_bytes = 64 * EXTENT_BYTES;
    rig
}

/// A pool with disks whose records stay in the journal.
async fn make(life: &Life, names: &[&str], encrypt: bool) -> Vec<Device> {
    life.create_pool().await;
    let mut devices = Vec::new();
    for name in names {
        life.router
            .create_disk(None, name, SIZE, encrypt)
            .await
            .expect("a disk");
        devices.push(life.router.device(name).await.expect("attach"));
    }
    life.faults()
        .set_outage(Some(Outage::Refuse(StoreKind::Unavailable)));
    devices
}

/// While the router lives: what is damaged is an error, all else is right, and writing a damaged
/// place anew makes it whole.
#[test]
fn t4_rot_in_the_journal_is_an_error_never_other_bytes() {
    let figures = Figures::of("t4_journal_rot_live");
    let (mut flips, mut sound, mut refused, mut mended, mut stopped) = (0, 0, 0, 0, 0);
    for seed in figures.seeds(60) {
        let mut rig = rig(seed);
        let mut dice = Dice::new(seed, "t4");
        let disk = rig.host.disk().clone();
        let (flips, sound, refused) = (&mut flips, &mut sound, &mut refused);
        let (mended, stopped) = (&mut mended, &mut stopped);
        rig.live(|life| async move {
            let device = make(&life, &["a"], seed % 3 == 0).await.remove(0);
            let mut model = Bytes::new(seed, SIZE);
            for _ in 0..30 + dice.below(40) {
                step(&device, &mut model, &mut dice)
                    .await
                    .expect("in health");
            }
            device.flush().await.expect("flush");
            let file = only_file(&disk, "/data/journal").expect("the journal");
            let bytes = disk.contents(&file).expect("the journal").len() as u64;
            for round in 0..3 {
                let bits = 1 + round * 8;
                disk.flip_bits(&file, 0..bytes, bits).expect("flip");
                disk.drop_caches();
                *flips += u64::from(bits);
                let newest = model.newest(0, SIZE);
                let piece = 1 + dice.below(9000) as usize;
                let (right, errors) = sound_pieces(&device, &newest, piece).await;
                for error in &errors {
                    check_block_error(error, &[BlockKind::Corrupt]);
                    assert!(error.to_string().contains("disk default:a"), "{error}");
                }
                *sound += right;
                *refused += errors.len() as u64;
            }
            // Whole blocks written anew are whole again, unless the packer has met the damage:
            // then the disk has stopped and says so.
            let (op, payload) = model.draw(0, SIZE);
            match device.write(0, &payload).await {
                Ok(()) => {
                    model.ops.push(op);
                    let whole = image(&device).await;
                    model.check_live(0, &whole);
                    *mended += 1;
                }
                Err(error) => {
                    check_block_error(&error, &[BlockKind::Corrupt]);
                    assert!(error.to_string().contains("restart"), "{error}");
                    *stopped += 1;
                }
            }
        });
    }
    assert!(refused > 0, "some damage was met");
    figures.tell(&[
        ("bits_flipped", flips),
        ("reads_right", sound),
        ("reads_refused", refused),
        ("mended_by_writing", mended),
        ("stopped_by_the_packer", stopped),
    ]);
}

/// The only file of a directory, once there is one.
fn only_file(disk: &SimDisk, directory: &str) -> Option<PathBuf> {
    let directory = Path::new(directory);
    let mut found = disk.files().list(directory).expect("the directory");
    found.retain(|file| file.extension().is_none_or(|kind| kind != "state"));
    assert!(found.len() < 2);
    found.first().map(|file| directory.join(file))
}

/// Where a bit flips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    /// Anywhere but in the header of an extent.
    Groups,
    /// In the header of an extent that is in use.
    Header,
}

/// What a restart made of one flipped bit.
#[derive(Default)]
struct Found {
    intact: u64,
    damage: u64,
    repaired: u64,
}

fn play(seed: u64, place: Where, found: &mut Found) {
    let mut rig = rig(seed);
    let mut dice = Dice::new(seed, "t4 restart");
    let mut models = [Bytes::new(1, SIZE), Bytes::new(2, SIZE)];
    let (models_ref, dice_ref) = (&mut models, &mut dice);
    let covered = rig.live(|life| async move {
        let (models, dice) = (models_ref, dice_ref);
        let devices = make(&life, &["a", "b"], seed % 4 == 3).await;
        for _ in 0..10 + dice.below(70) {
            let at = dice.below(2) as usize;
            step(&devices[at], &mut models[at], dice)
                .await
                .expect("in health");
        }
        let mut covered = [0; 2];
        for at in 0..2 {
            devices[at].flush().await.expect("flush");
            covered[at] = models[at].ops.len();
        }
        // The marks follow, and a flush after them makes them durable: from here on rot in what
        // was flushed before is told from a torn tail.
        tokio::time::sleep(Duration::from_secs(2)).await;
        for at in 0..2 {
            let (op, payload) = models[at].draw(0, 4096);
            devices[at].write(0, &payload).await.expect("write");
            models[at].ops.push(op);
            devices[at].flush().await.expect("flush");
        }
        covered
    });
    rig.host.crash();
    let file = rig.journal();
    let extents = rig.host.disk().contents(&file).expect("the journal").len() as u64 / EXTENT_BYTES;
    flip(&rig, &file, extents, place, &mut dice);
    for life in 0..2 {
        let (models, dice) = (&mut models, &mut dice);
        let found = &mut *found;
        rig.live(|started| async move {
            for (at, name) in ["a", "b"].into_iter().enumerate() {
                let at_least = if life == 0 {
                    covered[at]
                } else {
                    models[at].ops.len()
                };
                check_disk(&started, name, &mut models[at], dice, at_least, found).await;
            }
        });
        rig.host.kill();
    }
}

fn flip(rig: &Rig, file: &Path, extents: u64, place: Where, dice: &mut Dice) {
    let content = rig.host.disk().contents(file).expect("the journal");
    let used: Vec<u64> = (0..extents)
        .filter(|extent| {
            let first = &content[(extent * EXTENT_BYTES) as usize..][..64];
            !first.starts_with(b"VPOOLRDY") && first.iter().any(|b| *b != 0)
        })
        .collect();
    let extent = used[dice.below(used.len() as u64) as usize];
    let start = extent * EXTENT_BYTES;
    let range = match place {
        Where::Header => start..start + 4096,
        Where::Groups => {
            // A block that holds something.
            let blocks: Vec<u64> = (1..64)
                .map(|block| start + block * 4096)
                .filter(|at| content[*at as usize..][..4096].iter().any(|b| *b != 0))
                .collect();
            let at = blocks[dice.below(blocks.len() as u64) as usize];
            at..at + 4096
        }
    };
    rig.host.disk().flip_bits(file, range, 1).expect("flip");
}

/// A disk opens with all that is covered by a mark, or not at all until the loss is accepted.
async fn check_disk(
    life: &Life,
    name: &str,
    model: &mut Bytes,
    dice: &mut Dice,
    at_least: usize,
    found: &mut Found,
) {
    let device = match life.router.device(name).await {
        Ok(device) => {
            found.intact += 1;
            model.check_prefix(&image(&device).await, at_least);
            device
        }
        Err(error) => {
            found.damage += 1;
            let words = [name, "flushed records", "--accept-loss"];
            check_error(&error, ErrorKind::Corrupt, &words);
            let status = life.router.disk(name).expect("it is listed");
            assert!(
                status
                    .error
                    .is_some_and(|why| why.contains("--accept-loss"))
            );
            let refused = life.router.repair_disk(name, false).await;
            check_error(
                &refused.expect_err("not without consent"),
                ErrorKind::Corrupt,
                &words,
            );
            life.router.repair_disk(name, true).await.expect("repair");
            let device = life
                .router
                .device(name)
                .await
                .expect("attach after the repair");
            let repaired = image(&device).await;
            // Rolled back to before what is lost: still a prefix, with all that was shipped.
            model.check_prefix(&repaired, model.shipped);
            found.repaired += 1;
            let (op, payload) = model.draw(0, SIZE);
            device.write(0, &payload).await.expect("write");
            model.ops.push(op);
            device
        }
    };
    for _ in 0..20 {
        step(&device, model, dice).await.expect("all is well");
    }
    life.router.sync_disk(name).await.expect("sync");
    let ops = model.ops.len();
    model.check_prefix(&image(&device).await, ops);
}

#[test]
fn t4_rot_in_flushed_records_is_damage_until_the_loss_is_accepted() {
    let figures = Figures::of("t4_journal_rot_restart");
    let (mut cases, mut found) = (0, Found::default());
    for seed in figures.seeds(250) {
        play(seed, Where::Groups, &mut found);
        cases += 1;
    }
    assert!(found.damage > 0 && found.repaired == found.damage);
    figures.tell(&[
        ("cases", cases),
        ("opened_intact", found.intact),
        ("reported_as_damage", found.damage),
        ("repaired", found.repaired),
    ]);
}

#[test]
fn t4_rot_in_an_extent_header_is_damage_until_the_loss_is_accepted() {
    let figures = Figures::of("t4_extent_header_rot");
    let (mut cases, mut found) = (0, Found::default());
    for seed in figures.seeds(60) {
        play(seed, Where::Header, &mut found);
        cases += 1;
    }
    figures.tell(&[
        ("cases", cases),
        ("opened_intact", found.intact),
        ("reported_as_damage", found.damage),
    ]);
}

/// The cache and the local store rot, vanish and come back: reads are right, always.
#[test]
fn t4_rot_in_cache_and_local_store_heals_itself() {
    let figures = Figures::of("t4_cache_rot");
    let (mut cases, mut flips, mut damaged) = (0, 0, 0);
    for seed in figures.seeds(60) {
        let mut rig = Rig::new(seed);
        rig.cache_bytes = 16 << 20;
        let mut dice = Dice::new(seed, "t4 caches");
        let mut model = Bytes::new(seed, SIZE);
        for life in 0..4 {
            let (model, dice) = (&mut model, &mut dice);
            let (disk, local) = (
                rig.host.disk().clone(),
                rig.host.store("local", &local_tables(1 << 20)),
            );
            let world = rig.host.store_world("local").expect("made above");
            let (cases, flips, damaged) = (&mut cases, &mut flips, &mut damaged);
            rig.live(|started| async move {
                if life == 0 {
                    started.create_pool().await;
                    started
                        .router
                        .create_disk(None, "a", SIZE, seed % 2 == 1)
                        .await
                        .expect("a disk");
                }
                let device = started.router.device("a").await.expect("attach");
                for _ in 0..4 {
                    for _ in 0..10 {
                        step(&device, model, dice)
                            .await
                            .expect("caches fail nothing");
                    }
                    started.router.sync_disk("a").await.expect("sync");
                    let file = only_file(&disk, "/data/cache");
                    let bytes = match &file {
                        Some(file) => disk.contents(file).expect("the cache").len() as u64,
                        None => 0,
                    };
                    if let Some(file) = file.filter(|_| bytes > 0) {
                        // Most of what is there is at the front.
                        let range = 0..bytes.min(1 << (13 + dice.below(10)));
                        disk.flip_bits(&file, range, 100).expect("flip");
                        *flips += 100;
                    }
                    disk.drop_caches();
                    for table in local_tables(1 << 20) {
                        for (key, _) in local.scan(table.name, &[], None, 1000).expect("scan") {
                            *damaged +=
                                u64::from(dice.chance(40) && world.damage(table.name, &key));
                        }
                    }
                    let ops = model.ops.len();
                    model.check_prefix(&image(&device).await, ops);
                    *cases += 1;
                }
                if dice.chance(50) {
                    drop(device);
                    started
                        .router
                        .shutdown(Duration::from_secs(60))
                        .await
                        .expect("shutdown");
                }
            });
            rig.host.kill();
        }
    }
    assert!(damaged > 0 && flips > 0);
    figures.tell(&[
        ("cases", cases),
        ("bits_flipped", flips),
        ("local_values_damaged", damaged),
    ]);
}
