//! T2 where it hurts most: a journal that goes round and round under a store that is slow.
//!
//! Segments are on their way for seconds and land in any order, so much is packed and not shipped,
//! and every extent is used again as soon as it is given back. What is trimmed too early is
//! overwritten, and seen.

use std::time::Duration;

use vpool_block::BlockDevice;
use vpool_host::sim::Dice;
use vpool_object::faults::FaultPlan;

use crate::bytes::{Bytes, image};
use crate::figures::Figures;
use crate::rig::{Life, Rig};

const SIZE: u64 = 2 << 20;

async fn run(life: Life, model: &mut Bytes, dice: &mut Dice, floor: usize, first: bool) {
    if first {
        life.create_pool().await;
        life.router
            .create_disk(None, "a", SIZE, dice.chance(30))
            .await
            .expect("a disk");
    }
    let device = life.router.device("a").await.expect("attach");
    model.check_prefix(&image(&device).await, floor);
    life.faults().set_plan(FaultPlan {
        error_before: 0.1,
        error_after: 0.1,
        delay_min: Duration::from_millis(50),
        delay_max: Duration::from_millis(200 + dice.below(8000)),
        ..FaultPlan::default()
    });
    for _ in 0..40 + dice.below(160) {
        match dice.below(10) {
            0..6 => {
                let length = 4096 * (1 + dice.below(24));
                let offset = dice.below(SIZE - length) / 4096 * 4096;
                let (op, payload) = model.draw(offset, length);
                device.write(offset, &payload).await.expect("write");
                model.ops.push(op);
            }
            6 => {
                let ops = model.ops.len();
                device.flush().await.expect("flush");
                model.flushed = ops;
            }
            7 | 8 => {
                let length = 1 + dice.below(200_000);
                let offset = dice.below(SIZE - length);
                let mut bytes = vec![0xa5; length as usize];
                device.read(offset, &mut bytes).await.expect("read");
                model.check_live(offset, &bytes);
            }
            _ => tokio::time::sleep(Duration::from_millis(dice.below(3000))).await,
        }
    }
}

fn play(seed: u64) -> u64 {
    let mut rig = Rig::new(seed);
    // The least there is.
    rig.journal_bytes = 0;
    rig.tuning.cut_bytes = 48 << 10;
    let mut dice = Dice::new(seed, "slow");
    let mut model = Bytes::new(1, SIZE);
    let (mut floor, mut written) = (0, 0);
    for life in 0..3 {
        let (model_ref, dice_ref) = (&mut model, &mut dice);
        rig.live(|started| run(started, model_ref, dice_ref, floor, life == 0));
        written = model
            .ops
            .iter()
            .map(|op| op.length)
            .sum::<u64>()
            .max(written);
        floor = if dice.chance(50) {
            rig.host.crash();
            model.flushed
        } else {
            rig.host.kill();
            model.ops.len()
        };
    }
    rig.live(|life| async move {
        let device = life.router.device("a").await.expect("the last opening");
        let found = image(&device).await;
        model.check_prefix(&found, floor);
        life.router.sync_disk("a").await.expect("sync");
        assert!(image(&device).await == found, "what was chosen stays");
    });
    assert_eq!(rig.store().reused_names(), [], "P3");
    written
}

#[test]
fn t2_a_small_journal_over_a_slow_store_loses_nothing() {
    let figures = Figures::of("t2_slow_store");
    let (mut cases, mut written) = (0, 0);
    for seed in figures.seeds(60) {
        written += play(seed);
        cases += 1;
    }
    figures.tell(&[("cases", cases), ("written_mib", written >> 20)]);
}
