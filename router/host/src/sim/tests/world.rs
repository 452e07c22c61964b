//! The calls as a program sees them; time, randomness and stores; equal seeds, equal traces.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::time::Duration;

use super::super::SimHost;
use crate::local_store::conformance;
use crate::{Batch, Durability, OpenMode};

#[test]
fn files_behave_as_files() {
    let sim = SimHost::new(1);
    let files = sim.host().files;
    let path = Path::new("/x/y/a");
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    let open = |mode| files.open(path, mode).map(drop);
    assert_eq!(kind(open(OpenMode::Create)), ErrorKind::NotFound);
    files.create_dir_all(Path::new("/x/y")).unwrap();
    files.create_dir_all(Path::new("/x/y")).unwrap();
    assert_eq!(kind(open(OpenMode::Write)), ErrorKind::NotFound);
    let file = files.open(path, OpenMode::CreateNew).unwrap();
    assert_eq!(kind(open(OpenMode::CreateNew)), ErrorKind::AlreadyExists);
    let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")];
    file.write_at(&parts, 4094).unwrap();
    assert_eq!(file.size().unwrap(), 4098);
    let mut bytes = [9; 6];
    file.read_at(&mut bytes, 4092).unwrap();
    assert_eq!(&bytes, b"\0\0abcd");
    assert_eq!(
        kind(file.read_at(&mut bytes, 4093)),
        ErrorKind::UnexpectedEof
    );
    let reader = files.open(path, OpenMode::Read).unwrap();
    assert!(reader.write_at(&parts, 0).is_err());
    assert!(file.write_at(&parts, u64::MAX - 1).is_err());
    file.write_at(&[], u64::MAX - 1).unwrap();
    assert_eq!(
        kind(files.create_dir_all(Path::new("/x/y/a/b"))),
        ErrorKind::NotADirectory
    );
    assert!(files.open(Path::new("/x/../y"), OpenMode::Create).is_err());
    assert_eq!(files.list(Path::new("/x")).unwrap(), [Path::new("/x/y")]);
    files.remove(path).unwrap();
    assert_eq!(kind(files.remove(path)), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn clocks_follow_the_runtime_and_jump() {
    let sim = SimHost::new(1);
    let clock = sim.host().clock;
    let (wall, boot) = (clock.wall_ms(), clock.boot_ns());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(clock.wall_ms() - wall, 5_000);
    assert_eq!(clock.boot_ns() - boot, 5_000_000_000);
    sim.clock().jump_wall_ms(-3_600_000);
    assert_eq!(wall - clock.wall_ms(), 3_595_000);
    assert_eq!(clock.boot_ns() - boot, 5_000_000_000);
    sim.clock().suspend_ns(1_000_000_000);
    assert_eq!(clock.boot_ns() - boot, 6_000_000_000);
    sim.clock().freeze_boot();
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(clock.boot_ns() - boot, 6_000_000_000);
    sim.clock().thaw_boot();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(clock.boot_ns() - boot, 7_000_000_000);
}

#[test]
fn the_store_conforms() {
    let sim = SimHost::new(5);
    conformance::check(&*sim.store("test", &conformance::TABLES));
    for seed in 0..20 {
        let sim = SimHost::new(seed);
        let store = sim.store("test", &conformance::TABLES);
        conformance::fill_before_reopen(&*store);
        sim.kill();
        assert!(store.get("alpha", b"r").is_err(), "dead");
        conformance::check_reopened(&*sim.store("test", &conformance::TABLES));
    }
}

#[test]
fn the_store_can_be_wiped_emptied_and_damaged() {
    let sim = SimHost::new(6);
    let store = sim.store("test", &conformance::TABLES);
    conformance::fill_before_reopen(&*store);
    let world = sim.store_world("test").unwrap();
    assert!(sim.store_world("other").is_none());
    world.forget(&conformance::TABLES, 50);
    let cached = store.scan("cache", b"", None, 1000).unwrap().len();
    assert!((20..80).contains(&cached), "{cached} left of 100");
    assert_eq!(store.scan("beta", b"", None, 1000).unwrap().len(), 100);
    let before = store.get("beta", b"r\x07").unwrap();
    assert!(world.damage("beta", b"r\x07"));
    assert_ne!(store.get("beta", b"r\x07").unwrap(), before);
    assert!(!world.damage("beta", b"absent"));
    world.fail_writes(Some(ErrorKind::StorageFull));
    let mut batch = Batch::default();
    batch.put("alpha", *b"x", *b"y");
    let error = store.write(batch.clone(), Durability::Synced).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(store.get("alpha", b"x").unwrap(), None);
    world.fail_writes(None);
    store.write(batch, Durability::Synced).unwrap();
    world.wipe();
    assert_eq!(store.get("alpha", b"x").unwrap(), None);
    sim.crash();
    let store = sim.store("test", &conformance::TABLES);
    assert_eq!(store.scan("beta", b"", None, 1000).unwrap().len(), 0);
}

/// A little program that uses everything, in several tasks, through a kill and a crash.
fn play(seed: u64) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let sim = SimHost::new(seed);
    let boot = runtime.block_on(async {
        for round in 0..4u64 {
            let host = sim.host();
            host.files.create_dir_all(Path::new("/p")).unwrap();
            let store = sim.store("s", &conformance::TABLES);
            let tasks: Vec<_> = (0..3u64)
                .map(|task| {
                    let (host, store) = (host.clone(), store.clone());
                    tokio::spawn(async move {
                        let name = format!("/p/{task}");
                        let file = host.files.open(Path::new(&name), OpenMode::Create)?;
                        for step in 0..20 {
                            let bytes = host.entropy.array::<600>();
                            let offset = u64::from(bytes[0]) * 100;
                            file.write_at(&[IoSlice::new(&bytes)], offset)?;
                            let mut batch = Batch::default();
                            batch.put("alpha", [bytes[1]], bytes);
                            store.write(batch, Durability::Volatile)?;
                            let file = file.clone();
                            if step % 5 == 0 {
                                host.blocking.run(move || file.sync()).await?;
                            }
                        }
                        std::io::Result::Ok(())
                    })
                })
                .collect();
            tokio::time::sleep(Duration::from_millis(5)).await;
            if round % 2 == 0 {
                sim.kill()
            } else {
                sim.crash()
            }
            for task in tasks {
                // Cut off or done: both are part of the trace.
                drop(task.await.unwrap());
            }
        }
        let left: Vec<u8> = (0..3)
            .flat_map(|task| sim.disk().contents(Path::new(&format!("/p/{task}"))))
            .flatten()
            .collect();
        super::super::trace::mix(sim.host().clock.boot_ns(), &left)
    });
    (sim.trace(), boot)
}

#[test]
fn one_seed_plays_one_trace() {
    let mut traces = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let trace = play(seed);
        assert_eq!(trace, play(seed), "seed {seed}");
        traces.insert(trace);
    }
    assert_eq!(traces.len(), 20, "every seed is another world");
}
