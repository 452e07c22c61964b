//! T7: the store is away for long. Writers wait and nothing fails; other pools do not notice.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vpool_block::{BlockDevice, ErrorKind as BlockKind};
use vpool_engine::vdisk::device::Device;
use vpool_host::sim::Dice;
use vpool_object::ErrorKind;
use vpool_object::faults::{FaultPlan, Outage};
use vpool_object::memory::MemoryStore;

use crate::bytes::{Bytes, draw_range, image, step};
use crate::figures::Figures;
use crate::rig::{Life, PLACE, Rig, check_block_error, place, within};

const SIZE: u64 = 16 << 20;
const OTHER: &str = "/healthy";
const OUTAGE: Duration = Duration::from_secs(600);

/// Rounds of write and flush on a disk in so much simulated time.
async fn rate(device: &Device, model: &mut Bytes, dice: &mut Dice, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let mut rounds = 0;
    while Instant::now() < end {
        let (offset, _) = draw_range(dice, model.size - 8192);
        let (op, payload) = model.draw(offset, 8192);
        device
            .write(offset, &payload)
            .await
            .expect("the healthy pool writes");
        model.ops.push(op);
        device.flush().await.expect("the healthy pool flushes");
        // As a client with a pause between its requests.
        tokio::time::sleep(Duration::from_millis(20)).await;
        rounds += 1;
    }
    rounds
}

async fn make(life: &Life) -> (Device, Device) {
    life.create_pool().await;
    let store = life.sites[OTHER].store.clone();
    life.router
        .create_pool("other", place(OTHER), store)
        .await
        .expect("a second pool");
    for site in life.sites.values() {
        let plan = FaultPlan {
            delay_min: Duration::from_millis(5),
            delay_max: Duration::from_millis(40),
            ..FaultPlan::default()
        };
        site.faults.set_plan(plan);
    }
    life.router
        .create_disk(Some("default"), "a", SIZE, false)
        .await
        .expect("a disk");
    life.router
        .create_disk(Some("other"), "b", 512 << 10, false)
        .await
        .expect("a disk");
    let a = life.router.device("default:a").await.expect("attach");
    let b = life.router.device("other:b").await.expect("attach");
    (a, b)
}

/// What one seed showed.
struct Shown {
    before: u64,
    during: u64,
    stalled_ms: u64,
    journal_bytes: u64,
    reads: u64,
}

async fn outage(life: Life, dice: &mut Dice, models: &mut [Bytes; 2], kind: Outage) -> Shown {
    let (a, b) = make(&life).await;
    let [model_a, model_b] = models;
    for _ in 0..30 {
        step(&a, model_a, dice).await.expect("in health");
    }
    life.router.sync_disk("a").await.expect("sync");
    let before = rate(&b, model_b, dice, Duration::from_secs(120)).await;

    life.sites[PLACE].faults.set_outage(Some(kind));
    let began = Instant::now();
    let writer = async {
        // Writes as fast as it is let, until the store has been back for a while.
        let mut stalled = Duration::ZERO;
        while began.elapsed() < OUTAGE + Duration::from_secs(60) {
            let start = Instant::now();
            let (offset, _) = draw_range(dice, SIZE - 65536);
            let (op, payload) = model_a.draw(offset, 65536);
            a.write(offset, &payload)
                .await
                .expect("a stalled writer is not failed");
            model_a.ops.push(op);
            if start.elapsed() > Duration::from_secs(30) {
                stalled += start.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        stalled
    };
    let mut writer = Box::pin(writer);
    let other_dice = &mut Dice::new(before, "other");
    let mut other = Box::pin(rate(&b, model_b, other_dice, Duration::from_secs(120)));
    let (_, during) = futures::future::join(
        // The writer stalls for the first minutes of the outage.
        within(Duration::from_secs(120), &mut writer),
        &mut other,
    )
    .await;
    drop(other);
    let journal_bytes = life.router.pools()[0].journal_used_bytes;
    let ended = within(OUTAGE - Duration::from_secs(120), &mut writer).await;
    assert!(ended.is_none(), "the writer waits");
    life.sites[PLACE].faults.set_outage(None);
    let stalled = within(Duration::from_secs(300), &mut writer)
        .await
        .expect("the writer goes on");
    drop(writer);
    let mut reads = 0;
    for _ in 0..50 {
        let (offset, length) = draw_range(dice, SIZE);
        let mut bytes = vec![0; length as usize];
        a.read(offset, &mut bytes)
            .await
            .expect("read after the outage");
        model_a.check_live(offset, &bytes);
        reads += 1;
    }
    life.router
        .sync_pool("default")
        .await
        .expect("all of it is shipped in the end");
    let (ops, ops_b) = (model_a.ops.len(), model_b.ops.len());
    model_a.check_prefix(&image(&a).await, ops);
    model_b.check_prefix(&image(&b).await, ops_b);
    let stalled_ms = u64::try_from(stalled.as_millis()).expect("an hour");
    Shown {
        before,
        during,
        stalled_ms,
        journal_bytes,
        reads,
    }
}

fn rig(seed: u64) -> Rig {
    let mut rig = Rig::new(seed);
    rig.stores
        .insert(OTHER.to_owned(), Arc::new(MemoryStore::new()));
    rig.journal_bytes = 24 * 64 * 4096;
    rig
}

#[test]
fn t7_writers_wait_for_a_store_that_is_away_and_other_pools_do_not() {
    let figures = Figures::of("t7_outage");
    let (mut cases, mut worst, mut stalled) = (0, u64::MAX, 0);
    let (mut before, mut during) = (0, 0);
    for seed in figures.seeds(12) {
        let mut dice = Dice::new(seed, "t7");
        let mut models = [Bytes::new(1, SIZE), Bytes::new(2, 512 << 10)];
        let kind = match seed % 2 {
            0 => Outage::Hang,
            _ => Outage::Refuse(ErrorKind::Unavailable),
        };
        let (dice, models_ref) = (&mut dice, &mut models);
        let mut rig = rig(seed);
        let shown = rig.live(|life| outage(life, dice, models_ref, kind));
        println!(
            "  other pool: {} rounds in 120 s before, {} during; writer stalled {} s; journal {} KiB; \
             {} reads",
            shown.before,
            shown.during,
            shown.stalled_ms / 1000,
            shown.journal_bytes >> 10,
            shown.reads
        );
        cases += 1;
        worst = worst.min(shown.during * 100 / shown.before);
        (before, during) = (before + shown.before, during + shown.during);
        stalled += u64::from(shown.stalled_ms > 60_000);
        for store in rig.stores.values() {
            assert_eq!(store.reused_names(), [], "P3");
        }
    }
    assert_eq!(stalled, cases, "the journal was full in every case");
    // One case is a small sample; all together are not.
    assert!(worst >= 80, "the other pool keeps {worst} % of its rate");
    let all = during * 100 / before;
    assert!(all >= 90, "the other pool keeps {all} % of its rate");
    figures.tell(&[
        ("cases", cases),
        ("writers_stalled", stalled),
        ("other_pool_rate_percent_min", worst),
    ]);
}

/// What is in the journal or the cache is read while the store is away; what is not is an error
/// after a while, never other bytes.
#[test]
fn t7_what_is_at_the_door_is_read_while_the_store_is_away() {
    let figures = Figures::of("t7_reads_in_an_outage");
    let (mut cases, mut served, mut refused) = (0, 0, 0);
    for seed in figures.seeds(20) {
        let mut rig = rig(seed);
        rig.cache_bytes = 64 << 20;
        let mut dice = Dice::new(seed, "t7 reads");
        let dice = &mut dice;
        let cold = seed % 4 == 3;
        if cold {
            rig.cache_bytes = 0;
        }
        let (right, wrong) = rig.live(|life| async move {
            let (a, _) = make(&life).await;
            let mut model = Bytes::new(1, SIZE);
            for _ in 0..60 {
                step(&a, &mut model, dice).await.expect("in health");
            }
            life.router.sync_disk("a").await.expect("sync");
            // All of it is read once, and so in memory, unless that is what is tried.
            if !cold {
                let ops = model.ops.len();
                model.check_prefix(&image(&a).await, ops);
            }
            life.sites[PLACE]
                .faults
                .set_outage(Some(Outage::Refuse(ErrorKind::Unavailable)));
            let (op, payload) = model.draw(5000, 50_000);
            a.write(op.offset, &payload)
                .await
                .expect("into the journal");
            model.ops.push(op);
            let mut bytes = vec![0; 50_000];
            a.read(5000, &mut bytes)
                .await
                .expect("journalled data is read");
            model.check_live(5000, &bytes);
            let (mut right, mut refused) = (0, 0);
            for _ in 0..40 {
                let (offset, length) = draw_range(dice, SIZE);
                let mut bytes = vec![0; length as usize];
                match a.read(offset, &mut bytes).await {
                    Ok(()) => {
                        model.check_live(offset, &bytes);
                        right += 1;
                    }
                    Err(error) => {
                        assert!(cold, "what was read before is at the door: {error}");
                        check_block_error(&error, &[BlockKind::Unavailable]);
                        assert!(
                            error.to_string().contains("check the object store"),
                            "{error}"
                        );
                        refused += 1;
                    }
                }
            }
            (right, refused)
        });
        cases += 1;
        served += right;
        refused += wrong;
    }
    assert!(refused > 0, "some were cold");
    figures.tell(&[("cases", cases), ("served", served), ("refused", refused)]);
}
