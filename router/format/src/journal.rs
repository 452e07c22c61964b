//! The journal: a row of extents on the local SSD, each a row of groups.
//!
//! Owns: the bytes of extent headers, group descriptors and control records. Does not own: the
//! file, which extent is whose, syncs and recovery (`vpool-engine`).
//!
//! ```text
//! file    | extent 0 (8 MiB) | extent 1 | extent 2 | …          of any stream, in any order
//! extent  | header | group 0 | group 1 | … | rest of an earlier use
//! group   | descriptor (4096) | payload block | payload block | …
//! ```
//!
//! A group belongs to its extent's present use if it repeats the first 8 bytes of the
//! extent's salt. Payload begins at a block's boundary for each record, in record order.

mod control;
mod extent;
mod group;
mod group_encoder;
mod state;

#[cfg(test)]
mod tests;

pub use crate::BLOCK_BYTES;
pub use crate::checksum::crc32c;
pub use control::{Frontier, REMOTE_MACHINE_BYTES_MAX, RemoteClient};
pub use extent::{ExtentHeader, READY_MARK, is_ready_mark};
pub use group::{
    GROUP_PAYLOAD_BLOCKS_MAX, GROUP_RECORDS_MAX, GroupHeader, RecordHeader, RecordKind, fits,
};
pub use group_encoder::GroupEncoder;
pub use state::{JournalHealth, JournalState};

/// The size of an extent, header included, in bytes.
pub const EXTENT_BYTES: u64 = 8 * 1024 * 1024;

/// The blocks of an extent, header included.
pub const EXTENT_BLOCKS: u64 = EXTENT_BYTES / BLOCK_BYTES as u64;

/// Where the CRC-32C of a descriptor or header block stands: its last 4 bytes.
pub(crate) const CRC_OFFSET: usize = BLOCK_BYTES - 4;

const _: () = assert!(EXTENT_BYTES.is_multiple_of(BLOCK_BYTES as u64));
// The largest group leaves room for its descriptor and the extent's header.
const _: () = assert!((GROUP_PAYLOAD_BLOCKS_MAX as u64) + 2 <= EXTENT_BLOCKS);
