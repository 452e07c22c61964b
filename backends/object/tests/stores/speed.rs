//! How fast the directory store is: a measurement, run by hand.
//!
//! `cargo test -p vpool-object --test stores speed -- --ignored --nocapture`; the directory
//! measured is `VPOOL_TEST_DIRECTORY`, by default the temporary one.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use vpool_object::fs::{DirectoryOptions, DirectoryStore};
use vpool_object::{Key, ObjectStore};

const BODY: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed() {
    let parent = std::env::var_os("VPOOL_TEST_DIRECTORY").unwrap_or("/tmp".into());
    let directory = tempfile::tempdir_in(parent).unwrap();
    let options = DirectoryOptions::new("speed");
    let store = Arc::new(
        DirectoryStore::create(directory.path(), options)
            .await
            .unwrap(),
    );
    let body = Bytes::from((0..=255).cycle().take(BODY).collect::<Vec<u8>>());

    // What the disk does with the same syncs and nothing else.
    let begin = Instant::now();
    for i in 0..16 {
        let file = std::fs::File::create(directory.path().join(format!("Plain{i}"))).unwrap();
        std::io::Write::write_all(&mut &file, &body).unwrap();
        file.sync_data().unwrap();
    }
    rate("plain files, one at a time", 16, begin);

    for parallel in [1, 4] {
        let begin = Instant::now();
        let tasks = (0..parallel).map(|task| {
            let (store, body) = (store.clone(), body.clone());
            tokio::spawn(async move {
                for i in 0..32 / parallel {
                    let key = Key::new(format!("put/{parallel}/{task}/{i}")).unwrap();
                    store.put(&key, body.clone()).await.unwrap();
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        rate(&format!("put, {parallel} at a time"), 32, begin);
    }
    for parallel in [1, 4] {
        let begin = Instant::now();
        let tasks = (0..parallel).map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for i in 0..32 / parallel {
                    let key = Key::new(format!("put/{parallel}/{task}/{i}")).unwrap();
                    assert_eq!(store.get(&key).await.unwrap().len(), BODY);
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        rate(&format!("get from memory, {parallel} at a time"), 32, begin);
    }
    let begin = Instant::now();
    let key = Key::new("put/1/0/0").unwrap();
    for i in 0..2000_u64 {
        let start = i * 4096;
        store.get_range(&key, start..start + 32_768).await.unwrap();
    }
    println!(
        "ranges of 32 KiB: {:.0} a second",
        2000.0 / begin.elapsed().as_secs_f64()
    );
    let begin = Instant::now();
    for i in 0..200 {
        let key = Key::new(format!("small/{i}")).unwrap();
        store
            .put(&key, Bytes::from_static(&[1; 4096]))
            .await
            .unwrap();
    }
    println!(
        "puts of 4 KiB: {:.0} a second",
        200.0 / begin.elapsed().as_secs_f64()
    );
}

fn rate(what: &str, count: usize, begin: Instant) {
    let mebibytes = (count * (BODY >> 20)) as f64;
    println!(
        "{what}: {:.0} MiB/s",
        mebibytes / begin.elapsed().as_secs_f64()
    );
}
