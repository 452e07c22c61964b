//! A small NBD client: threads that block, a few connections, every reply seen.
//!
//! Owns: connections, matching of chunks to requests. Does not own: the protocol's bytes
//! (`vpool-nbd-wire`), what is asked (`oracle`).
//!
//! Requests are sent by the caller; one thread for each connection receives, so that a
//! server that waits for its replies to be taken never waits for ever.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use vpool_nbd_wire::{
    Chunk, ClientFlags, ClientOption, Command, CommandFlags, Errno, GREETING_BYTES, InfoQuery,
    Mode, OptionReply, Reply, Request, parse_greeting,
};

/// Nothing takes longer, but what waits for ever: the daemon may be busy shipping.
const PATIENCE: Duration = Duration::from_secs(60);

const MODE: Mode = Mode::Structured;

/// Where a disk is served.
#[derive(Debug, Clone)]
pub struct Door {
    /// The server's socket.
    pub socket: PathBuf,
    /// The export's name.
    pub export: String,
}

impl Door {
    /// For other clients. The names and paths of tests need no escapes.
    pub fn uri(&self) -> String {
        format!(
            "nbd+unix:///{}?socket={}",
            self.export,
            self.socket.display()
        )
    }
}

/// The answer to one request.
#[derive(Debug)]
pub struct Completion {
    /// The request's cookie.
    pub cookie: u64,
    /// Data of a read (empty for other requests), or the error.
    pub result: Result<Vec<u8>, Errno>,
}

/// What comes in.
#[derive(Debug)]
pub enum Incoming {
    /// A request is complete.
    Completion(Completion),
    /// A connection has ended, with the reason.
    Ended(io::Error),
}

/// Some connections to one export.
#[derive(Debug)]
pub struct Client {
    streams: Vec<UnixStream>,
    readers: Vec<JoinHandle<()>>,
    incoming: Receiver<Incoming>,
    size: u64,
    buffer: Vec<u8>,
}

impl Client {
    /// Opens `count` connections. While the server is away the error is an
    /// [`io::Error`] for which [`is_away`] holds.
    pub fn connect(door: &Door, count: usize) -> anyhow::Result<Client> {
        let (sender, incoming) = channel();
        let mut client = Client {
            streams: Vec::new(),
            readers: Vec::new(),
            incoming,
            size: 0,
            buffer: Vec::new(),
        };
        for _ in 0..count {
            let (stream, size) = attach(door)?;
            client.size = size;
            let receiving = stream.try_clone()?;
            // An idle connection may be silent for long; waiting is bounded by `next`.
            receiving.set_read_timeout(None)?;
            let sender = sender.clone();
            let receive = move || receive(receiving, &sender);
            client.readers.push(std::thread::spawn(receive));
            client.streams.push(stream);
        }
        Ok(client)
    }

    /// The disk's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Number of connections.
    pub fn connections(&self) -> usize {
        self.streams.len()
    }

    /// Sends a request, with its payload, over connection `on`.
    pub fn send(&mut self, on: usize, request: &Request, payload: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        request
            .encode(MODE, &mut self.buffer)
            .map_err(io::Error::other)?;
        self.buffer.extend_from_slice(payload);
        self.streams[on].write_all(&self.buffer)
    }

    /// Tells the server that no more requests come; answers still do, and then the ends.
    pub fn finish(&self) {
        for stream in &self.streams {
            // A connection that the server has ended is finished.
            let _ended = stream.shutdown(Shutdown::Write);
        }
    }

    /// The next that comes in on any connection. Silence for a minute is an error.
    pub fn next(&self) -> anyhow::Result<Incoming> {
        self.incoming
            .recv_timeout(PATIENCE)
            .with_context(|| format!("the server has not answered for {PATIENCE:?}"))
    }

    /// Reads `length` bytes at `offset`; nothing else may be in flight.
    pub fn read(&mut self, offset: u64, length: u64) -> anyhow::Result<Vec<u8>> {
        self.call(Command::Read, offset, length, &[])
    }

    /// Writes at `offset`; nothing else may be in flight.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> anyhow::Result<()> {
        let length = u64::try_from(data.len())?;
        self.call(Command::Write, offset, length, data).map(|_| ())
    }

    /// Flushes; nothing else may be in flight.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.call(Command::Flush, 0, 0, &[]).map(|_| ())
    }

    fn call(
        &mut self,
        command: Command,
        offset: u64,
        length: u64,
        payload: &[u8],
    ) -> anyhow::Result<Vec<u8>> {
        let request = Request {
            flags: CommandFlags(0),
            command,
            cookie: 0,
            offset,
            length,
        };
        self.send(0, &request, payload)?;
        match self.next()? {
            Incoming::Completion(completion) => completion.result.map_err(|errno| {
                anyhow::anyhow!("{command:?} of {length} at {offset}: NBD error {}", errno.0)
            }),
            Incoming::Ended(error) => Err(error.into()),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for stream in &self.streams {
            // A connection that the server has ended is what is wanted.
            let _ended = stream.shutdown(Shutdown::Both);
        }
        for reader in self.readers.drain(..) {
            // A reader that panicked has said so; its sender is gone, which `next` reports.
            let _joined = reader.join();
        }
    }
}

/// Whether an error of [`Client::connect`] says that the server is not there (any more, or
/// yet).
pub fn is_away(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(
        kind,
        Some(
            io::ErrorKind::NotFound
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        )
    )
}

/// A connection that has chosen its export, and the export's size; nobody receives on it.
pub fn attach(door: &Door) -> anyhow::Result<(UnixStream, u64)> {
    let mut stream = UnixStream::connect(&door.socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let size = negotiate(&mut stream, &door.export)?;
    Ok((stream, size))
}

/// The bytes of a request on such a connection.
pub fn encoded(request: &Request) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    request.encode(MODE, &mut bytes)?;
    Ok(bytes)
}

/// Chooses the export; the answer is its size.
fn negotiate(stream: &mut UnixStream, export: &str) -> anyhow::Result<u64> {
    let mut greeting = [0; GREETING_BYTES];
    stream.read_exact(&mut greeting)?;
    parse_greeting(&greeting)?;
    let flags = ClientFlags {
        fixed_newstyle: true,
        no_zeroes: true,
    };
    stream.write_all(&flags.encode())?;
    option(stream, &ClientOption::StructuredReply)?;
    let go = InfoQuery {
        name: export,
        requests: Vec::new(),
    };
    let size = option(stream, &ClientOption::Go(go))?;
    size.with_context(|| format!("the server does not tell the size of {export}"))
}

/// Sends an option and waits until it is acknowledged; the answer is the export's size
/// where it was told.
fn option(stream: &mut UnixStream, option: &ClientOption<'_>) -> anyhow::Result<Option<u64>> {
    let mut bytes = Vec::new();
    option.encode(&mut bytes);
    stream.write_all(&bytes)?;
    let (mut received, mut told) = (Vec::new(), None);
    loop {
        while let Some((_, reply, length)) = OptionReply::parse(&received)? {
            match reply {
                OptionReply::Ack => return Ok(told),
                OptionReply::Export { size, .. } => told = Some(size),
                OptionReply::Error { code, message } => {
                    bail!("the server refuses {option:?}: {code:?} {message}")
                }
                _ => {}
            }
            received.drain(..length);
        }
        // Byte by byte at worst, but never one byte of what follows the last reply.
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        received.push(byte[0]);
    }
}

fn receive(mut stream: UnixStream, sender: &Sender<Incoming>) {
    let ended = receive_all(&mut stream, sender);
    // A client that is gone needs no news.
    let _nobody = sender.send(Incoming::Ended(ended));
}

/// Receives until the connection ends; the answer is why.
fn receive_all(stream: &mut UnixStream, sender: &Sender<Incoming>) -> io::Error {
    let mut received: Vec<u8> = Vec::new();
    let mut block = vec![0; 256 << 10];
    let mut partial: HashMap<u64, Partial> = HashMap::new();
    loop {
        let mut at = 0;
        loop {
            match Reply::parse(MODE, &received[at..]) {
                Ok(Some((reply, length))) => {
                    at += length;
                    let Some(completion) = take(&mut partial, reply) else {
                        continue;
                    };
                    if sender.send(Incoming::Completion(completion)).is_err() {
                        return io::Error::other("the client is gone");
                    }
                }
                Ok(None) => break,
                Err(error) => return io::Error::other(error),
            }
        }
        received.drain(..at);
        match stream.read(&mut block) {
            Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(bytes) => received.extend_from_slice(&block[..bytes]),
            Err(error) => return error,
        }
    }
}

/// What has come of a reply so far: pieces by offset, the first error.
#[derive(Default)]
struct Partial {
    pieces: Vec<(u64, Vec<u8>)>,
    error: Option<Errno>,
}

fn take(partial: &mut HashMap<u64, Partial>, reply: Reply<'_>) -> Option<Completion> {
    match reply {
        Reply::Simple { error, cookie } => Some(Completion {
            cookie,
            result: match error {
                Errno(0) => Ok(Vec::new()),
                error => Err(error),
            },
        }),
        Reply::Chunk {
            cookie,
            done,
            content,
        } => {
            let so_far = partial.entry(cookie).or_default();
            match content {
                Chunk::Data { offset, data } => so_far.pieces.push((offset, data.to_vec())),
                Chunk::Error { errno, .. } => so_far.error = so_far.error.or(Some(errno)),
                Chunk::None | Chunk::BlockStatus { .. } => {}
            }
            if !done {
                return None;
            }
            let mut whole = partial.remove(&cookie)?;
            let result = match whole.error {
                Some(errno) => Err(errno),
                None => {
                    whole.pieces.sort_by_key(|piece| piece.0);
                    let pieces = whole.pieces.into_iter().map(|piece| piece.1);
                    Ok(pieces.collect::<Vec<_>>().concat())
                }
            };
            Some(Completion { cookie, result })
        }
    }
}
