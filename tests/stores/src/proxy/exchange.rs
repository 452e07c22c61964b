//! One request and its answer on a connection of their own, so that each can be treated apart.
//!
//! ```text
//! client ── request, read whole ──▶ once, twice or not at all ──▶ store
//! client ◀── its answer, another, or one that is made up ───────── answer, to the end
//! ```
//!
//! Owns: reading a request whole, making both sides end after it. Does not own: which of these
//! is in force.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::TcpStream;

use super::Puts;
use super::connection::{connect, content_length, read_header};

/// What is done with one exchange.
#[derive(Debug)]
pub(super) enum Treatment<'a> {
    /// It passes.
    Pass,
    /// The store hears nothing; this is the answer, and it is counted.
    Answer(&'a [u8], &'a AtomicU64),
    /// The store does it; this is the answer all the same.
    AnswerAfterwards(&'a [u8]),
    /// The store gets it twice, one after the other; the second answer passes.
    Twice,
    /// It passes, with another ETag in the answer's header.
    OtherEtag,
    /// It passes, unless it asks for what was put less than so long ago.
    NotYet(Duration, &'a Puts),
}

/// Serves one exchange and ends the connection.
pub(super) async fn serve_one(
    mut client: TcpStream,
    upstream: SocketAddr,
    treatment: Treatment<'_>,
) -> io::Result<()> {
    let request = read_request(&mut client).await?;
    match treatment {
        Treatment::Answer(answer, count) => {
            count.fetch_add(1, Ordering::Relaxed);
            client.write_all(&closing(answer)).await?;
        }
        Treatment::AnswerAfterwards(answer) => {
            ask(upstream, &request).await?;
            client.write_all(&closing(answer)).await?;
        }
        Treatment::Pass => client.write_all(&ask(upstream, &request).await?).await?,
        Treatment::Twice => {
            ask(upstream, &request).await?;
            client.write_all(&ask(upstream, &request).await?).await?;
        }
        Treatment::NotYet(lag, puts) => {
            let answer = match is_too_early(&request, lag, puts) {
                true => NOT_FOUND.to_vec(),
                false => ask(upstream, &request).await?,
            };
            client.write_all(&answer).await?;
        }
        Treatment::OtherEtag => {
            let answer = ask(upstream, &request).await?;
            client.write_all(&with_other_etag(&answer)).await?;
        }
    }
    client.shutdown().await?;
    // Unread bytes would turn the end into a reset, and the answer would be lost with it.
    copy(&mut client, &mut tokio::io::sink()).await?;
    Ok(())
}

const NOT_FOUND: &[u8] =
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Whether a request is for an object that was put less than `lag` ago. A put is noted.
fn is_too_early(request: &[u8], lag: Duration, puts: &Puts) -> bool {
    let line = request
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let mut puts = puts.lock().expect("nobody panics with it");
    match method {
        Some("PUT") => {
            puts.insert(path.to_owned(), Instant::now());
            false
        }
        Some("GET" | "HEAD") => puts.get(path).is_some_and(|put| put.elapsed() < lag),
        _ => false,
    }
}

/// The next request whole, telling the store to end the connection behind it.
async fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (header, mut body) = read_header(client).await?;
    let length = usize::try_from(content_length(&header)).map_err(io::Error::other)?;
    let begun = body.len().min(length);
    body.resize(length, 0);
    client.read_exact(&mut body[begun..]).await?;
    Ok([&with_close(&header), body.as_slice()].concat())
}

/// What the store answers, to the end of the connection.
async fn ask(upstream: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut store = connect(upstream).await?;
    store.write_all(request).await?;
    let (header, body) = read_header(&mut store).await?;
    let mut answer = [with_close(&header), body].concat();
    store.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// A header that says that the connection ends. (It is no part of what is signed.)
fn with_close(header: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(header);
    let kept = text
        .split_inclusive("\r\n")
        .filter(|line| *line != "\r\n" && !has_name(line, "connection"));
    let kept: String = kept.collect();
    (kept + "Connection: close\r\n\r\n").into_bytes()
}

/// A whole answer that says so.
fn closing(answer: &[u8]) -> Vec<u8> {
    let (header, body) = in_two(answer);
    [&with_close(header), body].concat()
}

/// Header, with the empty line that ends it, and body.
fn in_two(message: &[u8]) -> (&[u8], &[u8]) {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    message.split_at(end.map_or(0, |end| end + 4))
}

fn with_other_etag(answer: &[u8]) -> Vec<u8> {
    let (header, rest) = in_two(answer);
    let text = String::from_utf8_lossy(header);
    let lines = text.split_inclusive("\r\n").map(|line| {
        if has_name(line, "etag") {
            "ETag: \"0123456789abcdef0123456789abcdef\"\r\n"
        } else {
            line
        }
    });
    [lines.collect::<String>().as_bytes(), rest].concat()
}

fn has_name(line: &str, name: &str) -> bool {
    let field = line.split_once(':').map_or("", |(field, _)| field);
    field.eq_ignore_ascii_case(name)
}
