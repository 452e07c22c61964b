//! Disks as the API shows them.
//!
//! Owns: the bodies about disks. Does not own: disks (the engine).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Makes a disk; it reads as zeroes and costs nothing until it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDisk {
    /// Its pool; may be left out where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Its name, unique in the pool; see [`names::check_disk`](crate::names::check_disk).
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// Its size in bytes: a multiple of 512, up to 64 TiB.
    #[schema(minimum = 512, maximum = 70_368_744_177_664_i64, multiple_of = 512)]
    pub size_bytes: u64,
    /// Seal its data with a key of its own.
    #[serde(default)]
    pub encrypt: bool,
}

/// Goes on with a disk whose journal is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RepairDisk {
    /// What the disk's error names as lost is given up.
    pub accept_loss: bool,
}

/// Gives a disk another size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResizeDisk {
    /// The new size in bytes: a multiple of 512, up to 64 TiB.
    #[schema(minimum = 512, maximum = 70_368_744_177_664_i64, multiple_of = 512)]
    pub size_bytes: u64,
    /// It may be smaller than the old one: what lies beyond is lost.
    #[serde(default)]
    pub shrink: bool,
}

/// A disk that has another size now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resized {
    /// The disk.
    pub disk: Disk,
    /// Clients that see the new size only when they connect again.
    pub reconnect: Vec<String>,
}

/// Gives a disk another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameDisk {
    /// The new name, in the same pool.
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
}

/// Changes what is said of a disk; what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDisk {
    /// What people say about it; an empty text removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether writes are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

/// A disk and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// The same as text (RFC 3339, UTC).
    #[serde(default)]
    pub created_at: String,
    /// What people say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether writes are refused.
    #[serde(default)]
    pub read_only: bool,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
