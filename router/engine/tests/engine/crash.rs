//! T2 and T18: random work, random ends, and the disk must be a prefix of its log each time.

use std::time::Duration;

use vpool_block::{BlockDevice, Write};
use vpool_host::sim::Dice;
use vpool_object::ErrorKind;
use vpool_object::faults::{FaultPlan, Outage};

use crate::figures::{Figures, seeds};
use crate::model::{Model, Op, SECTOR};
use crate::world::{Life, World, location};

const DISK_BYTES: u64 = 2 << 20;

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Shutdown,
    Kill,
    PowerCut,
}

/// Plays one seed and answers the hash of its trace.
fn play(seed: u64, encrypt: bool) -> u64 {
    let mut world = World::new(seed);
    let mut dice = Dice::new(seed, "workload");
    let mut model = Model::new(seed, DISK_BYTES);
    let mut at_least = 0;
    let lives = 3 + dice.below(4);
    for life in 0..lives {
        let end = match dice.below(5) {
            0 => End::Shutdown,
            1 | 2 => End::Kill,
            _ => End::PowerCut,
        };
        tracing::info!(life, ?end, ops = model.ops.len(), at_least, "a life begins");
        world.live(|running| {
            run(
                running,
                &mut dice,
                &mut model,
                life == 0,
                at_least,
                encrypt,
                end,
            )
        });
        at_least = match end {
            End::Shutdown => {
                world.host.kill();
                model.ops.len()
            }
            End::Kill => {
                world.host.kill();
                model.ops.len()
            }
            End::PowerCut => {
                world.host.crash();
                model.flushed.max(model.shipped)
            }
        };
        if dice.chance(20)
            && let Some(local) = world.host.store_world("local")
        {
            local.wipe();
        }
    }
    let model = &mut model;
    world.live(|running| async move {
        let device = running.router.device("a").await.expect("the last opening");
        let mut image = vec![0; DISK_BYTES as usize];
        device.read(0, &mut image).await.expect("read all");
        model.check_prefix(&image, at_least);
        running.router.sync_disk("a").await.expect("sync");
        let mut again = vec![0; DISK_BYTES as usize];
        device.read(0, &mut again).await.expect("read all again");
        assert!(image == again, "what was chosen stays");
    });
    assert_eq!(world.store.reused_names(), [], "P3: no name is used twice");
    world.host.trace()
}

async fn run(
    life: Life,
    dice: &mut Dice,
    model: &mut Model,
    first: bool,
    at_least: usize,
    encrypt: bool,
    end: End,
) {
    let router = life.router.clone();
    if first {
        router
            .create_pool("default", location(), life.object_store.clone())
            .await
            .expect("pool");
        router
            .create_disk(None, "a", DISK_BYTES, encrypt)
            .await
            .expect("disk");
    }
    let device = router.device("a").await.expect("attach");
    let mut image = vec![0; DISK_BYTES as usize];
    device.read(0, &mut image).await.expect("read all");
    model.check_prefix(&image, at_least);
    life.faults.set_plan(FaultPlan {
        error_before: dice.below(20) as f64 / 100.0,
        error_after: dice.below(20) as f64 / 100.0,
        duplicate_put: 0.05,
        short_body: 0.02,
        flip_bit: 0.02,
        delay_max: Duration::from_millis(dice.below(400)),
        ..FaultPlan::default()
    });
    let steps = dice.below(120);
    for _ in 0..steps {
        step(&life, &device, dice, model).await;
    }
    if end == End::Shutdown {
        life.faults.heal();
        drop(device);
        let limit = Duration::from_secs(dice.below(2) * 60);
        router.shutdown(limit).await.expect("shutdown");
        model.flushed = model.ops.len();
    }
}

async fn step(
    life: &Life,
    device: &vpool_engine::vdisk::device::Device,
    dice: &mut Dice,
    model: &mut Model,
) {
    let first = dice.below(model.sectors);
    let span = match dice.below(10) {
        0 => 256,
        1..5 => 16,
        _ => 8,
    };
    let (first, count) = match dice.chance(70) {
        true => (first / 8 * 8, (1 + dice.below(span)).div_ceil(8) * 8),
        false => (first, 1 + dice.below(span)),
    };
    let count = count.min(model.sectors - first);
    let (offset, length) = (first * SECTOR as u64, count * SECTOR as u64);
    match dice.below(100) {
        0..50 => {
            let stamp = model.stamp();
            let payload = model.payload(first, count, stamp);
            device.write(offset, &payload).await.expect("write");
            model.ops.push(Op {
                first,
                count,
                stamp,
            });
        }
        50..58 => {
            // A batch: accepted in order, as far as there is room.
            let mut batch = Vec::new();
            for _ in 0..1 + dice.below(6) {
                let first = dice.below(model.sectors - 8);
                let stamp = model.stamp();
                batch.push((
                    Op {
                        first,
                        count: 8,
                        stamp,
                    },
                    model.payload(first, 8, stamp),
                ));
            }
            let writes: Vec<Write<'_>> = batch
                .iter()
                .map(|(op, data)| Write {
                    offset: op.first * SECTOR as u64,
                    data,
                })
                .collect();
            let accepted = device.write_now(&writes);
            assert!(accepted.error.is_none());
            model
                .ops
                .extend(batch[..accepted.writes].iter().map(|(op, _)| *op));
        }
        58..64 => {
            device.discard(offset, length).await.expect("discard");
            model.ops.push(Op {
                first,
                count,
                stamp: 0,
            });
        }
        64..68 => {
            device.write_zeroes(offset, length).await.expect("zeroes");
            model.ops.push(Op {
                first,
                count,
                stamp: 0,
            });
        }
        68..69 => {
            device.discard(0, DISK_BYTES).await.expect("discard all");
            model.ops.push(Op {
                first: 0,
                count: model.sectors,
                stamp: 0,
            });
        }
        69..80 => {
            let ops = model.ops.len();
            device.flush().await.expect("flush");
            model.flushed = ops;
        }
        80..92 => {
            let mut bytes = vec![0; length as usize];
            let read = match device.read_now(offset, &mut bytes) {
                Some(read) => read,
                None => device.read(offset, &mut bytes).await,
            };
            read.expect("read");
            model.check_live(first, &bytes);
        }
        92..96 => tokio::time::sleep(Duration::from_secs(dice.below(30))).await,
        96..98 => {
            let ops = model.ops.len();
            life.router.sync_disk("a").await.expect("sync");
            model.flushed = ops;
            model.shipped = ops;
        }
        _ => {
            let outage = match dice.below(3) {
                0 => Some(Outage::Refuse(ErrorKind::Unavailable)),
                _ => None,
            };
            life.faults.set_outage(outage);
            tokio::time::sleep(Duration::from_secs(dice.below(10))).await;
            life.faults.set_outage(None);
        }
    }
}

#[test]
fn every_end_leaves_a_prefix() {
    let figures = Figures::of("t2_crash_clear");
    for seed in figures.seeds(150) {
        play(seed, false);
    }
    figures.tell(&[]);
}

#[test]
fn every_end_leaves_a_prefix_encrypted() {
    let figures = Figures::of("t2_crash_encrypted");
    for seed in figures.seeds(50) {
        play(seed + 1_000_000, true);
    }
    figures.tell(&[]);
}

/// Plays one seed with the log on: `VPOOL_SEED=n RUST_LOG=debug`.
#[test]
#[ignore = "plays one seed aloud, for a person"]
fn the_seed_that_was_asked_for() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .without_time()
        .init();
    for seed in seeds(1) {
        play(seed, std::env::var("VPOOL_ENCRYPT").is_ok());
    }
}

#[test]
fn one_seed_plays_one_trace() {
    let _figures = Figures::one("t2_one_seed_plays_one_trace");
    for seed in [3, 77] {
        assert_eq!(play(seed, false), play(seed, false), "seed {seed}");
    }
}
