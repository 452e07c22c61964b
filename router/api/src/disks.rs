//! Disks as the API shows them.
//!
//! Owns: the bodies about disks. Does not own: disks (the engine).

use serde::{Deserialize, Serialize};

/// Makes a disk; it reads as zeroes and costs nothing until it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateDisk {
    /// Its pool; may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Its name, unique in the pool; see [`names::check_disk`](crate::names::check_disk).
    pub name: String,
    /// Its size in bytes: a multiple of 512, up to 64 TiB.
    pub size_bytes: u64,
    /// Seal its data with a key of its own.
    #[serde(default)]
    pub encrypt: bool,
}

/// Goes on with a disk whose journal is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepairDisk {
    /// What the disk's error names as lost is given up.
    pub accept_loss: bool,
}

/// A disk and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// Its pool's name.
    pub pool: String,
    /// Its name in the pool.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Whether its data is sealed with a key of its own.
    pub encrypted: bool,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
    /// Whether it is open here.
    pub open: bool,
    /// Clients that are attached.
    pub attached: u64,
    /// How its log stands; `None` while it is not open.
    pub log: Option<DiskLog>,
    /// Why the disk does not serve, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How the log of an open disk stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLog {
    /// The newest sequence.
    pub last: u64,
    /// Safe from a power cut up to here.
    pub durable: u64,
    /// In the store up to here.
    pub shipped: u64,
    /// Acknowledged bytes that are not in the store yet.
    pub unshipped_bytes: u64,
    /// Bytes that clients wrote since it was opened.
    pub written_bytes: u64,
    /// Bytes of data put into the store since it was opened.
    pub shipped_bytes: u64,
    /// Bytes of map put into the store since it was opened.
    pub map_bytes: u64,
}

/// How clients reach a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The name of its NBD export.
    pub export: String,
    /// The path of the NBD server's unix socket on the daemon's host.
    pub nbd_socket: String,
    /// `HOST:PORT` of the NBD server; `None` where it does not listen on TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbd_tcp: Option<String>,
    /// Whether clients start TLS there, with a certificate of their own.
    #[serde(default)]
    pub nbd_tls: bool,
}
