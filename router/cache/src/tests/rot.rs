//! T4 for the cache: random bits flip on the SSD; no wrong byte is ever read, and the cache heals.

use std::path::Path;

use super::{FILE, World, ZONE_BYTES, content, key, simulate, times};

const CHUNKS: u64 = 40;

async fn flip_and_read(seed: u64, flips: u32, restart: bool) -> u64 {
    let mut world = World::new(seed, 8);
    let keys = [world.keys(None), world.keys(Some(1))];
    let disk = |number: u64| &keys[usize::from(number % 2 == 1)];
    for number in 0..CHUNKS {
        world.insert(key(1, number), &content(number, 8), disk(number));
    }
    world.cache.close().await;
    world.settle();
    // Zones 0 to 5 hold something.
    world
        .sim
        .disk()
        .flip_bits(Path::new(FILE), 0..u64::from(6 * ZONE_BYTES), flips)
        .expect("the file is there");
    if restart {
        world.sim.kill();
        world.reopen();
        world.cache.close().await;
    }
    let mut lost = Vec::new();
    for number in 0..CHUNKS {
        match world.cache.get(&key(1, number), disk(number)).await {
            Some(bytes) => assert!(bytes == content(number, 8), "seed {seed}: wrong bytes"),
            None => lost.push(number),
        }
    }
    let corrupt = world.cache.statistics().corrupt;
    let count = u64::try_from(lost.len()).expect("small");
    if !restart {
        assert_eq!(
            corrupt, count,
            "what is lost is what was found to be corrupt"
        );
    }
    // What was lost is taken again, in another place, and found there.
    for number in &lost {
        world.insert(key(1, *number), &content(*number, 8), disk(*number));
    }
    world.cache.close().await;
    for number in lost {
        let found = world.cache.get(&key(1, number), disk(number)).await;
        assert!(
            found.is_some_and(|bytes| bytes == content(number, 8)),
            "does not heal"
        );
    }
    count
}

#[test]
fn flipped_bits_are_never_returned() {
    let mut lost = 0;
    for seed in 0..times(200) {
        let flips = if seed % 4 == 0 { 20 } else { 1 };
        lost += simulate(flip_and_read(seed, flips, seed % 2 == 0));
    }
    assert!(lost > 200, "the test hits something: {lost}");
}

#[test]
fn every_kind_of_byte_of_a_zone_can_rot_while_zones_go_round() {
    simulate(async {
        let world = World::new(5, 6);
        let keys = [world.keys(None), world.keys(Some(1))];
        let disk = |number: u64| &keys[usize::from(number % 2 == 1)];
        for number in 0..600 {
            world.insert(key(1, number), &content(number, 8), disk(number));
            if number % 5 == 0 {
                tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                world.settle();
                let all = 0..u64::from(6 * ZONE_BYTES);
                world
                    .sim
                    .disk()
                    .flip_bits(Path::new(FILE), all.clone(), 2)
                    .expect("the file is there");
                // Footers above all: that zones are recycled without them.
                let zone = u64::from(ZONE_BYTES);
                let footer = number / 5 % 6 * zone + zone - 4096;
                world
                    .sim
                    .disk()
                    .flip_bits(Path::new(FILE), footer..footer + 100, 1)
                    .expect("the file is there");
            }
            let asked = number.saturating_sub(number % 37);
            if let Some(bytes) = world.cache.get(&key(1, asked), disk(asked)).await {
                assert!(bytes == content(asked, 8), "wrong bytes at {asked}");
            }
        }
        let statistics = world.cache.statistics();
        assert!(statistics.corrupt > 5, "{statistics:?}");
        assert!(
            statistics.ssd_addresses <= 60,
            "addresses leak: {statistics:?}"
        );
    });
}
