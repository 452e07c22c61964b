//! Tests of the directory store: its files, its refusals, full and read-only disks.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};

use super::{DirectoryOptions, DirectoryStore};
use crate::{Error, ErrorKind, Key, ObjectStore};

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn options() -> DirectoryOptions {
    DirectoryOptions::new("host-1")
}

async fn fresh() -> (tempfile::TempDir, DirectoryStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = DirectoryStore::create(directory.path(), options())
        .await
        .unwrap();
    (directory, store)
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn file_names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn objects_are_plain_files_and_empty_directories_go() {
    let (directory, store) = fresh().await;
    store
        .put(&key("a/b/c"), Bytes::from_static(b"one"))
        .await
        .unwrap();
    store
        .put(&key("a/b"), Bytes::from_static(b"two"))
        .await
        .unwrap();
    assert_eq!(fs::read(directory.path().join("a/b/c+")).unwrap(), b"one");
    assert_eq!(fs::read(directory.path().join("a/b+")).unwrap(), b"two");
    assert_eq!(file_names(&directory.path().join("+tmp")), [""; 0]);
    store.delete(&key("a/b/c")).await.unwrap();
    assert_eq!(file_names(&directory.path().join("a")), ["b+"]);
    for result in store
        .delete_many(&[key("a/b"), key("a/none"), key("none/at/all")])
        .await
    {
        result.unwrap();
    }
    assert_eq!(file_names(directory.path()), ["+tmp"]);
    store
        .put(&key("a/b/c"), Bytes::from_static(b"one"))
        .await
        .unwrap();
    store.get(&key("a/b/c")).await.unwrap();
}

#[tokio::test]
async fn foreign_files_are_left_alone() {
    let (directory, store) = fresh().await;
    for name in ["lost+found", "Upper/x+", "a/link-to/x+"] {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"foreign").unwrap();
    }
    fs::write(directory.path().join("a/.nfs0001"), b"foreign").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", directory.path().join("a/p+")).unwrap();
    std::os::unix::fs::symlink("/etc", directory.path().join("etc")).unwrap();
    let page = store.list("", None, 100).await.unwrap();
    let names: Vec<&str> = page
        .objects
        .iter()
        .map(|listed| listed.key.as_str())
        .collect();
    assert_eq!(names, ["a/link-to/x"]);
    store.get(&key("a/p")).await.unwrap_err();
}

#[tokio::test]
async fn a_location_must_be_there_and_be_one() {
    let (directory, store) = fresh().await;
    drop(store);
    DirectoryStore::open(directory.path(), options())
        .await
        .unwrap();
    DirectoryStore::create(directory.path(), options())
        .await
        .unwrap();
    let missing = directory.path().join("missing");
    let bare = directory.path().join("bare");
    fs::create_dir(&bare).unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    for path in [&missing, &bare, &file] {
        let opened = DirectoryStore::open(path, options()).await;
        assert_eq!(kind(opened), ErrorKind::NoLocation, "{path:?}");
    }
    for path in [&missing, &file] {
        let created = DirectoryStore::create(path, options()).await;
        assert_eq!(kind(created), ErrorKind::NoLocation, "{path:?}");
    }
    for owner in ["", "a/b", "A", "a.b"] {
        let opened = DirectoryStore::open(directory.path(), DirectoryOptions::new(owner)).await;
        assert_eq!(kind(opened), ErrorKind::Invalid, "{owner:?}");
    }
}

/// "Not found" would mean that objects are lost.
#[tokio::test]
async fn a_root_that_is_gone_is_no_location_and_not_an_empty_store() {
    let (directory, store) = fresh().await;
    store
        .put(&key("a/b"), Bytes::from_static(b"one"))
        .await
        .unwrap();
    fs::remove_dir_all(directory.path()).unwrap();
    assert_eq!(kind(store.get(&key("a/b")).await), ErrorKind::NoLocation);
    assert_eq!(kind(store.head(&key("a/b")).await), ErrorKind::NoLocation);
    assert_eq!(kind(store.list("", None, 9).await), ErrorKind::NoLocation);
    assert_eq!(kind(store.list("a/", None, 9).await), ErrorKind::NoLocation);
    assert_eq!(kind(store.delete(&key("a/b")).await), ErrorKind::NoLocation);
    assert_eq!(
        kind(store.put(&key("a/c"), Bytes::new()).await),
        ErrorKind::NoLocation
    );
    assert_eq!(
        kind(store.put(&key("x"), Bytes::new()).await),
        ErrorKind::NoLocation
    );
}

#[tokio::test]
async fn only_own_and_old_leftovers_are_swept() {
    let (directory, store) = fresh().await;
    drop(store);
    let temporary = directory.path().join("+tmp");
    let long_ago = SystemTime::now() - Duration::from_secs(7200);
    for (name, old) in [
        ("host-1.7.0", true),
        ("host-1.7.1", false),
        ("host-10.7.0", true),
        ("host-2.7.0", true),
    ] {
        fs::write(temporary.join(name), b"half").unwrap();
        if old {
            let file = fs::File::options()
                .write(true)
                .open(temporary.join(name))
                .unwrap();
            file.set_modified(long_ago).unwrap();
        }
    }
    DirectoryStore::open(directory.path(), options())
        .await
        .unwrap();
    assert_eq!(
        file_names(&temporary),
        ["host-1.7.1", "host-10.7.0", "host-2.7.0"]
    );
}

/// As NFS needs it, which has no rename that spares an existing name.
#[tokio::test]
async fn a_second_name_serves_where_a_rename_cannot() {
    let (directory, store) = fresh().await;
    let root = store.root.clone();
    tokio::task::spawn_blocking(move || {
        let target = root.directories.durable("d").unwrap();
        let (temporary, _) = root.create_temporary().unwrap();
        temporary.link_new(&target, "a+").unwrap();
        let again = temporary.link_new(&target, "a+").unwrap_err();
        assert_eq!(again, rustix::io::Errno::EXIST);
    })
    .await
    .unwrap();
    assert_eq!(file_names(&directory.path().join("d")), ["a+"]);
    assert_eq!(file_names(&directory.path().join("+tmp")), [""; 0]);
}

/// Two hosts: one empties and so removes the directories that the other puts into.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_survive_the_removal_of_their_directories() {
    let (directory, store) = fresh().await;
    let other = DirectoryOptions::new("host-2");
    let other = Arc::new(DirectoryStore::open(directory.path(), other).await.unwrap());
    let store = Arc::new(store);
    let done = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for (task, store) in [&store, &other, &store, &other].into_iter().enumerate() {
        let (store, done) = (store.clone(), done.clone());
        tasks.push(tokio::spawn(async move {
            for i in 0..60 {
                let key = key(&format!("d/e/f/{task}-{i}"));
                let body = Bytes::from(format!("{task}-{i}"));
                store.put(&key, body.clone()).await.unwrap();
                assert_eq!(store.get(&key).await.unwrap(), body);
                store.delete(&key).await.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(done.load(Ordering::Relaxed), 240);
    assert_eq!(file_names(directory.path()), ["+tmp"]);
}

/// Runs `test` on a small file system of its own that only its thread sees.
fn on_small_disk(test: impl AsyncFnOnce(&Path) + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: mounting a small file system needs root");
        return;
    }
    let thread = std::thread::spawn(move || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        // SAFETY: only the mount namespace is unshared, of this thread; no file descriptor
        // or memory is affected, and the thread ends with the test.
        let unshared =
            unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) };
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        let mounted = unshared
            .and_then(|()| mount_change("/", private))
            .and_then(|()| {
                mount(
                    "tmpfs",
                    path,
                    "tmpfs",
                    MountFlags::empty(),
                    Some(c"size=1m"),
                )
            });
        if let Err(errno) = mounted {
            println!("skipped: no mount namespace or tmpfs of its own: {errno}");
            return;
        }
        // Its blocking threads are started from here, so they see the same mounts.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test(path));
        runtime.shutdown_timeout(Duration::from_secs(10));
        rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH).unwrap();
    });
    thread.join().unwrap();
}

#[test]
fn a_full_disk_is_no_space_and_leaves_nothing_behind() {
    on_small_disk(async |path| {
        let store = DirectoryStore::create(path, options()).await.unwrap();
        let body = Bytes::from(vec![7; 300_000]);
        for i in 0..3 {
            store
                .put(&key(&format!("a/{i}")), body.clone())
                .await
                .unwrap();
        }
        for _ in 0..20 {
            assert_eq!(
                kind(store.put(&key("a/3"), body.clone()).await),
                ErrorKind::NoSpace
            );
        }
        assert_eq!(file_names(&path.join("+tmp")), [""; 0]);
        assert_eq!(store.list("", None, 10).await.unwrap().objects.len(), 3);
        store.put(&key("a/0"), body.clone()).await.unwrap();
        // A full store has a way down.
        store.delete(&key("a/0")).await.unwrap();
        store.put(&key("a/3"), body.clone()).await.unwrap();
        assert_eq!(store.get(&key("a/3")).await.unwrap(), body);
    });
}

#[test]
fn a_disk_that_turned_read_only_denies_writes_and_serves_reads() {
    on_small_disk(async |path| {
        let store = DirectoryStore::create(path, options()).await.unwrap();
        let body = Bytes::from_static(b"body");
        store.put(&key("a/0"), body.clone()).await.unwrap();
        mount_remount(path, MountFlags::RDONLY, c"").unwrap();
        assert_eq!(
            kind(store.put(&key("a/1"), body.clone()).await),
            ErrorKind::Denied
        );
        assert_eq!(kind(store.delete(&key("a/0")).await), ErrorKind::Denied);
        assert_eq!(store.get(&key("a/0")).await.unwrap(), body);
        // A new directory too, and a store that is opened in this state.
        assert_eq!(
            kind(store.put(&key("b/1"), body.clone()).await),
            ErrorKind::Denied
        );
        let store = DirectoryStore::open(path, options()).await.unwrap();
        assert_eq!(store.get(&key("a/0")).await.unwrap(), body);
    });
}

/// An unmounted NAS: what lies below the mount point is not the store.
#[test]
fn the_directory_below_an_unmounted_store_is_not_taken_for_it() {
    on_small_disk(async |path| {
        let store = DirectoryStore::create(path, options()).await.unwrap();
        store
            .put(&key("a"), Bytes::from_static(b"x"))
            .await
            .unwrap();
        rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH).unwrap();
        let opened = DirectoryStore::open(path, options()).await;
        assert_eq!(kind(opened), ErrorKind::NoLocation);
        // The one that was open still holds what it had.
        assert_eq!(store.get(&key("a")).await.unwrap(), &b"x"[..]);
        store
            .put(&key("b"), Bytes::from_static(b"y"))
            .await
            .unwrap();
        assert_eq!(file_names(path), [""; 0]);
        mount(
            "tmpfs",
            path,
            "tmpfs",
            MountFlags::empty(),
            Some(c"size=1m"),
        )
        .unwrap();
    });
}
