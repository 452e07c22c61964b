//! The local metadata over a simulated store: durable when answered, whatever comes.

use std::io::ErrorKind;
use std::sync::Arc;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use vpool_format::bucket::DiskSettings;
use vpool_format::{Base, DiskId, Epoch, Generation, PoolId, StreamUid};
use vpool_host::sim::{Dice, SimHost};

use super::{LocalMetadata, TABLE};
use crate::state::{Command, State};
use crate::{DiskEntry, Error, Location, Metadata, PoolEntry, Result};

async fn open(sim: &SimHost) -> Result<LocalMetadata> {
    let host = sim.host();
    let store = sim.store("meta", &[TABLE]);
    LocalMetadata::open(store, host.blocking, &*host.entropy).await
}

fn pool(id: u128, name: &str) -> PoolEntry {
    PoolEntry {
        id: PoolId(id),
        name: name.to_owned(),
        location: Location::Directory("/x".to_owned()),
        generation: Generation(1),
        wrapped_key: Vec::new(),
    }
}

fn disk(id: u128, name: &str) -> DiskEntry {
    DiskEntry {
        id: DiskId(id),
        pool: PoolId(1),
        name: name.to_owned(),
        size: 1 << 20,
        wrapped_key: None,
        descriptor: 1,
        described: true,
        settings: DiskSettings::default(),
        created_ms: 0,
        deleting: false,
    }
}

#[tokio::test(start_paused = true)]
async fn answers_survive_the_process() {
    let sim = SimHost::new(1);
    let metadata = open(&sim).await.unwrap();
    let grid = metadata.grid().await.unwrap();
    metadata.create_pool(pool(1, "gold")).await.unwrap();
    metadata.create_disk(disk(1, "b")).await.unwrap();
    metadata.create_disk(disk(2, "a")).await.unwrap();
    let uid = StreamUid(5);
    assert_eq!(
        metadata.bump(DiskId(1), Epoch(0), uid).await.unwrap(),
        Epoch(1)
    );
    metadata
        .seal(DiskId(1), Epoch(1), Base::default())
        .await
        .unwrap();
    metadata.recorded(DiskId(1), Epoch(1)).await.unwrap();
    let streams = metadata.streams(DiskId(1)).await.unwrap();
    sim.crash();
    assert!(matches!(
        metadata.create_disk(disk(3, "c")).await,
        Err(Error::Unavailable(_))
    ));
    let metadata = open(&sim).await.unwrap();
    assert_eq!(metadata.grid().await.unwrap(), grid);
    assert_eq!(metadata.pools().await.unwrap(), [pool(1, "gold")]);
    let disks = metadata.disks(PoolId(1)).await.unwrap();
    assert_eq!(disks, [disk(2, "a"), disk(1, "b")]);
    assert_eq!(metadata.streams(DiskId(1)).await.unwrap(), streams);
    metadata.delete_disk(DiskId(1)).await.unwrap();
    let gone = metadata.streams(DiskId(1)).await;
    assert!(matches!(gone, Err(Error::NotFound(_))));
    sim.kill();
    let metadata = open(&sim).await.unwrap();
    assert_eq!(metadata.disks(PoolId(1)).await.unwrap(), [disk(2, "a")]);
    // A disk made anew under an old id starts from nothing.
    metadata.create_disk(disk(1, "b")).await.unwrap();
    assert_eq!(
        metadata.streams(DiskId(1)).await.unwrap(),
        Default::default()
    );
}

#[tokio::test(start_paused = true)]
async fn only_one_of_many_openings_gets_an_epoch() {
    let sim = SimHost::new(2);
    let metadata = Arc::new(open(&sim).await.unwrap());
    metadata.create_pool(pool(1, "gold")).await.unwrap();
    metadata.create_disk(disk(1, "a")).await.unwrap();
    let tasks: Vec<_> = (1..=20u128)
        .map(|uid| {
            let metadata = Arc::clone(&metadata);
            tokio::spawn(async move { metadata.bump(DiskId(1), Epoch(0), StreamUid(uid)).await })
        })
        .collect();
    let mut given = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(epoch) => {
                assert_eq!(epoch, Epoch(1));
                given += 1;
            }
            Err(error) => assert!(matches!(error, Error::Conflict(_)), "{error}"),
        }
    }
    assert_eq!(given, 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_nothing_half_done() {
    let sim = SimHost::new(3);
    let metadata = Arc::new(open(&sim).await.unwrap());
    for id in 1..=50u128 {
        let task = tokio::spawn({
            let metadata = Arc::clone(&metadata);
            async move { metadata.create_pool(pool(id, &format!("p{id:03}"))).await }
        });
        tokio::task::yield_now().await;
        task.abort();
        // Done or not, it can be repeated.
        metadata
            .create_pool(pool(id, &format!("p{id:03}")))
            .await
            .unwrap();
    }
    let before = metadata.pools().await.unwrap();
    assert_eq!(before.len(), 50);
    sim.crash();
    assert_eq!(open(&sim).await.unwrap().pools().await.unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_is_settled_before_anything_else() {
    let sim = SimHost::new(4);
    let metadata = open(&sim).await.unwrap();
    metadata.create_pool(pool(1, "gold")).await.unwrap();
    let world = sim.store_world("meta").unwrap();
    world.fail_writes(Some(ErrorKind::StorageFull));
    let result = metadata.create_pool(pool(2, "silver")).await;
    assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    assert_eq!(
        metadata.pools().await.unwrap().len(),
        1,
        "not durable, not seen"
    );
    // Until it is known to be stored, nothing else is decided: not even a name that it holds.
    let result = metadata.create_pool(pool(3, "silver")).await;
    assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    world.fail_writes(None);
    let result = metadata.create_pool(pool(3, "silver")).await;
    assert!(matches!(result, Err(Error::Conflict(_))), "{result:?}");
    metadata.create_pool(pool(2, "silver")).await.unwrap();
    sim.crash();
    assert_eq!(open(&sim).await.unwrap().pools().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn damage_is_an_error_with_the_key() {
    let sim = SimHost::new(5);
    let metadata = open(&sim).await.unwrap();
    metadata.create_pool(pool(1, "gold")).await.unwrap();
    metadata.create_disk(disk(1, "a")).await.unwrap();
    let mut key = vec![b'd'];
    key.extend_from_slice(&1u128.to_be_bytes());
    assert!(sim.store_world("meta").unwrap().damage("meta", &key));
    sim.kill();
    match open(&sim).await {
        Err(Error::Damaged(what)) => assert!(what.contains("key d"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_grid_id_is_not_made_anew() {
    let sim = SimHost::new(6);
    let metadata = open(&sim).await.unwrap();
    metadata.create_pool(pool(1, "gold")).await.unwrap();
    let mut batch = vpool_host::Batch::default();
    batch.delete("meta", *b"g");
    let store = sim.store("meta", &[TABLE]);
    store.write(batch, vpool_host::Durability::Synced).unwrap();
    assert!(matches!(open(&sim).await, Err(Error::Damaged(_))));
}

#[tokio::test(start_paused = true)]
async fn more_than_one_scan_is_loaded() {
    let sim = SimHost::new(7);
    let metadata = open(&sim).await.unwrap();
    metadata.create_pool(pool(1, "gold")).await.unwrap();
    for id in 0..2500 {
        metadata
            .create_disk(disk(id, &format!("{id:05}")))
            .await
            .unwrap();
    }
    let before = metadata.disks(PoolId(1)).await.unwrap();
    sim.kill();
    let after = open(&sim).await.unwrap().disks(PoolId(1)).await.unwrap();
    assert_eq!(after.len(), 2500);
    assert_eq!(after, before);
}

/// Commands in any order with kills, crashes and failing writes between them: the stored
/// state is always that of a model that has seen what was answered (and, of what was not
/// answered, all or nothing).
#[tokio::test(start_paused = true)]
async fn stored_and_agreed_are_the_same() {
    for seed in 0..40u64 {
        let mut runner = TestRunner::new_with_rng(
            Config::default(),
            TestRng::from_seed(RngAlgorithm::ChaCha, &[u8::try_from(seed).unwrap(); 32]),
        );
        let commands = crate::state::tests::commands()
            .new_tree(&mut runner)
            .unwrap()
            .current();
        play(seed, &commands).await;
    }
}

async fn play(seed: u64, commands: &[Command]) {
    let sim = SimHost::new(seed);
    let mut dice = Dice::new(seed, "play");
    let mut metadata = open(&sim).await.unwrap();
    let world = sim.store_world("meta").unwrap();
    let mut model = State::new(metadata.grid().await.unwrap());
    for command in commands {
        world.fail_writes(dice.chance(10).then_some(ErrorKind::Other));
        let result = metadata.run(command.clone()).await;
        world.fail_writes(None);
        match result {
            Ok(outcome) => assert_eq!(model.apply(command).unwrap(), outcome),
            Err(Error::Unavailable(_)) => {
                // The outcome is open until it has been asked again.
                let result = metadata.run(command.clone()).await;
                let expected = model.apply(command);
                assert_eq!(result.is_ok(), expected.is_ok(), "{result:?} {expected:?}");
            }
            Err(_) => assert!(model.apply(command).is_err()),
        }
        if dice.chance(10) {
            sim.crash();
            metadata = open(&sim).await.unwrap();
        }
        assert_eq!(*metadata.shared.state.read(), model, "seed {seed}");
    }
}
