//! Equal contents take the space of one, and never across key domains.

use super::{World, content, key, simulate};

#[test]
fn five_addresses_of_one_content_take_the_space_of_one() {
    simulate(async {
        let mut world = World::new(1, 8);
        for data_key in [None, Some(1)] {
            let keys = world.keys(data_key);
            let before = world.cache.statistics();
            let bytes = content(u64::from(data_key.is_some()), 8);
            let uid = |number: u128| number + 100 * u128::from(data_key.is_some());
            for number in 0..5 {
                world.insert(key(uid(number), 7), &bytes, &keys);
            }
            world.cache.close().await;
            let after = world.cache.statistics();
            assert_eq!(after.ssd_chunks - before.ssd_chunks, 1);
            assert_eq!(after.ssd_bytes - before.ssd_bytes, 32768);
            assert_eq!(after.ssd_addresses - before.ssd_addresses, 5);
            assert_eq!(after.deduplicated - before.deduplicated, 4);
            // A sixth comes later, when the content is in a zone that is full.
            world.insert(key(uid(5), 7), &bytes, &keys);
            world.cache.close().await;
            assert_eq!(world.cache.statistics().ssd_chunks, after.ssd_chunks);
            world.sim.kill();
            world.reopen();
            world.cache.close().await;
            for number in 0..6 {
                let found = world.cache.get(&key(uid(number), 7), &keys).await;
                assert!(
                    found.is_some_and(|found| found == bytes),
                    "address {number}"
                );
            }
        }
    });
}

#[test]
fn encrypted_domains_do_not_share() {
    simulate(async {
        let world = World::new(1, 8);
        let bytes = content(1, 8);
        let disks = [None, Some(1), Some(2)].map(|data_key| world.keys(data_key));
        for (number, keys) in disks.iter().enumerate() {
            world.insert(key(u128::try_from(number).expect("small"), 1), &bytes, keys);
        }
        world.cache.close().await;
        let statistics = world.cache.statistics();
        assert_eq!((statistics.ssd_chunks, statistics.deduplicated), (3, 0));
        // Only the clear disk's bytes can be read off the SSD.
        let needle = &bytes[1000..1064];
        let file = world.file();
        let seen = file.windows(64).filter(|window| *window == needle);
        assert_eq!(seen.count(), 1);
        // With another disk's keys nothing is found.
        for (number, owner) in disks.iter().enumerate() {
            let address = key(u128::try_from(number).expect("small"), 1);
            for (other, keys) in disks
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != number)
            {
                let found = world.cache.get(&address, keys).await;
                assert!(found.is_none(), "{other} reads what is {number}'s");
            }
            // To ask with a wrong key is taken for damage, which costs a hit and no more.
            let found = world.cache.get(&address, owner).await;
            assert!(found.is_none_or(|found| found == bytes));
        }
    });
}

#[test]
fn disks_of_one_data_key_share_what_survives_their_zone() {
    simulate(async {
        let world = World::new(1, 4);
        let keys = world.keys(Some(1));
        let bytes = content(0, 8);
        for uid in 0..20 {
            world.insert(key(uid, 0), &bytes, &keys);
        }
        for number in 1..200 {
            world.insert(key(50, number), &content(number, 8), &keys);
            if number % 4 == 0 {
                world.cache.close().await;
                let found = world
                    .cache
                    .get(&key(u128::from(number) % 20, 0), &keys)
                    .await;
                assert!(found.is_some_and(|found| found == bytes), "{number}");
            }
        }
        for uid in 0..20 {
            let found = world.cache.get(&key(uid, 0), &keys).await;
            assert!(found.is_some_and(|found| found == bytes), "{uid}");
        }
        // A disk that is closed takes its key with it: nothing of it is written again.
        let carried = world.cache.statistics().carried_over;
        assert!(carried > 5);
        drop(keys);
        let clear = world.keys(None);
        for number in 1..200 {
            world.insert(key(60, number), &content(number, 8), &clear);
            if number % 4 == 0 {
                world.cache.close().await;
            }
        }
        assert_eq!(world.cache.statistics().carried_over, carried);
        assert_eq!(world.cache.statistics().corrupt, 0);
    });
}
