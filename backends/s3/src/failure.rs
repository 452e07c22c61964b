//! What a request came to when it failed: the kind that callers act on, and a message that
//! an operator can act on.
//!
//! Owns: reading the SDK's errors; the message. Does not own: the table of kinds
//! (`verdict`), what a store does about a failure.

mod verdict;

use std::error::Error as StdError;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use vpool_http::cause::{self, body_kind, chain, printable};
use vpool_object::{Error, ErrorKind};

use verdict::for_answer;

/// A failed request, before it is told apart by operation and object.
///
/// The SDK's own error values are not kept as sources: what they all say is in `cause`,
/// and the answers within them can quote signed headers, a session's token among them,
/// that Debug would show.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    /// The status of the answer, where there was one.
    pub(crate) status: Option<u16>,
    /// S3's code for the error; empty where the answer had none.
    pub(crate) code: String,
    /// What happened, in words.
    cause: String,
    /// What can be done about it; may be empty.
    remedy: &'static str,
}

impl Failure {
    /// A failure that we found ourselves.
    pub(crate) fn new(kind: ErrorKind, cause: impl Into<String>) -> Failure {
        Failure {
            kind,
            status: None,
            code: String::new(),
            cause: cause.into(),
            remedy: "",
        }
    }

    /// No answer within the time.
    pub(crate) fn timed_out(seconds: u64) -> Failure {
        let cause = format!("not done within {seconds} s");
        Failure {
            remedy: cause::remedy("timed out"),
            ..Failure::new(ErrorKind::Unavailable, cause)
        }
    }

    /// An error told inside an answer that as a whole is none.
    pub(crate) fn of_code(code: &str, message: &str) -> Failure {
        let (kind, remedy) = for_answer(0, code, message);
        let cause = match message {
            "" => printable(code),
            message => format!("{}: {}", printable(code), printable(message)),
        };
        Failure {
            code: code.to_owned(),
            remedy,
            ..Failure::new(kind, cause)
        }
    }

    /// Whether the store said that it does not know such a request.
    pub(crate) fn is_unsupported(&self) -> bool {
        let says_so = matches!(self.status, Some(400 | 405 | 501)) || self.code == "NotImplemented";
        // A 400 may also be of another kind: an ended session, a body changed on its way.
        self.kind == ErrorKind::Invalid && says_so
    }

    /// From what the SDK says of a request.
    pub(crate) fn from_sdk<E>(error: SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + RequestId + StdError + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        match &error {
            SdkError::ServiceError(_) => Self::from_answer(status, &error),
            SdkError::ResponseError(_) => {
                // Broken off half way, most likely: what was asked may have happened.
                let cause = format!("the answer cannot be read: {}", chain(&error));
                Failure {
                    status,
                    ..Self::new(body_kind(&error), cause)
                }
            }
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => {
                Self::from_cause(ErrorKind::Unavailable, &error)
            }
            // The SDK could not make the request: its endpoint or keys make no sense to it.
            _ => Self::from_cause(ErrorKind::Invalid, &error),
        }
    }

    /// From a body that broke off.
    pub(crate) fn from_body(error: &(dyn StdError + 'static)) -> Failure {
        let cause = format!("the body broke off: {}", chain(error));
        Failure::new(body_kind(error), cause)
    }

    /// An answer with an error in it.
    fn from_answer<E>(status: Option<u16>, error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + RequestId + StdError + Send + Sync + 'static,
    {
        let code = printable(error.code().unwrap_or_default());
        let message = error.message().unwrap_or_default();
        let (kind, remedy) = for_answer(status.unwrap_or(0), &code, message);
        let mut cause = match (status, code.as_str()) {
            (Some(status), "") => format!("{status} without an S3 error"),
            (Some(status), code) => format!("{status} {code}"),
            (None, code) => code.to_owned(),
        };
        if !message.is_empty() && message != code {
            cause.push_str(&format!(": {}", printable(message)));
        }
        let request = error
            .as_service_error()
            .and_then(|service| service.request_id());
        if let Some(request) = request {
            cause.push_str(&format!(" (request {})", printable(request)));
        }
        Failure {
            status,
            code,
            remedy,
            ..Self::new(kind, cause)
        }
    }

    /// No answer at all; the SDK's chain of errors says why.
    fn from_cause(kind: ErrorKind, error: &(dyn StdError + 'static)) -> Failure {
        let cause = chain(error);
        let remedy = cause::remedy(&cause);
        Failure {
            remedy,
            ..Self::new(kind, cause)
        }
    }

    /// The error that leaves this crate. `place` is the object's or bucket's URL, `keys`
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

#[cfg(test)]
mod tests;
