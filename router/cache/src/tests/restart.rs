//! What a restart finds, after an orderly end, a kill and a power cut.

use vpool_host::sim::{Dice, PowerCut};

use super::{World, content, key, simulate, times};

#[test]
fn an_orderly_restart_finds_everything() {
    simulate(async {
        let mut world = World::new(1, 8);
        let keys = [world.keys(None), world.keys(Some(1))];
        for number in 0..40 {
            let disk = &keys[usize::from(number % 2 == 1)];
            world.insert(key(1, number), &content(number, 8), disk);
        }
        world.cache.close().await;
        let before = world.cache.statistics();
        world.sim.kill();
        world.reopen();
        // Nothing is there before it has been found; nothing is an error meanwhile.
        assert!(world.cache.get(&key(1, 1), &keys[1]).await.is_none());
        world.cache.close().await;
        let after = world.cache.statistics();
        assert_eq!(after.ssd_chunks, before.ssd_chunks);
        assert_eq!(after.ssd_addresses, 40);
        for number in 0..40 {
            let disk = &keys[usize::from(number % 2 == 1)];
            let found = world.cache.get(&key(1, number), disk).await;
            assert!(
                found.is_some_and(|found| found == content(number, 8)),
                "{number}"
            );
        }
        assert_eq!(world.cache.statistics().ssd_hits, 40);
    });
}

#[test]
fn another_pools_file_and_another_zone_length_are_empty() {
    simulate(async {
        let mut world = World::new(1, 8);
        let keys = world.keys(None);
        world.insert(key(1, 1), &content(1, 8), &keys);
        world.cache.close().await;
        world.sim.kill();
        let config = world.config.clone();
        let other = vpool_seal::PoolKey::generate(&mut |bytes| bytes.fill(1));
        world.config.pool = other.secrets(vpool_format::PoolId(5));
        world.reopen();
        world.cache.close().await;
        assert_eq!(world.cache.statistics().ssd_addresses, 0);
        world.sim.kill();
        world.config = config.clone();
        world.config.ssd.as_mut().expect("has an SSD").zone_bytes = super::ZONE_BYTES * 2;
        world.reopen();
        world.cache.close().await;
        assert_eq!(world.cache.statistics().ssd_addresses, 0);
        // Neither has harmed it.
        world.sim.kill();
        world.config = config;
        world.reopen();
        world.cache.close().await;
        let found = world.cache.get(&key(1, 1), &keys).await;
        assert!(found.is_some_and(|found| found == content(1, 8)));
    });
}

#[test]
fn a_file_of_rubbish_is_empty_and_then_used() {
    simulate(async {
        let mut world = World::new(1, 8);
        world.cache.close().await;
        let file = world.sim.host().files;
        let file = file
            .open(super::FILE.as_ref(), vpool_host::OpenMode::Write)
            .expect("the file is there");
        let rubbish = content(9, 512);
        file.write_at(&[std::io::IoSlice::new(&rubbish)], 0)
            .expect("can be written");
        world.sim.kill();
        world.reopen();
        let keys = world.keys(None);
        world.insert(key(1, 1), &content(1, 8), &keys);
        world.cache.close().await;
        let found = world.cache.get(&key(1, 1), &keys).await;
        assert!(found.is_some_and(|found| found == content(1, 8)));
    });
}

/// Inserts without an orderly end, ends the world in the middle of it, and looks at what is left:
/// right or nothing.
async fn end_in_the_middle(seed: u64) -> u64 {
    let mut dice = Dice::new(seed, "kill");
    let mut world = World::new(seed, 6);
    let keys = [world.keys(None), world.keys(Some(1))];
    let mut found = 0;
    for round in 0..4 {
        for _ in 0..dice.below(120) {
            let number = dice.below(300);
            let disk = usize::from(number % 2 == 1);
            world.insert(key(1, number), &content(number % 90, 8), &keys[disk]);
            if dice.chance(40) {
                let pause = std::time::Duration::from_millis(dice.below(1500));
                tokio::time::sleep(pause).await;
            }
            let number = dice.below(300);
            let disk = &keys[usize::from(number % 2 == 1)];
            if let Some(bytes) = world.cache.get(&key(1, number), disk).await {
                assert!(bytes == content(number % 90, 8), "seed {seed}: {number}");
            }
        }
        match (round + seed) % 4 {
            0 => world.sim.kill(),
            1 => world.sim.crash_with(PowerCut::DropAll),
            _ => world.sim.crash(),
        }
        world.reopen();
        world.cache.close().await;
        for number in 0..300 {
            let disk = &keys[usize::from(number % 2 == 1)];
            if let Some(bytes) = world.cache.get(&key(1, number), disk).await {
                assert!(bytes == content(number % 90, 8), "seed {seed}: {number}");
                found += 1;
            }
        }
    }
    found
}

#[test]
fn a_kill_in_the_middle_of_zone_writes_leaves_right_bytes_or_none() {
    let found: u64 = (0..times(24))
        .map(|seed| simulate(end_in_the_middle(seed)))
        .sum();
    assert!(found > 200, "the test finds something: {found}");
}
