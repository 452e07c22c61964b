//! How the API says what went wrong: `application/problem+json` (RFC 9457).
//!
//! Owns: [`Problem`] and its codes. Does not own: which error of the engine becomes which
//! (`vpoold`), what a command exits with (`vpool-cli`).

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a caller must do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request makes no sense.
    Invalid,
    /// There is no such pool, disk or path.
    NotFound,
    /// The method is not one of the path's.
    MethodNotAllowed,
    /// The request does not say who asks, or not the truth.
    Unauthenticated,
    /// The caller may not do this.
    Denied,
    /// The name or place is taken, or in use.
    Conflict,
    /// The body is too long.
    TooLarge,
    /// The body is not JSON by its own word.
    UnsupportedMedia,
    /// Too much is going on; repeat later.
    Busy,
    /// Another grid or a newer opening owns it now.
    Fenced,
    /// The object store, or something else on the way, does not answer now.
    Unavailable,
    /// No space.
    NoSpace,
    /// Bytes are damaged or missing.
    Corrupt,
    /// The local disk failed.
    Io,
    /// The daemon stops.
    ShuttingDown,
    /// A bug in the daemon.
    Internal,
    /// The daemon ended before the task did.
    Interrupted,
    /// A code that this version does not know.
    #[serde(other)]
    Unknown,
}

impl Code {
    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Code::Invalid => 400,
            Code::Unauthenticated => 401,
            Code::Denied => 403,
            Code::NotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::Conflict | Code::Fenced => 409,
            Code::TooLarge => 413,
            Code::UnsupportedMedia => 415,
            Code::Internal | Code::Io | Code::Corrupt | Code::Unknown => 500,
            Code::Busy | Code::Unavailable | Code::ShuttingDown | Code::Interrupted => 503,
            Code::NoSpace => 507,
        }
    }

    /// What it is, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Code::Invalid => "the request makes no sense",
            Code::NotFound => "there is no such thing",
            Code::MethodNotAllowed => "not possible here",
            Code::Unauthenticated => "who asks is not known",
            Code::Denied => "not allowed",
            Code::Conflict => "taken or in use",
            Code::TooLarge => "the request is too long",
            Code::UnsupportedMedia => "not in a form that is understood",
            Code::Busy => "too much is going on",
            Code::Fenced => "somebody else owns it now",
            Code::Unavailable => "not reachable now",
            Code::NoSpace => "no space is left",
            Code::Corrupt => "damaged or missing data",
            Code::Io => "the local disk failed",
            Code::ShuttingDown => "the daemon stops",
            Code::Internal => "a bug in the daemon",
            Code::Interrupted => "the daemon ended before the task did",
            Code::Unknown => "unknown",
        }
    }

    /// The name in JSON, and the end of the problem's type.
    pub fn name(self) -> &'static str {
        match self {
            Code::Invalid => "invalid",
            Code::NotFound => "not_found",
            Code::MethodNotAllowed => "method_not_allowed",
            Code::Unauthenticated => "unauthenticated",
            Code::Denied => "denied",
            Code::Conflict => "conflict",
            Code::TooLarge => "too_large",
            Code::UnsupportedMedia => "unsupported_media",
            Code::Busy => "busy",
            Code::Fenced => "fenced",
            Code::Unavailable => "unavailable",
            Code::NoSpace => "no_space",
            Code::Corrupt => "corrupt",
            Code::Io => "io",
            Code::ShuttingDown => "shutting_down",
            Code::Internal => "internal",
            Code::Interrupted => "interrupted",
            Code::Unknown => "unknown",
        }
    }
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
pub struct Problem {
    /// `urn:vpool:problem:CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, the same for all problems of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What the caller must do about it.
    pub code: Code,
    /// What happened to what, and why.
    pub detail: String,
    /// The remedy, where there is one to name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem {
            kind: format!("urn:vpool:problem:{}", code.name()),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            hint: None,
        }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

#[cfg(test)]
mod tests {
    //! The form on the wire.

    use super::{Code, Problem};

    #[test]
    fn a_problem_has_its_members() {
        let problem = Problem::new(Code::NotFound, "no disk demo").with_hint("make it");
        let json = serde_json::to_value(&problem).expect("it is plain data");
        assert_eq!(
            json,
            serde_json::json!({
                "type": "urn:vpool:problem:not_found",
                "title": "there is no such thing",
                "status": 404,
                "code": "not_found",
                "detail": "no disk demo",
                "hint": "make it",
            })
        );
        assert_eq!(
            serde_json::from_value::<Problem>(json).expect("its own form"),
            problem
        );
    }

    #[test]
    fn names_are_those_of_the_wire_and_new_codes_are_no_error() {
        for code in [
            Code::Invalid,
            Code::NotFound,
            Code::MethodNotAllowed,
            Code::Unauthenticated,
            Code::Denied,
            Code::Conflict,
            Code::TooLarge,
            Code::UnsupportedMedia,
            Code::Busy,
            Code::Fenced,
            Code::Unavailable,
            Code::NoSpace,
            Code::Corrupt,
            Code::Io,
            Code::ShuttingDown,
            Code::Internal,
            Code::Interrupted,
        ] {
            assert_eq!(serde_json::to_value(code).expect("a name"), code.name());
            assert!((400..600).contains(&code.status()));
        }
        let code: Code = serde_json::from_str("\"quota_exceeded\"").expect("any name");
        assert_eq!(code, Code::Unknown);
    }
}
