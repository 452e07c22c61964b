//! Pages of lists, and what a change would do.
//!
//! Owns: those two forms, the same for all nouns. Does not own: which fields can be filtered and
//! sorted by (`vpoold`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// The items of this page; with `fields=` they carry only what was asked for.
    pub items: Vec<T>,
    /// How many items there are in all pages.
    pub total: u64,
    /// What `after=` wants for the next page; `None` on the last one.
    pub next: Option<String>,
}

/// What a change would do, had it not been asked with `dry_run=true`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DryRun {
    /// What would change; nothing if the list is empty.
    pub changes: Vec<Change>,
    /// What else is worth knowing, and what can only be checked by doing it.
    pub notes: Vec<String>,
}

/// One thing that would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// `create`, `delete`, `sync` and so on.
    pub action: String,
    /// What: `disk default:vm1`, `pool cloud`.
    pub object: String,
    /// How, for people.
    pub detail: String,
}

impl DryRun {
    /// One change and nothing to say about it.
    pub fn one(action: &str, object: impl Into<String>, detail: impl Into<String>) -> DryRun {
        DryRun {
            changes: vec![Change {
                action: action.to_owned(),
                object: object.into(),
                detail: detail.into(),
            }],
            notes: Vec::new(),
        }
    }

    /// The same with something to know.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> DryRun {
        self.notes.push(note.into());
        self
    }
}
