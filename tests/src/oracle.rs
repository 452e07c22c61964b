//! The oracle writer: sectors that name themselves, and a check of every one.
//!
//! ```text
//! writer ── requests ──▶ NBD ──▶ daemon (killed at will)
//!    │ issued                       │
//!    ▼            acknowledged      │
//!  model  ◀─────────────────────────┘
//!    ▲ per sector: settled, pending
//!    └── verify: the whole image, read twice, against the model
//! ```
//!
//! Owns: what a client may expect of a disk over kills of its daemon (promise P1): each
//! sector holds the last version that was acknowledged, or the one that was under way.
//! Does not own: the daemon's lives (the tests do), power cuts (simulated worlds).
//!
//! The model lives in the process of the test, outside the one that is killed. Requests in
//! flight are disjoint, so that a sector has at most two versions to choose from; only
//! [`Oracle::storm`] overlaps them, and settles the outcome before anything else.

mod model;
mod requests;
mod sector;
mod verify;
mod violation;
mod writer;

pub use requests::Mix;
pub use verify::Verified;
pub use violation::{Violation, ViolationKind};
pub use writer::{Ended, Oracle, Totals};
