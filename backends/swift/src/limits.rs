//! Every bound of this crate.

use std::time::Duration;

/// The longest body put or taken, in bytes. The engine's segments are 64 MiB at most; the
/// bound keeps a foreign object from filling the memory.
pub const BODY_BYTES_MAX: u64 = 1 << 30;

/// Names per listing request; Swift gives ten times as many unless it is set up otherwise.
pub const LIST_KEYS_MAX: usize = 1_000;

/// The longest page of a listing in bytes: names of 1,024 bytes, each byte escaped.
pub const LIST_BYTES_MAX: u64 = 16 << 20;

/// Pages in a row that hold foreign names only, before the place is no vPool location.
pub const LIST_FOREIGN_PAGES_MAX: usize = 16;

/// Names per bulk deletion, where the store takes as many.
pub const DELETE_KEYS_MAX: usize = 1_000;

/// Deletions in flight where the store knows no bulk deletion.
pub const SINGLE_DELETES_AT_ONCE_MAX: usize = 8;

/// The longest answer other than an object or a listing, in bytes: a catalog, capabilities,
/// the outcome of a bulk deletion.
pub const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// How much of an error's own text is read, in bytes.
pub const ERROR_BYTES_MAX: usize = 4 << 10;

/// Connections kept open without a request.
pub const IDLE_CONNECTIONS_MAX: usize = 64;

/// How long they are kept. Shorter than what servers and balancers commonly allow (60 s),
/// so that a request seldom meets a connection that is being closed.
pub const IDLE_TIME_MAX: Duration = Duration::from_secs(20);

/// Bodies up to this length are hashed where the request is made; longer ones on a thread
/// for blocking work, since MD5 takes about 1.6 ms per MiB.
pub const HASH_IN_PLACE_BYTES_MAX: usize = 128 << 10;

/// A token is renewed when a fifth of its life is left, but not earlier than this before
/// its end.
pub const RENEWAL_MARGIN_MAX: Duration = Duration::from_secs(300);

/// The pause after a renewal ahead of time that failed; the old token is used meanwhile.
pub const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// A 403 to a token older than this is worth a new one: rights may have been given since.
pub const FORBIDDEN_AGE_MIN: Duration = Duration::from_secs(60);

/// How long a container that was seen is taken to be there when an object is missing.
pub const CONTAINER_TRUST: Duration = Duration::from_secs(10);

/// The longest name of a container, in bytes: Swift's.
pub const CONTAINER_BYTES_MAX: usize = 256;

/// The longest token or URL taken from an auth service, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

const _: () = assert!(
    vpool_http::limits::PREFIX_BYTES_MAX + 1 + vpool_object::key::KEY_BYTES_MAX <= 1024,
    "Swift's longest name"
);
const _: () = assert!(BODY_BYTES_MAX <= 5 << 30, "Swift's longest body of one PUT");
