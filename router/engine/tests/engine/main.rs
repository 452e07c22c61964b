//! The engine whole, on one thread, over a simulated host and store.

mod bytes;
mod crash;
mod model;
mod rig;
mod smoke;
mod trouble;
mod world;
