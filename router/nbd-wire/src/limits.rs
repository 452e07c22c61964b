//! The bounds on every length and count of the protocol.
//!
//! Owns: the numbers. Does not own: budgets that connections share (`vpool-nbd`).

use crate::option::OPTION_HEADER_BYTES;

/// Longest option, header and data together, in bytes: what a client that has proved
/// nothing yet may make the server hold.
pub const OPTION_BYTES_MAX: usize = 64 << 10;

/// Longest data of one option, in bytes.
pub const OPTION_DATA_BYTES_MAX: usize = OPTION_BYTES_MAX - OPTION_HEADER_BYTES;

/// Options that one negotiation may have.
pub const OPTIONS_MAX: usize = 64;

/// Longest string of the protocol (export names, messages), in bytes.
pub const STRING_BYTES_MAX: usize = 4096;

/// Queries in one meta-context option.
pub const QUERIES_MAX: usize = 64;

/// Information requests in one `INFO` or `GO`.
pub const INFO_REQUESTS_MAX: usize = 64;

/// Largest payload of one request or reply, in bytes: what the block-size information
/// advertises, and what QEMU, libnbd and the Linux kernel never exceed.
pub const PAYLOAD_BYTES_MAX: u32 = 32 << 20;

/// Extents in one block status reply.
pub const EXTENTS_MAX: usize = 1024;

const _: () = assert!(STRING_BYTES_MAX + 8 + 2 * INFO_REQUESTS_MAX < OPTION_DATA_BYTES_MAX);
const _: () = assert!(EXTENTS_MAX * 16 + 64 < PAYLOAD_BYTES_MAX as usize);
