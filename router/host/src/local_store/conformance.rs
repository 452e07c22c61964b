//! What every [`LocalStore`] must do: a test that each implementation runs on itself.

use std::io::ErrorKind;

use super::{Batch, Durability, LocalStore, Table, TableKind};

/// The tables that the store under test must have been opened with.
pub const TABLES: [Table; 3] = [
    Table {
        name: "alpha",
        kind: TableKind::Durable,
    },
    Table {
        name: "beta",
        kind: TableKind::Durable,
    },
    Table {
        name: "cache",
        kind: TableKind::Cache { bytes: 64 << 20 },
    },
];

const DURABILITIES: [Durability; 2] = [Durability::Synced, Durability::Volatile];

/// Checks an empty store that was opened with [`TABLES`].
///
/// # Panics
/// With what is wrong.
pub fn check(store: &dyn LocalStore) {
    for durability in DURABILITIES {
        gets_what_was_put(store, durability);
        batches_apply_in_order(store, durability);
        scans(store, durability);
    }
    refuses_unknown_tables(store);
}

/// Writes what [`check_reopened`] expects after the store has been closed (or its process
/// killed) and opened again.
///
/// # Panics
/// With what is wrong.
pub fn fill_before_reopen(store: &dyn LocalStore) {
    for number in 0..100u8 {
        let mut batch = Batch::default();
        batch.put("alpha", [b'r', number], vec![number; 100]);
        batch.put("beta", [b'r', number], vec![number; 3]);
        batch.delete("alpha", [b'r', number / 2]);
        write(store, batch, Durability::Synced);
        let mut batch = Batch::default();
        batch.put("cache", [b'r', number], vec![number; 10]);
        write(store, batch, Durability::Volatile);
    }
}

/// Checks that all synced writes are there, and of the volatile ones a prefix.
///
/// # Panics
/// With what is wrong.
pub fn check_reopened(store: &dyn LocalStore) {
    for number in 0..100u8 {
        let alpha = get(store, "alpha", &[b'r', number]);
        let expected = (number >= 50).then(|| vec![number; 100]);
        assert_eq!(alpha, expected, "alpha {number}");
        let beta = get(store, "beta", &[b'r', number]);
        assert_eq!(beta, Some(vec![number; 3]), "beta {number}");
    }
    let cached = scan(store, "cache", b"r", None, 1000);
    for (index, (key, value)) in (0..100u8).zip(&cached) {
        assert_eq!(key, &[b'r', index], "volatile writes are kept in order");
        assert_eq!(value, &vec![index; 10]);
    }
}

fn gets_what_was_put(store: &dyn LocalStore, durability: Durability) {
    assert_eq!(get(store, "alpha", b"key"), None);
    let mut batch = Batch::default();
    batch.put("alpha", *b"key", *b"one");
    batch.put("beta", *b"key", *b"");
    batch.put("cache", *b"key", vec![7; 100_000]);
    write(store, batch, durability);
    assert_eq!(get(store, "alpha", b"key"), Some(b"one".to_vec()));
    assert_eq!(get(store, "beta", b"key"), Some(Vec::new()), "empty values");
    assert_eq!(get(store, "cache", b"key"), Some(vec![7; 100_000]));
    assert_eq!(get(store, "alpha", b"ke"), None);
    assert_eq!(get(store, "alpha", b"keys"), None);
    let mut batch = Batch::default();
    for table in ["alpha", "beta", "cache"] {
        batch.delete(table, *b"key");
        batch.delete(table, *b"never was");
    }
    write(store, batch, durability);
    for table in ["alpha", "beta", "cache"] {
        assert_eq!(get(store, table, b"key"), None);
    }
    write(store, Batch::default(), durability);
}

fn batches_apply_in_order(store: &dyn LocalStore, durability: Durability) {
    let mut batch = Batch::default();
    batch.put("alpha", *b"a", *b"1");
    batch.put("alpha", *b"a", *b"2");
    batch.delete("alpha", *b"b");
    batch.put("alpha", *b"b", *b"3");
    batch.put("alpha", *b"c", *b"4");
    batch.delete("alpha", *b"c");
    write(store, batch, durability);
    assert_eq!(get(store, "alpha", b"a"), Some(b"2".to_vec()));
    assert_eq!(get(store, "alpha", b"b"), Some(b"3".to_vec()));
    assert_eq!(get(store, "alpha", b"c"), None);
    let mut batch = Batch::default();
    batch.delete("alpha", *b"a");
    batch.delete("alpha", *b"b");
    write(store, batch, durability);
}

/// Prefix, from, count, and the keys expected.
type ScanCase<'a> = (&'a [u8], Option<&'a [u8]>, usize, &'a [&'a [u8]]);

fn scans(store: &dyn LocalStore, durability: Durability) {
    let keys: [&[u8]; 8] = [
        b"",
        b"a",
        b"a\x00",
        b"a\xff",
        b"a\xff\xff",
        b"b",
        b"\xff",
        b"\xff\xff",
    ];
    let mut batch = Batch::default();
    for (key, value) in keys.iter().rev().zip(0..) {
        batch.put("beta", *key, [value]);
    }
    // Of other tables nothing is seen.
    batch.put("alpha", *b"a\x01", *b"other");
    write(store, batch, durability);
    let found = |prefix: &[u8], from: Option<&[u8]>, count_max| -> Vec<Vec<u8>> {
        let pairs = scan(store, "beta", prefix, from, count_max);
        for (key, value) in &pairs {
            assert_eq!(Some(value), get(store, "beta", key).as_ref());
        }
        pairs.into_iter().map(|(key, _)| key).collect()
    };
    let cases: [ScanCase<'_>; 11] = [
        (b"", None, 100, &keys),
        (b"", None, 2, &keys[..2]),
        (b"", None, 0, &[]),
        (b"a", None, 100, &keys[1..5]),
        (b"a", Some(b"a\xff"), 100, &keys[3..5]),
        (b"a", Some(b"a\xff"), 1, &keys[3..4]),
        // `from` before the prefix changes nothing, after it there is nothing.
        (b"a", Some(b""), 100, &keys[1..5]),
        (b"a", Some(b"b"), 100, &[]),
        (b"\xff", None, 100, &keys[6..]),
        (b"a\xff", Some(b"a\xff\x00"), 100, &keys[4..5]),
        (b"zebra", None, 100, &[]),
    ];
    for (prefix, from, count_max, expected) in cases {
        assert_eq!(
            found(prefix, from, count_max),
            expected,
            "prefix {prefix:?} from {from:?} count {count_max}"
        );
    }
    let mut batch = Batch::default();
    for key in keys {
        batch.delete("beta", key);
    }
    batch.delete("alpha", *b"a\x01");
    write(store, batch, durability);
    assert_eq!(found(b"", None, 100), Vec::<Vec<u8>>::new());
}

fn refuses_unknown_tables(store: &dyn LocalStore) {
    let kind = |result: std::io::Result<()>| result.err().map(|error| error.kind());
    let unknown = Some(ErrorKind::InvalidInput);
    assert_eq!(kind(store.get("nowhere", b"a").map(drop)), unknown);
    assert_eq!(
        kind(store.scan("nowhere", b"a", None, 1).map(drop)),
        unknown
    );
    let mut batch = Batch::default();
    batch.put("alpha", *b"half", *b"1");
    batch.put("nowhere", *b"half", *b"2");
    assert_eq!(kind(store.write(batch, Durability::Synced)), unknown);
    assert_eq!(get(store, "alpha", b"half"), None, "all or nothing");
}

fn get(store: &dyn LocalStore, table: &'static str, key: &[u8]) -> Option<Vec<u8>> {
    store.get(table, key).expect("a get of a known table")
}

fn write(store: &dyn LocalStore, batch: Batch, durability: Durability) {
    store
        .write(batch, durability)
        .expect("a write to known tables");
}

fn scan(
    store: &dyn LocalStore,
    table: &'static str,
    prefix: &[u8],
    from: Option<&[u8]>,
    count_max: usize,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    store
        .scan(table, prefix, from, count_max)
        .expect("a scan of a known table")
}
