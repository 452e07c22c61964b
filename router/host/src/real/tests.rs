//! The real file system does what [`crate::files`] says.

use std::io::{ErrorKind, IoSlice};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::{Host, OpenMode};

struct Dir {
    host: Host,
    dir: tempfile::TempDir,
}

fn dir() -> Dir {
    Dir {
        host: Host::real(),
        dir: tempfile::tempdir().unwrap(),
    }
}

impl Dir {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

#[test]
fn writes_of_many_parts_are_read_back() {
    let d = dir();
    let file = d.host.files.open(&d.path("a"), OpenMode::Create).unwrap();
    // More parts than one pwritev takes, some of them empty.
    let bytes: Vec<u8> = (0..9000u32).map(|i| (i % 251) as u8).collect();
    let parts: Vec<IoSlice<'_>> = bytes
        .chunks(3)
        .flat_map(|part| [IoSlice::new(part), IoSlice::new(&[])])
        .collect();
    file.write_at(&parts, 77).unwrap();
    file.sync().unwrap();
    assert_eq!(file.size().unwrap(), 9077);
    let mut back = vec![1; 9077];
    file.read_at(&mut back, 0).unwrap();
    assert!(back[..77].iter().all(|byte| *byte == 0));
    assert_eq!(back[77..], bytes);
    file.write_at(&[], 5).unwrap();
}

#[test]
fn the_end_of_the_file_is_an_error() {
    let d = dir();
    let file = d.host.files.open(&d.path("a"), OpenMode::Create).unwrap();
    file.write_at(&[IoSlice::new(b"0123456789")], 0).unwrap();
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(file.read_at(&mut [0; 4], 8)), ErrorKind::UnexpectedEof);
    assert_eq!(
        kind(file.read_cached_at(&mut [0; 4], 8).map(drop)),
        ErrorKind::UnexpectedEof
    );
    assert!(file.read_cached_at(&mut [0; 4], u64::MAX).is_err());
}

#[test]
fn cached_reads_need_the_cache() {
    let d = dir();
    let file = d.host.files.open(&d.path("a"), OpenMode::Create).unwrap();
    let bytes = vec![7u8; 1 << 20];
    file.write_at(&[IoSlice::new(&bytes)], 0).unwrap();
    let mut back = vec![0; 1 << 20];
    if !file.read_cached_at(&mut back, 0).unwrap() {
        return; // A file system that cannot tell: `false` is always allowed.
    }
    assert_eq!(back, bytes);
    file.start_writeout(0, 1 << 20).unwrap();
    file.start_writeout(0, 0).unwrap();
    file.sync().unwrap();
    file.evict(0, 0).unwrap();
    file.evict(0, 1 << 20).unwrap();
    // Evicted or not, what a read answers is right.
    back.fill(0);
    if !file.read_cached_at(&mut back, 0).unwrap() {
        file.read_at(&mut back, 0).unwrap();
    }
    assert_eq!(back, bytes);
}

#[test]
fn punched_holes_read_as_zeroes_and_keep_the_size() {
    let d = dir();
    let file = d.host.files.open(&d.path("a"), OpenMode::Create).unwrap();
    file.write_at(&[IoSlice::new(&[9; 16384])], 0).unwrap();
    file.punch_hole(4096, 0).unwrap();
    match file.punch_hole(4096, 8192) {
        Err(error) if error.kind() == ErrorKind::Unsupported => return,
        result => result.unwrap(),
    }
    let mut back = [1; 16384];
    file.read_at(&mut back, 0).unwrap();
    assert!(back[..4096].iter().all(|byte| *byte == 9));
    assert!(back[4096..12288].iter().all(|byte| *byte == 0));
    assert!(back[12288..].iter().all(|byte| *byte == 9));
    file.set_size(100).unwrap();
    assert_eq!(file.size().unwrap(), 100);
}

#[test]
fn modes_and_permissions() {
    let d = dir();
    let files = &d.host.files;
    let path = d.path("a");
    for mode in [OpenMode::Read, OpenMode::Write] {
        let kind = files.open(&path, mode).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::NotFound);
    }
    let file = files.open(&path, OpenMode::CreateNew).unwrap();
    file.write_at(&[IoSlice::new(b"x")], 0).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kind = files.open(&path, OpenMode::CreateNew).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::AlreadyExists);
    // Create keeps what is there.
    assert_eq!(
        files.open(&path, OpenMode::Create).unwrap().size().unwrap(),
        1
    );
    let reader = files.open(&path, OpenMode::Read).unwrap();
    assert!(reader.write_at(&[IoSlice::new(b"y")], 0).is_err());
}

#[test]
fn a_lock_is_held_once_and_ends_with_its_guard() {
    let d = dir();
    let files = &d.host.files;
    let guard = files.lock(&d.path("lock")).unwrap();
    let error = files.lock(&d.path("lock")).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop(guard);
    files.lock(&d.path("lock")).map(drop).unwrap();
}

#[test]
fn directories() {
    let d = dir();
    let files = &d.host.files;
    let deep = d.path("a/b/../b/c");
    files.create_dir_all(&d.path("a/b")).unwrap();
    files.create_dir_all(&deep).unwrap();
    files.create_dir_all(&deep).unwrap();
    for name in ["z", "m", "a"] {
        files.open(&deep.join(name), OpenMode::Create).unwrap();
    }
    files.sync_dir(&deep).unwrap();
    files.rename(&deep.join("z"), &deep.join("a")).unwrap();
    let names = |paths: Vec<PathBuf>| -> Vec<String> {
        paths
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(files.list(&deep).unwrap()), ["a", "m"]);
    files.remove(&deep.join("m")).unwrap();
    assert_eq!(names(files.list(&deep).unwrap()), ["a"]);
    // A file in the way is an error, not a directory.
    assert!(files.create_dir_all(&deep.join("a")).is_err());
    assert!(files.free_bytes(&deep).unwrap() > 0);
}

#[test]
fn clocks_and_entropy() {
    let host = Host::real();
    let before = host.clock.boot_ns();
    assert!(host.clock.boot_ns() >= before);
    assert!(host.clock.wall_ms() > 1_600_000_000_000);
    assert_ne!(host.entropy.id(), host.entropy.id());
}
