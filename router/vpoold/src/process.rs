//! The process: its log, its panics, its limits.
//!
//! Owns: what is set once at start. Does not own: signals (`serve.rs`).

use std::backtrace::Backtrace;
use std::io::IsTerminal;

use anyhow::Context;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// What is logged, to be changed while the process lives.
#[derive(Debug)]
pub(crate) struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Logs what this filter lets through, from now on.
    pub(crate) fn set(&self, filter: EnvFilter) -> anyhow::Result<()> {
        self.0
            .reload(filter)
            .context("cannot change what is logged")
    }
}

/// Reads a filter; an empty one is "info".
pub(crate) fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(text)
}

/// Lines to the standard error, as many as the filter lets through.
pub(crate) fn log_to_stderr(filter: EnvFilter) -> LogFilter {
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    LogFilter(handle)
}

/// A panic in a task ends that task; here it is said, with the place.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let what = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(no text)");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let backtrace = Backtrace::capture();
        tracing::error!(%place, %backtrace, "panic (a bug in vPool): {what}");
    }));
}

/// As many open files as allowed, and no core files: they would hold keys.
pub(crate) fn set_limits() {
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
    let none = Rlimit {
        current: Some(0),
        maximum: getrlimit(Resource::Core).maximum,
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core files stay possible; they would hold keys");
    }
    // Where core files go to a program, the limit does not hold; and nobody of the same user
    // attaches a debugger.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "this process can be dumped; a dump would hold keys");
    }
}
