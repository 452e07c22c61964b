//! The rows of the table.
//!
//! Owns: their names and jobs. Does not own: the targets between them (`figures`).

use super::fio::{Extent, Job};

/// Requests per second.
pub(super) const IOPS: &str = "IOPS";
/// MiB per second.
pub(super) const MIB_S: &str = "MiB/s";

/// The store's own rates.
pub(super) const PUT: &str = "store: PUT 16 MiB x8";
/// See [`PUT`].
pub(super) const GET: &str = "store: GET 16 MiB x8";
/// As many connections to one disk.
pub(super) const ONE_DISK: &str = "write+flush 4k, 1 disk x64";
/// Many disks with one connection each.
pub(super) const MANY_DISKS: &str = "write+flush 4k, 64 disks x1";

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: &'static str,
    /// What is counted.
    pub(super) unit: &'static str,
    rw: &'static str,
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
        }
    }
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

/// vPool alone, over three times the journal.
pub(super) const STEADY: &[Row] = &[
    Row {
        unit: MIB_S,
        ..small("randwrite 4k QD32, steady", "randwrite", 32, 0)
    },
    large("write 1M, steady", "write", 1024),
];

/// vPool alone, nothing cached.
pub(super) const COLD: &[Row] = &[large("read 1M, cold", "read", 1024)];
