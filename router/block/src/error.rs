//! Errors of a block device: a kind that exports turn into their protocol's code, and
//! the sentence a person reads.

/// What the caller must do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request makes no sense (EINVAL).
    Invalid,
    /// No such disk or export (ENOENT).
    NotFound,
    /// Writing to what is read-only (EPERM).
    ReadOnly,
    /// Somebody else owns the disk now (EIO; the client should reconnect).
    Fenced,
    /// The store or the host is not able to serve now (EIO).
    Unavailable,
    /// No space is left and waiting would not help (ENOSPC).
    NoSpace,
    /// The bytes could not be verified (EIO). Never answered with other bytes.
    Corrupt,
    /// The local SSD failed (EIO).
    Io,
    /// The disk is being closed (ESHUTDOWN).
    ShuttingDown,
}

/// A failed request: kind, and a sentence that names the disk and the cause.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct BlockError {
    kind: ErrorKind,
    message: String,
}

impl BlockError {
    /// An error of `kind`; `message` names what failed, where and why.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        BlockError {
            kind,
            message: message.into(),
        }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
