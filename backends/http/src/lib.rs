//! What object stores that are reached over HTTP have alike.
//!
//! Owns: hosts and prefixes in a location, ranges as HTTP writes them, files of CA
//! certificates and of secrets, and what a broken connection means.
//! Does not own: any client, any store's protocol.

pub mod ca;
pub mod cause;
pub mod limits;
pub mod place;
pub mod range;
pub mod secret_file;
