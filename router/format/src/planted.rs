//! Bugs planted on purpose, so that the tests can be seen to notice them.
//!
//! Owns: which are on, read once from `VPOOL_PLANTED` (names separated by commas). Does not
//! own: the bugs, which stand where they would be made.

#[cfg(not(debug_assertions))]
compile_error!("the feature `planted` breaks promises on purpose: never in a release build");

use std::sync::OnceLock;

/// Whether the bug `name` is switched on.
pub(crate) fn is_on(name: &str) -> bool {
    static ON: OnceLock<String> = OnceLock::new();
    let on = ON.get_or_init(|| std::env::var("VPOOL_PLANTED").unwrap_or_default());
    on.split(',').any(|one| one.trim() == name)
}
