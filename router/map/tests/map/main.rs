//! The map against models: layers, lookups and merges.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a failure is a panic, in its helpers too"
)]

mod lookup;
mod merge;
mod model;
mod pending;
mod world;
