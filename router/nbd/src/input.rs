//! The receiving buffer of a connection.
//!
//! Owns: [`Input`], [`Payload`]. Does not own: the meaning of the bytes, the budget's rules.
//!
//! ```text
//! 0          start            end            storage.len()
//! │ consumed │ unread         │ free         │
//! ```
//!
//! One system call takes as many requests as fit, and they are parsed where they lie. A
//! request larger than the active size is received alone, exactly to its end, so that
//! its payload is never moved.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::budget::Permit;
use crate::limits::{ACTIVE_BUFFER_BYTES, IDLE_BUFFER_BYTES};

/// The payload of a request, and what is paid for it until it is dropped.
#[derive(Debug)]
pub(crate) struct Payload {
    storage: Vec<u8>,
    start: usize,
    end: usize,
    _permit: Option<Permit>,
}

impl Payload {
    /// A copy of what still lies elsewhere.
    pub(crate) fn copy(bytes: &[u8], permit: Option<Permit>) -> Payload {
        Payload {
            storage: bytes.to_vec(),
            start: 0,
            end: bytes.len(),
            _permit: permit,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }
}

/// Bytes received and not yet executed.
#[derive(Debug)]
pub(crate) struct Input {
    storage: Vec<u8>,
    start: usize,
    end: usize,
    permit: Option<Permit>,
    /// A request longer than the active size was received of late.
    long: bool,
}

impl Input {
    /// An empty buffer of idle size.
    pub(crate) fn new() -> Self {
        Input {
            storage: vec![0; IDLE_BUFFER_BYTES],
            start: 0,
            end: 0,
            permit: None,
            long: false,
        }
    }

    /// What was received and not consumed.
    #[inline]
    pub(crate) fn unread(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// Steps over `bytes` of [`unread`](Self::unread).
    #[inline]
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end, "consumed more than was received");
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// How large the buffer is, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.storage.len()
    }

    /// Whether the buffer is larger than an idle connection's.
    pub(crate) fn is_grown(&self) -> bool {
        self.permit.is_some()
    }

    /// Whether the buffer is larger than what came since this was last asked needs.
    pub(crate) fn is_oversized(&mut self) -> bool {
        !std::mem::replace(&mut self.long, false) && self.storage.len() > ACTIVE_BUFFER_BYTES
    }

    /// Whether the last [`poll_fill`](Self::poll_fill) left no room: more is coming than
    /// the buffer takes.
    pub(crate) fn is_full(&self) -> bool {
        self.end == self.storage.len()
    }

    /// Grows the buffer to `capacity` bytes, paid for by `permit`.
    pub(crate) fn grow(&mut self, capacity: usize, permit: Permit) {
        self.resize(capacity);
        self.permit = Some(permit);
    }

    /// Moves what is unread to a buffer of `capacity` bytes. Fresh zeroed memory costs
    /// nothing before it is written to.
    fn resize(&mut self, capacity: usize) {
        let mut storage = vec![0; capacity];
        storage[..self.end - self.start].copy_from_slice(self.unread());
        self.storage = storage;
        (self.start, self.end) = (0, self.end - self.start);
    }

    /// Gives back all but the idle size, if what is unread fits that.
    pub(crate) fn shrink(&mut self) {
        if self.permit.is_some() && self.end - self.start <= IDLE_BUFFER_BYTES {
            self.resize(IDLE_BUFFER_BYTES);
            self.permit = None;
        }
    }

    /// Hands over the buffer itself, with what was paid for it, if it holds nothing but one request
    /// of a header and a payload that is larger than the active size. A second copy of such a
    /// payload might never be granted.
    pub(crate) fn take_alone(&mut self, header: usize, payload: usize) -> Option<Payload> {
        if payload <= ACTIVE_BUFFER_BYTES || self.unread().len() != header + payload {
            return None;
        }
        let fresh = Input::new();
        let old = std::mem::replace(self, fresh);
        Some(Payload {
            start: old.start + header,
            end: old.end,
            storage: old.storage,
            _permit: old.permit,
        })
    }

    /// Receives once. `need` is the length in bytes of the first unread request as far as
    /// it is known. There must be room. Returns the number of bytes, 0 at the end of
    /// the stream; `Pending` if none are there.
    pub(crate) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        need: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.start + need > self.storage.len() || self.is_full() {
            self.compact();
        }
        let limit = if need > ACTIVE_BUFFER_BYTES {
            self.long = true;
            self.storage.len().min(self.start + need)
        } else {
            self.storage.len().min(self.end + ACTIVE_BUFFER_BYTES)
        };
        debug_assert!(
            self.end < limit,
            "there is room, or the request is complete"
        );
        let mut buffer = ReadBuf::new(&mut self.storage[self.end..limit]);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let received = buffer.filled().len();
        self.end += received;
        Poll::Ready(Ok(received))
    }

    /// Moves what is unread to the front.
    fn compact(&mut self) {
        if self.start > 0 {
            self.storage.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }
}
