//! The columns of the table, from left to right.
//!
//! Owns: their names. Does not own: who stands behind them (`peers`, `store`).

/// vPool on a directory of the SSD.
pub(super) const VPOOL: &str = "vPool fs";
/// vPool on a Ceph gateway of this machine.
pub(super) const VPOOL_RGW: &str = "vPool rgw";
/// The same with time added to every request.
pub(super) const VPOOL_SLOW: &str = "vPool rgw+100ms";
/// vPool on an OpenStack Swift of this machine.
pub(super) const VPOOL_SWIFT: &str = "vPool swift";
/// A raw file with direct I/O: the SSD as it is.
pub(super) const QEMU_NONE: &str = "qemu-nbd none";
/// A raw file through the page cache.
pub(super) const QEMU_WRITEBACK: &str = "qemu-nbd writeback";
/// A raw file that `qemu-img` writes, and `qemu-img` itself.
pub(super) const QEMU_IMG: &str = "qemu-img";
/// Memory: what the protocol and this machine can do.
pub(super) const NBDKIT: &str = "nbdkit memory";
/// An image on the very OSD that serves the gateway, cache off.
pub(super) const RBD: &str = "Ceph RBD";
/// The directory store by itself.
pub(super) const STORE: &str = "store fs";
/// The gateway by itself, through the same S3 client.
pub(super) const STORE_RGW: &str = "store rgw";
/// Swift by itself, through the same client.
pub(super) const STORE_SWIFT: &str = "store swift";

/// All.
pub(super) const ALL: [&str; 12] = [
    VPOOL,
    VPOOL_RGW,
    VPOOL_SLOW,
    VPOOL_SWIFT,
    QEMU_NONE,
    QEMU_WRITEBACK,
    QEMU_IMG,
    NBDKIT,
    RBD,
    STORE,
    STORE_RGW,
    STORE_SWIFT,
];
