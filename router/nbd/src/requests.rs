//! From the received bytes to what is to be done.
//!
//! Owns: the checks of a request against protocol and disk, the choice of its way.
//! Does not own: reads (`reads.rs`) and writes (`writes.rs`).

use tokio::io::{AsyncRead, AsyncWrite};
use vpool_nbd_wire::limits::{EXTENTS_MAX, PAYLOAD_BYTES_MAX};
use vpool_nbd_wire::{Command, CommandFlags, Errno, Mode, Request};

use crate::jobs::{self, RangeWork};
use crate::limits::SKIP_BYTES_MAX;
use crate::session::{Session, SessionError};

/// The first request in the input.
pub(crate) enum Head {
    /// All of it is there: header, and payload where it has one.
    Complete {
        /// The request.
        request: Request,
        /// Length of the payload in bytes.
        payload: usize,
    },
    /// It is refused, and its payload (still to come) is dropped.
    Invalid {
        /// The request.
        request: Request,
        /// Length of the payload in bytes.
        payload: u64,
        /// Why.
        refusal: Refusal,
    },
    /// More bytes are needed.
    Incomplete {
        /// Length in bytes of header and payload as far as it is known.
        need: usize,
    },
}

/// Why a request is not carried out.
pub(crate) type Refusal = (Errno, &'static str);

/// A payload that is received only to be dropped.
#[derive(Debug)]
pub(crate) struct Skip {
    request: Request,
    refusal: Refusal,
    left: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Looks at the first request.
    #[inline]
    pub(crate) fn head(&self) -> Result<Head, SessionError> {
        let mode = self.agreed.mode;
        let unread = self.input.unread();
        let header = Request::header_bytes(mode);
        if self.skip.is_some() {
            return Ok(Head::Incomplete { need: 1 });
        }
        let Some(request) = Request::parse(mode, unread)? else {
            return Ok(Head::Incomplete { need: header });
        };
        let payload = request.payload_bytes(mode);
        if let Err(refusal) = self.check(&request) {
            return match payload <= SKIP_BYTES_MAX {
                true => Ok(Head::Invalid {
                    request,
                    payload,
                    refusal,
                }),
                false => Err(SessionError::Payload(payload)),
            };
        }
        let payload = usize::try_from(payload).expect("checked to be within the payload");
        match unread.len() >= header + payload {
            true => Ok(Head::Complete { request, payload }),
            false => Ok(Head::Incomplete {
                need: header + payload,
            }),
        }
    }

    /// Checks a request against the protocol and the disk, before its payload is there.
    #[inline]
    pub(crate) fn check(&self, request: &Request) -> Result<(), Refusal> {
        let mode = self.agreed.mode;
        if !request.has_valid_flags(mode) {
            return Err((Errno::INVAL, "a flag is not valid for this request"));
        }
        let writes = matches!(
            request.command,
            Command::Write | Command::Trim | Command::WriteZeroes
        );
        if writes && self.read_only {
            return Err((Errno::PERM, "the export is read-only"));
        }
        match request.command {
            Command::Read | Command::Write if request.length > u64::from(PAYLOAD_BYTES_MAX) => {
                return Err((Errno::INVAL, "longer than the maximum block size"));
            }
            Command::BlockStatus if !self.agreed.allocation || request.length == 0 => {
                return Err((Errno::INVAL, "no context was chosen, or nothing asked for"));
            }
            Command::Unknown(_) => return Err((Errno::INVAL, "unknown request")),
            Command::Flush | Command::Disconnect => return Ok(()),
            _ => {}
        }
        let end = request.offset.checked_add(request.length);
        if end.is_some_and(|end| end <= self.agreed.device.size()) {
            return Ok(());
        }
        match request.command {
            Command::Write | Command::WriteZeroes => Err((Errno::NOSPC, "beyond the disk's end")),
            _ => Err((Errno::INVAL, "beyond the disk's end")),
        }
    }

    /// Carries out all requests that can be begun now. Returns whether there were any.
    pub(crate) fn run_requests(&mut self) -> Result<bool, SessionError> {
        let mut moved = false;
        while self.run_partial_read()? && !self.is_stalled() {
            if self.run_skip() {
                moved = true;
                continue;
            }
            match self.head()? {
                Head::Incomplete { .. } => break,
                Head::Invalid {
                    request,
                    payload,
                    refusal,
                } => {
                    self.input.consume(Request::header_bytes(self.agreed.mode));
                    self.skip = Some(Skip {
                        request,
                        refusal,
                        left: payload,
                    });
                    self.run_skip();
                }
                Head::Complete { request, payload } => match request.command {
                    Command::Write => {
                        if !self.run_writes(request, payload)? {
                            break;
                        }
                    }
                    _ => {
                        self.input.consume(Request::header_bytes(self.agreed.mode));
                        self.run_other(request)?;
                    }
                },
            }
            moved = true;
        }
        Ok(moved)
    }

    /// Drops what has come of an unwanted payload; answers when all of it has. Returns
    /// whether anything moved.
    fn run_skip(&mut self) -> bool {
        let Some(skip) = &mut self.skip else {
            return false;
        };
        let here = self.input.unread().len();
        let step = usize::try_from(skip.left).map_or(here, |left| here.min(left));
        self.input.consume(step);
        skip.left -= step as u64;
        if skip.left > 0 {
            return step > 0;
        }
        let Skip {
            request,
            refusal: (errno, why),
            ..
        } = *skip;
        self.skip = None;
        self.refuse(&request, errno, None, why);
        true
    }

    /// Begins a request without payload.
    fn run_other(&mut self, request: Request) -> Result<(), SessionError> {
        let device = self.agreed.device.clone();
        let fua = request.flags.has(CommandFlags::FUA);
        let job = match request.command {
            Command::Read => return self.run_read(request),
            Command::Disconnect => {
                if self.is_finished() {
                    device.left();
                }
                self.drain();
                return Ok(());
            }
            Command::Flush => jobs::flush(device, request),
            // Trimmed space reads as zeroes, so zeroes that may be holes are a trim.
            Command::Trim => jobs::range(device, request, RangeWork::Discard, fua),
            Command::WriteZeroes => {
                let work = match request.flags.has(CommandFlags::NO_HOLE) {
                    true => RangeWork::Zero,
                    false => RangeWork::Discard,
                };
                jobs::range(device, request, work, fua)
            }
            Command::Cache => jobs::range(device, request, RangeWork::Prefetch, false),
            Command::BlockStatus => {
                debug_assert!(self.agreed.mode != Mode::Simple, "contexts need chunks");
                let one = request.flags.has(CommandFlags::REQ_ONE);
                let count = if one { 1 } else { EXTENTS_MAX };
                jobs::extents(device, self.budget.clone(), request, count)
            }
            Command::Write | Command::Unknown(_) => {
                self.refuse(&request, Errno::INVAL, None, "unknown request");
                return Ok(());
            }
        };
        self.jobs.push(job);
        Ok(())
    }
}
