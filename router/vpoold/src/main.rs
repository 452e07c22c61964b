//! `vpoold`: the storage router of one host.
//!
//! ```text
//! arguments ─▶ config ─▶ what it is told
//!                 │
//!               serve ─▶ data_dir, key_file, databases      what is in the data directory
//!                 ├───▶ daemon ─▶ stores                    the router with its pools
//!                 ├───▶ first_start                         the pool `default`, the disk `demo`
//!                 ├───▶ tasks, events, watch, activity      long work, what happens, what is counted
//!                 └───▶ NBD, api (token)                    the doors, until a signal comes
//!                 ├───▶ checks                              what it stands on, when asked
//!                 └───▶ reload                              SIGHUP: the configuration again
//! ```
//!
//! Owns: putting the parts together, start and end of the process. Does not own: any of the
//! parts: the engine (`vpool-engine`), the NBD door (`vpool-nbd`), the stores.

mod activity;
mod api;
mod arguments;
mod banner;
mod checks;
mod config;
mod daemon;
mod data_dir;
mod databases;
mod door_tls;
mod events;
mod first_start;
mod key_file;
mod location;
mod notify;
mod process;
mod reload;
mod serve;
mod stores;
mod tasks;
mod token;
mod watch;
mod watchdog;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use vpool_host::Host;

use arguments::Command;
use config::{Settings, Sources, show};
use data_dir::DataDir;
use door_tls::DoorTls;
use reload::Reload;

/// At the end, for work on threads that cannot be called off, as on a NAS that hangs.
const LAST_TASKS_TIME_MAX: Duration = Duration::from_secs(2);

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("planted bugs lose data on purpose: they are not for release builds");

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Dev { flags } => start(Sources::of_flags(flags.0), true),
        Command::Run { from } => {
            Sources::new(from.config, from.flags.0).and_then(|sources| start(sources, false))
        }
        Command::Config { from, output } => {
            Sources::new(from.config, from.flags.0).and_then(|sources| print(&sources, output))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("vpoold: {error:#}\n");
            // Where nobody reads the errors, the exit code is all that can be said.
            let _unread = std::io::stderr().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Prints the settings, if a daemon could start with them.
fn print(sources: &Sources, format: show::Format) -> anyhow::Result<()> {
    let effective = sources.read()?;
    Settings::new(&effective, false)?;
    let text = show::text(format, sources, &effective);
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot print the settings")
}

fn start(sources: Sources, demo: bool) -> anyhow::Result<()> {
    let effective = sources.read()?;
    let settings = Settings::new(&effective, demo)?;
    let log = process::log_to_stderr(process::filter(&settings.log)?);
    process::log_panics();
    process::set_limits();
    if let Some(file) = sources.file() {
        tracing::info!(file = %file.display(), "the configuration was read");
    }
    let tls = DoorTls::read(&settings)?;
    // A demo ends when its terminal does: there SIGHUP means what it always did.
    let reload = (!demo).then(|| Reload::new(sources, effective, log, tls.clone()));
    run(&settings, tls, reload)
}

fn run(settings: &Settings, tls: DoorTls, reload: Option<Reload>) -> anyhow::Result<()> {
    let host = Host::real();
    // Outlives every task: nobody else comes to the files while one may still write.
    let dir = DataDir::open(&settings.data_dir, &host)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let result = runtime.block_on(serve::serve(settings, tls, reload, &dir, host));
    runtime.shutdown_timeout(LAST_TASKS_TIME_MAX);
    result
}
