//! A stream whose client must take what it is sent.
//!
//! Owns: ending a connection that takes no byte for too long, so that whoever does not read keeps
//! no place from others. Does not own: how long a request's head may take (`hyper`).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a client may take nothing while there is something for it.
pub(super) const STALLED_TIME_MAX: Duration = Duration::from_secs(30);

/// The stream, and since when it has taken nothing.
#[derive(Debug)]
pub(super) struct Stalled<S> {
    stream: S,
    since: Option<Pin<Box<Sleep>>>,
}

impl<S> Stalled<S> {
    pub(super) fn new(stream: S) -> Self {
        Stalled {
            stream,
            since: None,
        }
    }

    /// What came of an attempt to send, or the end of patience.
    fn judge<T>(&mut self, sent: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.since = None;
            return sent;
        }
        let since = self
            .since
            .get_or_insert_with(|| Box::pin(sleep(STALLED_TIME_MAX)));
        since.as_mut().poll(cx).map(|()| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client takes nothing of its answer",
            ))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(sent, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(sent, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(sent, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Instant, sleep};

    use super::{STALLED_TIME_MAX, Stalled};

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_left() {
        let (stream, _client) = duplex(64);
        let begun = Instant::now();
        let mut stream = Stalled::new(stream);
        let error = stream
            .write_all(&[0; 1000])
            .await
            .expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= STALLED_TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_little_is_served() {
        let (stream, mut client) = duplex(64);
        let reader = tokio::spawn(async move {
            let mut bytes = [0; 50];
            for _ in 0..20 {
                sleep(STALLED_TIME_MAX / 2).await;
                client.read_exact(&mut bytes).await.expect("more comes");
            }
        });
        let mut stream = Stalled::new(stream);
        stream.write_all(&[0; 1000]).await.expect("it is all taken");
        reader.await.expect("it reads");
    }
}
