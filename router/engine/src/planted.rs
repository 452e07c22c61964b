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

/// For the planted bug of a flush that covers one connection only: what this one has written.
#[cfg(feature = "planted")]
#[derive(Debug, Clone, Default)]
pub(crate) struct Wrote(std::sync::Arc<std::sync::atomic::AtomicBool>);

#[cfg(feature = "planted")]
impl Wrote {
    /// This connection writes.
    pub(crate) fn note(&self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Whether a flush has something to do: always, unless the bug is planted.
    pub(crate) fn must_flush(&self) -> bool {
        let wrote = self.0.swap(false, std::sync::atomic::Ordering::SeqCst);
        wrote || !is("flush-covers-one-connection")
    }
}

/// Nothing: no bug is planted in this build.
#[cfg(not(feature = "planted"))]
#[derive(Debug, Clone, Default)]
pub(crate) struct Wrote;

#[cfg(not(feature = "planted"))]
impl Wrote {
    #[inline(always)]
    pub(crate) fn note(&self) {}

    #[inline(always)]
    pub(crate) fn must_flush(&self) -> bool {
        true
    }
}
