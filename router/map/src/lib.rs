//! Which chunk holds each 4 KiB block of a vDisk.
//!
//! Owns: the copy-on-write tree ([`Map`]), what is newer than it ([`Pending`]), and the
//! merge of the second into the first ([`merge()`]). Does not own: where nodes come from and
//! go to ([`NodeSource`], [`NodeSink`]: caches, sealing, segments), nor what becomes of what
//! a merge replaces ([`Replaced`]: dead lists, live bytes).
//!
//! ```text
//!   indexes of new segments ──▶ Pending ──(frozen by moving it)──▶ merge ──▶ NodeSink
//!                                  │                              ▲    └───▶ Replaced
//!   read: pieces of each Pending, newest first, then of the Map   │
//!                                                                 NodeSource
//!
//!   tree, 128 ways:    root, level 2        covers 2^21 blocks
//!                      ├─ inner, level 1    covers 2^14 blocks, children by index
//!                      │  └─ leaf, level 0  covers 2^7 blocks, runs of blocks → chunk
//! ```
//!
//! Invariants, each with a test in `tests/`:
//! 1. A stored node is never empty: a tree without mapped blocks has no root.
//! 2. The runs of a layer, and of a leaf, are ascending and disjoint; in a leaf, runs that
//!    continue one another in the same chunk are one run.
//! 3. References before a merge, plus those the merge brings in, minus those it reports as
//!    replaced, are the references after it: nothing is reported twice, nothing forgotten.

#![forbid(unsafe_code)]

pub mod limits;
pub mod lookup;
pub mod memory;
pub mod merge;
pub mod node;
pub mod pending;
pub mod piece;
pub mod replaced;

pub use lookup::Map;
pub use merge::{MergeError, Merged, merge};
pub use node::{MapError, NodeSink, NodeSource};
pub use pending::{InvalidUpdate, Pending, PendingPiece};
pub use piece::{Chunk, Piece, Target, Update};
pub use replaced::{Replaced, Subtree, expand};
