//! Injected faults, a full disk, and damage of the device.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::super::{Call, Fault, SimHost};
use crate::{File, Host, OpenMode};

fn world(seed: u64) -> (SimHost, Host, Arc<dyn File>) {
    let sim = SimHost::new(seed);
    let host = sim.host();
    host.files.create_dir_all(Path::new("/d")).unwrap();
    let file = host
        .files
        .open(Path::new("/d/a"), OpenMode::Create)
        .unwrap();
    (sim, host, file)
}

fn write(file: &Arc<dyn File>, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    file.write_at(&[IoSlice::new(bytes)], offset)
}

fn read(file: &Arc<dyn File>, length: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; length];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_failed_sync_loses_pages_that_look_clean() {
    let mut lost = 0;
    for seed in 0..50 {
        let (sim, _host, file) = world(seed);
        write(&file, 0, &[1; 4096]).unwrap();
        file.sync().unwrap();
        write(&file, 0, &[2; 4096]).unwrap();
        sim.disk().inject(Fault::io(Call::Sync).count(1));
        assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(libc::EIO));
        // The next one is good, the page reads well: and yet it may not be on the device.
        file.sync().unwrap();
        assert_eq!(read(&file, 4096), [2; 4096]);
        file.evict(0, 4096).unwrap();
        let mut bytes = [0; 4096];
        assert!(!file.read_cached_at(&mut bytes, 0).unwrap());
        lost += usize::from(read(&file, 4096) != [2; 4096]);
        assert!(file.read_cached_at(&mut bytes, 0).unwrap());
    }
    assert!(lost > 15, "lost {lost} of 50");
}

#[test]
fn faults_strike_where_they_are_told() {
    let (sim, host, file) = world(1);
    let other = host
        .files
        .open(Path::new("/d/other"), OpenMode::Create)
        .unwrap();
    sim.disk()
        .inject(Fault::no_space(Call::Write).on("/d/a").skip(2).count(1));
    let results: Vec<bool> = (0..4)
        .map(|_| {
            write(&other, 0, &[1]).unwrap();
            write(&file, 0, &[1]).is_ok()
        })
        .collect();
    assert_eq!(results, [true, true, false, true]);
    write(&file, 0, &[1; 8192]).unwrap();
    sim.disk().inject(Fault::io(Call::Read).within(4096..4097));
    assert!(file.read_at(&mut [0; 4096], 0).is_ok());
    let error = file.read_at(&mut [0; 4097], 0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert!(file.read_cached_at(&mut [0; 1], 4096).is_err());
    sim.disk().clear_faults();
    assert!(file.read_at(&mut [0; 8192], 0).is_ok());
    for (call, kind) in [
        (Call::Open, ErrorKind::StorageFull),
        (Call::Rename, ErrorKind::StorageFull),
        (Call::SyncDir, ErrorKind::StorageFull),
    ] {
        sim.disk().inject(Fault::no_space(call).count(1));
        let path = Path::new("/d/new");
        let result = match call {
            Call::Open => host.files.open(path, OpenMode::Create).map(drop),
            Call::Rename => host.files.rename(Path::new("/d/other"), path),
            _ => host.files.sync_dir(Path::new("/d")),
        };
        assert_eq!(result.unwrap_err().kind(), kind, "{call:?}");
    }
}

#[test]
fn a_full_disk_refuses_new_pages_only() {
    let (sim, host, file) = world(2);
    sim.disk().set_capacity(Some(5 * 4096));
    write(&file, 0, &[1; 4 * 4096]).unwrap();
    assert_eq!(host.files.free_bytes(Path::new("/d")).unwrap(), 4096);
    let error = write(&file, 4 * 4096, &[1; 2 * 4096]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    write(&file, 0, &[2; 4096]).unwrap();
    // A size without pages takes nothing; a hole gives back.
    file.set_size(1 << 40).unwrap();
    file.punch_hole(4096, 4096).unwrap();
    write(&file, 1 << 39, &[3; 4096]).unwrap();
    assert!(sim.disk().used_bytes() <= 5 * 4096);
    file.set_size(0).unwrap();
    assert_eq!(sim.disk().used_bytes(), 0);
    // A removed file takes space while it is open.
    write(&file, 0, &[1; 4096]).unwrap();
    host.files.remove(Path::new("/d/a")).unwrap();
    assert_eq!(sim.disk().used_bytes(), 4096);
    drop(file);
    assert_eq!(sim.disk().used_bytes(), 0);
}

#[test]
fn rot_is_seen_by_the_next_read_from_the_device() {
    let (sim, _host, file) = world(3);
    write(&file, 0, &[0; 8192]).unwrap();
    // Dirty: what is written next covers the rot.
    sim.disk().flip_bits(Path::new("/d/a"), 0..4096, 1).unwrap();
    assert_eq!(read(&file, 8192), [0; 8192]);
    file.sync().unwrap();
    let flipped = sim
        .disk()
        .flip_bits(Path::new("/d/a"), 4096..8192, 1)
        .unwrap();
    let bytes = read(&file, 8192);
    let wrong: Vec<u64> = (0..)
        .zip(&bytes)
        .filter(|(_, b)| **b != 0)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(wrong, flipped);
    let nothing = sim.disk().flip_bits(Path::new("/d/none"), 0..1, 1);
    assert_eq!(nothing.unwrap_err().kind(), ErrorKind::NotFound);
}
