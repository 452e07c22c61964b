//! The table: HTTP's statuses as Swift, Ceph and auth services use them, what kind of error
//! each is, what to do.
//!
//! Owns: the table, pure. `{keys}` in a remedy stands for where the credentials are from.

use vpool_object::ErrorKind::{
    self, Conflict, Damaged, Denied, Invalid, NoLocation, NoSpace, NotFound, Throttled, Unavailable,
};

const ELSEWHERE: &str = "the store lies elsewhere: set the URL that serves it";

/// Who has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Swift or Ceph: the answer carries a transaction.
    Swift,
    /// Something on the way to it.
    Unknown,
    /// An auth service.
    Auth,
}

/// The kind of an answer's error, and its remedy. `body` is the answer's text: of a few
/// statuses it says which of two things is meant.
pub(super) fn for_status(asked: Asked, status: u16, body: &str) -> (ErrorKind, &'static str) {
    let says = |word: &str| body.to_ascii_lowercase().contains(word);
    match (status, asked) {
        (300..=399, _) => (NoLocation, ELSEWHERE),
        (401 | 403, Asked::Auth) => (
            Denied,
            "the auth service does not take the user, project or secret in {keys}",
        ),
        (401, _) => (
            Denied,
            "the store does not take the token: do store and auth service belong together, and are their clocks right?",
        ),
        (403, _) => (
            Denied,
            "the user in {keys} needs the right to list the container and to get, put and delete objects",
        ),
        (404, Asked::Swift) => (NotFound, ""),
        // Without Swift's mark a missing object is not certain, and an end of a log would
        // be read from it.
        (404 | 410, Asked::Unknown) => (Unavailable, "does the storage URL lead to Swift?"),
        (404 | 405 | 410, Asked::Auth) => (
            Unavailable,
            "is it the URL of an auth service, up to its version: .../auth/v1.0, or .../v3 for Keystone?",
        ),
        (412, _) => (Conflict, ""),
        (413, _) if says("quota") => (NoSpace, "the store or the quota is full"),
        (413, _) => (
            Invalid,
            "a proxy before the store may limit the size of bodies",
        ),
        (422, Asked::Swift) => (Damaged, "the body was changed on its way"),
        (429 | 498, _) => (Throttled, ""),
        (501, _) => (Invalid, "the store does not know such a request"),
        (503, _) if says("slowdown") => (Throttled, ""),
        (507, _) => (NoSpace, "the store is full"),
        (408 | 409 | 410 | 425 | 499, _) => (Unavailable, ""),
        (400..=499, _) => (Invalid, ""),
        // 5xx, and a success that was none of those expected.
        (500..=599, _) => (Unavailable, ""),
        _ => (Damaged, "does the URL lead to Swift?"),
    }
}
