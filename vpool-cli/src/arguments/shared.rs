//! Flags that several verbs have.
//!
//! Owns: those flags, and how names and sizes are read. Does not own: the rules for them
//! (`vpool-api`).

use clap::Args;
use vpool_api::names::DiskPath;
use vpool_api::{names, size};

/// For every change.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Change {
    /// Have the daemon say what it would do, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// For what cannot be undone.
#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    pub(crate) yes: bool,
}

/// For long work.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Waiting {
    /// Print the task's number instead of waiting for its end
    #[arg(long, conflicts_with = "timeout")]
    pub(crate) no_wait: bool,
    /// Wait so long at most; the task goes on
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
}

/// Which items of a list, in which order; the daemon says which fields there are.
#[derive(Debug, Default, Args)]
pub(crate) struct Query {
    /// Only those with this value, or with this text in a field; may be repeated
    #[arg(long, value_name = "FIELD=VALUE|FIELD~TEXT")]
    pub(crate) filter: Vec<String>,
    /// In the order of this field; with a minus downwards
    #[arg(long, value_name = "[-]FIELD", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
}

impl Query {
    /// As it stands behind the `?`.
    pub(crate) fn text(&self) -> String {
        let filters = self.filter.iter().map(|filter| ("filter", filter));
        let all = filters.chain(self.sort.iter().map(|sort| ("sort", sort)));
        let parts = all.map(|(name, value)| format!("{name}={}", crate::client::part(value)));
        parts.collect::<Vec<_>>().join("&")
    }
}

/// Some tasks.
#[derive(Debug, Args)]
pub(crate) struct TaskIds {
    /// Their numbers
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<u64>,
}

/// A pool's name.
pub(crate) fn pool_name(text: &str) -> Result<String, names::BadName> {
    names::check_pool(text).map(|()| text.to_owned())
}

/// A disk's name without its pool.
pub(crate) fn disk_name(text: &str) -> Result<String, names::BadName> {
    names::check_disk(text).map(|()| text.to_owned())
}

/// `[POOL:]NAME`.
pub(crate) fn disk_path(text: &str) -> Result<DiskPath, names::BadName> {
    text.parse()
}

/// A size that a disk can have.
pub(crate) fn disk_size(text: &str) -> Result<u64, size::BadSize> {
    let bytes = size::parse(text)?;
    size::check_disk(bytes).map(|()| bytes)
}

/// A switch.
pub(crate) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("yes or no".to_owned()),
    }
}
