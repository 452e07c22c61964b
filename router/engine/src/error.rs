//! The engine's error: a kind that says what the caller must do, a sentence, the source.

use vpool_block::{BlockError, ErrorKind as BlockKind};

/// The result of the engine's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller must do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request makes no sense.
    Invalid,
    /// There is no such pool, disk or export.
    NotFound,
    /// The name or place is taken, or in use.
    Conflict,
    /// A newer opening, or another grid, owns it now.
    Fenced,
    /// The object store or the metadata is not able to serve now.
    Unavailable,
    /// No space.
    NoSpace,
    /// Bytes could not be verified, or are missing where they must be.
    Corrupt,
    /// The local disk failed.
    Io,
    /// It is being closed.
    ShuttingDown,
}

/// A failed operation.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{context}")]
pub struct Error {
    kind: ErrorKind,
    context: String,
}

impl Error {
    /// An error of `kind`; `context` says what failed, on which disk or pool, why, what to do.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Error {
            kind,
            context: context.into(),
        }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same error with what was being done in front.
    #[must_use]
    pub fn during(mut self, what: impl std::fmt::Display) -> Self {
        self.context = format!("{what}: {}", self.context);
        self
    }
}

/// An error of the local disk, with what was being done.
pub fn io(what: impl std::fmt::Display, source: &std::io::Error) -> Error {
    let kind = match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("{what}: {source}"))
}

impl From<Error> for BlockError {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Invalid | ErrorKind::Conflict => BlockKind::Invalid,
            ErrorKind::NotFound => BlockKind::NotFound,
            ErrorKind::Fenced => BlockKind::Fenced,
            ErrorKind::Unavailable => BlockKind::Unavailable,
            ErrorKind::NoSpace => BlockKind::NoSpace,
            ErrorKind::Corrupt => BlockKind::Corrupt,
            ErrorKind::Io => BlockKind::Io,
            ErrorKind::ShuttingDown => BlockKind::ShuttingDown,
        };
        BlockError::new(kind, error.context)
    }
}

impl From<vpool_object::Error> for Error {
    fn from(error: vpool_object::Error) -> Self {
        use vpool_object::ErrorKind as Store;
        let kind = match error.kind() {
            Store::Invalid => ErrorKind::Invalid,
            Store::NotFound | Store::NoLocation => ErrorKind::NotFound,
            Store::Conflict => ErrorKind::Conflict,
            Store::Denied | Store::Unavailable | Store::Throttled => ErrorKind::Unavailable,
            Store::Damaged => ErrorKind::Corrupt,
            Store::NoSpace => ErrorKind::NoSpace,
        };
        Error::new(kind, error.to_string())
    }
}

impl From<vpool_metadata::Error> for Error {
    fn from(error: vpool_metadata::Error) -> Self {
        use vpool_metadata::Error as Meta;
        let kind = match &error {
            Meta::NotFound(_) => ErrorKind::NotFound,
            Meta::Conflict(_) => ErrorKind::Conflict,
            Meta::Unavailable(_) => ErrorKind::Unavailable,
            Meta::Damaged(_) => ErrorKind::Corrupt,
        };
        Error::new(kind, error.to_string())
    }
}
