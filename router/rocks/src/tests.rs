//! RocksDB as a local store: what every store must do, death, damage, limits.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use vpool_host::local_store::conformance;
use vpool_host::{Batch, Durability, LocalStore, Table, TableKind};

use crate::{Limits, RocksStore};

const LIMITS: Limits = Limits {
    block_cache_bytes: 4 << 20,
    write_buffer_bytes: 4 << 20,
};

fn open(path: &Path) -> RocksStore {
    RocksStore::open(path, &conformance::TABLES, &LIMITS).unwrap()
}

#[test]
fn it_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conformance::check(&open(&dir.path().join("not/there/yet")));
}

#[test]
fn what_was_written_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    conformance::fill_before_reopen(&store);
    drop(store);
    let store = open(dir.path());
    conformance::check_reopened(&store);
    // After an orderly close also what was volatile.
    let cached = store.scan("cache", b"r", None, 1000).unwrap();
    assert_eq!(cached.len(), 100);
}

/// Not a test by itself: what the one below runs in a process of its own.
#[test]
fn child_that_dies() {
    if let Some(dir) = std::env::var_os("VPOOL_ROCKS_DIES_IN") {
        let store = open(&PathBuf::from(dir));
        conformance::fill_before_reopen(&store);
        // With the store still open.
        std::process::abort();
    }
}

/// Has a process fill the store, and die without a close.
fn fill_and_die(store: &Path) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::child_that_dies"])
        .env("VPOOL_ROCKS_DIES_IN", store)
        .output()
        .unwrap()
        .status;
    assert!(!status.success(), "it was to die");
}

#[test]
fn synced_writes_survive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    fill_and_die(dir.path());
    conformance::check_reopened(&open(dir.path()));
}

#[test]
fn a_torn_log_opens_with_a_prefix() {
    let dir = tempfile::tempdir().unwrap();
    fill_and_die(dir.path());
    let logs = files(dir.path(), "log");
    let log = logs
        .iter()
        .max_by_key(|log| fs::metadata(log).unwrap().len())
        .unwrap();
    let whole = fs::read(log).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let mut most = 0;
    for cut in (0..whole.len()).step_by(whole.len() / 16) {
        for zeroes in [0, 5000] {
            let path = copy.path().join(format!("{cut}-{zeroes}"));
            fs::create_dir(&path).unwrap();
            for file in fs::read_dir(dir.path()).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), path.join(file.file_name())).unwrap();
            }
            let mut torn = whole[..cut].to_vec();
            torn.resize(cut + zeroes, 0);
            fs::write(path.join(log.file_name().unwrap()), torn).unwrap();
            let pairs = open(&path).scan("beta", b"r", None, 1000).unwrap();
            for ((key, value), number) in pairs.iter().zip(0..100u8) {
                assert_eq!(
                    (&key[..], &value[..]),
                    (&[b'r', number][..], &[number; 3][..])
                );
            }
            assert!(pairs.len() >= most, "a longer log has more");
            most = pairs.len();
        }
    }
    assert!(most > 90, "{most} of 100");
}

#[test]
fn a_store_in_use_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = RocksStore::open(dir.path(), &conformance::TABLES, &LIMITS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceBusy);
    let text = error.to_string();
    assert!(text.contains(dir.path().to_str().unwrap()), "{text}");
    assert!(text.contains("another vpoold"), "{text}");
    drop(store);
    open(dir.path());
}

#[test]
fn tables_of_another_build_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    conformance::fill_before_reopen(&store);
    drop(store);
    let fewer = [conformance::TABLES[0]];
    let store = RocksStore::open(dir.path(), &fewer, &LIMITS).unwrap();
    let error = store.get("beta", b"r").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    drop(store);
    let mut more = conformance::TABLES.to_vec();
    more.push(Table {
        name: "later",
        kind: TableKind::Durable,
    });
    let store = RocksStore::open(dir.path(), &more, &LIMITS).unwrap();
    conformance::check_reopened(&store);
    assert_eq!(store.get("later", b"x").unwrap(), None);
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

#[test]
fn damage_is_an_error_never_other_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    conformance::fill_before_reopen(&store);
    drop(store);
    // A bit of every 100 bytes of every table file, one after the other.
    let mut noticed = 0;
    for file in files(dir.path(), "sst") {
        let good = fs::read(&file).unwrap();
        for at in (0..good.len()).step_by(250) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            fs::write(&file, &bad).unwrap();
            match RocksStore::open(dir.path(), &conformance::TABLES, &LIMITS) {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
                    noticed += 1;
                }
                Ok(store) => noticed += usize::from(reads_wrong(&store)),
            }
        }
        fs::write(&file, &good).unwrap();
    }
    assert!(noticed > 8, "{noticed} flips noticed");
    conformance::check_reopened(&open(dir.path()));
}

/// Reads all; whether anything was refused. What is answered must be right.
fn reads_wrong(store: &RocksStore) -> bool {
    let mut refused = false;
    for number in 50..100u8 {
        match store.get("alpha", &[b'r', number]) {
            Ok(value) => assert_eq!(value, Some(vec![number; 100])),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
                refused = true;
            }
        }
    }
    match store.scan("beta", b"", None, 1000) {
        Ok(pairs) => assert_eq!(pairs.len(), 100),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
            refused = true;
        }
    }
    refused
}

#[test]
fn a_store_without_its_manifest_names_the_path() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    fs::write(dir.path().join("CURRENT"), b"MANIFEST-999999\n").unwrap();
    let error = RocksStore::open(dir.path(), &conformance::TABLES, &LIMITS).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(dir.path().to_str().unwrap()), "{text}");
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = RocksStore::open(file.path(), &conformance::TABLES, &LIMITS).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(file.path().to_str().unwrap()), "{text}");
}

#[test]
fn a_cache_stays_within_its_size_and_drops_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let tables = [
        Table {
            name: "meta",
            kind: TableKind::Durable,
        },
        Table {
            name: "nodes",
            kind: TableKind::Cache { bytes: 8 << 20 },
        },
    ];
    let store = RocksStore::open(dir.path(), &tables, &LIMITS).unwrap();
    let mut batch = Batch::default();
    batch.put("meta", *b"kept", *b"for ever");
    store.write(batch, Durability::Synced).unwrap();
    // 64 MiB of values that do not shrink.
    let mut value = vec![0; 16 << 10];
    for number in 0..4096u32 {
        for (byte, place) in value.iter_mut().zip(0u32..) {
            let word = number
                .wrapping_mul(2_654_435_761)
                .wrapping_add(place * place);
            *byte = word.to_le_bytes()[2];
        }
        let mut batch = Batch::default();
        batch.put("nodes", number.to_be_bytes(), value.clone());
        store.write(batch, Durability::Volatile).unwrap();
        if number % 256 == 0 {
            let memory = store.memory_bytes().unwrap();
            assert!(memory < 24 << 20, "{memory} bytes of memory");
        }
    }
    drop(store);
    let store = RocksStore::open(dir.path(), &tables, &LIMITS).unwrap();
    let bytes: u64 = files(dir.path(), "sst")
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(bytes < 12 << 20, "{bytes} bytes on the disk");
    let newest = store.get("nodes", &4095u32.to_be_bytes()).unwrap();
    assert_eq!(newest, Some(value));
    assert_eq!(store.get("nodes", &0u32.to_be_bytes()).unwrap(), None);
    assert_eq!(
        store.get("meta", b"kept").unwrap(),
        Some(b"for ever".to_vec())
    );
}
