//! What connections may cost.
//!
//! Owns: every bound of this crate. Does not own: the bounds of the protocol
//! (`vpool_nbd_wire::limits`).

use std::time::Duration;

use vpool_nbd_wire::limits::PAYLOAD_BYTES_MAX;

/// Bytes that a connection may buffer each way without asking for a share of the
/// budget: all that an idle or slow client costs, and enough for requests of 4 KiB, which
/// therefore never wait for memory.
pub(crate) const IDLE_BUFFER_BYTES: usize = 8 << 10;

/// Bytes that a busy connection buffers each way: many small requests per system call.
pub(crate) const ACTIVE_BUFFER_BYTES: usize = 256 << 10;

/// A read up to this many bytes is copied from the disk straight into the output
/// buffer; a longer one goes out in pieces of this size where the protocol allows it.
pub(crate) const INLINE_READ_BYTES: usize = 128 << 10;

/// With more bytes than this waiting to be sent, no further request is begun.
pub(crate) const OUTPUT_STALL_BYTES: usize = ACTIVE_BUFFER_BYTES;

/// Data of a finished job up to this many bytes is copied behind the other replies;
/// more is sent from where it is.
pub(crate) const COPY_BYTES_MAX: usize = 16 << 10;

/// Writes handed to the disk in one call.
pub(crate) const BATCH_WRITES_MAX: usize = 64;

/// Requests of one connection that wait for the disk.
pub(crate) const JOBS_MAX: usize = 256;

/// Writes of one connection that wait in line for room.
pub(crate) const WAITING_WRITES_MAX: usize = 1024;

/// A payload that cannot be taken is read and dropped up to this length; a client that
/// announces more is cut off.
pub(crate) const SKIP_BYTES_MAX: u64 = 2 * PAYLOAD_BYTES_MAX as u64;

/// How often a connection that holds more than its idle buffers looks at itself.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// While shared memory is short, a client that holds some of it for a request must send
/// at least [`SLOW_BYTES_MIN`] of that in this many ticks, or is cut off.
pub(crate) const SLOW_TICKS: u32 = 10;

/// See [`SLOW_TICKS`].
pub(crate) const SLOW_BYTES_MIN: u64 = 64 << 10;

/// While shared memory is short, a client that takes no byte of its replies for this many
/// ticks is cut off.
pub(crate) const STUCK_TICKS: u32 = 10;

/// Connections to a listener with TLS that have not proved who they are; more wait to be accepted.
/// Each may cost one option or one TLS handshake for as long as [`Limits::handshake_time_max`]: half a
/// MiB, as measured with clients that announce long messages and send them by halves.
pub(crate) const STRANGERS_MAX: usize = 128;

/// Time to say good-bye to a client that has left in good order.
pub(crate) const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// Between two lines of the log about strangers that were refused.
pub(crate) const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// No server takes more connections at a time, whatever its limits say.
const CONNECTIONS_MAX: usize = 1 << 20;

/// What a server and each of its connections may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; beyond it new ones are closed at once.
    pub connections_max: usize,
    /// Time that a client may take to choose an export.
    pub handshake_time_max: Duration,
    /// Bytes that all connections together hold for data on its way.
    pub in_flight_bytes_max: usize,
    /// Bytes that one connection holds for requests that wait for the disk.
    pub connection_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 8192,
            handshake_time_max: Duration::from_secs(10),
            in_flight_bytes_max: 128 << 20,
            connection_bytes_max: 48 << 20,
        }
    }
}

impl Limits {
    /// The limits with each value at least what one largest request needs.
    pub(crate) fn at_least_workable(mut self) -> Self {
        let request = PAYLOAD_BYTES_MAX as usize + IDLE_BUFFER_BYTES;
        // Useful buffers take half, an eighth is kept for small requests: in the rest one
        // largest request has room.
        self.in_flight_bytes_max = self.in_flight_bytes_max.max(3 * request);
        self.connection_bytes_max = self.connection_bytes_max.max(request);
        self.connections_max = self.connections_max.clamp(1, CONNECTIONS_MAX);
        self
    }
}

const _: () = assert!(
    IDLE_BUFFER_BYTES >= 2048,
    "an error reply fits an idle buffer"
);
const _: () = assert!(INLINE_READ_BYTES + 64 <= ACTIVE_BUFFER_BYTES);
const _: () = assert!(COPY_BYTES_MAX <= ACTIVE_BUFFER_BYTES);
