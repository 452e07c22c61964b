//! T31: no (key, nonce) seals twice, over crashes, restarts, and the same bucket on other hosts.
//!
//! The record is one per process, and worlds of one seed draw the same keys: so the test plays its
//! seeds in a process of its own. Needs the feature `audit`.

use std::process::Command;

use crate::figures::Figures;
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

#[test]
#[ignore = "run by t31_no_key_and_nonce_seal_twice, alone in its process"]
fn in_a_process_of_its_own() {
    let figures = Figures::of("t31_nonces");
    let mut cases = 0;
    vpool_seal::audit::start();
    for seed in figures.seeds(120) {
        play(APART + seed, Seal::All);
        cases += 1;
    }
    let found = vpool_seal::audit::finish();
    let repeated = found.repeated as u64;
    assert_eq!(repeated, 0, "a (key, nonce) was used twice");
    assert!(found.seals > 10_000);
    figures.tell(&[("cases", cases), ("seals", found.seals as u64)]);
}
