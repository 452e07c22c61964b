//! T8: no space, at every site where journal, cache, local store and metadata write.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use vpool_block::ErrorKind;
use vpool_engine::error::ErrorKind as EngineKind;
use vpool_host::sim::{Call, Dice, Fault, SimDisk};
use vpool_host::{Batch, Durability, LocalStore};

use crate::bytes::{Bytes, image, step};
use crate::figures::Figures;
use crate::rig::{Life, PLACE, Rig, check_block_error, hear_of_a_loss, place, within};

const SIZE: u64 = 1 << 20;
const LONG: Duration = Duration::from_secs(3600);

/// How one site ended.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    Nothing,
    Stall,
    Error,
}

/// Works while a fault strikes. A request that stalls must go on when there is space again.
async fn work(life: &Life, model: &mut Bytes, dice: &mut Dice, clear: impl Fn()) -> Met {
    let device = match life.router.device("a").await {
        Ok(device) => device,
        Err(error) => {
            assert!(
                matches!(error.kind(), EngineKind::NoSpace | EngineKind::Io),
                "{error}"
            );
            return Met::Error;
        }
    };
    let mut met = Met::Nothing;
    for _ in 0..60 {
        let mut request = Box::pin(step(&device, model, dice));
        let done = match within(Duration::from_secs(900), &mut request).await {
            Some(done) => done,
            None => {
                met = Met::Stall;
                clear();
                within(LONG, &mut request)
                    .await
                    .expect("goes on when there is space again")
            }
        };
        if let Err(error) = done {
            check_block_error(&error, &[ErrorKind::NoSpace, ErrorKind::Io]);
            assert!(error.to_string().contains("journal"), "{error}");
            return Met::Error;
        }
    }
    met
}

async fn check(life: &Life, model: &mut Bytes, dice: &mut Dice, at_least: usize) {
    let device = life
        .router
        .device("a")
        .await
        .expect("attach after the restart");
    model.check_prefix(&image(&device).await, at_least);
    hear_of_a_loss(&device).await;
    for _ in 0..20 {
        step(&device, model, dice).await.expect("all is well");
    }
    life.router.sync_disk("a").await.expect("sync");
    let ops = model.ops.len();
    model.check_prefix(&image(&device).await, ops);
}

async fn make(life: &Life) {
    life.create_pool().await;
    life.router
        .create_disk(None, "a", SIZE, false)
        .await
        .expect("a disk");
}

#[test]
fn t8_no_space_for_the_journal_is_a_stall_or_a_clean_error() {
    let calls = [Call::Write, Call::Open, Call::SyncDir, Call::SetSize];
    at_every_site("t8_journal_no_space", &calls);
}

#[test]
fn t8_no_space_at_a_sync_is_a_clean_error() {
    at_every_site("t8_journal_no_space_at_sync", &[Call::Sync]);
}

fn at_every_site(test: &'static str, calls: &[Call]) {
    let figures = Figures::of(test);
    let (mut cases, mut stalls, mut errors) = (0, 0, 0);
    for &call in calls {
        let sites = match call {
            Call::Write => 120,
            Call::Sync => 60,
            _ => 4,
        };
        for site in 0..sites {
            let lasting = site % 2 == 0;
            let seed = 1000 * call as u64 + site;
            println!("{call:?} {site}");
            let mut rig = Rig::new(seed);
            let mut dice = Dice::new(seed, "t8");
            let mut model = Bytes::new(1, SIZE);
            let disk = rig.host.disk().clone();
            let early = matches!(call, Call::Open | Call::SyncDir);
            let skip = if early { 0 } else { site / 2 };
            let fault = Fault::no_space(call).on("journal").skip(skip);
            let fault = if lasting { fault } else { fault.count(1) };
            let (model_ref, dice_ref) = (&mut model, &mut dice);
            rig.live(|life| make_with(life, early.then(|| (disk.clone(), fault.clone()))));
            rig.host.kill();
            if !early {
                rig.host.disk().inject(fault);
            }
            let met = rig.try_live(|life| async move {
                let life = match life {
                    Ok(life) => life,
                    Err(error) => panic!("the router starts whatever a pool does: {error}"),
                };
                if let Some((_, Err(error))) = life.opened.first() {
                    assert!(error.to_string().contains("journal"), "{error}");
                    return Met::Error;
                }
                if early {
                    // The restart has opened the pool whose making was interrupted.
                    life.router
                        .create_disk(None, "a", SIZE, false)
                        .await
                        .expect("a disk");
                }
                work(&life, model_ref, dice_ref, || disk.clear_faults()).await
            });
            rig.host.disk().clear_faults();
            let at_least = match (dice.chance(50), &met) {
                // Where a write failed and no sync, a kill loses nothing that was acknowledged.
                (true, _) if call == Call::Write => {
                    rig.host.kill();
                    model.acked
                }
                (true, _) => {
                    rig.host.kill();
                    model.flushed
                }
                (false, _) => {
                    rig.host.crash();
                    model.flushed
                }
            };
            rig.live(|life| async move { check(&life, &mut model, &mut dice, at_least).await });
            assert_eq!(rig.store().reused_names(), [], "P3");
            cases += 1;
            stalls += u64::from(met == Met::Stall);
            errors += u64::from(met == Met::Error);
        }
    }
    assert!(errors > 0, "the fault is met");
    figures.tell(&[
        ("cases", cases),
        ("stalls", stalls),
        ("clean_errors", errors),
    ]);
}

/// Makes pool and disk; a fault that strikes while the pool is made is a clean error.
async fn make_with(life: Life, fault: Option<(SimDisk, Fault)>) {
    let Some((disk, fault)) = fault else {
        return make(&life).await;
    };
    disk.inject(fault);
    let store = life.site().store.clone();
    let made = life
        .router
        .create_pool("default", place(PLACE), store)
        .await;
    let error = made.expect_err("there is no space for the journal");
    assert_eq!(error.kind(), EngineKind::NoSpace, "{error}");
    assert!(error.to_string().contains("journal"), "{error}");
    disk.clear_faults();
}

/// What was interrupted for want of space is made when there is some, without a restart.
#[test]
fn t8_a_pool_that_found_no_space_is_made_when_there_is_some() {
    let _figures = Figures::one("t8_a_pool_that_found_no_space_is_made_when_there_is_some");
    let mut rig = Rig::new(1);
    let disk = rig.host.disk().clone();
    rig.live(|life| async move {
        let fault = Fault::no_space(Call::Open).on("journal");
        let store = life.site().store.clone();
        disk.inject(fault);
        let made = life
            .router
            .create_pool("default", place(PLACE), store.clone())
            .await;
        assert_eq!(made.expect_err("no space").kind(), EngineKind::NoSpace);
        disk.clear_faults();
        make(&life).await;
    });
}

/// A file system that the journal may not fill: it does with what it has.
#[test]
fn t8_a_small_file_system_is_back_pressure() {
    let figures = Figures::of("t8_small_file_system");
    let (mut cases, mut stalls) = (0, 0);
    for extents in 1..10u64 {
        let mut rig = Rig::new(extents);
        let mut dice = Dice::new(extents, "capacity");
        let mut model = Bytes::new(1, SIZE);
        rig.host.disk().set_capacity(Some(extents * 64 * 4096));
        let disk = rig.host.disk().clone();
        let (model_ref, dice_ref) = (&mut model, &mut dice);
        let met = rig.live(|life| async move {
            make(&life).await;
            work(&life, model_ref, dice_ref, || disk.set_capacity(None)).await
        });
        println!("{extents} extents: {met:?}");
        assert_ne!(met, Met::Error, "a journal that cannot grow fails nothing");
        rig.host.kill();
        let at_least = model.ops.len();
        rig.live(|life| async move { check(&life, &mut model, &mut dice, at_least).await });
        cases += 1;
        stalls += u64::from(met == Met::Stall);
    }
    assert!(stalls > 0 && stalls < cases);
    figures.tell(&[("cases", cases), ("stalls", stalls)]);
}

/// The cache and the local store have no space: nobody notices.
#[test]
fn t8_caches_without_space_fail_nothing() {
    let figures = Figures::of("t8_caches_no_space");
    let mut cases = 0;
    for site in 0..30u64 {
        let mut rig = Rig::new(site);
        rig.cache_bytes = 16 << 20;
        let mut dice = Dice::new(site, "cache");
        let mut model = Bytes::new(1, SIZE);
        let call = [Call::Write, Call::Open, Call::SetSize][site as usize % 3];
        rig.host
            .disk()
            .inject(Fault::no_space(call).on("cache").skip(site / 3));
        for life in 0..3 {
            let (model, dice) = (&mut model, &mut dice);
            if let Some(local) = rig.host.store_world("local") {
                local.fail_writes(Some(io::ErrorKind::StorageFull));
            }
            rig.live(|started| async move {
                if life == 0 {
                    make(&started).await;
                }
                let at_least = model.ops.len();
                check(&started, model, dice, at_least).await;
            });
            rig.host.kill();
        }
        cases += 1;
    }
    figures.tell(&[("cases", cases)]);
}

/// A local store whose writes fail from the one on that `left` counts down to.
#[derive(Debug)]
struct Full {
    inner: Arc<dyn LocalStore>,
    left: Arc<AtomicI64>,
    lasting: bool,
}

impl LocalStore for Full {
    fn get(&self, table: &'static str, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.inner.get(table, key)
    }

    fn write(&self, batch: Batch, durability: Durability) -> io::Result<()> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left == 0 || (left < 0 && self.lasting) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write(batch, durability)
    }

    fn scan(
        &self,
        table: &'static str,
        prefix: &[u8],
        from: Option<&[u8]>,
        count_max: usize,
    ) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.inner.scan(table, prefix, from, count_max)
    }
}

/// What was answered in a life whose metadata could not always be written.
#[derive(Default)]
struct Answered {
    pool: bool,
    disks: Vec<&'static str>,
    errors: u64,
}

async fn life_of_a_pool(life: Life, model: &mut Bytes, dice: &mut Dice, again: bool) -> Answered {
    let mut answered = Answered::default();
    let mut note = |error: &vpool_engine::error::Error| {
        assert_eq!(error.kind(), EngineKind::Unavailable, "{error}");
        assert!(error.to_string().contains("metadata"), "{error}");
        answered.errors += 1;
    };
    let store = life.site().store.clone();
    if life.opened.is_empty()
        && let Err(error) = life
            .router
            .create_pool("default", place(PLACE), store)
            .await
    {
        assert!(!again, "what was interrupted is taken up again: {error}");
        note(&error);
        return answered;
    }
    for name in ["a", "b"] {
        if life.router.disk(name).is_ok() {
            continue;
        }
        if let Err(error) = life.router.create_disk(None, name, SIZE, false).await {
            assert!(!again, "what was interrupted is done again: {error}");
            note(&error);
        }
    }
    match life.router.device("a").await {
        Err(error) if life.router.disk("a").is_ok() => {
            assert!(!again, "{error}");
            note(&error);
        }
        Err(_) => {}
        Ok(device) => {
            let at_least = model.ops.len();
            model.check_prefix(&image(&device).await, at_least);
            for _ in 0..20 {
                step(&device, model, dice)
                    .await
                    .expect("metadata is not in the data path");
            }
            let mut sync = Box::pin(life.router.sync_disk("a"));
            if let Some(synced) = within(LONG, &mut sync).await {
                match synced {
                    Err(error) if again => panic!("{error}"),
                    Err(error) => note(&error),
                    Ok(()) => {}
                }
            }
        }
    }
    let closing = life.router.shutdown(Duration::from_secs(60));
    match tokio::time::timeout(LONG, closing)
        .await
        .expect("shutdown ends")
    {
        Err(error) if again => panic!("{error}"),
        Err(error) => note(&error),
        Ok(()) => {}
    }
    answered.pool = life.router.pools().len() == 1;
    for name in ["a", "b"] {
        if life.router.disk(name).is_ok() {
            answered.disks.push(name);
        }
    }
    answered
}

#[test]
fn t8_no_space_for_the_metadata_is_a_clean_error_and_no_loss() {
    let figures = Figures::of("t8_metadata_no_space");
    let (mut cases, mut errors) = (0, 0);
    for site in 0..40i64 {
        let lasting = site % 2 == 0;
        println!("write {} of the metadata, lasting: {lasting}", site / 2);
        let mut rig = Rig::new(site as u64);
        let mut dice = Dice::new(site as u64, "metadata");
        let mut model = Bytes::new(1, SIZE);
        let left = Arc::new(AtomicI64::new(site / 2));
        let (model_ref, dice_ref) = (&mut model, &mut dice);
        let counter = left.clone();
        rig.wrap_meta = Some(Box::new(move |inner| {
            Arc::new(Full {
                inner,
                left: counter.clone(),
                lasting,
            })
        }));
        let answered = rig.try_live(|life| async move {
            match life {
                Ok(life) => life_of_a_pool(life, model_ref, dice_ref, false).await,
                // The grid's id could not be written: the start fails and says so.
                Err(error) => {
                    assert!(error.contains("metadata"), "{error}");
                    Answered {
                        errors: 1,
                        ..Answered::default()
                    }
                }
            }
        });
        rig.host.kill();
        rig.wrap_meta = None;
        errors += answered.errors;
        let second = rig.live(|life| async move {
            for (pool, opened) in &life.opened {
                assert!(opened.is_ok(), "{pool}: {opened:?}");
            }
            assert!(
                !answered.pool || !life.opened.is_empty(),
                "a pool that was made is there"
            );
            for disk in answered.disks {
                assert!(
                    life.router.disk(disk).is_ok(),
                    "disk {disk} was answered and is gone"
                );
            }
            life_of_a_pool(life, &mut model, &mut dice, true).await
        });
        assert_eq!(second.disks, ["a", "b"]);
        assert_eq!(rig.store().reused_names(), [], "P3");
        cases += 1;
    }
    assert!(errors > 0);
    figures.tell(&[("cases", cases), ("clean_errors", errors)]);
}
