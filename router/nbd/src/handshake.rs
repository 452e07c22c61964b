//! Negotiation with one client, up to its choice of an export.
//!
//! Owns: the order of options and their answers. Does not own: their bytes
//! (`vpool-nbd-wire`), TLS: `STARTTLS` is answered "not supported".
//!
//! A client that has chosen nothing yet can make the server hold one option
//! (`limits::OPTION_BYTES_MAX`), for as long as [`Limits::handshake_time_max`]; the time
//! that the server itself takes to open the disk is not counted.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use vpool_block::{Attached, BlockError, Exports};
use vpool_nbd_wire::limits::{OPTION_DATA_BYTES_MAX, OPTIONS_MAX, PAYLOAD_BYTES_MAX};
use vpool_nbd_wire::{
    BASE_ALLOCATION, BlockSizes, CLIENT_FLAGS_BYTES, ClientFlags, ClientOption,
    EXPORT_NAME_PADDING_BYTES, InfoKind, InfoQuery, MetaQuery, Mode, OPTION_HEADER_BYTES,
    OptionCode, OptionErrorCode, OptionHeader, OptionReply, TransmissionFlags, WireError, greeting,
};

use crate::limits::Limits;
use crate::session::{ALLOCATION_CONTEXT, Agreed};
use crate::status::refusal;

/// Replies are sent when they have grown to this many bytes.
const REPLY_BYTES: usize = 16 << 10;

/// Why a negotiation ended without an export.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The socket failed, or the client left in the middle of something.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The client broke the protocol.
    #[error("the client broke the protocol")]
    Wire(#[from] WireError),
    /// The client took too long.
    #[error("the client did not choose an export in time")]
    Timeout,
    /// The client asked for too much.
    #[error("the client sent {0}")]
    Excess(&'static str),
    /// The client chose by `EXPORT_NAME`, which has no way to refuse.
    #[error("the export cannot be opened")]
    Export(#[source] BlockError),
}

/// What follows an option.
enum Next {
    Option,
    Start,
    Leave,
}

/// Negotiates with the client behind `stream`. `None` if it left in good order.
pub(crate) async fn negotiate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    exports: &dyn Exports,
    remote: Option<&str>,
    limits: &Limits,
) -> Result<Option<Agreed>, HandshakeError> {
    Negotiation {
        stream,
        exports,
        remote,
        deadline: Instant::now() + limits.handshake_time_max,
        no_zeroes: false,
        mode: Mode::Simple,
        open: None,
        allocation_of: None,
        replies: Vec::new(),
    }
    .run()
    .await
}

struct Negotiation<'a, S> {
    stream: &'a mut S,
    exports: &'a dyn Exports,
    remote: Option<&'a str>,
    deadline: Instant,
    no_zeroes: bool,
    mode: Mode,
    /// The export that was asked about last, so that it is opened once.
    open: Option<(String, Attached)>,
    /// The export for which block status was chosen.
    allocation_of: Option<String>,
    replies: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Negotiation<'_, S> {
    async fn run(mut self) -> Result<Option<Agreed>, HandshakeError> {
        self.replies.extend_from_slice(&greeting());
        self.send().await?;
        let mut flags = [0; CLIENT_FLAGS_BYTES];
        if !self.receive_or_end(&mut flags).await? {
            return Ok(None);
        }
        let flags = ClientFlags::parse(flags)?;
        self.no_zeroes = flags.no_zeroes;
        let mut data = Vec::new();
        for _ in 0..OPTIONS_MAX {
            let mut header = [0; OPTION_HEADER_BYTES];
            if !self.receive_or_end(&mut header).await? {
                return Ok(None);
            }
            let header = OptionHeader::parse(&header)?;
            if !flags.fixed_newstyle && header.code != OptionCode::EXPORT_NAME {
                return Err(HandshakeError::Excess("an option without fixed newstyle"));
            }
            self.receive_data(header, &mut data).await?;
            let next = self.option(header.code, &data).await?;
            self.send().await?;
            match next {
                Next::Option => {}
                Next::Leave => return Ok(None),
                Next::Start => return Ok(self.agreed()),
            }
        }
        Err(HandshakeError::Excess("too many options"))
    }

    fn agreed(self) -> Option<Agreed> {
        let (name, device) = self.open?;
        let allocation = self.allocation_of.as_ref() == Some(&name);
        Some(Agreed {
            name,
            device,
            mode: self.mode,
            allocation,
        })
    }

    async fn option(&mut self, code: OptionCode, data: &[u8]) -> Result<Next, HandshakeError> {
        let option = match ClientOption::parse(code, data) {
            Ok(option) => option,
            Err(error) if code == OptionCode::EXPORT_NAME => return Err(error.into()),
            Err(error) => {
                self.refuse(code, OptionErrorCode::INVALID, &error.to_string());
                return Ok(Next::Option);
            }
        };
        match option {
            ClientOption::ExportName(name) => return self.export_name(name).await,
            ClientOption::Abort => {
                self.reply(code, OptionReply::Ack);
                return Ok(Next::Leave);
            }
            ClientOption::List => self.list(code).await?,
            ClientOption::StartTls => {
                self.refuse(
                    code,
                    OptionErrorCode::UNSUPPORTED,
                    "TLS is not offered here",
                );
            }
            ClientOption::Info(query) => {
                self.info(code, &query).await;
            }
            ClientOption::Go(query) => {
                if self.info(code, &query).await {
                    return Ok(Next::Start);
                }
            }
            ClientOption::StructuredReply => self.choose_mode(code, Mode::Structured),
            ClientOption::ExtendedHeaders => self.choose_mode(code, Mode::Extended),
            ClientOption::ListMetaContext(query) => {
                self.contexts(code, &query, query.lists_allocation(), 0)
                    .await;
            }
            ClientOption::SetMetaContext(query) => {
                self.allocation_of = None;
                let chosen = query.selects_allocation();
                if self
                    .contexts(code, &query, chosen, ALLOCATION_CONTEXT)
                    .await
                    && chosen
                {
                    self.allocation_of = Some(query.name.to_owned());
                }
            }
            ClientOption::Unknown(code) => {
                self.refuse(code, OptionErrorCode::UNSUPPORTED, "unknown option");
            }
        }
        Ok(Next::Option)
    }

    fn choose_mode(&mut self, code: OptionCode, mode: Mode) {
        match (self.mode, mode) {
            (Mode::Extended, Mode::Structured) => self.refuse(
                code,
                OptionErrorCode::EXTENDED_HEADERS,
                "extended headers were chosen already",
            ),
            (now, mode) if now == mode => {
                self.refuse(code, OptionErrorCode::INVALID, "chosen already");
            }
            _ => {
                self.mode = mode;
                self.reply(code, OptionReply::Ack);
            }
        }
    }

    async fn export_name(&mut self, name: &str) -> Result<Next, HandshakeError> {
        if self.mode == Mode::Extended {
            return Err(HandshakeError::Excess("EXPORT_NAME after extended headers"));
        }
        let device = self.open(name).await.map_err(HandshakeError::Export)?;
        let flags = self.flags(&device);
        self.replies.extend_from_slice(&device.size().to_be_bytes());
        self.replies.extend_from_slice(&flags.to_be_bytes());
        if !self.no_zeroes {
            self.replies
                .extend_from_slice(&[0; EXPORT_NAME_PADDING_BYTES]);
        }
        Ok(Next::Start)
    }

    /// Answers `INFO` or `GO`. Returns whether the export could be opened.
    async fn info(&mut self, code: OptionCode, query: &InfoQuery<'_>) -> bool {
        let device = match self.open(query.name).await {
            Ok(device) => device,
            Err(error) => {
                self.refuse(code, refusal(&error), &error.to_string());
                return false;
            }
        };
        let flags = self.flags(&device);
        self.reply(
            code,
            OptionReply::Export {
                size: device.size(),
                flags,
            },
        );
        let asks = |kind: u16| query.requests.contains(&kind);
        if asks(InfoKind::BLOCK_SIZE) {
            let preferred = device
                .limits()
                .preferred_bytes
                .clamp(512, PAYLOAD_BYTES_MAX);
            let preferred = 1 << preferred.ilog2();
            let sizes = BlockSizes {
                minimum: 1,
                preferred,
                maximum: PAYLOAD_BYTES_MAX,
            };
            self.reply(code, OptionReply::BlockSize(sizes));
        }
        if asks(InfoKind::NAME) {
            self.reply(code, OptionReply::Name(query.name));
        }
        self.reply(code, OptionReply::Ack);
        true
    }

    /// Answers a listing or choice of contexts. Returns whether it was not refused.
    async fn contexts(
        &mut self,
        code: OptionCode,
        query: &MetaQuery<'_>,
        found: bool,
        id: u32,
    ) -> bool {
        if self.mode == Mode::Simple {
            self.refuse(
                code,
                OptionErrorCode::INVALID,
                "structured replies come first",
            );
            return false;
        }
        if let Err(error) = self.open(query.name).await {
            self.refuse(code, refusal(&error), &error.to_string());
            return false;
        }
        if found {
            self.reply(
                code,
                OptionReply::MetaContext {
                    id,
                    name: BASE_ALLOCATION,
                },
            );
        }
        self.reply(code, OptionReply::Ack);
        true
    }

    async fn list(&mut self, code: OptionCode) -> Result<(), HandshakeError> {
        let begun = Instant::now();
        let exports = self.exports.list().await;
        self.deadline += begun.elapsed();
        for export in exports {
            let (name, description) = (&export.name, &export.description);
            self.reply(code, OptionReply::Server { name, description });
            if self.replies.len() >= REPLY_BYTES {
                self.send().await?;
            }
        }
        self.reply(code, OptionReply::Ack);
        Ok(())
    }

    /// Opens the export, or gives the one that is open.
    async fn open(&mut self, name: &str) -> Result<Attached, BlockError> {
        if let Some((open, device)) = &self.open
            && open == name
        {
            return Ok(device.clone());
        }
        // The one that is open is let go first: a client has one disk.
        self.open = None;
        let begun = Instant::now();
        let device = self.exports.attach(name, self.remote).await;
        self.deadline += begun.elapsed();
        let device = device?;
        self.open = Some((name.to_owned(), device.clone()));
        Ok(device)
    }

    fn flags(&self, device: &Attached) -> u16 {
        TransmissionFlags::of_disk(device.limits().read_only, self.mode != Mode::Simple).0
    }

    fn reply(&mut self, code: OptionCode, reply: OptionReply<'_>) {
        reply.encode(code, &mut self.replies);
    }

    fn refuse(&mut self, code: OptionCode, error: OptionErrorCode, message: &str) {
        self.reply(
            code,
            OptionReply::Error {
                code: error,
                message,
            },
        );
    }

    async fn receive_data(
        &mut self,
        header: OptionHeader,
        data: &mut Vec<u8>,
    ) -> Result<(), HandshakeError> {
        let length = usize::try_from(header.length).expect("usize has 32 bits or more");
        if length > OPTION_DATA_BYTES_MAX {
            self.refuse(
                header.code,
                OptionErrorCode::TOO_BIG,
                "the option is too long",
            );
            self.send().await?;
            return Err(HandshakeError::Excess("an option that is too long"));
        }
        // Grows with what arrives, not with what was announced; and is small again
        // for the next option.
        *data = Vec::new();
        let mut limited = (&mut *self.stream).take(u64::from(header.length));
        let received = timeout_at(self.deadline, limited.read_to_end(data));
        match received
            .await
            .map_err(|_elapsed| HandshakeError::Timeout)??
        {
            received if received == length => Ok(()),
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Fills `bytes`; `false` if the client left before the first of them.
    async fn receive_or_end(&mut self, bytes: &mut [u8]) -> Result<bool, HandshakeError> {
        let receive = async {
            if self.stream.read_exact(&mut bytes[..1]).await.is_err() {
                return Ok(false);
            }
            self.stream.read_exact(&mut bytes[1..]).await.map(|_| true)
        };
        let received = timeout_at(self.deadline, receive).await;
        Ok(received.map_err(|_elapsed| HandshakeError::Timeout)??)
    }

    async fn send(&mut self) -> Result<(), HandshakeError> {
        let sent = timeout_at(self.deadline, self.stream.write_all(&self.replies)).await;
        self.replies.clear();
        Ok(sent.map_err(|_elapsed| HandshakeError::Timeout)??)
    }
}
