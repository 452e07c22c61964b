//! The `vpool` command.
fn main() {}
