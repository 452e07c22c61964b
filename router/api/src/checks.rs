//! What comes out of looking at what a daemon stands on.
//!
//! Owns: the form of a check. Does not own: looking (`vpoold`, `vpool doctor`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Skipped,
    /// It may become a problem.
    Warning,
    /// It is one.
    Wrong,
}

/// What came out of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What was looked at, in a form that does not change.
    pub code: String,
    /// How it is.
    pub state: CheckState,
    /// What was found.
    pub detail: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    /// With nothing to do about it.
    pub fn new(code: &str, state: CheckState, detail: impl Into<String>) -> Check {
        Check {
            code: code.to_owned(),
            state,
            detail: detail.into(),
            remedy: None,
        }
    }

    /// As it should be.
    pub fn ok(code: &str, detail: impl Into<String>) -> Check {
        Check::new(code, CheckState::Ok, detail)
    }

    /// The same with what to do.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Check {
        self.remedy = Some(remedy.into());
        self
    }
}
