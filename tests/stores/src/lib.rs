//! Real object stores for tests, started by the scripts beside this crate, and a proxy
//! that breaks the way to them.
//!
//! Owns: starting and ending the servers, free ports, bad networks.
//! Does not own: the clients under test; it needs none itself.

pub mod ceph;
mod http;
mod port;
pub mod proxy;
pub mod swift;
mod watcher;

pub use ceph::{CephRgw, Kind};
pub use proxy::{Mode, Proxy};
pub use swift::{Auth, Swift};

/// Leaves a test out that needs what is not installed, with the reason printed.
///
/// # Panics
/// With `CI=true`: in CI nothing is left out in silence.
fn left_out(remedy: &str) {
    let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!in_ci, "{remedy}");
    #[expect(clippy::print_stderr, reason = "a test left out says so")]
    {
        eprintln!("SKIPPED: {remedy}");
    }
}
