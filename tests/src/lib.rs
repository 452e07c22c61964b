//! What end-to-end tests and benchmarks need around a real daemon.
//!
//! ```text
//! daemon     starts, kills and asks vpoold and vpool
//!    ├─▶ nbd      a client of our own on its socket
//!    │     └─▶ oracle   writes sectors that name themselves, and checks every one
//!    ├─▶ mount    a file system of this host's kernel on a disk
//!    │     └─▶ exerciser   files whose content is known
//!    ├─▶ guest    a virtual machine on a disk
//!    ├─▶ names    host names that only it resolves
//!    └─▶ service  the same as a service: a configuration file, a service manager that listens
//! bench      fio against vPool and its peers
//! report     figures as JSON                    need   what may be missing on a machine
//! ```
//!
//! Owns: the tools. Does not own: the tests (`tests/`), simulated worlds (each crate's own).

pub mod bench;
pub mod daemon;
pub mod exerciser;
pub mod guest;
pub mod mount;
pub mod names;
pub mod nbd;
pub mod need;
pub mod oracle;
pub mod report;
pub mod service;
pub mod sums;
