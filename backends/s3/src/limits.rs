//! Every bound of this crate.

use std::time::Duration;

/// The longest body put or taken, in bytes. The engine's segments are 64 MiB at most; the
/// bound keeps a foreign object from filling the memory.
pub const BODY_BYTES_MAX: u64 = 1 << 30;

/// Names per listing request: what S3 gives at most.
pub const LIST_KEYS_MAX: usize = 1_000;

/// Pages in a row that hold foreign names only, before the place is no vPool location.
pub const LIST_FOREIGN_PAGES_MAX: usize = 16;

/// Names per bulk deletion: what S3 takes at most.
pub const DELETE_KEYS_MAX: usize = 1_000;

/// Deletions in flight where the store knows no bulk deletion.
pub const SINGLE_DELETES_AT_ONCE_MAX: usize = 8;

/// Connections kept open without a request.
pub const IDLE_CONNECTIONS_MAX: usize = 64;

/// How long they are kept. Shorter than what servers and balancers commonly allow (60 s),
/// so that a request seldom meets a connection that is being closed.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(20);

/// Bodies up to this length are hashed where the request is made; longer ones on a thread
/// for blocking work, since SHA-256 takes about 0.6 ms per MiB.
pub const HASH_IN_PLACE_BYTES_MAX: usize = 128 << 10;

const _: () = assert!(
    vpool_http::limits::PREFIX_BYTES_MAX + 1 + vpool_object::key::KEY_BYTES_MAX <= 1024,
    "S3's longest name"
);
const _: () = assert!(BODY_BYTES_MAX <= 5 << 30, "S3's longest body of one PUT");
