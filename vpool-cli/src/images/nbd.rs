//! A small NBD client: some connections to one disk, each with one request in flight.
//!
//! Owns: connecting again after the daemon went away, sending again what got no answer. Does not
//! own: the protocol's bytes (`vpool-nbd-wire`), what is asked.
//!
//! Sending again is harmless: nobody else writes the disk while it is filled, and a request that
//! was done twice is done.

use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::stream::{self, Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use vpool_api::Connection;
use vpool_nbd_wire::limits::OPTION_DATA_BYTES_MAX;
use vpool_nbd_wire::{
    ClientFlags, ClientOption, Command, CommandFlags, Errno, GREETING_BYTES, InfoQuery, Mode,
    OPTION_REPLY_HEADER_BYTES, OptionReply, Reply, Request, parse_greeting,
};

use super::place::RECONNECT_SECONDS;
use crate::failure::Failure;

/// Connections, and so requests in flight.
pub(super) const CONNECTIONS: usize = 4;

/// Bytes of one request.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);

/// A simple reply's header, in bytes.
const REPLY_BYTES: usize = 16;

/// A disk, served by the daemon of this host.
#[derive(Debug)]
pub(crate) struct Disk {
    socket: PathBuf,
    export: String,
    connections: Vec<Mutex<Option<UnixStream>>>,
}

impl Disk {
    /// Connects when the first request is sent.
    pub(crate) fn new(connection: &Connection) -> Disk {
        Disk {
            socket: PathBuf::from(&connection.nbd_socket),
            export: connection.export.clone(),
            connections: (0..CONNECTIONS).map(|_| Mutex::new(None)).collect(),
        }
    }

    /// Is one of its clients from now on.
    pub(crate) async fn attach(&self) -> Result<(), Failure> {
        const SECTOR: u64 = 512;
        self.call(0, Command::Read, 0, SECTOR, &[]).await.map(drop)
    }

    /// The first `size` bytes, in pieces and in order.
    pub(super) fn pieces(&self, size: u64) -> impl Stream<Item = Result<Vec<u8>, Failure>> {
        let step = PIECE_BYTES as u64;
        let read = move |number: u64| {
            let offset = number * step;
            self.call(
                number,
                Command::Read,
                offset,
                (size - offset).min(step),
                &[],
            )
        };
        stream::iter((0..size.div_ceil(step)).map(read)).buffered(CONNECTIONS)
    }

    /// Writes at `offset`, over the connection that `number` falls to.
    pub(super) async fn write(&self, number: u64, offset: u64, data: &[u8]) -> Result<(), Failure> {
        let length = data.len() as u64;
        let written = self.call(number, Command::Write, offset, length, data);
        written.await.map(drop)
    }

    async fn call(
        &self,
        number: u64,
        command: Command,
        offset: u64,
        length: u64,
        payload: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let request = Request {
            flags: CommandFlags(0),
            command,
            cookie: number,
            offset,
            length,
        };
        let count = self.connections.len() as u64;
        let slot = usize::try_from(number % count).unwrap_or_default();
        let mut held = self.connections[slot].lock().await;
        let begun = Instant::now();
        loop {
            let tried = async {
                let mut stream = match held.take() {
                    Some(stream) => stream,
                    None => connect(&self.socket, &self.export).await?,
                };
                let answer = exchange(&mut stream, &request, payload).await?;
                *held = Some(stream);
                Ok::<_, Error>(answer)
            };
            let why = match tried.await {
                Ok(Ok(data)) => return Ok(data),
                // It ends, and another one will answer.
                Ok(Err(Errno::SHUTDOWN)) => "the daemon ends".to_owned(),
                Ok(Err(errno)) => return Err(self.refused(&request, errno)),
                Err(error) => error.to_string(),
            };
            *held = None;
            if begun.elapsed() > Duration::from_secs(RECONNECT_SECONDS.into()) {
                let socket = self.socket.display();
                let message = format!("disk {} at {socket}: {why}", self.export);
                return Err(Failure::failed(message).with_hint("the daemon's log says why"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn refused(&self, request: &Request, errno: Errno) -> Failure {
        let why = match errno {
            Errno::NOSPC => "no space is left".to_owned(),
            Errno::PERM => "it may not be written".to_owned(),
            Errno(number) => Error::from_raw_os_error(number.cast_signed()).to_string(),
        };
        let what = match request.command {
            Command::Read => "read",
            _ => "write",
        };
        let (length, offset) = (request.length, request.offset);
        Failure::failed(format!(
            "cannot {what} {length} bytes at {offset} of disk {}: {why}",
            self.export
        ))
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::InvalidData, error)
}

/// A connection that has chosen its export.
async fn connect(socket: &std::path::Path, export: &str) -> Result<UnixStream, Error> {
    let mut stream = UnixStream::connect(socket).await?;
    let mut greeting = [0; GREETING_BYTES];
    stream.read_exact(&mut greeting).await?;
    parse_greeting(&greeting).map_err(invalid)?;
    let flags = ClientFlags {
        fixed_newstyle: true,
        no_zeroes: true,
    };
    let mut bytes = flags.encode().to_vec();
    ClientOption::Go(InfoQuery {
        name: export,
        requests: Vec::new(),
    })
    .encode(&mut bytes);
    stream.write_all(&bytes).await?;
    loop {
        let mut reply = vec![0; OPTION_REPLY_HEADER_BYTES];
        stream.read_exact(&mut reply).await?;
        let length = reply.last_chunk().copied().map_or(0, u32::from_be_bytes);
        let length = usize::try_from(length).map_err(invalid)?;
        if length > OPTION_DATA_BYTES_MAX {
            return Err(invalid("the server's answer is too long"));
        }
        reply.resize(OPTION_REPLY_HEADER_BYTES + length, 0);
        stream
            .read_exact(&mut reply[OPTION_REPLY_HEADER_BYTES..])
            .await?;
        match OptionReply::parse(&reply).map_err(invalid)? {
            Some((_, OptionReply::Ack, _)) => return Ok(stream),
            Some((_, OptionReply::Error { message, .. }, _)) => {
                return Err(invalid(format!("the server refuses: {message}")));
            }
            _ => {}
        }
    }
}

/// Sends one request and takes its answer: data of a read, nothing of a write, or an error.
async fn exchange(
    stream: &mut UnixStream,
    request: &Request,
    payload: &[u8],
) -> Result<Result<Vec<u8>, Errno>, Error> {
    let mut head = Vec::new();
    request.encode(Mode::Simple, &mut head).map_err(invalid)?;
    stream.write_all(&head).await?;
    stream.write_all(payload).await?;
    let mut reply = [0; REPLY_BYTES];
    stream.read_exact(&mut reply).await?;
    match Reply::parse(Mode::Simple, &reply).map_err(invalid)? {
        Some((Reply::Simple { error, cookie }, _)) if cookie == request.cookie => {
            if error != Errno(0) {
                return Ok(Err(error));
            }
        }
        _ => return Err(invalid("the server answered something else")),
    }
    let length = match request.command {
        Command::Read => usize::try_from(request.length).map_err(invalid)?,
        _ => 0,
    };
    let mut data = vec![0; length];
    stream.read_exact(&mut data).await?;
    Ok(Ok(data))
}
