//! What is answered to a client's options.
//!
//! Owns: the answers, the export that is opened for them. Does not own: receiving options and
//! sending answers (`handshake.rs`), the bytes of either (`vpool-nbd-wire`).

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use vpool_block::{Attached, BlockError};
use vpool_nbd_wire::limits::PAYLOAD_BYTES_MAX;
use vpool_nbd_wire::{
    BASE_ALLOCATION, BlockSizes, ClientOption, EXPORT_NAME_PADDING_BYTES, InfoKind, InfoQuery,
    MetaQuery, Mode, OptionCode, OptionErrorCode, OptionReply, TransmissionFlags,
};

use super::{HandshakeError, Negotiation, Next, Security};
use crate::session::{ALLOCATION_CONTEXT, Agreed};
use crate::status::refusal;

/// Replies are sent when they have grown to this many bytes.
const REPLY_BYTES: usize = 16 << 10;

impl<S: AsyncRead + AsyncWrite + Unpin> Negotiation<'_, S> {
    pub(super) fn agreed(self) -> Option<Agreed> {
        let (name, device) = self.open?;
        let allocation = self.allocation_of.as_ref() == Some(&name);
        Some(Agreed {
            name,
            device,
            mode: self.mode,
            allocation,
        })
    }

    pub(super) async fn option(
        &mut self,
        code: OptionCode,
        data: &[u8],
    ) -> Result<Next, HandshakeError> {
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
            ClientOption::StartTls => return Ok(self.start_tls(code)),
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

    fn start_tls(&mut self, code: OptionCode) -> Next {
        let (error, why) = match self.security {
            Security::None => (OptionErrorCode::UNSUPPORTED, "TLS is not offered here"),
            Security::Secured => (OptionErrorCode::INVALID, "TLS was started already"),
            Security::Offered | Security::Required => {
                self.reply(code, OptionReply::Ack);
                return Next::Secure;
            }
        };
        self.refuse(code, error, why);
        Next::Option
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
        if !self.begun.flags.no_zeroes {
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
        self.begun.deadline += begun.elapsed();
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
        self.begun.deadline += begun.elapsed();
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

    pub(super) fn refuse(&mut self, code: OptionCode, error: OptionErrorCode, message: &str) {
        self.reply(
            code,
            OptionReply::Error {
                code: error,
                message,
            },
        );
    }
}
