//! A way to a store that takes time, and that can be blocked.
//!
//! Owns: a TCP relay on loopback. Does not own: the store behind it.
//!
//! What clients send arrives so much later, in order and at any rate; what the store sends
//! passes at once. So each request takes that much longer, whatever its size.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How much is read at once.
const PIECE_BYTES: usize = 128 << 10;

/// Pieces of one connection on their way: more than a segment, so that no body waits for
/// its own beginning to arrive.
const PIECES_MAX: usize = 256;

/// A running relay; it ends, with all its connections, when this is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    address: SocketAddr,
    blocked: Arc<AtomicBool>,
    runtime: Option<Runtime>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Relay {
    /// Starts one before a port of this machine.
    pub(super) fn start(upstream_port: u16, delay: Duration) -> anyhow::Result<Relay> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("start a thread")?;
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context("listen")?;
        let address = listener.local_addr().context("listen")?;
        let blocked = Arc::new(AtomicBool::new(false));
        let upstream = (Ipv4Addr::LOCALHOST, upstream_port).into();
        runtime.spawn(accept_all(listener, upstream, delay, blocked.clone()));
        Ok(Relay {
            address,
            blocked,
            runtime: Some(runtime),
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on nothing passes and nothing ends: the store hangs.
    pub(super) fn block(&self) {
        self.blocked.store(true, Ordering::Relaxed);
    }
}

async fn accept_all(
    listener: TcpListener,
    upstream: SocketAddr,
    delay: Duration,
    blocked: Arc<AtomicBool>,
) {
    loop {
        // A connection that failed before it was one is the client's to make again.
        if let Ok((client, _)) = listener.accept().await {
            let blocked = blocked.clone();
            tokio::spawn(async move {
                // An error is the end of the connection: both sides see it.
                let _ended = pass_both(client, upstream, delay, &blocked).await;
            });
        }
    }
}

async fn pass_both(
    client: TcpStream,
    upstream: SocketAddr,
    delay: Duration,
    blocked: &AtomicBool,
) -> io::Result<()> {
    let store = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    store.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_store, to_store) = store.into_split();
    tokio::try_join!(
        pass_later(from_client, to_store, delay, blocked),
        pass_later(from_store, to_client, Duration::ZERO, blocked),
    )?;
    Ok(())
}

async fn pass_later(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    blocked: &AtomicBool,
) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel(PIECES_MAX);
    let read = async move {
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            let count = from.read_buf(&mut piece).await?;
            let due = Instant::now() + delay;
            // The other half ends by an error of its own only.
            if count == 0 || sender.send((due, piece)).await.is_err() {
                return Ok::<_, io::Error>(());
            }
        }
    };
    let write = async {
        while let Some((due, piece)) = receiver.recv().await {
            if !delay.is_zero() {
                sleep_until(due).await;
            }
            if blocked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    //! What passes, when, and what does not.

    use super::Relay;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    /// A server that sends all back.
    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut other = stream.try_clone().expect("a second handle");
                std::thread::spawn(move || std::io::copy(&mut stream, &mut other));
            }
        });
        port
    }

    fn connect(relay: &Relay) -> TcpStream {
        let address = relay.endpoint();
        let address = address.strip_prefix("http://").expect("it is http");
        TcpStream::connect(address).expect("it listens")
    }

    #[test]
    fn bytes_come_whole_in_order_and_late() {
        let delay = Duration::from_millis(80);
        let relay = Relay::start(echo(), delay).expect("a free port");
        let mut stream = connect(&relay);
        let sent: Vec<u8> = (0..3_000_000_u32).map(|i| i.to_le_bytes()[1]).collect();
        let mut writing = stream.try_clone().expect("a second handle");
        let body = sent.clone();
        let begun = Instant::now();
        let writer = std::thread::spawn(move || writing.write_all(&body));
        let mut received = vec![0; sent.len()];
        stream.read_exact(&mut received).expect("all comes back");
        assert!(begun.elapsed() >= delay);
        assert!(received == sent);
        writer.join().expect("no panic").expect("all is taken");
    }

    #[test]
    fn blocked_is_silent() {
        let relay = Relay::start(echo(), Duration::ZERO).expect("a free port");
        let mut stream = connect(&relay);
        let mut byte = [0];
        stream.write_all(b"a").expect("taken");
        stream.read_exact(&mut byte).expect("sent back");
        relay.block();
        stream.write_all(b"b").expect("taken");
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a time");
        let error = stream.read_exact(&mut byte).expect_err("nothing passes");
        assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{error}"
        );
    }
}
