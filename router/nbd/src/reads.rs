//! Reads: inline where the disk has the bytes at hand, as a job where it has not.
//!
//! Owns: [`PartialRead`], the cutting of long reads. Does not own: the job itself.

use tokio::io::{AsyncRead, AsyncWrite};
use vpool_nbd_wire::{CommandFlags, Mode, Request};

use crate::jobs;
use crate::limits::INLINE_READ_BYTES;
use crate::session::{Session, SessionError};

/// A read that goes out in pieces, each when there is room in the output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartialRead {
    request: Request,
    /// Where the next piece begins.
    next: u64,
}

impl PartialRead {
    fn left(&self) -> usize {
        let end = self.request.offset + self.request.length;
        usize::try_from(end - self.next).expect("bounded by the payload")
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Begins a read whose range has been checked.
    pub(crate) fn run_read(&mut self, request: Request) -> Result<(), SessionError> {
        let mode = self.agreed.mode;
        if request.length == 0 {
            self.output.push(mode.empty_read(&request).as_ref());
            return Ok(());
        }
        let read = PartialRead {
            request,
            next: request.offset,
        };
        let whole = mode == Mode::Simple || request.flags.has(CommandFlags::DF);
        if whole && read.left() > INLINE_READ_BYTES {
            self.push_read(read);
            return Ok(());
        }
        self.partial = Some(read);
        self.run_partial_read().map(|_| ())
    }

    /// Goes on with a read in pieces. Returns whether none is left, so that the next
    /// request may begin.
    #[inline]
    pub(crate) fn run_partial_read(&mut self) -> Result<bool, SessionError> {
        while let Some(mut read) = self.partial {
            let mode = self.agreed.mode;
            let piece = read.left().min(INLINE_READ_BYTES);
            let header_bytes = mode.data_header_bytes();
            let Some(room) = self.output.room(header_bytes + piece, &self.budget) else {
                if self.output.pending_bytes() > 0 {
                    return Ok(false);
                }
                // Nothing will make room: memory is short, and a job waits for it.
                self.partial = None;
                self.push_read(read);
                return Ok(true);
            };
            let (header, data) = room.split_at_mut(header_bytes);
            match self.agreed.device.read_now(read.next, data) {
                Some(Ok(())) => {
                    let done = piece == read.left();
                    let length = u32::try_from(piece).expect("bounded by the piece");
                    let bytes = mode.data(&read.request, read.next, length, done);
                    header.copy_from_slice(bytes.as_ref());
                    self.output.commit(header_bytes + piece);
                    read.next += piece as u64;
                    self.partial = (!done).then_some(read);
                }
                Some(Err(error)) => {
                    self.partial = None;
                    self.fail(&read.request, Some(read.next), error)?;
                }
                None => {
                    self.partial = None;
                    self.push_read(read);
                }
            }
        }
        Ok(true)
    }

    fn push_read(&mut self, read: PartialRead) {
        let device = self.agreed.device.clone();
        let budget = self.budget.clone();
        self.jobs.push(jobs::read(
            device,
            budget,
            read.request,
            read.next,
            read.left(),
        ));
    }
}
