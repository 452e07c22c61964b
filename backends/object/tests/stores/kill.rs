//! Writers to a directory store that are killed while they put: only whole objects show,
//! and everything that was answered is there.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use vpool_object::fs::{DirectoryOptions, DirectoryStore};
use vpool_object::{Key, ObjectStore};

/// Tells this test binary to be the writer: where to.
const WRITER: &str = "VPOOL_TEST_WRITER";
const CYCLES: u32 = 12;

/// The body of an object is a function of its name.
fn body(name: &str) -> Bytes {
    let number: usize = name.rsplit('/').next().unwrap().parse().unwrap();
    let length = 200_000 + number * 7919 % 3_000_000;
    Bytes::from(name.bytes().cycle().take(length).collect::<Vec<u8>>())
}

/// Not a test of its own: the child process of the one below.
#[test]
fn writer() {
    let Some(root) = std::env::var_os(WRITER) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = DirectoryOptions::new("writer");
        let store = Arc::new(
            DirectoryStore::open(Path::new(&root), options)
                .await
                .unwrap(),
        );
        let tasks = (0..4).map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for i in 0..100_000 {
                    let name = format!("{}/{task}/{}/{i}", std::process::id(), i % 7);
                    store
                        .put(&Key::new(name.as_str()).unwrap(), body(&name))
                        .await
                        .unwrap();
                    println!("\nput {name}");
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

#[tokio::test]
async fn killed_writers_leave_whole_objects_only() {
    let directory = tempfile::tempdir().unwrap();
    let options = DirectoryOptions {
        sweep_age: Duration::ZERO,
        ..DirectoryOptions::new("writer")
    };
    DirectoryStore::create(directory.path(), options.clone())
        .await
        .unwrap();
    let (mut objects, mut answered, mut torn) = (0, 0, 0);
    for cycle in 0..CYCLES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::writer", "--nocapture"])
            .env(WRITER, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed at some moment after its first put was answered.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut done = Vec::new();
        let mut end = None;
        while end.is_none_or(|end| Instant::now() < end) {
            let line = lines.next().unwrap().unwrap();
            if let Some(name) = line.strip_prefix("put ") {
                done.push(name.to_owned());
                let more = Duration::from_millis(u64::from(cycle) * 11 + 5);
                end.get_or_insert(Instant::now() + more);
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        done.extend(lines.map_while(Result::ok).filter_map(|l| {
            // The last line may be cut; what is whole ends in its number's object.
            l.strip_prefix("put ").map(str::to_owned)
        }));
        torn += std::fs::read_dir(directory.path().join("+tmp"))
            .unwrap()
            .count();

        let store = DirectoryStore::open(directory.path(), options.clone())
            .await
            .unwrap();
        for name in &done {
            let key = Key::new(name.as_str()).unwrap();
            match store.get(&key).await {
                Ok(found) => assert_eq!(found, body(name), "{name}"),
                Err(_) if Some(name) == done.last() => {}
                Err(error) => panic!("{name} was answered: {error}"),
            }
        }
        answered += done.len();
        let page = store.list("", None, 1_000_000).await.unwrap();
        for listed in &page.objects {
            let found = store.get(&listed.key).await.unwrap();
            assert_eq!(found, body(listed.key.as_str()), "{}", listed.key);
        }
        objects += page.objects.len();
        let keys: Vec<Key> = page.objects.into_iter().map(|listed| listed.key).collect();
        store
            .delete_many(&keys)
            .await
            .into_iter()
            .collect::<Result<Vec<()>, _>>()
            .unwrap();
    }
    println!("{CYCLES} kills: {objects} objects, {answered} answered, {torn} leftovers");
    assert!(objects >= answered.saturating_sub(CYCLES as usize));
}
