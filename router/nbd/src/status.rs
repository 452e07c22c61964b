//! From a disk's error to what the client is told.
//!
//! Owns: the choice. Does not own: the reply's bytes (`vpool_nbd_wire::Mode::error`).

use vpool_block::{BlockError, ErrorKind};
use vpool_nbd_wire::{Errno, OptionErrorCode};

/// What becomes of a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The client gets this error number.
    Reply(Errno),
    /// The connection is closed without a reply, so that the client connects again and
    /// repeats the request: an error number would reach the guest.
    Close,
}

/// What becomes of a request that failed with `error`.
pub(crate) fn verdict(error: &BlockError) -> Verdict {
    match error.kind() {
        ErrorKind::Invalid => Verdict::Reply(Errno::INVAL),
        ErrorKind::ReadOnly => Verdict::Reply(Errno::PERM),
        ErrorKind::NoSpace => Verdict::Reply(Errno::NOSPC),
        ErrorKind::NotFound | ErrorKind::Unavailable | ErrorKind::Corrupt | ErrorKind::Io => {
            Verdict::Reply(Errno::IO)
        }
        ErrorKind::Fenced | ErrorKind::ShuttingDown => Verdict::Close,
    }
}

/// How an option is refused for which an export could not be opened.
pub(crate) fn refusal(error: &BlockError) -> OptionErrorCode {
    match error.kind() {
        ErrorKind::NotFound => OptionErrorCode::UNKNOWN,
        ErrorKind::ShuttingDown => OptionErrorCode::SHUTDOWN,
        ErrorKind::Invalid => OptionErrorCode::INVALID,
        _ => OptionErrorCode::POLICY,
    }
}

#[cfg(test)]
mod tests {
    use vpool_block::{BlockError, ErrorKind};
    use vpool_nbd_wire::{Errno, OptionErrorCode};

    use super::{Verdict, refusal, verdict};

    #[test]
    fn every_kind_has_its_answer() {
        use {ErrorKind as K, OptionErrorCode as O};
        let table = [
            (K::Invalid, Verdict::Reply(Errno::INVAL), O::INVALID),
            (K::NotFound, Verdict::Reply(Errno::IO), O::UNKNOWN),
            (K::ReadOnly, Verdict::Reply(Errno::PERM), O::POLICY),
            (K::Fenced, Verdict::Close, O::POLICY),
            (K::Unavailable, Verdict::Reply(Errno::IO), O::POLICY),
            (K::NoSpace, Verdict::Reply(Errno::NOSPC), O::POLICY),
            (K::Corrupt, Verdict::Reply(Errno::IO), O::POLICY),
            (K::Io, Verdict::Reply(Errno::IO), O::POLICY),
            (K::ShuttingDown, Verdict::Close, O::SHUTDOWN),
        ];
        for (kind, expected, refused) in table {
            let error = BlockError::new(kind, "disk d: …");
            assert_eq!(verdict(&error), expected, "{kind:?}");
            assert_eq!(refusal(&error), refused, "{kind:?}");
        }
    }
}
