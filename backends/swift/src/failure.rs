//! What a request came to when it failed: the kind that callers act on, and a message that
//! an operator can act on.
//!
//! Owns: reading the client's errors and the store's answers; the message.
//! Does not own: the table of kinds (`verdict`), what a store does about a failure.

mod verdict;

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName};
use vpool_http::cause::{self, body_kind, chain, printable};
use vpool_object::{Error, ErrorKind};

pub(crate) use verdict::Asked;
use verdict::for_status;

use crate::call::text;

/// Every answer of Swift's, and of Ceph's in Swift's dialect, has it.
const TRANSACTION: HeaderName = HeaderName::from_static("x-trans-id");

/// A failed request, before it is told apart by operation and object.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    /// The status of the answer, where there was one.
    pub(crate) status: Option<u16>,
    /// What happened, in words.
    cause: String,
    /// What can be done about it; may be empty. `{keys}` stands for where the credentials
    /// are from.
    remedy: &'static str,
}

impl Failure {
    /// A failure that we found ourselves.
    pub(crate) fn new(kind: ErrorKind, cause: impl Into<String>) -> Failure {
        Failure {
            kind,
            status: None,
            cause: cause.into(),
            remedy: "",
        }
    }

    /// The same, with what can be done about it.
    #[must_use]
    pub(crate) fn with_remedy(self, remedy: &'static str) -> Failure {
        Failure { remedy, ..self }
    }

    /// The same as another kind.
    #[must_use]
    pub(crate) fn of_kind(self, kind: ErrorKind) -> Failure {
        Failure { kind, ..self }
    }

    /// The same, after what was being done.
    #[must_use]
    pub(crate) fn during(self, what: impl fmt::Display) -> Failure {
        let cause = format!("{what}: {}", self.cause);
        Failure { cause, ..self }
    }

    /// No answer within the time.
    pub(crate) fn timed_out(time_max: Duration) -> Failure {
        let cause = format!("not done within {} s", time_max.as_secs());
        Failure::new(ErrorKind::Unavailable, cause).with_remedy(cause::remedy("timed out"))
    }

    /// From the client, when there was no answer.
    pub(crate) fn from_client(error: reqwest::Error) -> Failure {
        // The place is in the message already.
        let error = error.without_url();
        let kind = match error.is_builder() {
            true => ErrorKind::Invalid,
            false => ErrorKind::Unavailable,
        };
        let cause = chain(&error);
        let remedy = cause::remedy(&cause);
        Failure::new(kind, cause).with_remedy(remedy)
    }

    /// From a body that broke off.
    pub(crate) fn from_body(error: reqwest::Error) -> Failure {
        let error = error.without_url();
        let cause = format!("the body broke off: {}", chain(&error));
        Failure::new(body_kind(&error), cause)
    }

    /// From an answer of the store that is no success.
    pub(crate) fn from_answer(status: StatusCode, header: &HeaderMap, body: &str) -> Failure {
        let transaction = text(header, &TRANSACTION);
        let asked = match transaction {
            Some(_) => Asked::Swift,
            None => Asked::Unknown,
        };
        let mut failure = Failure::of_status(asked, status, body);
        if let Some(transaction) = transaction {
            let cause = format!("{} (request {})", failure.cause, printable(transaction));
            failure.cause = cause;
        }
        failure
    }

    /// From an answer of an auth service that is no session.
    pub(crate) fn from_auth(status: StatusCode, body: &str) -> Failure {
        Failure::of_status(Asked::Auth, status, body)
    }

    /// From a status within an answer, as bulk deletions tell it: `409 Conflict`.
    pub(crate) fn from_words(status: &str) -> Failure {
        let number = status.split(' ').next().and_then(|text| text.parse().ok());
        let number = number.and_then(|number: u16| StatusCode::from_u16(number).ok());
        let Some(number) = number else {
            let cause = format!("no status: {}", printable(status));
            return Failure::new(ErrorKind::Damaged, cause);
        };
        Failure::of_status(Asked::Swift, number, status)
    }

    fn of_status(asked: Asked, status: StatusCode, body: &str) -> Failure {
        let (kind, remedy) = for_status(asked, status.as_u16(), body);
        let mut cause = status.as_str().to_owned();
        if let Some(reason) = status.canonical_reason() {
            cause = format!("{cause} {reason}");
        }
        Failure {
            status: Some(status.as_u16()),
            ..Failure::new(kind, cause).with_remedy(remedy)
        }
    }

    /// The error that leaves this crate. `place` is the object's or container's URL, `keys`
    /// where the credentials are from.
    pub(crate) fn into_error(self, operation: &str, place: &str, keys: &str) -> Error {
        let mut text = format!("{operation} {place}: {}", self.cause);
        if !self.remedy.is_empty() {
            text.push_str("; ");
            text.push_str(&self.remedy.replace("{keys}", keys));
        }
        Error::new(self.kind, text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

#[cfg(test)]
mod tests;
