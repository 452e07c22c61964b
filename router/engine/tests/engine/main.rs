//! The engine whole, on one thread, over a simulated host and store.

mod crash;
mod model;
mod smoke;
mod world;
