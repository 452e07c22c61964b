//! Writes: batches borrowed from the input, and a line for those without room.
//!
//! Owns: [`WriteLine`], the batches. Does not own: the flush behind a FUA write
//! (`jobs.rs`).
//!
//! A write is taken when its payload is complete in memory, so a slow sender holds
//! nothing but its own buffer. Writes that find no room are kept in the order in which
//! they came, and later ones of the connection join the line rather than overtake it.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use vpool_block::{Accepted, BlockError, Write};
use vpool_nbd_wire::{Command, CommandFlags, Request};

use crate::input::Payload;
use crate::jobs;
use crate::limits::{BATCH_WRITES_MAX, JOBS_MAX, WAITING_WRITES_MAX};
use crate::session::{Session, SessionError};

const NOTHING: Write<'static> = Write {
    offset: 0,
    data: &[],
};

/// A waiting write larger than this goes in piece by piece; smaller ones keep their order.
const WRITE_WHOLE_BYTES: usize = 1 << 20;

/// A write without room.
#[derive(Debug)]
struct Waiting {
    request: Request,
    payload: Payload,
}

/// Writes that wait for room, oldest first.
#[derive(Default)]
pub(crate) struct WriteLine {
    waiting: VecDeque<Waiting>,
    /// The line is full: the next write stays in the input, and the requests behind it.
    blocked: bool,
    writable: Option<BoxFuture<'static, Result<(), BlockError>>>,
}

impl WriteLine {
    /// Whether no write waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the line takes no more.
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Hands the complete writes at the front of the input to the disk in one call;
    /// `first` (with `payload` bytes) is the first of them. Returns `false` when they
    /// have to stay where they are.
    pub(crate) fn run_writes(
        &mut self,
        first: Request,
        payload: usize,
    ) -> Result<bool, SessionError> {
        let mode = self.agreed.mode;
        let header = Request::header_bytes(mode);
        if !self.line.is_empty() {
            return Ok(self.join_line(first, payload));
        }
        let unread = self.input.unread();
        let mut requests = [first; BATCH_WRITES_MAX];
        let mut writes = [NOTHING; BATCH_WRITES_MAX];
        let data = &unread[header..header + payload];
        writes[0] = Write {
            offset: first.offset,
            data,
        };
        let mut count = 1;
        let mut end = header + payload;
        // A FUA write may be followed by a flush job each, so it goes alone.
        let alone = first.flags.has(CommandFlags::FUA);
        while !alone && count < BATCH_WRITES_MAX {
            let Ok(Some(request)) = Request::parse(mode, &unread[end..]) else {
                break;
            };
            if request.command != Command::Write
                || request.flags.has(CommandFlags::FUA)
                || self.check(&request).is_err()
            {
                break;
            }
            let payload = usize::try_from(request.length).expect("checked");
            let Some(data) = unread[end + header..].get(..payload) else {
                break;
            };
            requests[count] = request;
            writes[count] = Write {
                offset: request.offset,
                data,
            };
            count += 1;
            end += header + payload;
        }
        let accepted = self.agreed.device.write_now(&writes[..count]);
        let taken = self.settle(&requests[..count], accepted)?;
        let bytes = requests[..taken].iter();
        let bytes = bytes.map(|request| header + usize::try_from(request.length).expect("checked"));
        let bytes = bytes.sum();
        self.input.consume(bytes);
        if self.input.is_grown() && self.budget.is_tight() {
            self.input.shrink();
        }
        match taken {
            0 => Ok(self.join_line(first, payload)),
            _ => Ok(true),
        }
    }

    /// Answers what became of a batch. Returns how many writes have been dealt with.
    fn settle(&mut self, requests: &[Request], accepted: Accepted) -> Result<usize, SessionError> {
        let writes = accepted.writes.min(requests.len());
        for request in &requests[..writes] {
            if request.flags.has(CommandFlags::FUA) {
                let device = self.agreed.device.clone();
                self.jobs.push(jobs::flush(device, *request));
            } else {
                self.output.push(self.agreed.mode.success(request).as_ref());
            }
        }
        match (accepted.error, requests.get(writes)) {
            (Some(error), Some(refused)) => {
                self.fail(refused, None, error)?;
                Ok(writes + 1)
            }
            _ => Ok(writes),
        }
    }

    /// Puts the first write of the input into the line, or blocks it.
    fn join_line(&mut self, request: Request, payload: usize) -> bool {
        if self.line.waiting.len() >= WAITING_WRITES_MAX {
            self.line.blocked = true;
            return false;
        }
        let header = Request::header_bytes(self.agreed.mode);
        let taken = self.input.take_alone(header, payload);
        let Some(payload) = taken.or_else(|| self.copy_payload(header, payload)) else {
            self.line.blocked = true;
            return false;
        };
        self.line.waiting.push_back(Waiting { request, payload });
        true
    }

    /// A copy of the first payload of the input, if there is memory for it.
    fn copy_payload(&mut self, header: usize, payload: usize) -> Option<Payload> {
        let permit = match payload {
            0 => None,
            _ => Some(self.budget.try_request(payload)?),
        };
        let bytes = &self.input.unread()[header..header + payload];
        let copy = Payload::copy(bytes, permit);
        self.input.consume(header + payload);
        Some(copy)
    }

    /// Moves the line. Returns whether anything moved.
    pub(crate) fn poll_line(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionError> {
        let idle = self.line.is_empty() && !self.line.blocked;
        if idle || self.jobs.len() >= JOBS_MAX {
            return Ok(false);
        }
        let device = self.agreed.device.clone();
        let writable = self
            .line
            .writable
            .get_or_insert_with(|| Box::pin(async move { device.writable().await }));
        let Poll::Ready(room) = writable.as_mut().poll(cx) else {
            return Ok(false);
        };
        self.line.writable = None;
        let moved = match room {
            Ok(()) => self.serve_line()?,
            Err(error) => {
                for waiting in std::mem::take(&mut self.line.waiting) {
                    self.fail(&waiting.request, None, error.clone())?;
                }
                true
            }
        };
        self.line.blocked = false;
        if !moved {
            // The room may be for what was blocked; or it was too little, or somebody else
            // was quicker. Looked at in the next poll, so that other tasks run between.
            cx.waker().wake_by_ref();
        }
        Ok(moved)
    }

    /// Hands the line to the disk. Returns whether any write was dealt with.
    fn serve_line(&mut self) -> Result<bool, SessionError> {
        let mut moved = false;
        while !self.line.is_empty() && self.jobs.len() < JOBS_MAX {
            let count = self.line.waiting.len().min(BATCH_WRITES_MAX);
            let line = self.line.waiting.iter().take(count);
            let (requests, writes): (Vec<_>, Vec<_>) = line
                .map(|waiting| {
                    let write = Write {
                        offset: waiting.request.offset,
                        data: waiting.payload.bytes(),
                    };
                    (waiting.request, write)
                })
                .unzip();
            let accepted = self.agreed.device.write_now(&writes);
            let taken = self.settle(&requests, accepted)?;
            self.line.waiting.drain(..taken);
            moved |= taken > 0;
            let large = |waiting: &mut Waiting| waiting.payload.bytes().len() > WRITE_WHOLE_BYTES;
            if taken == 0
                && let Some(first) = self.line.waiting.pop_front_if(large)
            {
                // There is room, but not for all of it at once: as a job of its own it goes in
                // piece by piece, so that no write is too large for a disk that is nearly full.
                let device = self.agreed.device.clone();
                self.jobs
                    .push(jobs::write(device, first.request, first.payload));
                moved = true;
            }
            if taken < count {
                break;
            }
        }
        Ok(moved)
    }
}
