//! P1 with several connections to one disk: a flush covers what any of them was answered for.
//!
//! The doors tell their clients that they may flush on any connection (multi-conn). So the writes
//! and the flushes of one disk are spread over several attachments, and the power fails.

use vpool_host::sim::Dice;

use crate::bytes::{Bytes, image, step};
use crate::figures::Figures;
use crate::rig::{Life, Rig};

const SIZE: u64 = 256 << 10;
const CONNECTIONS: u64 = 3;

async fn run(life: Life, model: &mut Bytes, dice: &mut Dice, make: bool) {
    if make {
        life.create_pool().await;
        life.router
            .create_disk(None, "a", SIZE, dice.chance(30))
            .await
            .expect("a disk");
    }
    let mut devices = Vec::new();
    for _ in 0..CONNECTIONS {
        devices.push(life.router.device("a").await.expect("attach"));
    }
    let found = image(&devices[0]).await;
    model.check_prefix(&found, model.flushed);
    for _ in 0..10 + dice.below(60) {
        let device = &devices[dice.below(CONNECTIONS) as usize];
        step(device, model, dice).await.expect("in health");
    }
}

fn play(seed: u64) -> u64 {
    let mut rig = Rig::new(seed);
    let mut dice = Dice::new(seed, "connections");
    let mut model = Bytes::new(1, SIZE);
    let mut flushed = 0;
    for life in 0..3 {
        let (model_ref, dice_ref) = (&mut model, &mut dice);
        rig.live(|started| run(started, model_ref, dice_ref, life == 0));
        flushed = flushed.max(model.flushed as u64);
        rig.host.crash();
    }
    rig.live(|life| async move {
        let device = life.router.device("a").await.expect("the last opening");
        model.check_prefix(&image(&device).await, model.flushed);
    });
    flushed
}

#[test]
fn t2_a_flush_covers_every_connection() {
    let figures = Figures::of("t2_flush_over_connections");
    let mut flushed = 0;
    for seed in figures.seeds(100) {
        flushed += play(seed);
    }
    assert!(flushed > 0, "there was something to lose");
    figures.tell(&[("flushed_operations", flushed)]);
}
