//! T5: objects altered by whoever holds the store. Reads are right or errors, never anything else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes as Body;
use vpool_block::{BlockDevice, ErrorKind as BlockKind};
use vpool_engine::error::{Error, ErrorKind};
use vpool_engine::vdisk::device::Device;
use vpool_host::sim::Dice;
use vpool_object::faults::{Fault, Script};
use vpool_object::memory::MemoryStore;
use vpool_object::operation::Operations;
use vpool_object::{ErrorKind as StoreKind, Key};

use crate::bytes::{Bytes, sound_pieces, step};
use crate::figures::{Figures, seeds, times};
use crate::rig::{Life, PLACE, Rig, check_block_error, place};

const SIZE: u64 = 512 << 10;
const OTHER: &str = "/other";
/// A clear disk, an encrypted one, and one that lends its objects.
const DISKS: [(&str, bool); 3] = [("a", false), ("b", true), ("c", false)];

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tamper {
    Flip,
    Truncate,
    Extend,
    Swap,
    Replay,
    Delete,
    OtherDisk,
    OtherPool,
}

const ALL: [Tamper; 8] = [
    Tamper::Flip,
    Tamper::Truncate,
    Tamper::Extend,
    Tamper::Swap,
    Tamper::Replay,
    Tamper::Delete,
    Tamper::OtherDisk,
    Tamper::OtherPool,
];

/// What has a test of its own below.
const APART: [(&str, Tamper); 3] = [
    ("stream", Tamper::Swap),
    ("stream", Tamper::Replay),
    ("descriptor", Tamper::Delete),
];

type Objects = BTreeMap<Key, Body>;

/// The part of a name that says what an object is.
fn kind(key: &Key) -> &str {
    let parts: Vec<&str> = key.as_str().split('/').collect();
    match parts[..] {
        ["disk", _, _, kind, _] => kind,
        ["disk", _, kind, _] => kind,
        [kind, ..] => kind,
        [] => "",
    }
}

fn disk_of(key: &Key) -> &str {
    key.as_str().split('/').nth(1).unwrap_or("")
}

fn choose<'a>(dice: &mut Dice, keys: &[&'a Key]) -> Option<&'a Key> {
    (!keys.is_empty()).then(|| keys[dice.below(keys.len() as u64) as usize])
}

/// Alters one object of `kinds`; answers what was done, for the record.
fn alter(
    store: &MemoryStore,
    foreign: &Objects,
    tamper: Tamper,
    kinds: &[&str],
    dice: &mut Dice,
) -> Option<Key> {
    let objects = store.snapshot();
    let targets: Vec<&Key> = objects
        .keys()
        .filter(|key| kinds.contains(&kind(key)))
        .collect();
    let key = choose(dice, &targets)?;
    let body = &objects[key];
    let alike = |from: &'static str| {
        move |other: &&&Key| {
            kind(other) == kind(key)
                && **other != key
                && match from {
                    "same" => disk_of(other) == disk_of(key),
                    "other" => disk_of(other) != disk_of(key),
                    _ => true,
                }
        }
    };
    let others: Vec<&Key> = objects.keys().collect();
    let done = match tamper {
        Tamper::Flip => store.flip_bit(key, dice.below(body.len() as u64 * 8)),
        Tamper::Truncate => store.truncate(key, dice.below(body.len() as u64) as usize),
        Tamper::Extend => {
            let mut bytes = vec![0; 1 + dice.below(5000) as usize];
            dice.fill(&mut bytes);
            store.extend(key, &bytes)
        }
        Tamper::Swap => {
            let same: Vec<&Key> = others.iter().filter(alike("any")).copied().collect();
            let other = choose(dice, &same)?;
            objects[other] != *body && store.swap(key, other)
        }
        Tamper::Replay => {
            let same: Vec<&Key> = others.iter().filter(alike("same")).copied().collect();
            let other = choose(dice, &same)?;
            objects[other] != *body && store.replace(key, objects[other].clone()).is_some()
        }
        Tamper::Delete => store.lose(key).is_some(),
        Tamper::OtherDisk => {
            let same: Vec<&Key> = others.iter().filter(alike("other")).copied().collect();
            store
                .replace(key, objects[choose(dice, &same)?].clone())
                .is_some()
        }
        Tamper::OtherPool => {
            let same: Vec<&Key> = foreign
                .keys()
                .filter(|other| kind(other) == kind(key))
                .collect();
            store
                .replace(key, foreign[choose(dice, &same)?].clone())
                .is_some()
        }
    };
    done.then(|| key.clone())
}

struct Built {
    rig: Rig,
    models: Vec<Bytes>,
    foreign: Objects,
}

/// Pools with several streams, segments and checkpoints for each disk, all of it in the store.
fn build(seed: u64) -> Built {
    let mut rig = Rig::new(seed);
    rig.stores
        .insert(OTHER.to_owned(), Arc::new(MemoryStore::new()));
    let mut dice = Dice::new(seed, "t5");
    let mut models: Vec<Bytes> = (1..5).map(|disk| Bytes::new(disk, SIZE)).collect();
    for life in 0..3 {
        let (models, dice) = (&mut models, &mut dice);
        rig.live(|started| async move { fill(&started, models, dice, life).await });
        rig.host.kill();
    }
    let foreign = rig.stores[OTHER].snapshot();
    Built {
        rig,
        models,
        foreign,
    }
}

async fn fill(life: &Life, models: &mut [Bytes], dice: &mut Dice, number: u64) {
    if number == 0 {
        life.create_pool().await;
        let store = life.sites[OTHER].store.clone();
        life.router
            .create_pool("other", place(OTHER), store)
            .await
            .expect("a pool");
        for (name, encrypt) in DISKS {
            life.router
                .create_disk(Some("default"), name, SIZE, encrypt)
                .await
                .expect("a disk");
        }
        life.router
            .create_disk(Some("other"), "x", SIZE, false)
            .await
            .expect("a disk");
    }
    let names = ["default:a", "default:b", "default:c", "other:x"];
    for (name, model) in names.into_iter().zip(models) {
        let device = life.router.device(name).await.expect("attach");
        for _ in 0..40 {
            step(&device, model, dice).await.expect("in health");
        }
        life.router.sync_disk(name).await.expect("sync");
    }
    if number != 1 {
        life.router
            .shutdown(Duration::from_secs(600))
            .await
            .expect("shutdown");
    }
}

/// What became of the cases of one kind of tampering.
#[derive(Default, Clone, Copy)]
struct Count {
    cases: u64,
    harmless: u64,
    errors: u64,
}

fn check_cause(error: &Error) {
    let kinds = [
        ErrorKind::Corrupt,
        ErrorKind::Unavailable,
        ErrorKind::Conflict,
        ErrorKind::Fenced,
    ];
    assert!(kinds.contains(&error.kind()), "{:?}: {error}", error.kind());
    assert!(error.to_string().len() > 20, "{error}");
}

/// Reads both disks; answers the errors met.
async fn read_all(life: Life, models: &[Bytes], piece: usize) -> u64 {
    let mut errors = 0;
    for (_, opened) in &life.opened {
        if let Err(error) = opened {
            check_cause(error);
            errors += 1;
        }
    }
    if errors > 0 {
        return errors;
    }
    for ((name, _), model) in DISKS.into_iter().zip(models) {
        match life.router.device(&format!("default:{name}")).await {
            Err(error) => {
                check_cause(&error);
                errors += 1;
            }
            Ok(device) => {
                let (_, refused) = sound_pieces(&device, &model.newest(0, SIZE), piece).await;
                for error in &refused {
                    check_block_error(error, &[BlockKind::Corrupt, BlockKind::Unavailable]);
                    assert!(error.to_string().contains(name), "{error}");
                }
                errors += refused.len() as u64;
            }
        }
    }
    errors
}

fn tell(figures: Figures, counts: &[(Tamper, Count)]) {
    let mut all = Count::default();
    for (tamper, count) in counts {
        println!(
            "  {tamper:?}: {} cases, {} harmless, {} with errors",
            count.cases, count.harmless, count.errors
        );
        all.cases += count.cases;
        all.harmless += count.harmless;
        all.errors += count.errors;
    }
    figures.tell(&[
        ("cases", all.cases),
        ("harmless", all.harmless),
        ("ended_in_errors", all.errors),
    ]);
}

/// How many cases of each kind.
fn cases_each() -> u64 {
    times(25)
}

/// What is altered, and how: other objects with another first seed.
fn tampering() -> Dice {
    Dice::new(seeds(1).start, "tampering")
}

#[test]
fn t5_an_altered_object_is_an_error_never_other_bytes() {
    let figures = Figures::of("t5_altered_objects");
    let mut built = build(5);
    let mut dice = tampering();
    let store = built.rig.store().clone();
    let mut counts = Vec::new();
    for tamper in ALL {
        let mut count = Count::default();
        while count.cases < cases_each() {
            let before = store.snapshot();
            let kinds = ["segment", "checkpoint"];
            let Some(key) = alter(&store, &built.foreign, tamper, &kinds, &mut dice) else {
                continue;
            };
            count.cases += 1;
            println!("{tamper:?} {key}");
            if dice.chance(70)
                && let Some(local) = built.rig.host.store_world("local")
            {
                local.wipe();
            }
            let piece = 1 + dice.below(40_000) as usize;
            let models = &built.models;
            let errors = built.rig.live(|life| read_all(life, models, piece));
            match errors {
                0 => count.harmless += 1,
                _ => count.errors += 1,
            }
            built.rig.host.kill();
            // Put back what was altered: the object as it was is served again.
            for (key, body) in before {
                if store.peek(&key).as_ref() != Some(&body) {
                    store.replace(&key, body);
                }
            }
            let models = &built.models;
            let errors = built.rig.live(|life| read_all(life, models, 65536));
            assert_eq!(errors, 0, "all is well again");
            built.rig.host.kill();
        }
        counts.push((tamper, count));
    }
    let deletes = counts
        .iter()
        .find(|(tamper, _)| *tamper == Tamper::Delete)
        .expect("one of all");
    assert!(deletes.1.errors > 0);
    tell(figures, &counts);
}

/// From the bucket alone, with one object altered. A store that forgets the newest objects or
/// serves older ones in their place shows an older state at most, of that disk alone.
#[test]
fn t5_adoption_of_an_altered_bucket_is_right_or_an_error() {
    let figures = Figures::of("t5_adoption_of_altered_buckets");
    let built = build(6);
    let mut dice = tampering();
    let pristine = built.rig.store().snapshot();
    let mut counts = Vec::new();
    for tamper in ALL {
        let mut count = Count::default();
        while count.cases < cases_each() {
            let store = Arc::new(MemoryStore::new());
            store.restore(pristine.clone());
            let kinds = ["segment", "checkpoint", "stream", "descriptor", "claim"];
            let Some(key) = alter(&store, &built.foreign, tamper, &kinds, &mut dice) else {
                // There is but one claim, so nothing to exchange it with: another key is drawn.
                continue;
            };
            if APART.contains(&(kind(&key), tamper)) {
                continue;
            }
            count.cases += 1;
            println!("{tamper:?} {key}");
            let mut rig = built.rig.elsewhere(7000 + count.cases);
            rig.stores = BTreeMap::from([(PLACE.to_owned(), store)]);
            let models = &built.models;
            let older = matches!(tamper, Tamper::Delete | Tamper::Replay | Tamper::Swap);
            let errors = rig.live(|life| adopt(life, models, older));
            match errors {
                0 => count.harmless += 1,
                _ => count.errors += 1,
            }
        }
        counts.push((tamper, count));
    }
    tell(figures, &counts);
}

async fn adopt(life: Life, models: &[Bytes], older: bool) -> u64 {
    let store = life.site().store.clone();
    let adopted = match life
        .router
        .adopt_pool(None, place(PLACE), store, true)
        .await
    {
        Ok(adopted) => adopted,
        Err(error) => {
            let kinds = [
                ErrorKind::Corrupt,
                ErrorKind::Unavailable,
                ErrorKind::Conflict,
                ErrorKind::NotFound,
            ];
            assert!(kinds.contains(&error.kind()), "{:?}: {error}", error.kind());
            return 1;
        }
    };
    let mut errors = 0;
    for ((name, _), model) in DISKS.into_iter().zip(models) {
        if !adopted.disks.iter().any(|disk| disk == name) {
            panic!("disk {name} was left out of the adoption without a word");
        }
        let device = match life.router.device(name).await {
            Ok(device) => device,
            Err(error) => {
                check_cause(&error);
                errors += 1;
                continue;
            }
        };
        if !older {
            let (_, refused) = sound_pieces(&device, &model.newest(0, SIZE), 65536).await;
            errors += refused.len() as u64;
            continue;
        }
        let mut whole = vec![0xa5; SIZE as usize];
        match device.read(0, &mut whole).await {
            Ok(()) => model.clone().check_prefix(&whole, 0),
            Err(_) => errors += 1,
        }
        let now = image_where_sound(&device).await;
        for (at, bytes) in now {
            assert!(
                model.is_plausible(at, &bytes),
                "bytes that nobody wrote at {at}"
            );
        }
    }
    errors
}

async fn image_where_sound(device: &Device) -> Vec<(u64, Vec<u8>)> {
    let mut pieces = Vec::new();
    for at in (0..SIZE).step_by(65536) {
        let mut bytes = vec![0xa5; 65536];
        if device.read(at, &mut bytes).await.is_ok() {
            pieces.push((at, bytes));
        }
    }
    pieces
}

/// More than any adoption here needs.
const REQUESTS_MAX: u32 = 20_000;

/// A stream record under the name of another epoch is not believed, and not looked for for ever.
#[test]
fn t5_a_stream_record_of_another_epoch_is_refused() {
    let figures = Figures::of("t5_stream_records_exchanged");
    let built = build(8);
    let pristine = built.rig.store().snapshot();
    let records: Vec<&Key> = pristine
        .keys()
        .filter(|key| kind(key) == "stream")
        .collect();
    let mut cases = 0;
    for key in &records {
        for other in records
            .iter()
            .filter(|other| disk_of(other) == disk_of(key) && *other != key)
        {
            println!("{other} in the place of {key}");
            let store = Arc::new(MemoryStore::new());
            store.restore(pristine.clone());
            store.replace(key, pristine[*other].clone());
            let mut rig = built.rig.elsewhere(8000 + cases);
            rig.stores = BTreeMap::from([(PLACE.to_owned(), store)]);
            let models = &built.models;
            rig.live(|life| async move {
                // An endless search becomes an error that is seen.
                let fault = Fault::ErrorBefore(StoreKind::Denied);
                let faults = life.faults().clone();
                faults.add_script(Script {
                    operations: Operations::ALL,
                    key_contains: String::new(),
                    skip: REQUESTS_MAX,
                    count: u32::MAX,
                    fault,
                });
                adopt(life, models, true).await;
                assert!(
                    faults.counts().total() < u64::from(REQUESTS_MAX),
                    "it looks for ever"
                );
            });
            cases += 1;
        }
    }
    assert!(cases > 0);
    figures.tell(&[("cases", cases)]);
}

/// A disk whose descriptor is gone has no name, but it is not left out without a word.
#[test]
fn t5_adoption_names_a_disk_whose_descriptor_is_gone() {
    let figures = Figures::of("t5_lost_descriptors");
    let built = build(9);
    let pristine = built.rig.store().snapshot();
    let descriptors = pristine.keys().filter(|key| kind(key) == "descriptor");
    let mut cases = 0;
    for key in descriptors {
        let store = Arc::new(MemoryStore::new());
        store.restore(pristine.clone());
        store.lose(key).expect("it is there");
        let mut rig = built.rig.elsewhere(9000 + cases);
        rig.stores = BTreeMap::from([(PLACE.to_owned(), store)]);
        rig.live(|life| async move {
            let store = life.site().store.clone();
            let error = life
                .router
                .adopt_pool(None, place(PLACE), store, true)
                .await;
            let error = error.expect_err("a disk cannot be brought back");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains(disk_of(key)), "{error}");
        });
        cases += 1;
    }
    assert_eq!(cases, 3);
    figures.tell(&[("cases", cases)]);
}
