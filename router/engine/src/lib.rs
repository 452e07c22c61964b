//! The volume engine: a vDisk that is a log on an object store.
//!
//! Owns: everything between an export and an object store. Does not own: exports, Raft, HTTP,
//! the object stores themselves.
//!
//! The modules, in the order a write travels, and back:
//!
//! ```text
//! router ─> vdisk ─> journal ─> packer ─> (store)
//! (store) ─> chunks, replay, end ─> vdisk::index ─> vdisk::read
//! ```

pub mod router;

pub mod vdisk;

pub mod journal;

pub mod packer;

pub mod pool;

pub mod chunks;
pub mod dirty;
pub mod shares;

pub mod replay;

pub mod end;

pub mod bucket;

pub mod ranges;

pub mod name;

pub mod mac;

pub mod error;

pub mod limits;

mod planted;
