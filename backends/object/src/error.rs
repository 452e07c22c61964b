//! Errors of object stores: a kind that says what the caller must do, the context, the source.
//!
//! Owns: [`Error`], [`ErrorKind`]. Does not own: the mapping from a store's own errors,
//! which lies with each store.

/// The result of an operation on a store.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller must do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request makes no sense; repeating it does not help.
    Invalid,
    /// There is no such object. After a put returned `Ok` this means loss or lag.
    NotFound,
    /// The name holds other bytes.
    Conflict,
    /// The credentials are wrong or lack the right.
    Denied,
    /// The bucket, container or directory itself is missing or is no vPool location.
    NoLocation,
    /// Down, slow, or broken on the way: repeat later. What was asked may have happened.
    Unavailable,
    /// The store asks for fewer requests: repeat later, more slowly.
    Throttled,
    /// The answer was not what was stored (short or long body, bad checksum): repeat.
    Damaged,
    /// The store is full.
    NoSpace,
}

/// A failed operation.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct Error {
    kind: ErrorKind,
    context: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `context` says operation, object and cause.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Error {
            kind,
            context: context.into(),
            source: None,
        }
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same error once more, for another waiter or another key of the same request.
    /// The source becomes part of the context.
    #[must_use]
    pub fn repeat(&self) -> Error {
        let context = match &self.source {
            Some(source) => format!("{}: {source}", self.context),
            None => self.context.clone(),
        };
        Error::new(self.kind, context)
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unavailable | ErrorKind::Throttled | ErrorKind::Damaged
        )
    }
}
