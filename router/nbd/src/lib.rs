//! The NBD export.
//!
//! Owns: listeners, negotiation, one session per client, what each of them may cost.
//! Does not own: the protocol's bytes (`vpool-nbd-wire`), any storage: it serves
//! [`vpool_block::Exports`].
//!
//! ```text
//! server ─ accepts ─▶ handshake [─ TLS] ─ attaches ─▶ session
//!                                              │  input    bytes from the socket, parsed in place
//!                                              │  writes   batches to write_now, the rest waits in line
//!                                              │  reads    read_now, straight into the output
//!                                              │  jobs     what has to wait, bounded
//!                                              ▼  output   gathered replies, one write per wake-up
//! ```
//!
//! One connection is one task. Nothing that waits for the disk keeps the connection's
//! other requests from going on, and nothing that waits for a client keeps memory that
//! [`Limits`] does not count. A flush is handed to the disk after every reply that was
//! given before it was received, so it covers them all (promise P1); because the disk's
//! flush covers all connections, many connections to one export are advertised.
//!
//! An error that the client could outlive by connecting again (the disk has another
//! owner now, or the daemon stops) closes the connection without a reply: QEMU holds the
//! request and sends it again, where an error number would have reached the guest.

mod budget;
mod handshake;
mod input;
mod jobs;
pub mod limits;
mod output;
mod reads;
mod requests;
mod secure;
mod server;
mod session;
mod status;
mod unix_socket;
mod writes;

pub use limits::Limits;
pub use secure::{Secure, Stream};
pub use server::{NbdError, Server};
