//! T31: no (key, nonce) seals twice, over crashes, restarts, and the same bucket on other hosts.
//!
//! The record is one per process, and worlds of one seed draw the same keys: so the test plays its
//! seeds in a process of its own. Needs the feature `audit`.

use std::process::Command;

use vpool_block::BlockDevice;
use vpool_host::sim::Dice;

use crate::figures::Figures;
use crate::rig::Rig;
use crate::trouble::shapes::{Seal, play};

/// Seeds of other tests begin at 1.
const APART: u64 = 31_000_000;

#[test]
fn t31_no_key_and_nonce_seal_twice() {
    let this = std::env::current_exe().expect("this test's program");
    let alone = Command::new(this)
        .args([
            "--exact",
            "nonces::in_a_process_of_its_own",
            "--ignored",
            "--nocapture",
        ])
        .output()
        .expect("the test alone");
    println!("{}", String::from_utf8_lossy(&alone.stdout));
    assert!(
        alone.status.success(),
        "{}",
        String::from_utf8_lossy(&alone.stderr)
    );
}

/// Much is sealed in little time, over kills and power cuts: every block of the journal, every
/// chunk and every page. That the bytes are right is for other tests.
fn write_much(seed: u64) {
    const SIZE: u64 = 4 << 20;
    const PIECE: u64 = 256 << 10;
    let mut rig = Rig::new(seed);
    let mut dice = Dice::new(seed, "nonces");
    for life in 0..3 {
        let dice_ref = &mut dice;
        rig.live(|started| async move {
            if life == 0 {
                started.create_pool().await;
                started
                    .router
                    .create_disk(None, "a", SIZE, true)
                    .await
                    .expect("a disk");
            }
            let device = started.router.device("a").await.expect("attach");
            let mut payload = vec![0; PIECE as usize];
            for _ in 0..30 {
                // Eight bytes in each block that are nowhere else keep chunks apart.
                for block in payload.chunks_mut(4096) {
                    block[..8].copy_from_slice(&dice_ref.below(u64::MAX).to_le_bytes());
                }
                let offset = dice_ref.below(SIZE - PIECE);
                device.write(offset, &payload).await.expect("write");
                if dice_ref.chance(10) {
                    device.flush().await.expect("flush");
                }
            }
            if dice_ref.chance(50) {
                started.router.sync_disk("a").await.expect("sync");
            }
        });
        match dice.chance(50) {
            true => rig.host.crash(),
            false => rig.host.kill(),
        }
    }
}

#[test]
#[ignore = "run by t31_no_key_and_nonce_seal_twice, alone in its process"]
fn in_a_process_of_its_own() {
    let figures = Figures::of("t31_nonces");
    let mut cases = 0;
    vpool_seal::audit::start();
    for seed in figures.seeds(160) {
        play(APART + seed, Seal::All);
        write_much(2 * APART + seed);
        cases += 1;
    }
    let found = vpool_seal::audit::finish();
    assert_eq!(found.repeated, 0, "a (key, nonce) was used twice");
    let seals = found.seals as u64;
    // Ten to the sixth in the usual number of cases.
    assert!(seals / cases > 6250, "{seals} seals in {cases} cases");
    figures.tell(&[("seals", seals)]);
}
