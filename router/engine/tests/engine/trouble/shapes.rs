//! Odd shapes: bytes, odd sizes, several disks in one journal, and the largest disk there is.

use std::collections::BTreeSet;
use std::time::Duration;

use vpool_block::{BlockDevice, ExtentState};
use vpool_engine::limits::DISK_BYTES_MAX;
use vpool_engine::vdisk::device::Device;
use vpool_host::sim::Dice;
use vpool_object::faults::FaultPlan;

use crate::bytes::{Bytes, image, step};
use crate::figures::Figures;
use crate::rig::{Life, Rig};

/// Which disks are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seal {
    Some,
    All,
}

/// Several disks whose groups lie between each other in one journal: 4096 n + 512 bytes, one
/// sector, not a whole block at the end.
const DISKS: [(&str, u64); 3] = [
    ("a", 4096 * 33 + 512),
    ("b", 512),
    ("c", 4096 * 100 + 3 * 512),
];

async fn run(
    life: Life,
    models: &mut [Bytes],
    floors: &[usize],
    dice: &mut Dice,
    make: Option<Seal>,
) {
    if let Some(seal) = make {
        life.create_pool().await;
        for (name, size) in DISKS {
            let encrypt = seal == Seal::All || dice.chance(30);
            life.router
                .create_disk(None, name, size, encrypt)
                .await
                .expect("a disk");
        }
    }
    let mut devices = Vec::new();
    for (at, (name, size)) in DISKS.into_iter().enumerate() {
        let device = life.router.device(name).await.expect("attach");
        assert_eq!(device.size(), size);
        models[at].check_prefix(&image(&device).await, floors[at]);
        devices.push(device);
    }
    life.faults().set_plan(FaultPlan {
        error_before: dice.below(20) as f64 / 100.0,
        error_after: dice.below(20) as f64 / 100.0,
        duplicate_put: 0.05,
        delay_max: Duration::from_millis(dice.below(400)),
        ..FaultPlan::default()
    });
    for _ in 0..dice.below(150) {
        let at = dice.below(3) as usize;
        step(&devices[at], &mut models[at], dice)
            .await
            .expect("a request");
        if dice.chance(2) {
            life.router.sync_disk(DISKS[at].0).await.expect("sync");
            let model = &mut models[at];
            model.shipped = model.ops.len();
        }
        beyond_the_end(&devices[at], &models[at]).await;
    }
}

async fn beyond_the_end(device: &Device, model: &Bytes) {
    let mut byte = [0];
    assert!(device.read(model.size, &mut byte).await.is_err());
    assert!(device.write(model.size - 1, &[1, 2]).await.is_err());
    assert!(device.discard(model.size, 1).await.is_err());
    assert!(device.write(u64::MAX, &[1]).await.is_err());
}

/// Plays one seed: work on all disks, over kills, power cuts and store errors.
pub(crate) fn play(seed: u64, seal: Seal) {
    let mut rig = Rig::new(seed);
    let mut dice = Dice::new(seed, "shapes");
    let mut models: Vec<Bytes> = DISKS
        .iter()
        .zip(1..)
        .map(|((_, size), number)| Bytes::new(number, *size))
        .collect();
    let mut floors = vec![0; DISKS.len()];
    for life in 0..3 + dice.below(3) {
        let (models_ref, dice_ref, floors_ref) = (&mut models, &mut dice, &floors);
        rig.live(|started| {
            let make = (life == 0).then_some(seal);
            run(started, models_ref, floors_ref, dice_ref, make)
        });
        let cut = dice.chance(60);
        if cut {
            rig.host.crash();
        } else {
            rig.host.kill();
        }
        let floor = |model: &Bytes| match cut {
            true => model.flushed.max(model.shipped),
            false => model.ops.len(),
        };
        floors = models.iter().map(floor).collect();
        if dice.chance(20)
            && let Some(local) = rig.host.store_world("local")
        {
            local.wipe();
        }
    }
    rig.live(|life| async move {
        for (at, (name, _)) in DISKS.into_iter().enumerate() {
            let device = life.router.device(name).await.expect("the last opening");
            let found = image(&device).await;
            models[at].check_prefix(&found, floors[at]);
            life.router.sync_disk(name).await.expect("sync");
            assert!(image(&device).await == found, "what was chosen stays");
        }
    });
    assert_eq!(rig.store().reused_names(), [], "P3");
}

#[test]
fn bytes_of_any_alignment_on_disks_of_any_size() {
    let figures = Figures::of("t18_bytes_and_disks");
    let mut cases = 0;
    for seed in figures.seeds(150) {
        play(seed, Seal::Some);
        cases += 1;
    }
    figures.tell(&[("cases", cases)]);
}

/// Idle disks hold no extent: many more disks than extents are written one after the other.
#[test]
fn more_disks_than_extents() {
    let figures = Figures::of("more_disks_than_extents");
    const DISKS: u64 = 40;
    let mut rig = Rig::new(40);
    let mut dice = Dice::new(40, "many");
    rig.live(|life| async move {
        life.create_pool().await;
        for number in 0..DISKS {
            let name = format!("d{number}");
            life.router
                .create_disk(None, &name, 64 << 10, false)
                .await
                .expect("a disk");
            let device = life.router.device(&name).await.expect("attach");
            let mut model = Bytes::new(number, 64 << 10);
            for _ in 0..10 {
                let step = step(&device, &mut model, &mut dice);
                let done = tokio::time::timeout(Duration::from_secs(3600), step).await;
                done.expect("with a healthy store no writer waits for an hour")
                    .expect("a request");
            }
            life.router.sync_disk(&name).await.expect("sync");
        }
    });
    figures.tell(&[("disks", DISKS)]);
}

const BLOCK: u64 = 4096;

/// Walks all extents of a disk; answers its data in blocks, and how many calls it took.
async fn data_blocks(device: &Device, count_max: usize) -> (BTreeSet<u64>, u64) {
    let (mut blocks, mut at, mut calls) = (BTreeSet::new(), 0, 0);
    while at < device.size() {
        let extents = device
            .extents(at, device.size() - at, count_max)
            .await
            .expect("extents");
        assert!(
            !extents.is_empty() && extents.len() <= count_max,
            "{} extents",
            extents.len()
        );
        for extent in extents {
            assert!(extent.length > 0);
            if extent.state == ExtentState::Data {
                blocks.extend(at / BLOCK..(at + extent.length).div_ceil(BLOCK));
            }
            at += extent.length;
            assert!(at <= device.size(), "extents never end after the range");
        }
        calls += 1;
    }
    (blocks, calls)
}

async fn check_scattered(device: &Device, written: &BTreeSet<u64>, dice: &mut Dice) {
    for block in written {
        let mut bytes = [0; BLOCK as usize];
        device.read(block * BLOCK, &mut bytes).await.expect("read");
        assert!(
            bytes
                .chunks(8)
                .all(|eight| eight == (block + 1).to_le_bytes()),
            "block {block}"
        );
    }
    for _ in 0..200 {
        let block = dice.below(DISK_BYTES_MAX / BLOCK);
        let mut bytes = [1; BLOCK as usize];
        device.read(block * BLOCK, &mut bytes).await.expect("read");
        let value = if written.contains(&block) {
            block + 1
        } else {
            0
        };
        assert!(
            bytes.chunks(8).all(|eight| eight == value.to_le_bytes()),
            "block {block}"
        );
    }
    let (blocks, calls) = data_blocks(device, 64).await;
    assert!(
        blocks == *written,
        "{} blocks of data, {} written",
        blocks.len(),
        written.len()
    );
    println!("  {} data blocks in {calls} calls", blocks.len());
}

async fn scatter(device: &Device, written: &mut BTreeSet<u64>, dice: &mut Dice, count: u64) {
    for _ in 0..count {
        let block = match dice.below(4) {
            0 => dice.below(1 << 20),
            _ => dice.below(DISK_BYTES_MAX / BLOCK),
        };
        let payload: Vec<u8> = (0..512).flat_map(|_| (block + 1).to_le_bytes()).collect();
        device.write(block * BLOCK, &payload).await.expect("write");
        written.insert(block);
    }
    // The very last block too.
    let block = DISK_BYTES_MAX / BLOCK - 1;
    let payload: Vec<u8> = (0..512).flat_map(|_| (block + 1).to_le_bytes()).collect();
    device.write(block * BLOCK, &payload).await.expect("write");
    written.insert(block);
}

#[test]
fn a_disk_of_64_tib_is_written_discarded_and_opened() {
    let figures = Figures::of("t25_largest_disk");
    const WRITES: u64 = 4000;
    let mut rig = Rig::new(64);
    rig.tuning = vpool_engine::limits::Tuning {
        pending_bytes_max: 64 << 10,
        cut_bytes: 1 << 20,
        ..rig.tuning.clone()
    };
    rig.journal_bytes = 64 * 64 * 4096;
    let mut dice = Dice::new(64, "64 TiB");
    let mut written = BTreeSet::new();
    let (dice_ref, written_ref) = (&mut dice, &mut written);
    rig.live(|life| async move {
        let (dice, written) = (dice_ref, written_ref);
        life.create_pool().await;
        life.router
            .create_disk(None, "a", DISK_BYTES_MAX, false)
            .await
            .expect("a disk");
        let device = life.router.device("a").await.expect("attach");
        assert_eq!(
            data_blocks(&device, 16).await.1,
            1,
            "an empty disk is one hole"
        );
        scatter(&device, written, dice, WRITES).await;
        check_scattered(&device, written, dice).await;
        life.router.sync_disk("a").await.expect("sync");
        check_scattered(&device, written, dice).await;
        // Gone in one request, in every layer.
        device
            .discard(0, DISK_BYTES_MAX)
            .await
            .expect("discard all");
        written.clear();
        check_scattered(&device, written, dice).await;
        scatter(&device, written, dice, 100).await;
        check_scattered(&device, written, dice).await;
        life.router.sync_disk("a").await.expect("sync");
        check_scattered(&device, written, dice).await;
        device
            .write_zeroes(0, DISK_BYTES_MAX / 2)
            .await
            .expect("zeroes");
        written.retain(|block| *block >= DISK_BYTES_MAX / BLOCK / 2);
        scatter(&device, written, dice, WRITES).await;
        device.flush().await.expect("flush");
    });
    rig.host.crash();
    let mut opens = Vec::new();
    for life in 0..4 {
        let (dice, written) = (&mut dice, &mut written);
        let opened = rig.live(|started| async move {
            let began = std::time::Instant::now();
            let device = started.router.device("a").await.expect("attach");
            let took = began.elapsed();
            check_scattered(&device, written, dice).await;
            if life < 3 {
                scatter(&device, written, dice, 500).await;
                device.flush().await.expect("flush");
                started.router.sync_disk("a").await.expect("sync");
            }
            if life == 1 {
                drop(device);
                started
                    .router
                    .shutdown(Duration::from_secs(60))
                    .await
                    .expect("shutdown");
            }
            took
        });
        opens.push(u64::try_from(opened.as_micros()).expect("short"));
        rig.host.kill();
        if life == 2
            && let Some(local) = rig.host.store_world("local")
        {
            local.wipe();
        }
    }
    println!("opened in {opens:?} us");
    let slowest = opens.into_iter().max().unwrap_or(0);
    assert!(
        slowest < 5_000_000,
        "a disk of 64 TiB opens in {slowest} us"
    );
    figures.tell(&[
        ("scattered_blocks", written.len() as u64),
        ("open_us_max", slowest),
    ]);
}

/// A journal that is lost after a rest takes with it what was not shipped, and nothing else: where
/// a stream once rested is not where it ends.
#[test]
fn a_journal_lost_long_after_a_rest_takes_only_its_tail() {
    let mut rig = Rig::new(11);
    rig.live(|life| async move {
        life.create_pool().await;
        life.router
            .create_disk(None, "a", 1 << 20, false)
            .await
            .expect("a disk");
        let device = life.router.device_for("a", Some("far")).await;
        let device = device.expect("attach");
        device.write(0, &[1; 4096]).await.expect("write");
        life.router.sync_disk("a").await.expect("sync");
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert_eq!(
            life.router.pools()[0].journal_used_bytes,
            0,
            "an idle disk holds no extent"
        );
        for round in 2..20u8 {
            device.write(0, &[round; 4096]).await.expect("write");
            life.router.sync_disk("a").await.expect("sync");
        }
    });
    rig.host.kill();
    let journal = rig.journal();
    rig.host.host().files.remove(&journal).expect("remove");
    rig.live(|life| async move {
        let device = life.router.device("a").await.expect("attach");
        let mut bytes = [0; 4096];
        device.read(0, &mut bytes).await.expect("read");
        assert_eq!(bytes[0], 19, "all that was shipped is there");
        let far = life.router.device_for("a", Some("far")).await;
        let heard = far.expect("attach").flush().await;
        heard.expect_err("what it had not flushed may have been in the journal");
    });
}

/// A record without payload takes a block of the journal all the same, and of memory when it is
/// packed: however many of them there are, a cut holds a bounded part.
#[test]
fn records_without_payload_are_packed_a_part_at_a_time() {
    let figures = Figures::of("records_without_payload");
    const DISCARDS: u64 = 500;
    let mut rig = Rig::new(41);
    let (store, cut_bytes) = (rig.store().clone(), rig.tuning.cut_bytes);
    rig.live(|life| async move {
        life.create_pool().await;
        let router = &life.router;
        let created = router.create_disk(None, "a", 1 << 20, false).await;
        created.expect("a disk");
        let device = router.device("a").await.expect("attach");
        device.write(0, &[1; 8192]).await.expect("write");
        router.sync_disk("a").await.expect("sync");
        let before = store.object_count();
        for _ in 0..DISCARDS {
            device.discard(0, 8192).await.expect("discard");
        }
        router.sync_disk("a").await.expect("sync");
        let segments = u64::try_from(store.object_count() - before).expect("not that many");
        // Two cuts' worth of descriptors each, at the most.
        assert!(segments >= DISCARDS * BLOCK / (2 * cut_bytes), "{segments}");
        let mut buf = [7; 8192];
        device.read(0, &mut buf).await.expect("read");
        assert!(buf.iter().all(|byte| *byte == 0));
        figures.tell(&[("discards", DISCARDS), ("segments", segments)]);
    });
}
