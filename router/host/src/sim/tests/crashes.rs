//! What a killed process and a power cut leave of files, names and sizes.

use std::collections::BTreeSet;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::super::{PowerCut, SimHost};
use crate::{File, Host, OpenMode};

fn create(host: &Host, path: &str) -> Arc<dyn File> {
    host.files.create_dir_all(Path::new("/d")).unwrap();
    host.files
        .open(Path::new(path), OpenMode::CreateNew)
        .unwrap()
}

fn write(file: &Arc<dyn File>, offset: u64, bytes: &[u8]) {
    file.write_at(&[IoSlice::new(bytes)], offset).unwrap();
}

fn contents(sim: &SimHost, path: &str) -> Option<Vec<u8>> {
    sim.disk().contents(Path::new(path)).ok()
}

#[test]
fn a_kill_loses_nothing_and_stops_the_dead() {
    let sim = SimHost::new(1);
    let host = sim.host();
    let file = create(&host, "/d/a");
    write(&file, 1000, b"written, not synced");
    let lock = host.files.lock(Path::new("/d/lock")).unwrap();
    sim.kill();
    // The zombie can do nothing any more.
    assert!(file.write_at(&[IoSlice::new(b"late")], 0).is_err());
    assert!(file.sync().is_err());
    assert!(file.read_at(&mut [0], 0).is_err());
    assert!(
        host.files
            .open(Path::new("/d/z"), OpenMode::Create)
            .is_err()
    );
    assert!(host.files.remove(Path::new("/d/a")).is_err());
    // The lock is free, and dropping the dead guard does not free the new one.
    let host = sim.host();
    let _lock = host.files.lock(Path::new("/d/lock")).unwrap();
    drop(lock);
    let taken = host.files.lock(Path::new("/d/lock")).map(drop);
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::WouldBlock);
    let file = host.files.open(Path::new("/d/a"), OpenMode::Write).unwrap();
    let mut bytes = [0; 19];
    file.read_at(&mut bytes, 1000).unwrap();
    assert_eq!(&bytes, b"written, not synced");
    // It is not durable by that.
    host.files.sync_dir(Path::new("/d")).unwrap();
    sim.crash_with(PowerCut::DropAll);
    assert_eq!(contents(&sim, "/d/a"), Some(Vec::new()));
}

#[test]
fn what_is_synced_survives_every_power_cut() {
    for seed in 0..200 {
        let sim = SimHost::new(seed);
        let host = sim.host();
        let file = create(&host, "/d/a");
        write(&file, 0, &[1; 20_000]);
        file.sync().unwrap();
        host.files.sync_dir(Path::new("/d")).unwrap();
        write(&file, 4096, &[2; 4096]);
        write(&file, 20_000, &[3; 10_000]);
        sim.crash();
        let bytes = contents(&sim, "/d/a").unwrap();
        assert!(bytes.len() == 20_000 || bytes.len() == 30_000);
        for (at, byte) in bytes.iter().enumerate() {
            let fine = match at {
                4096..8192 => matches!(byte, 1 | 2),
                20_000.. => matches!(byte, 0 | 3),
                _ => *byte == 1,
            };
            assert!(fine, "seed {seed}: {byte} at {at}");
        }
        // What is there after the cut stays: it is on the device.
        sim.crash();
        assert_eq!(contents(&sim, "/d/a").unwrap(), bytes);
    }
}

#[test]
fn power_cuts_keep_lose_and_tear_in_any_order() {
    let mut seen = BTreeSet::new();
    let mut torn = 0;
    for seed in 0..400 {
        let sim = SimHost::new(seed);
        let host = sim.host();
        let file = create(&host, "/d/a");
        file.set_size(8192).unwrap();
        file.sync().unwrap();
        host.files.sync_dir(Path::new("/d")).unwrap();
        write(&file, 0, &[1; 4096]);
        write(&file, 4096, &[2; 4096]);
        sim.crash();
        let bytes = contents(&sim, "/d/a").unwrap();
        let whole = |part: &[u8]| part.iter().all(|byte| *byte == part[0]).then_some(part[0]);
        seen.insert((whole(&bytes[..4096]), whole(&bytes[4096..])));
        for sector in bytes.chunks(512) {
            assert!(whole(sector).is_some(), "a sector is never torn");
        }
        torn += usize::from(whole(&bytes[..4096]).is_none());
    }
    for first in [Some(0), Some(1), None] {
        for second in [Some(0), Some(2), None] {
            assert!(seen.contains(&(first, second)), "{first:?} {second:?}");
        }
    }
    assert!(torn > 20, "torn {torn} of 400");
}

#[test]
fn a_sector_is_always_one_of_its_versions() {
    for seed in 0..300 {
        let sim = SimHost::new(seed);
        let host = sim.host();
        let file = create(&host, "/d/a");
        write(&file, 0, &[b'-'; 512]);
        file.sync().unwrap();
        host.files.sync_dir(Path::new("/d")).unwrap();
        let mut versions = vec![contents(&sim, "/d/a").unwrap()];
        // Unaligned writes to one sector: a later one never arrives without an earlier one.
        for at in 0..8u8 {
            write(&file, u64::from(at) * 40, &[b'a' + at; 60]);
            versions.push(contents(&sim, "/d/a").unwrap());
        }
        sim.crash();
        let left = contents(&sim, "/d/a").unwrap();
        assert!(versions.contains(&left), "seed {seed}: a mixture");
    }
}

#[test]
fn sizes_and_holes_may_be_lost_and_never_uncover_old_bytes() {
    let mut sizes = BTreeSet::new();
    for seed in 0..200 {
        let sim = SimHost::new(seed);
        let host = sim.host();
        let file = create(&host, "/d/a");
        write(&file, 0, &[1; 16_384]);
        file.sync().unwrap();
        host.files.sync_dir(Path::new("/d")).unwrap();
        file.punch_hole(8192, 4096).unwrap();
        file.set_size(100).unwrap();
        file.set_size(20_000).unwrap();
        let now = contents(&sim, "/d/a").unwrap();
        assert!(now[..100].iter().all(|byte| *byte == 1));
        assert!(now[100..].iter().all(|byte| *byte == 0), "cut off");
        sim.drop_caches_and_check(&now);
        sim.crash();
        let left = contents(&sim, "/d/a").unwrap();
        sizes.insert(left.len());
        // Between the first byte cut off and the old size: all or nothing.
        let cut = left.get(100).is_none_or(|byte| *byte == 0);
        for (at, byte) in left.iter().enumerate().skip(100) {
            let hole = (8192..12_288).contains(&at);
            let fine = *byte == 0 && (cut || hole || at >= 16_384) || *byte == 1 && !cut;
            assert!(fine, "seed {seed}: {byte} at {at}");
        }
    }
    assert_eq!(sizes, BTreeSet::from([100, 16_384, 20_000]));
}

impl SimHost {
    /// Dirty pages stay in the cache whatever the pressure.
    fn drop_caches_and_check(&self, expected: &[u8]) {
        self.disk().drop_caches();
        assert_eq!(self.disk().contents(Path::new("/d/a")).unwrap(), expected);
    }
}

#[test]
fn names_need_their_directory_synced() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let sim = SimHost::new(seed);
        let host = sim.host();
        let old = create(&host, "/d/a");
        write(&old, 0, b"old");
        old.sync().unwrap();
        host.files.sync_dir(Path::new("/d")).unwrap();
        let new = create(&host, "/d/tmp");
        write(&new, 0, b"new");
        new.sync().unwrap();
        let (tmp, a) = (Path::new("/d/tmp"), Path::new("/d/a"));
        host.files.rename(tmp, a).unwrap();
        assert_eq!(contents(&sim, "/d/a"), Some(b"new".to_vec()));
        assert_eq!(host.files.list(Path::new("/d")).unwrap(), [a]);
        sim.crash();
        seen.insert((contents(&sim, "/d/a"), contents(&sim, "/d/tmp")));
    }
    let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    // Neither, only the creation, the rename (with or without the creation).
    let expected = [(old.clone(), None), (old, new.clone()), (new, None)];
    assert_eq!(seen, BTreeSet::from(expected));
}

#[test]
fn a_synced_directory_has_its_names_whatever_comes() {
    for seed in 0..100 {
        let sim = SimHost::new(seed);
        let host = sim.host();
        host.files.create_dir_all(Path::new("/e")).unwrap();
        let file = create(&host, "/d/tmp");
        write(&file, 0, b"x");
        file.sync().unwrap();
        // From another directory: syncing the one it came to makes the whole way durable.
        let (tmp, a, b) = (Path::new("/d/tmp"), Path::new("/e/a"), Path::new("/e/b"));
        host.files.rename(tmp, a).unwrap();
        host.files.rename(a, b).unwrap();
        let gone = create(&host, "/d/gone");
        host.files.remove(Path::new("/d/gone")).unwrap();
        write(&gone, 0, b"still usable");
        gone.read_at(&mut [0; 12], 0).unwrap();
        host.files.sync_dir(Path::new("/e")).unwrap();
        sim.crash();
        let host = sim.host();
        assert_eq!(contents(&sim, "/e/b"), Some(b"x".to_vec()));
        assert_eq!(host.files.list(Path::new("/e")).unwrap(), [b]);
        assert!(host.files.list(Path::new("/d")).unwrap().len() <= 1);
    }
}
