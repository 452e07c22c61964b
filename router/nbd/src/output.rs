//! The replies of a connection on their way out.
//!
//! Owns: [`Output`]. Does not own: what the replies say.
//!
//! Small replies and inline reads are laid one behind the other in one buffer; large
//! data read by a job is sent from its own. All of it goes out in order, with one system
//! call for as much as the socket takes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::budget::{Budget, Permit};
use crate::limits::{ACTIVE_BUFFER_BYTES, IDLE_BUFFER_BYTES};

const SLICES_MAX: usize = 16;

/// Part of what is to be sent.
#[derive(Debug)]
enum Piece {
    /// That many bytes of the buffer.
    Inline(usize),
    /// Data with its own memory, sent up to `sent`.
    Payload {
        data: Vec<u8>,
        sent: usize,
        _permit: Permit,
    },
}

/// Replies not yet taken by the socket.
#[derive(Debug)]
pub(crate) struct Output {
    /// Always initialised; `head..tail` is to be sent.
    storage: Vec<u8>,
    head: usize,
    tail: usize,
    /// The order of what is to be sent; empty where all of it is `head..tail`.
    pieces: VecDeque<Piece>,
    payload_bytes: usize,
    permit: Option<Permit>,
    /// The stream was given bytes that it may still hold (TLS seals them into records).
    unflushed: bool,
}

impl Output {
    /// An empty buffer of idle size.
    pub(crate) fn new() -> Self {
        Output {
            storage: vec![0; IDLE_BUFFER_BYTES],
            head: 0,
            tail: 0,
            pieces: VecDeque::new(),
            payload_bytes: 0,
            permit: None,
            unflushed: false,
        }
    }

    /// Bytes to be sent.
    #[inline]
    pub(crate) fn pending_bytes(&self) -> usize {
        self.tail - self.head + self.payload_bytes
    }

    /// Whether more is held than an idle connection holds: a grown buffer, or data of jobs.
    pub(crate) fn is_grown(&self) -> bool {
        self.storage.len() > IDLE_BUFFER_BYTES || !self.pieces.is_empty()
    }

    /// Appends a small reply. It is taken whatever is pending: the number of requests
    /// that can finish while a client takes nothing is bounded by `limits::JOBS_MAX`.
    #[inline]
    pub(crate) fn push(&mut self, reply: &[u8]) {
        if self.storage.len() - self.tail < reply.len() {
            self.compact();
            let missing = (self.tail + reply.len()).saturating_sub(self.storage.len());
            self.storage.resize(self.storage.len() + missing, 0);
        }
        self.storage[self.tail..self.tail + reply.len()].copy_from_slice(reply);
        self.commit(reply.len());
    }

    /// Room for `bytes` (at most the active size) behind what is pending, to be filled and
    /// then [`commit`](Self::commit)ted; `None` if there is none now.
    #[inline]
    pub(crate) fn room(&mut self, bytes: usize, budget: &Budget) -> Option<&mut [u8]> {
        if self.storage.len() - self.tail < bytes && !self.make_room(bytes, budget) {
            return None;
        }
        Some(&mut self.storage[self.tail..self.tail + bytes])
    }

    fn make_room(&mut self, bytes: usize, budget: &Budget) -> bool {
        if self.permit.is_none()
            && self.storage.len() < ACTIVE_BUFFER_BYTES
            && let Some(permit) = budget.try_useful(ACTIVE_BUFFER_BYTES)
        {
            self.permit = Some(permit);
            self.storage.resize(ACTIVE_BUFFER_BYTES, 0);
        }
        if self.tail - self.head + bytes > self.storage.len() {
            return false;
        }
        if self.storage.len() - self.tail < bytes {
            self.compact();
        }
        true
    }

    /// Makes the first `bytes` of the last [`room`](Self::room) part of what is sent.
    #[inline]
    pub(crate) fn commit(&mut self, bytes: usize) {
        self.tail += bytes;
        if !self.pieces.is_empty() {
            match self.pieces.back_mut() {
                Some(Piece::Inline(length)) => *length += bytes,
                _ => self.pieces.push_back(Piece::Inline(bytes)),
            }
        }
    }

    /// Appends `data` (not empty) without copying it.
    pub(crate) fn push_payload(&mut self, data: Vec<u8>, permit: Permit) {
        if self.pieces.is_empty() && self.tail > self.head {
            self.pieces.push_back(Piece::Inline(self.tail - self.head));
        }
        self.payload_bytes += data.len();
        self.pieces.push_back(Piece::Payload {
            data,
            sent: 0,
            _permit: permit,
        });
    }

    /// Gives back all but the idle size, if nothing is to be sent.
    pub(crate) fn shrink(&mut self) {
        if self.pending_bytes() == 0 && self.storage.len() > IDLE_BUFFER_BYTES {
            self.storage = vec![0; IDLE_BUFFER_BYTES];
            (self.head, self.tail) = (0, 0);
            self.permit = None;
        }
    }

    /// Sends once. Returns the number of bytes; `Pending` if the socket takes none. Must
    /// not be called with nothing to send.
    pub(crate) fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.pending_bytes() > 0, "nothing to send");
        let stream = Pin::new(stream);
        let sent = if self.pieces.is_empty() {
            ready!(stream.poll_write(cx, &self.storage[self.head..self.tail]))?
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.slices(&mut slices);
            ready!(stream.poll_write_vectored(cx, &slices[..count]))?
        };
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(sent);
        self.unflushed = true;
        Poll::Ready(Ok(sent))
    }

    /// Whether the socket has taken all there was.
    pub(crate) fn is_sent(&self) -> bool {
        !self.unflushed && self.pending_bytes() == 0
    }

    /// Once all is sent, makes the stream give to the socket what it holds.
    pub(crate) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unflushed && self.pending_bytes() == 0 {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut head = self.head;
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = match piece {
                Piece::Inline(length) => {
                    head += length;
                    IoSlice::new(&self.storage[head - length..head])
                }
                Piece::Payload { data, sent, .. } => IoSlice::new(&data[*sent..]),
            };
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut sent: usize) {
        if self.pieces.is_empty() {
            self.head += sent;
        }
        while let Some(piece) = self.pieces.front_mut().filter(|_| sent > 0) {
            let (left, step) = match piece {
                Piece::Inline(length) => {
                    let step = sent.min(*length);
                    *length -= step;
                    self.head += step;
                    (*length, step)
                }
                Piece::Payload {
                    data, sent: done, ..
                } => {
                    let step = sent.min(data.len() - *done);
                    *done += step;
                    self.payload_bytes -= step;
                    (data.len() - *done, step)
                }
            };
            sent -= step;
            if left == 0 {
                self.pieces.pop_front();
            }
        }
        if self.head == self.tail {
            (self.head, self.tail) = (0, 0);
        }
    }

    fn compact(&mut self) {
        if self.head > 0 {
            self.storage.copy_within(self.head..self.tail, 0);
            (self.head, self.tail) = (0, self.tail - self.head);
        }
    }
}
