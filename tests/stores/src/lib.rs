//! Real object stores for tests, started by the scripts beside this crate, and a proxy
//! that breaks the way to them.
//!
//! Owns: starting and ending the servers, free ports, bad networks.
//! Does not own: the clients under test; it needs none itself.

pub mod ceph;
mod http;
mod port;
pub mod proxy;

pub use ceph::{CephRgw, Kind};
pub use proxy::{Mode, Proxy};
