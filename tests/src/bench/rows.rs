//! The rows of the table.
//!
//! Owns: their names and jobs. Does not own: the targets between them (`targets`).

use std::time::Duration;

use super::fio::{Extent, Job};

/// Requests per second.
pub(super) const IOPS: &str = "IOPS";
/// MiB per second.
pub(super) const MIB_S: &str = "MiB/s";

/// The store's own rates.
pub(super) const PUT: &str = "PUT 16 MiB x8";
/// See [`PUT`].
pub(super) const GET: &str = "GET 16 MiB x8, cold";
/// What a full journal is emptied at, with eight uploads at a time.
pub(super) const DRAIN: &str = "drain of a full journal";
/// As many connections to one disk.
pub(super) const ONE_DISK: &str = "write+flush 4k, 1 disk x64";
/// Many disks with one connection each.
pub(super) const MANY_DISKS: &str = "write+flush 4k, 64 disks x1";
/// Requests per cold random read.
pub(super) const COLD_GETS: &str = "GETs per cold random read";
/// Cold random reads.
pub(super) const COLD_RANDOM: &str = "randread 4k QD1, cold";
/// What is stored of the bytes of fio, which compress a little.
pub(super) const STORED_FIO: &str = "stored/logical, fio's data";
/// What is stored of what cannot be compressed.
pub(super) const STORED: &str = "stored/logical, incompressible";
/// What the daemon's CPUs take to store that.
pub(super) const IMPORT_CPU: &str = "CPU of imports, incompressible";
/// SSD cache for five copies.
pub(super) const IMPORTS: &str = "SSD cache/logical, 5 imports";
/// A pool while its neighbour's store works.
pub(super) const NEIGHBOUR_UP: &str = "randwrite QD32, other store up";
/// The same while it does not.
pub(super) const NEIGHBOUR_DOWN: &str = "randwrite QD32, other store dead";
/// A large disk, written here and there, opened.
pub(super) const WIDE_OPEN: &str = "64 TiB: open to first read";
/// The same with nothing local.
pub(super) const WIDE_OPEN_COLD: &str = "64 TiB: the same, caches gone";
/// What it takes of memory.
pub(super) const WIDE_MEMORY: &str = "64 TiB: memory";
/// Its map.
pub(super) const WIDE_MAP: &str = "64 TiB: map/client bytes";
/// The map of a usual disk, of the size that the target is for.
pub(super) const MAP: &str = "map/client bytes, 100 GiB, 1 run";
/// The same of another size.
pub(super) const MAP_OTHER: &str = "map/client bytes, other size, 1 run";
/// What idle disks ask of the store.
pub(super) const IDLE_REQUESTS: &str = "idle disks: requests";
/// What each takes of memory.
pub(super) const IDLE_MEMORY: &str = "idle disk: memory";
/// What a hundred quiet disks ask of the store.
pub(super) const TRICKLE_PUTS: &str = "100 disks, 4 KiB/s each: PUTs";
/// How large these are.
pub(super) const TRICKLE_FILL: &str = "100 disks: mean object";
/// A program of one's own that says its version: what each command costs at least.
pub(super) const START: &str = "command: --version";
/// A command that asks the daemon for a short list.
pub(super) const START_LIST: &str = "vpool disk list, 1 disk";
/// The list of 10,000 disks, over one connection.
pub(super) const LIST_ALL: &str = "10k disks: all pages";
/// Its first page, of the usual size.
pub(super) const LIST_PAGE: &str = "10k disks: one page";
/// One disk of it by a part of its name.
pub(super) const LIST_FILTER: &str = "10k disks: filter by name";
/// The same list by the command.
pub(super) const LIST_COMMAND: &str = "10k disks: vpool disk list";
/// How long each of them took to make.
pub(super) const LIST_CREATE: &str = "10k disks: create, each";
/// An image into a disk, checksum and sync to the store among it; against a raw file.
pub(super) const IMPORT_QCOW2: &str = "import qcow2";
/// See [`IMPORT_QCOW2`].
pub(super) const IMPORT_VMDK: &str = "import vmdk";
/// Without the checksum, as `qemu-img` does it.
pub(super) const IMPORT_PLAIN: &str = "import qcow2, --no-checksum";
/// With all bytes read again and compared.
pub(super) const IMPORT_COMPARED: &str = "import vmdk, --compare";
/// Memory of the process at its highest.
pub(super) const RSS: &str = "RSS above the memory setting";

/// One line of the table that fio runs.
#[derive(Debug)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: &'static str,
    /// What is counted.
    pub(super) unit: &'static str,
    /// fio's name of what is done.
    pub(super) rw: &'static str,
    block_kib: u32,
    depth: u32,
    fsync: u32,
    span_mib_max: u64,
}

impl Row {
    /// The job on a disk of this size.
    pub(super) fn job(&self, disk_mib: u64, extent: Extent) -> Job {
        Job {
            rw: self.rw,
            block_kib: self.block_kib,
            depth: self.depth,
            fsync: self.fsync,
            span_mib: disk_mib.min(self.span_mib_max),
            extent,
            ..Job::default()
        }
    }

    /// Whether it writes.
    pub(super) fn writes(&self) -> bool {
        self.rw.ends_with("write")
    }

    /// Its name over a full journal.
    pub(super) fn steady(&self) -> String {
        steady(self.name)
    }

    /// Its name with nothing cached.
    pub(super) fn cold(&self) -> String {
        cold(self.name)
    }
}

/// A write row over a full journal, always in MiB/s.
pub(super) fn steady(name: &str) -> String {
    format!("{name}, steady")
}

/// A read row with nothing cached.
pub(super) fn cold(name: &str) -> String {
    format!("{name}, cold")
}

/// What the daemon's CPUs take for a row.
pub(super) fn cpu(name: &str) -> String {
    format!("CPU of {name}")
}

const fn small(name: &'static str, rw: &'static str, depth: u32, fsync: u32) -> Row {
    Row {
        name,
        unit: IOPS,
        rw,
        block_kib: 4,
        depth,
        fsync,
        span_mib_max: u64::MAX,
    }
}

const fn large(name: &'static str, rw: &'static str, block_kib: u32) -> Row {
    Row {
        name,
        unit: MIB_S,
        rw,
        block_kib,
        depth: 8,
        fsync: 0,
        span_mib_max: u64::MAX,
    }
}

/// What all peers run; reads are warm, writes burst.
pub(super) const ROWS: &[Row] = &[
    small("randread 4k QD1", "randread", 1, 0),
    small("randread 4k QD32", "randread", 32, 0),
    Row {
        span_mib_max: 128,
        ..small("randread 4k QD32 of 128 MiB", "randread", 32, 0)
    },
    large("read 128k", "read", 128),
    large("read 1M", "read", 1024),
    small("randwrite 4k QD1", "randwrite", 1, 0),
    small("randwrite 4k QD32", "randwrite", 32, 0),
    small("randwrite 4k QD1 fsync=32", "randwrite", 1, 32),
    small("randwrite 4k QD32 fsync=32", "randwrite", 32, 32),
    large("write 128k", "write", 128),
    large("write 1M", "write", 1024),
];

/// Those whose CPU time is told.
pub(super) const CPU_ROWS: [&str; 4] = [
    "randread 4k QD32",
    "read 1M",
    "randwrite 4k QD32",
    "write 1M",
];

/// Those that the quick form runs over a full journal.
pub(super) const STEADY_QUICK: [&str; 2] = ["randwrite 4k QD32", "write 1M"];

/// The rows that are read with nothing cached.
pub(super) const COLD_ROWS: [&str; 2] = ["read 128k", "read 1M"];

/// Random reads with nothing cached, for so long at most.
pub(super) fn cold_random(disk_mib: u64, time_max: Duration) -> Job {
    Job {
        rw: "randread",
        block_kib: 4,
        depth: 1,
        span_mib: disk_mib,
        extent: Extent::Mib(4, Some(time_max)),
        ..Job::default()
    }
}

#[cfg(test)]
mod tests {
    //! Names that other tables use are names of rows.

    use super::{COLD_ROWS, CPU_ROWS, ROWS, STEADY_QUICK};

    #[test]
    fn names_are_of_rows() {
        let named = |name: &str| ROWS.iter().find(|row| row.name == name);
        assert!(CPU_ROWS.iter().all(|name| named(name).is_some()));
        let steady = STEADY_QUICK.map(|name| named(name).is_some_and(super::Row::writes));
        assert_eq!(steady, [true; 2]);
        let cold = COLD_ROWS.map(|name| named(name).is_some_and(|row| !row.writes()));
        assert_eq!(cold, [true; 2]);
    }
}
