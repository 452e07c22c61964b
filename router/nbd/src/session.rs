//! One client in the transmission phase.
//!
//! Owns: [`Session`], the loop that moves its requests and replies. Does not own: how
//! requests are carried out (`requests.rs`, `reads.rs`, `writes.rs`), the buffers.
//!
//! One round of the loop: carry out all requests that were received, poll what waits,
//! send, receive. Rounds go on until nothing moves, so a wake-up costs one receive and
//! one send for as many requests as there are.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};
use vpool_block::{Attached, BlockError};
use vpool_nbd_wire::{Errno, ExtentStatus, Mode, Request, StatusFlags, WireError};

use crate::budget::{Budget, Permit};
use crate::input::Input;
use crate::jobs::{Finished, Job, Outcome};
use crate::limits::{
    ACTIVE_BUFFER_BYTES, COPY_BYTES_MAX, JOBS_MAX, OUTPUT_STALL_BYTES, SLOW_BYTES_MIN, SLOW_TICKS,
    STUCK_TICKS, TICK,
};
use crate::output::Output;
use crate::reads::PartialRead;
use crate::requests::{Head, Skip};
use crate::status::{Verdict, verdict};
use crate::writes::WriteLine;

/// The number of the one metadata context, `base:allocation`.
pub(crate) const ALLOCATION_CONTEXT: u32 = 1;

/// What was agreed on in negotiation.
#[derive(Debug)]
pub(crate) struct Agreed {
    /// The name of the export, for messages.
    pub(crate) name: String,
    /// The disk.
    pub(crate) device: Attached,
    /// The headers.
    pub(crate) mode: Mode,
    /// Whether block status may be asked for.
    pub(crate) allocation: bool,
}

/// Why a session ended other than by the client's wish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The socket failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The client broke the protocol.
    #[error("the client broke the protocol")]
    Wire(#[from] WireError),
    /// The client announced a payload that is far too long.
    #[error("a request with {0} bytes of payload")]
    Payload(u64),
    /// The disk is not served here any more; the client should connect again.
    #[error("the disk is no longer served here")]
    Moved(#[source] BlockError),
    /// The client holds shared memory and does not go on.
    #[error("the client is too slow for the memory that it holds")]
    Slow,
}

/// One client of one disk.
pub(crate) struct Session<S> {
    pub(crate) stream: S,
    pub(crate) agreed: Agreed,
    pub(crate) read_only: bool,
    pub(crate) budget: Budget,
    pub(crate) input: Input,
    pub(crate) output: Output,
    /// What waits for the disk, at most `JOBS_MAX`.
    pub(crate) jobs: FuturesUnordered<Job>,
    pub(crate) line: WriteLine,
    /// A long read of which a part is in the output.
    pub(crate) partial: Option<PartialRead>,
    /// A payload that is received only to be dropped.
    pub(crate) skip: Option<Skip>,
    /// Waits for memory to receive the first request.
    growth: Option<(usize, BoxFuture<'static, Permit>)>,
    /// No more requests are begun; what is under way is finished.
    draining: bool,
    /// Device errors were logged before, so that a broken disk does not fill the log.
    complained: bool,
    ticker: Ticker,
    scratch: Vec<u8>,
}

/// What is counted to find clients that hold memory and do not go on.
#[derive(Default)]
struct Ticker {
    sleep: Option<Pin<Box<Sleep>>>,
    moved: bool,
    received_bytes: u64,
    slow_ticks: u32,
    stuck_ticks: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// A session that has received nothing yet.
    pub(crate) fn new(stream: S, agreed: Agreed, budget: Budget) -> Self {
        Session {
            stream,
            read_only: agreed.device.limits().read_only,
            agreed,
            budget,
            input: Input::new(),
            output: Output::new(),
            jobs: FuturesUnordered::new(),
            line: WriteLine::default(),
            partial: None,
            skip: None,
            growth: None,
            draining: false,
            complained: false,
            ticker: Ticker::default(),
            scratch: Vec::new(),
        }
    }

    /// Begins no further request; [`poll`](Self::poll) is ready when those under way are
    /// answered.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.growth = None;
    }

    /// Serves the client; ready when it has left.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SessionError>> {
        loop {
            let mut moved = self.run_requests()?;
            moved |= self.poll_jobs(cx)?;
            moved |= self.poll_line(cx)?;
            if self.output.pending_bytes() > 0
                && let Poll::Ready(sent) = self.output.poll_send(&mut self.stream, cx)
            {
                sent?;
                self.ticker.stuck_ticks = 0;
                moved = true;
            }
            if let Poll::Ready(flushed) = self.output.poll_flush(&mut self.stream, cx) {
                flushed?;
            }
            if self.draining && self.is_finished() {
                return Poll::Ready(Ok(()));
            }
            moved |= self.poll_receive(cx)?;
            if moved {
                self.ticker.moved = true;
            } else if self.poll_tick(cx)?.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Whether everything that was asked for has been answered.
    pub(crate) fn is_finished(&self) -> bool {
        self.jobs.is_empty()
            && self.line.is_empty()
            && self.partial.is_none()
            && self.output.is_sent()
    }

    /// Whether no further request may be begun now.
    #[inline]
    pub(crate) fn is_stalled(&self) -> bool {
        self.draining
            || self.jobs.len() >= JOBS_MAX
            || self.output.pending_bytes() >= OUTPUT_STALL_BYTES
            || self.line.is_blocked()
    }

    /// Receives, unless the first request in the buffer is complete (then it waits for
    /// something else than bytes).
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionError> {
        if self.draining {
            return Ok(false);
        }
        let need = match self.head()? {
            Head::Complete { .. } | Head::Invalid { .. } => return Ok(false),
            Head::Incomplete { .. } if self.skip.is_some() && !self.input.unread().is_empty() => {
                return Ok(false);
            }
            Head::Incomplete { need } => need,
        };
        if !self.poll_grow(need, cx) {
            return Ok(false);
        }
        match self.input.poll_fill(&mut self.stream, need, cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(received) => {
                let received = received?;
                self.ticker.received_bytes += received as u64;
                if received == 0 {
                    self.drain();
                }
                Ok(true)
            }
        }
    }

    /// Makes room to receive more of the first request, `need` bytes long; `false` while
    /// that has to wait. The whole length is asked for only when the buffer is full with
    /// a part of it: who announces much and sends little gets little.
    fn poll_grow(&mut self, need: usize, cx: &mut Context<'_>) -> bool {
        let too_small = need > self.input.capacity() || self.input.is_full();
        if too_small
            && !self.input.is_grown()
            && let Some(permit) = self.budget.try_useful(ACTIVE_BUFFER_BYTES)
        {
            self.input.grow(ACTIVE_BUFFER_BYTES, permit);
        }
        let capacity = self.input.capacity();
        if need <= capacity || self.input.unread().len() < capacity {
            return true;
        }
        if let Some(permit) = self.budget.try_useful(need) {
            self.growth = None;
            self.input.grow(need, permit);
            return true;
        }
        let (bytes, growth) = self
            .growth
            .get_or_insert_with(|| (need, Box::pin(self.budget.clone().receive(need))));
        match growth.as_mut().poll(cx) {
            Poll::Pending => false,
            Poll::Ready(permit) => {
                self.input.grow(*bytes, permit);
                self.growth = None;
                true
            }
        }
    }

    fn poll_jobs(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionError> {
        let mut moved = false;
        while !self.jobs.is_empty() {
            match Pin::new(&mut self.jobs).poll_next(cx) {
                Poll::Ready(Some(finished)) => self.answer(finished)?,
                Poll::Ready(None) | Poll::Pending => break,
            }
            moved = true;
        }
        Ok(moved)
    }

    fn answer(&mut self, finished: Finished) -> Result<(), SessionError> {
        let Finished { request, outcome } = finished;
        let mode = self.agreed.mode;
        match outcome {
            Ok(Outcome::Done) => self.output.push(mode.success(&request).as_ref()),
            Ok(Outcome::Data {
                offset,
                data,
                permit,
            }) => {
                let length = u32::try_from(data.len()).expect("bounded by the payload");
                self.output
                    .push(mode.data(&request, offset, length, true).as_ref());
                let room = match data.len() <= COPY_BYTES_MAX {
                    true => self.output.room(data.len(), &self.budget),
                    false => None,
                };
                if let Some(room) = room {
                    room.copy_from_slice(&data);
                    self.output.commit(data.len());
                } else {
                    self.output.push_payload(data, permit);
                }
            }
            Ok(Outcome::Extents { extents, permit }) => {
                let extents = statuses(&extents, request.length);
                let mut reply = Vec::with_capacity(64 + 16 * extents.len());
                mode.block_status(&request, ALLOCATION_CONTEXT, &extents, &mut reply);
                match reply.len() <= COPY_BYTES_MAX / 16 {
                    true => self.output.push(&reply),
                    false => self.output.push_payload(reply, permit),
                }
            }
            Err(error) => self.fail(&request, None, error)?,
        }
        Ok(())
    }

    /// Answers a request that the disk refused.
    pub(crate) fn fail(
        &mut self,
        request: &Request,
        at: Option<u64>,
        error: BlockError,
    ) -> Result<(), SessionError> {
        match verdict(&error) {
            Verdict::Close => return Err(SessionError::Moved(error)),
            Verdict::Reply(errno) => {
                let export = &self.agreed.name;
                if errno == Errno::IO && !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(export, ?request, %error, "a disk failed a request");
                } else {
                    tracing::debug!(export, ?request, %error, "a disk refused a request");
                }
                self.refuse(request, errno, at, &error.to_string());
            }
        }
        Ok(())
    }

    /// Answers a request with an error.
    pub(crate) fn refuse(&mut self, request: &Request, errno: Errno, at: Option<u64>, why: &str) {
        self.scratch.clear();
        self.agreed
            .mode
            .error(request, errno, at, why, &mut self.scratch);
        self.output.push(&self.scratch);
    }

    /// Looks after memory while nothing moves: `Ready` when something was given back.
    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, SessionError> {
        if !self.input.is_grown() && !self.output.is_grown() {
            self.ticker.sleep = None;
            return Ok(Poll::Pending);
        }
        let timer = self
            .ticker
            .sleep
            .get_or_insert_with(|| Box::pin(sleep(TICK)));
        if timer.as_mut().poll(cx).is_pending() {
            return Ok(Poll::Pending);
        }
        timer.as_mut().reset(Instant::now() + TICK);
        self.check_pace()?;
        let idle = !std::mem::replace(&mut self.ticker.moved, false);
        if self.input.is_oversized() || idle {
            self.input.shrink();
        }
        if idle {
            self.output.shrink();
        }
        Ok(Poll::Ready(()))
    }

    /// Fails if the client holds memory for which others wait, and does not go on.
    fn check_pace(&mut self) -> Result<(), SessionError> {
        let receiving = self.input.is_grown()
            && !self.input.unread().is_empty()
            && self.growth.is_none()
            && !self.is_stalled()
            && matches!(self.head()?, Head::Incomplete { .. });
        let ticker = &mut self.ticker;
        if receiving && ticker.received_bytes < SLOW_BYTES_MIN {
            ticker.slow_ticks += 1;
        } else {
            (ticker.slow_ticks, ticker.received_bytes) = (0, 0);
        }
        match self.output.pending_bytes() {
            0 => ticker.stuck_ticks = 0,
            _ => ticker.stuck_ticks += 1,
        }
        let stuck = ticker.slow_ticks > SLOW_TICKS || ticker.stuck_ticks > STUCK_TICKS;
        match stuck && self.budget.is_tight() {
            true => Err(SessionError::Slow),
            false => Ok(()),
        }
    }
}

/// The extents as the protocol says them: not empty, and none beyond the range.
fn statuses(extents: &[vpool_block::Extent], length: u64) -> Vec<ExtentStatus> {
    let mut left = length;
    let mut found = Vec::with_capacity(extents.len().max(1));
    for extent in extents.iter().filter(|extent| extent.length > 0) {
        let length = extent.length.min(left);
        if length == 0 {
            break;
        }
        let flags = match extent.state {
            vpool_block::ExtentState::Data => StatusFlags::DATA,
            vpool_block::ExtentState::Hole => StatusFlags::HOLE,
        };
        found.push(ExtentStatus { length, flags });
        left -= length;
    }
    if found.is_empty() {
        // A disk that knows nothing of the range: data is always a safe answer.
        found.push(ExtentStatus {
            length,
            flags: StatusFlags::DATA,
        });
    }
    found
}
