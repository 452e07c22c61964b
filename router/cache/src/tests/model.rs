//! Against a map: what is found is right, and the bounds hold.

use proptest::prelude::*;

use super::{World, content, key, simulate, times};

/// Inserts, reads, removals and pauses; a hit must be what was inserted under the address.
async fn run(seed: u64, ops: Vec<(u8, u64, usize)>) -> (u64, u64) {
    let mut world = World::new(seed, 6);
    let disks = [world.keys(None), world.keys(Some(1)), world.keys(Some(2))];
    let mut inserted = std::collections::BTreeSet::new();
    let mut hits = 0;
    for (op, number, disk) in ops {
        let address = key(u128::try_from(disk).expect("small"), number);
        // Numbers that are equal modulo 50 share their content, on each disk.
        let blocks = usize::try_from(number % 8).expect("small") + 1;
        let bytes = content(number % 50, blocks);
        let keys = &disks[disk];
        match op {
            0..50 => {
                world.insert(address, &bytes, keys);
                inserted.insert(address);
            }
            50..90 => {
                if let Some(found) = world.cache.get(&address, keys).await {
                    assert!(inserted.contains(&address), "never inserted: {address:?}");
                    assert!(found == bytes, "other bytes at {address:?}");
                    hits += 1;
                }
            }
            // What was removed may come back, from the queue or from a footer after a restart: it
            // is the same chunk for ever.
            90..93 => world.cache.remove(&address),
            93 => {
                if let Some(found) = world.cache.read_cached_now(&address, keys) {
                    assert!(found == bytes, "other bytes at {address:?}");
                }
            }
            94..98 => tokio::time::sleep(std::time::Duration::from_secs(2)).await,
            98 => world.cache.close().await,
            _ => {
                world.cache.close().await;
                world.sim.kill();
                world.reopen();
            }
        }
        let statistics = world.cache.statistics();
        assert!(statistics.ssd_bytes <= 6 * u64::from(super::ZONE_BYTES));
        assert_eq!(statistics.corrupt, 0);
    }
    (hits, world.sim.trace())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(u32::try_from(times(24)).unwrap_or(u32::MAX)))]

    #[test]
    fn equals_a_map_that_forgets(
        seed: u64,
        ops in prop::collection::vec((0u8..100, 0u64..200, 0usize..3), 1..400),
    ) {
        simulate(run(seed, ops));
    }
}

#[test]
fn one_seed_plays_one_trace() {
    let ops = |seed: u64| {
        let mut dice = vpool_host::sim::Dice::new(seed, "ops");
        let small = |value: u64| usize::try_from(value).expect("small");
        (0..600)
            .map(|_| {
                let op = u8::try_from(dice.below(100)).expect("small");
                (op, dice.below(200), small(dice.below(3)))
            })
            .collect::<Vec<_>>()
    };
    let [a, b] = [(); 2].map(|()| simulate(run(3, ops(3))));
    assert_eq!(a, b);
    assert!(a.0 > 10, "the test finds something: {a:?}");
}

#[test]
fn zones_go_round_and_what_is_read_stays() {
    simulate(async {
        let world = World::new(1, 6);
        let keys = [world.keys(None), world.keys(Some(1))];
        let disk = |number: u64| &keys[usize::from(number % 2 == 1)];
        // Each fourth of the first forty is read all the time, while a thousand of 32 KiB pass, in
        // six zones for seven each.
        for number in 0..1000 {
            world.insert(key(1, number), &content(number, 8), disk(number));
            if number % 3 == 0 {
                tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                for hot in (0..40.min(number)).step_by(4) {
                    let found = world.cache.get(&key(1, hot), disk(hot)).await;
                    if number > 60 {
                        let found = found.unwrap_or_else(|| panic!("{hot} is gone at {number}"));
                        assert!(found == content(hot, 8));
                    }
                }
            }
        }
        let statistics = world.cache.statistics();
        assert_eq!(statistics.inserted, 1000);
        assert!(statistics.carried_over > 100, "{statistics:?}");
        assert!(
            statistics.ssd_chunks < 48 && statistics.ssd_addresses < 48,
            "{statistics:?}"
        );
        assert_eq!(statistics.corrupt, 0);
    });
}

#[test]
fn the_index_is_bounded() {
    simulate(async {
        let mut world = World::new(1, 16);
        world
            .config
            .ssd
            .as_mut()
            .expect("has an SSD")
            .index_entries_max = 60;
        world.reopen();
        let keys = world.keys(None);
        for number in 0..300 {
            world.insert(key(1, number), &content(number, 4), &keys);
            if number % 10 == 9 {
                world.cache.close().await;
                let statistics = world.cache.statistics();
                let entries = statistics.ssd_chunks + statistics.ssd_addresses;
                assert!(entries <= 60 + 20, "{statistics:?}");
                let last = world.cache.get(&key(1, number), &keys).await;
                assert!(last.is_some_and(|bytes| bytes == content(number, 4)));
            }
        }
    });
}
