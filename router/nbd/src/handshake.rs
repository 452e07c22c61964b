//! Negotiation with one client, up to its choice of an export.
//!
//! Owns: the order of options, what may come before TLS, time. Does not own: what is answered
//! (`answers.rs`), bytes (`vpool-nbd-wire`), TLS itself (`secure.rs`).
//!
//! ```text
//! greeting ─▶ options ── GO ──▶ session
//!                │  STARTTLS
//!                └─▶ TLS handshake ─▶ options, from the beginning ── GO ──▶ session
//! ```
//!
//! Nothing is read ahead: what a client, or somebody between, sends in plain text behind
//! `STARTTLS` goes into the TLS handshake, which fails. Where TLS is required, all options but
//! `STARTTLS` and `ABORT` are refused before it without being looked at.
//!
//! A client that has chosen nothing yet can make the server hold one option
//! (`limits::OPTION_BYTES_MAX`), for as long as [`Limits::handshake_time_max`]; the time
//! that the server itself takes to open the disk is not counted.

mod answers;

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use vpool_block::{Attached, BlockError, Exports};
use vpool_nbd_wire::limits::{OPTION_DATA_BYTES_MAX, OPTIONS_MAX};
use vpool_nbd_wire::{
    CLIENT_FLAGS_BYTES, ClientFlags, Mode, OPTION_HEADER_BYTES, OptionCode, OptionErrorCode,
    OptionHeader, WireError, greeting,
};

use crate::limits::Limits;
use crate::session::Agreed;

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
    /// The client chose by `EXPORT_NAME` without TLS, and it cannot be told that it must.
    #[error("the client chose an export without TLS")]
    Plain,
}

/// How safe the connection is, and must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Security {
    /// TLS is not offered.
    None,
    /// TLS is offered.
    Offered,
    /// Nothing is said to who has not started TLS.
    Required,
    /// TLS was started.
    Secured,
}

/// How a negotiation goes on.
#[derive(Debug)]
pub(crate) enum Negotiated {
    /// An export was chosen.
    Agreed(Agreed),
    /// The client begins a TLS handshake now.
    StartTls(Begun),
    /// The client has left in good order.
    Left,
}

/// What outlives the change to TLS: nothing that the client has chosen but its flags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    /// When the client's time is over.
    pub(crate) deadline: Instant,
    flags: ClientFlags,
    options_left: usize,
}

/// What follows an option.
enum Next {
    Option,
    Start,
    Secure,
    Leave,
}

/// Negotiates with the client behind `stream`, which has said nothing yet.
pub(crate) async fn negotiate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    exports: &dyn Exports,
    remote: Option<&str>,
    security: Security,
    limits: &Limits,
) -> Result<Negotiated, HandshakeError> {
    let begun = Begun {
        deadline: Instant::now() + limits.handshake_time_max,
        flags: ClientFlags {
            fixed_newstyle: false,
            no_zeroes: false,
        },
        options_left: OPTIONS_MAX,
    };
    let mut negotiation = Negotiation::new(stream, exports, remote, security, begun);
    match negotiation.greet().await? {
        true => negotiation.options().await,
        false => Ok(Negotiated::Left),
    }
}

/// Goes on behind the TLS handshake, as if nothing had been asked before.
pub(crate) async fn negotiate_secured<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    exports: &dyn Exports,
    remote: Option<&str>,
    begun: Begun,
) -> Result<Negotiated, HandshakeError> {
    Negotiation::new(stream, exports, remote, Security::Secured, begun)
        .options()
        .await
}

struct Negotiation<'a, S> {
    stream: &'a mut S,
    exports: &'a dyn Exports,
    remote: Option<&'a str>,
    security: Security,
    begun: Begun,
    mode: Mode,
    /// The export that was asked about last, so that it is opened once.
    open: Option<(String, Attached)>,
    /// The export for which block status was chosen.
    allocation_of: Option<String>,
    replies: Vec<u8>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Negotiation<'a, S> {
    fn new(
        stream: &'a mut S,
        exports: &'a dyn Exports,
        remote: Option<&'a str>,
        security: Security,
        begun: Begun,
    ) -> Self {
        Negotiation {
            stream,
            exports,
            remote,
            security,
            begun,
            mode: Mode::Simple,
            open: None,
            allocation_of: None,
            replies: Vec::new(),
        }
    }

    /// Exchanges flags; `false` if the client left.
    async fn greet(&mut self) -> Result<bool, HandshakeError> {
        self.replies.extend_from_slice(&greeting());
        self.send().await?;
        let mut flags = [0; CLIENT_FLAGS_BYTES];
        if !self.receive_or_end(&mut flags).await? {
            return Ok(false);
        }
        self.begun.flags = ClientFlags::parse(flags)?;
        Ok(true)
    }

    async fn options(mut self) -> Result<Negotiated, HandshakeError> {
        let mut data = Vec::new();
        while self.begun.options_left > 0 {
            self.begun.options_left -= 1;
            let mut header = [0; OPTION_HEADER_BYTES];
            if !self.receive_or_end(&mut header).await? {
                return Ok(Negotiated::Left);
            }
            let header = OptionHeader::parse(&header)?;
            if !self.begun.flags.fixed_newstyle && header.code != OptionCode::EXPORT_NAME {
                return Err(HandshakeError::Excess("an option without fixed newstyle"));
            }
            if self.must_wait_for_tls(header.code) {
                self.refuse_unseen(header).await?;
                continue;
            }
            self.receive_data(header, &mut data).await?;
            let next = self.option(header.code, &data).await?;
            self.send().await?;
            match next {
                Next::Option => {}
                Next::Leave => return Ok(Negotiated::Left),
                Next::Secure => return Ok(Negotiated::StartTls(self.begun)),
                Next::Start => {
                    let agreed = self.agreed();
                    return Ok(agreed.map_or(Negotiated::Left, Negotiated::Agreed));
                }
            }
        }
        Err(HandshakeError::Excess("too many options"))
    }

    fn must_wait_for_tls(&self, code: OptionCode) -> bool {
        self.security == Security::Required
            && ![OptionCode::STARTTLS, OptionCode::ABORT].contains(&code)
    }

    /// Steps over an option of somebody who has not proved who he is; keeps none of it.
    async fn refuse_unseen(&mut self, header: OptionHeader) -> Result<(), HandshakeError> {
        if header.code == OptionCode::EXPORT_NAME {
            return Err(HandshakeError::Plain);
        }
        let mut left = self.check_length(header).await?;
        let mut unseen = [0; 512];
        while left > 0 {
            let part = left.min(unseen.len());
            let received = self.stream.read_exact(&mut unseen[..part]);
            let received = timeout_at(self.begun.deadline, received).await;
            received.map_err(|_elapsed| HandshakeError::Timeout)??;
            left -= part;
        }
        self.refuse(
            header.code,
            OptionErrorCode::TLS_REQUIRED,
            "TLS comes first",
        );
        self.send().await
    }

    /// The length of the option's data, if that is not too long.
    async fn check_length(&mut self, header: OptionHeader) -> Result<usize, HandshakeError> {
        let length = usize::try_from(header.length).expect("usize has 32 bits or more");
        if length <= OPTION_DATA_BYTES_MAX {
            return Ok(length);
        }
        self.refuse(
            header.code,
            OptionErrorCode::TOO_BIG,
            "the option is too long",
        );
        self.send().await?;
        Err(HandshakeError::Excess("an option that is too long"))
    }

    async fn receive_data(
        &mut self,
        header: OptionHeader,
        data: &mut Vec<u8>,
    ) -> Result<(), HandshakeError> {
        let length = self.check_length(header).await?;
        // Grows with what arrives, not with what was announced; and is small again
        // for the next option.
        *data = Vec::new();
        let mut limited = (&mut *self.stream).take(u64::from(header.length));
        let received = timeout_at(self.begun.deadline, limited.read_to_end(data));
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
        let received = timeout_at(self.begun.deadline, receive).await;
        Ok(received.map_err(|_elapsed| HandshakeError::Timeout)??)
    }

    async fn send(&mut self) -> Result<(), HandshakeError> {
        let send = async {
            self.stream.write_all(&self.replies).await?;
            // TLS may hold what was written.
            self.stream.flush().await
        };
        let sent = timeout_at(self.begun.deadline, send).await;
        self.replies.clear();
        Ok(sent.map_err(|_elapsed| HandshakeError::Timeout)??)
    }
}
