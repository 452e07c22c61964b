//! The engine whole, on one thread, over a simulated host and store.

#![allow(
    clippy::cast_possible_truncation,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test's own small numbers, its verdicts and its figures"
)]

mod adopt;
mod bytes;
mod changes;
mod crash;
mod figures;
mod forget;
mod model;
mod names;
#[cfg(feature = "audit")]
mod nonces;
mod places;
mod rig;
mod smoke;
mod trouble;
mod unfinished;
mod world;
