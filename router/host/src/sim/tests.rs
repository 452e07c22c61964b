//! The simulated world keeps its promises, and breaks what it may break.

mod crashes;
mod faults;
mod twin;
mod world;
