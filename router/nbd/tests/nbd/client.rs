//! A client that does exactly what a test says, and sees every reply.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use vpool_nbd_wire::{
    BASE_ALLOCATION, Chunk, ClientFlags, ClientOption, Command, CommandFlags, Errno, ExtentStatus,
    GREETING_BYTES, InfoKind, InfoQuery, MetaQuery, Mode, OptionErrorCode, OptionReply, Reply,
    Request, parse_greeting,
};

/// Nothing in these tests takes longer, but what waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// A reply to an option, without borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Ack,
    Server(String),
    Export { size: u64, flags: u16 },
    Info(String),
    Context(u32, String),
    Error(OptionErrorCode),
}

/// A whole reply to a request, without borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Done,
    /// Data in the order of its offsets.
    Data(Vec<u8>),
    Status(Vec<ExtentStatus>),
    /// Number, offset of the failure, and the data that came before it.
    Error(Errno, Option<u64>, usize),
}

pub(crate) struct Client<S = UnixStream> {
    pub(crate) stream: S,
    pub(crate) mode: Mode,
    received: Vec<u8>,
    /// Lengths of reads under way, for simple replies; offsets, for the others.
    reads: HashMap<u64, (u64, usize)>,
    partial: HashMap<u64, Vec<u8>>,
    cookie: u64,
}

impl Client {
    /// A connection after the exchange of flags.
    pub(crate) async fn connect(socket: &Path) -> Self {
        Client::greet(UnixStream::connect(socket).await.unwrap()).await
    }

    /// A connection to the default export, with block status where the mode has it.
    pub(crate) async fn open(socket: &Path, mode: Mode) -> Self {
        let mut client = Self::connect(socket).await;
        client.choose(mode).await;
        client
    }

    /// A second handle of the connection, to send while replies are received.
    pub(crate) fn writer(&self) -> UnixStream {
        let handle = self.stream.as_fd().try_clone_to_owned().unwrap();
        UnixStream::from_std(handle.into()).unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// The exchange of flags.
    pub(crate) async fn greet(mut stream: S) -> Self {
        let mut greeting = [0; GREETING_BYTES];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(parse_greeting(&greeting), Ok(3));
        let flags = ClientFlags {
            fixed_newstyle: true,
            no_zeroes: true,
        };
        stream.write_all(&flags.encode()).await.unwrap();
        stream.flush().await.unwrap();
        Client::negotiating(stream)
    }

    /// A client behind the exchange of flags.
    pub(crate) fn negotiating(stream: S) -> Self {
        Client {
            stream,
            mode: Mode::Simple,
            received: Vec::new(),
            reads: HashMap::new(),
            partial: HashMap::new(),
            cookie: 0,
        }
    }

    /// Chooses the default export, with block status where the mode has it.
    pub(crate) async fn choose(&mut self, mode: Mode) {
        let client = self;
        let option = match mode {
            Mode::Simple => None,
            Mode::Structured => Some(ClientOption::StructuredReply),
            Mode::Extended => Some(ClientOption::ExtendedHeaders),
        };
        if let Some(option) = option {
            assert_eq!(client.option(&option).await, [Answer::Ack]);
            let meta = MetaQuery {
                name: "",
                queries: vec![BASE_ALLOCATION],
            };
            let answers = client.option(&ClientOption::SetMetaContext(meta)).await;
            assert_eq!(answers.last(), Some(&Answer::Ack));
        }
        let info = InfoQuery {
            name: "",
            requests: vec![InfoKind::BLOCK_SIZE],
        };
        let answers = client.option(&ClientOption::Go(info)).await;
        assert_eq!(answers.last(), Some(&Answer::Ack));
        client.mode = mode;
    }

    /// Sends an option and collects the answers up to the last.
    pub(crate) async fn option(&mut self, option: &ClientOption<'_>) -> Vec<Answer> {
        let mut bytes = Vec::new();
        option.encode(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
        self.answers().await.expect("the server answers")
    }

    /// The answers to an option up to the last; `None` if the connection ends before.
    pub(crate) async fn answers(&mut self) -> Option<Vec<Answer>> {
        let mut answers = Vec::new();
        loop {
            while let Some((_, reply, length)) = OptionReply::parse(&self.received).unwrap() {
                let answer = match reply {
                    OptionReply::Ack => Answer::Ack,
                    OptionReply::Server { name, .. } => Answer::Server(name.to_owned()),
                    OptionReply::Export { size, flags } => Answer::Export { size, flags },
                    OptionReply::Error { code, .. } => Answer::Error(code),
                    OptionReply::MetaContext { id, name } => Answer::Context(id, name.to_owned()),
                    other => Answer::Info(format!("{other:?}")),
                };
                self.received.drain(..length);
                let last = matches!(answer, Answer::Ack | Answer::Error(_));
                answers.push(answer);
                if last {
                    return Some(answers);
                }
            }
            if self.receive().await? == 0 {
                return None;
            }
        }
    }

    /// Receives more; 0 at the end, `None` if the connection was reset.
    async fn receive(&mut self) -> Option<usize> {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received));
        match read.await.expect("the server does not hang") {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether the server closes the connection without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        assert!(self.received.is_empty(), "unread replies");
        matches!(self.receive().await, Some(0) | None)
    }

    /// The cookie of the last request.
    pub(crate) fn last_cookie(&self) -> u64 {
        self.cookie
    }

    /// The bytes of a request; its cookie is counted up.
    pub(crate) fn request(
        &mut self,
        command: Command,
        flags: u16,
        offset: u64,
        length: u64,
    ) -> Vec<u8> {
        self.cookie += 1;
        let (cookie, flags) = (self.cookie, CommandFlags(flags));
        let mut bytes = Vec::new();
        let request = Request {
            flags,
            command,
            cookie,
            offset,
            length,
        };
        request.encode(self.mode, &mut bytes).unwrap();
        if command == Command::Read {
            let length = usize::try_from(length).unwrap();
            self.reads.insert(cookie, (offset, length));
        }
        bytes
    }

    /// Sends a request and gives its cookie.
    pub(crate) async fn send(
        &mut self,
        command: Command,
        flags: u16,
        offset: u64,
        length: u64,
    ) -> u64 {
        let bytes = self.request(command, flags, offset, length);
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
        self.cookie
    }

    /// Sends a write and gives its cookie.
    pub(crate) async fn send_write(&mut self, flags: u16, offset: u64, data: &[u8]) -> u64 {
        let mut bytes = self.request(Command::Write, flags, offset, data.len() as u64);
        bytes.extend_from_slice(data);
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
        self.cookie
    }

    /// The next reply that is complete; `None` when the connection ends.
    pub(crate) async fn reply(&mut self) -> Option<(u64, Content)> {
        loop {
            match Reply::parse(self.mode, &self.received).unwrap() {
                Some((
                    Reply::Simple {
                        error: Errno(0),
                        cookie,
                    },
                    header,
                )) => {
                    let length = self.reads.get(&cookie).map_or(0, |read| read.1);
                    if self.received.len() >= header + length {
                        let data = self.received[header..header + length].to_vec();
                        self.received.drain(..header + length);
                        let read = self.reads.remove(&cookie).is_some();
                        let content = if read {
                            Content::Data(data)
                        } else {
                            Content::Done
                        };
                        return Some((cookie, content));
                    }
                }
                Some((Reply::Simple { error, cookie }, header)) => {
                    self.received.drain(..header);
                    return Some((cookie, Content::Error(error, None, 0)));
                }
                Some((
                    Reply::Chunk {
                        cookie,
                        done,
                        content,
                    },
                    length,
                )) => {
                    let finished = self.chunk(cookie, done, content.into());
                    self.received.drain(..length);
                    if let Some(content) = finished {
                        return Some((cookie, content));
                    }
                    continue;
                }
                None => {}
            }
            if self.receive().await? == 0 {
                return None;
            }
        }
    }

    fn chunk(&mut self, cookie: u64, done: bool, content: OwnedChunk) -> Option<Content> {
        let partial = self.partial.entry(cookie).or_default();
        let content = match content {
            OwnedChunk::None => match self.reads.get(&cookie) {
                Some(_) => Content::Data(std::mem::take(partial)),
                None => Content::Done,
            },
            OwnedChunk::Data(offset, data) => {
                let (start, length) = self.reads[&cookie];
                assert_eq!(offset, start + partial.len() as u64, "pieces come in order");
                partial.extend_from_slice(&data);
                assert!(partial.len() <= length && done == (partial.len() == length));
                Content::Data(if done {
                    std::mem::take(partial)
                } else {
                    Vec::new()
                })
            }
            OwnedChunk::Status(extents) => Content::Status(extents),
            OwnedChunk::Error(errno, at) => Content::Error(errno, at, partial.len()),
        };
        if done {
            self.partial.remove(&cookie);
            self.reads.remove(&cookie);
        }
        done.then_some(content)
    }

    /// One request, one reply.
    pub(crate) async fn call(
        &mut self,
        command: Command,
        flags: u16,
        offset: u64,
        length: u64,
    ) -> Content {
        let sent = self.send(command, flags, offset, length).await;
        let (cookie, content) = self.reply().await.expect("the server answers");
        assert_eq!(cookie, sent);
        content
    }

    /// One write, one reply.
    pub(crate) async fn write(&mut self, flags: u16, offset: u64, data: &[u8]) -> Content {
        let sent = self.send_write(flags, offset, data).await;
        let (cookie, content) = self.reply().await.expect("the server answers");
        assert_eq!(cookie, sent);
        content
    }

    /// One read.
    pub(crate) async fn read(&mut self, offset: u64, length: u64) -> Content {
        self.call(Command::Read, 0, offset, length).await
    }
}

enum OwnedChunk {
    None,
    Data(u64, Vec<u8>),
    Status(Vec<ExtentStatus>),
    Error(Errno, Option<u64>),
}

impl From<Chunk<'_>> for OwnedChunk {
    fn from(chunk: Chunk<'_>) -> Self {
        match chunk {
            Chunk::None => OwnedChunk::None,
            Chunk::Data { offset, data } => OwnedChunk::Data(offset, data.to_vec()),
            Chunk::BlockStatus { context, extents } => {
                assert_eq!(context, 1);
                OwnedChunk::Status(extents)
            }
            Chunk::Error { errno, at, message } => {
                assert!(!message.is_empty(), "errors say why");
                OwnedChunk::Error(errno, at)
            }
        }
    }
}
