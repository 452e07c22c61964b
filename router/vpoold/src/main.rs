//! The storage router daemon.
fn main() {}
