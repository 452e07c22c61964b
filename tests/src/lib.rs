//! What end-to-end tests and benchmarks need around a real daemon.
//!
//! ```text
//! daemon     starts, kills and asks vpoold and vpool
//!    └─▶ nbd      a client of our own on its socket
//!          └─▶ oracle   writes sectors that name themselves, and checks every one
//! bench      fio against vPool and its peers        report    figures as JSON
//! ```
//!
//! Owns: the tools. Does not own: the tests (`tests/`), simulated worlds (each crate's own).

pub mod bench;
pub mod daemon;
pub mod nbd;
pub mod oracle;
pub mod report;
pub mod sums;
