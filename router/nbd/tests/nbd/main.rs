//! The NBD export against clients: our own that can misbehave, and the real ones.
//!
//! `CI=true` makes a missing tool a failure; elsewhere the test says so and is skipped.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failure is a failed test, and what is skipped is said"
)]

mod client;
mod fake;
mod handshake;
mod hostile;
mod order;
mod random;
mod real;
mod tls;
mod transmission;
