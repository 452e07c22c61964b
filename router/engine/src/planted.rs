//! Bugs that tests plant to prove that they would be found. Compiled to nothing otherwise.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("the feature `planted` breaks promises on purpose and is refused in release builds");

/// Whether the bug of this name is switched on (environment variable `VPOOL_PLANTED`).
#[cfg(feature = "planted")]
pub(crate) fn is(bug: &str) -> bool {
    std::env::var("VPOOL_PLANTED").is_ok_and(|name| name == bug)
}

/// No bug is planted in this build.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub(crate) fn is(_bug: &str) -> bool {
    false
}
