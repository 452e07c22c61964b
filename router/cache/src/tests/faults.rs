//! A cache device that fails, fills up or hangs: the caller sees misses, and it comes back.

use std::time::Duration;

use vpool_host::sim::{Call, Fault};

use super::{World, content, key, simulate};

/// Inserts ten chunks, pauses, and answers how many are found.
async fn found_of_ten(world: &World, from: u64) -> usize {
    let keys = world.keys(None);
    for number in from..from + 10 {
        world.insert(key(1, number), &content(number, 8), &keys);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut found = 0;
    for number in from..from + 10 {
        if let Some(bytes) = world.cache.get(&key(1, number), &keys).await {
            assert!(bytes == content(number, 8));
            found += 1;
        }
    }
    found
}

#[test]
fn failed_writes_turn_the_layer_off_for_a_while() {
    // After "no space" the file does not grow for a while: fewer zones.
    for (fault, after) in [
        (Fault::io(Call::Write), 10),
        (Fault::no_space(Call::Write), 1),
    ] {
        simulate(async {
            let world = World::new(1, 8);
            assert_eq!(found_of_ten(&world, 0).await, 10);
            world.sim.disk().inject(fault);
            assert_eq!(found_of_ten(&world, 10).await, 0);
            let statistics = world.cache.statistics();
            assert!(
                !statistics.ssd_on && statistics.write_errors == 1,
                "{statistics:?}"
            );
            // While it is off it drops at once.
            let keys = world.keys(None);
            world.insert(key(1, 50), &content(50, 8), &keys);
            assert_eq!(world.cache.statistics().dropped, statistics.dropped + 1);
            // It tries again, still in vain, and then not in vain.
            tokio::time::sleep(Duration::from_secs(31)).await;
            assert_eq!(found_of_ten(&world, 20).await, 0);
            assert_eq!(world.cache.statistics().write_errors, 2);
            world.sim.disk().clear_faults();
            tokio::time::sleep(Duration::from_secs(31)).await;
            assert!(found_of_ten(&world, 30).await >= after);
            assert!(world.cache.statistics().ssd_on);
        });
    }
}

#[test]
fn a_full_file_system_leaves_the_zones_that_there_are() {
    simulate(async {
        let world = World::new(1, 32);
        assert_eq!(found_of_ten(&world, 0).await, 10);
        world.cache.close().await;
        assert_eq!(found_of_ten(&world, 10).await, 10);
        world.cache.close().await;
        let used = world.sim.disk().used_bytes();
        world.sim.disk().set_capacity(Some(used));
        for round in 2..12 {
            found_of_ten(&world, round * 10).await;
            tokio::time::sleep(Duration::from_secs(31)).await;
        }
        let statistics = world.cache.statistics();
        assert!(statistics.write_errors >= 1);
        // Recycled zones need no new space.
        assert!(found_of_ten(&world, 500).await > 0, "{statistics:?}");
    });
}

#[test]
fn no_file_is_no_cache_until_there_is_one() {
    simulate(async {
        let world = World::new(1, 8);
        world.sim.disk().inject(Fault::io(Call::Open).count(1));
        assert_eq!(found_of_ten(&world, 0).await, 0);
        assert!(!world.cache.statistics().ssd_on);
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert_eq!(found_of_ten(&world, 10).await, 10);
    });
}

#[test]
fn failed_reads_are_misses() {
    simulate(async {
        let world = World::new(1, 8);
        let keys = world.keys(None);
        assert_eq!(found_of_ten(&world, 0).await, 10);
        world.sim.disk().inject(Fault::io(Call::Read).count(1));
        assert!(world.cache.get(&key(1, 1), &keys).await.is_none());
        assert_eq!(world.cache.statistics().read_errors, 1);
        assert!(world.cache.get(&key(1, 2), &keys).await.is_some());
    });
}

#[test]
fn a_slow_read_is_a_miss_at_its_deadline() {
    simulate(async {
        let mut world = World::new(1, 8);
        assert_eq!(found_of_ten(&world, 0).await, 10);
        world.cache.close().await;
        world.sim.kill();
        let ssd = world.config.ssd.as_mut().expect("has an SSD");
        ssd.read_deadline = Duration::from_nanos(1);
        world.reopen();
        world.cache.close().await;
        let keys = world.keys(None);
        let before = tokio::time::Instant::now();
        assert!(world.cache.get(&key(1, 1), &keys).await.is_none());
        assert!(before.elapsed() < Duration::from_millis(3));
        let statistics = world.cache.statistics();
        assert_eq!((statistics.late, statistics.misses), (1, 1));
        // What the page cache has needs no device, so no deadline.
        let found = world.cache.read_cached_now(&key(1, 1), &keys);
        assert!(found.is_some_and(|found| found == content(1, 8)));
        world.settle();
        assert!(world.cache.read_cached_now(&key(1, 2), &keys).is_none());
        assert_eq!(world.cache.statistics().corrupt, 0);
    });
}

#[test]
fn a_full_queue_drops_and_counts() {
    simulate(async {
        let world = World::new(1, 64);
        let keys = world.keys(None);
        let bytes = content(1, 8);
        let id = keys.content_id(&bytes);
        // The writer gets no turn in between.
        for number in 0..5000 {
            let layers = crate::Layers::Ssd;
            world
                .cache
                .insert_copy(key(1, number), &bytes, id, &keys, layers);
        }
        assert_eq!(world.cache.statistics().dropped, 5000 - 1024);
        world.cache.close().await;
        assert_eq!(world.cache.statistics().ssd_addresses, 1024);
        let ssd = world.cache.ssd_layer().expect("has an SSD");
        assert_eq!(
            ssd.queued_bytes.load(std::sync::atomic::Ordering::Relaxed),
            0
        );
    });
}
