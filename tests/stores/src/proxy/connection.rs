//! What the proxy does to one connection.
//!
//! Owns: passing, cutting, delaying, answering. Does not own: which of these is in force.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::sleep;

use super::exchange::{Treatment, serve_one};
use super::{Mode, Puts};

/// A header longer than this is none.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// How much passes at once.
const PIECE_BYTES: usize = 16 << 10;

pub(super) async fn serve(
    mut client: TcpStream,
    upstream: SocketAddr,
    mode: Mode,
    number: u64,
    puts: &Puts,
    answered: &AtomicU64,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    match mode {
        Mode::Pass | Mode::Refuse => {
            let mut store = connect(upstream).await?;
            copy_bidirectional(&mut client, &mut store).await?;
            Ok(())
        }
        Mode::Delay(time) => {
            sleep(time).await;
            let mut store = connect(upstream).await?;
            copy_bidirectional(&mut client, &mut store).await?;
            Ok(())
        }
        Mode::Hang => {
            copy(&mut client, &mut tokio::io::sink()).await?;
            std::future::pending().await
        }
        Mode::Answer(answer) => answer_all(client, &answer).await,
        Mode::Rate { bytes_per_second } => {
            let (from_client, to_client, from_store, to_store) = split(client, upstream).await?;
            tokio::try_join!(
                pass_slowly(from_client, to_store, bytes_per_second),
                pass_slowly(from_store, to_client, bytes_per_second),
            )?;
            Ok(())
        }
        Mode::ResetAnswer { after_bytes } => cut_answer(client, upstream, after_bytes, true).await,
        Mode::ShortAnswer { after_bytes } => cut_answer(client, upstream, after_bytes, false).await,
        Mode::ResetRequest { after_bytes } => cut_request(client, upstream, after_bytes).await,
        Mode::LoseAnswer => lose_answer(client, upstream).await,
        Mode::Sometimes { percent, answer } => {
            let treatment = match scatter(number) % 100 < u64::from(percent) {
                true => Treatment::Answer(&answer, answered),
                false => Treatment::Pass,
            };
            serve_one(client, upstream, treatment).await
        }
        Mode::DoneButAnswer(answer) => {
            serve_one(client, upstream, Treatment::AnswerAfterwards(&answer)).await
        }
        Mode::Twice => serve_one(client, upstream, Treatment::Twice).await,
        Mode::OtherEtag => serve_one(client, upstream, Treatment::OtherEtag).await,
        Mode::NotYet(lag) => serve_one(client, upstream, Treatment::NotYet(lag, puts)).await,
    }
}

/// Numbers in order, in no order (SplitMix64): the same each time.
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

pub(super) async fn connect(upstream: SocketAddr) -> io::Result<TcpStream> {
    let store = TcpStream::connect(upstream).await?;
    store.set_nodelay(true)?;
    Ok(store)
}

type Halves = (OwnedReadHalf, OwnedWriteHalf, OwnedReadHalf, OwnedWriteHalf);

async fn split(client: TcpStream, upstream: SocketAddr) -> io::Result<Halves> {
    let store = connect(upstream).await?;
    let (from_client, to_client) = client.into_split();
    let (from_store, to_store) = store.into_split();
    Ok((from_client, to_client, from_store, to_store))
}

async fn pass_slowly(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    bytes_per_second: u32,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut piece).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let count_u32 = u32::try_from(count).expect("at most PIECE_BYTES");
        sleep(Duration::from_secs_f64(
            f64::from(count_u32) / f64::from(bytes_per_second),
        ))
        .await;
        to.write_all(&piece[..count]).await?;
    }
}

/// Reads up to and with the empty line that ends a header; what came behind it stays in
/// the answer's second part.
pub(super) async fn read_header(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((bytes, rest));
        }
        let count = from.read(&mut piece).await?;
        if count == 0 || bytes.len() > HEADER_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}

pub(super) fn content_length(header: &[u8]) -> u64 {
    let header = String::from_utf8_lossy(header);
    let mut fields = header.lines().filter_map(|line| line.split_once(':'));
    fields
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

/// Passes a header and the first `body_bytes_max` bytes behind it.
async fn pass_some(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    body_bytes_max: usize,
) -> io::Result<()> {
    let (header, mut body) = read_header(from).await?;
    body.truncate(body_bytes_max);
    to.write_all(&header).await?;
    to.write_all(&body).await?;
    let rest = u64::try_from(body_bytes_max - body.len()).expect("a usize fits");
    copy(&mut from.take(rest), to).await?;
    to.flush().await
}

async fn cut_answer(
    client: TcpStream,
    upstream: SocketAddr,
    after_bytes: usize,
    reset: bool,
) -> io::Result<()> {
    let (mut from_client, mut to_client, mut from_store, mut to_store) =
        split(client, upstream).await?;
    // Requests go on being read: unread bytes would turn an end in good order into a reset.
    tokio::select! {
        biased;
        result = pass_some(&mut from_store, &mut to_client, after_bytes) => result?,
        result = copy(&mut from_client, &mut to_store) => { result?; }
    }
    if reset {
        reset_on_drop(to_client)?;
    }
    Ok(())
}

/// Makes the end of a connection a reset, once its other half is dropped too. A half that
/// is merely dropped ends in good order first.
fn reset_on_drop(half: OwnedWriteHalf) -> io::Result<()> {
    half.as_ref().set_zero_linger()?;
    half.forget();
    Ok(())
}

async fn cut_request(
    mut client: TcpStream,
    upstream: SocketAddr,
    after_bytes: usize,
) -> io::Result<()> {
    let mut store = connect(upstream).await?;
    pass_some(&mut client, &mut store, after_bytes).await?;
    client.set_zero_linger()?;
    store.set_zero_linger()
}

async fn lose_answer(client: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let (mut from_client, to_client, mut from_store, mut to_store) =
        split(client, upstream).await?;
    tokio::select! {
        biased;
        result = read_header(&mut from_store) => { result?; }
        result = copy(&mut from_client, &mut to_store) => { result?; }
    }
    reset_on_drop(to_client)
}

async fn answer_all(mut client: TcpStream, answer: &[u8]) -> io::Result<()> {
    loop {
        let (header, mut body) = read_header(&mut client).await?;
        let rest = content_length(&header).saturating_sub(body.len() as u64);
        body.clear();
        copy(&mut (&mut client).take(rest), &mut tokio::io::sink()).await?;
        client.write_all(answer).await?;
    }
}
