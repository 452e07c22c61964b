//! What the door knows of TLS: that something can make a connection secure.
//!
//! Owns: [`Secure`]. Does not own: how (`vpool-tls`), when (`handshake.rs`).

use std::fmt;
use std::io;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// The bytes of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Makes connections secure.
pub trait Secure: fmt::Debug + Send + Sync {
    /// The server's side of a handshake, which fails unless the client has proved that it may come
    /// in. Its time is bounded by the caller, its memory by who implements it.
    fn accept(&self, stream: Box<dyn Stream>) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;
}
