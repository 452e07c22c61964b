//! The API on a TCP address.
//!
//! Owns: the address. Does not own: who may ask there (`guard.rs`, `vpool-tls`), the connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use vpool_tls::Tls;

use super::{Listen, Server, Stream, peek};

/// An address that is ours; connections wait until they are taken.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Stream for TcpStream {
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        TcpStream::readable(self)
    }

    fn peek_now(&self) -> io::Result<()> {
        self.try_io(Interest::READABLE, || peek(self))
    }
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Takes an address; port 0 is any that is free.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<Bound> {
    let bind = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok::<_, io::Error>(Bound { listener, address })
    };
    bind.await.with_context(|| {
        format!(
            "cannot listen for the API at {address}: is another daemon there? --api-tcp \
             ADDRESS:PORT chooses another address, --api-tcp off none"
        )
    })
}

impl Bound {
    /// The address, with the port that was chosen.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers there, with TLS behind it.
    pub(crate) fn serve(self, routes: Router, tls: Option<Arc<Tls>>) -> Server {
        Server::start(self.listener, routes, tls)
    }
}
