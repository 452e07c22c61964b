//! `vpoold`: the storage router of one host.
//!
//! ```text
//! arguments ─▶ serve ─▶ data_dir, key_file, databases      what is in the data directory
//!                 ├───▶ daemon ─▶ stores                    the router with its pools
//!                 ├───▶ first_start                         the pool `default`, the disk `demo`
//!                 ├───▶ tasks, events, watch, activity      long work, what happens, what is counted
//!                 └───▶ NBD, api (token)                    the doors, until a signal comes
//! ```
//!
//! Owns: putting the parts together, start and end of the process. Does not own: any of the
//! parts: the engine (`vpool-engine`), the NBD door (`vpool-nbd`), the stores.

mod activity;
mod api;
mod arguments;
mod banner;
mod daemon;
mod data_dir;
mod databases;
mod events;
mod first_start;
mod key_file;
mod location;
mod process;
mod serve;
mod stores;
mod tasks;
mod token;
mod watch;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use vpool_host::Host;

use arguments::{Arguments, Settings};
use data_dir::DataDir;

/// At the end, for work on threads that cannot be called off, as on a NAS that hangs.
const LAST_TASKS_TIME_MAX: Duration = Duration::from_secs(2);

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("planted bugs lose data on purpose: they are not for release builds");

fn main() -> ExitCode {
    let settings = match Arguments::parse().settings() {
        Ok(settings) => settings,
        Err(error) => error.exit(),
    };
    process::log_to_stderr();
    process::log_panics();
    process::set_limits();
    let result = run(&settings);
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

fn run(settings: &Settings) -> anyhow::Result<()> {
    let host = Host::real();
    // Outlives every task: nobody else comes to the files while one may still write.
    let dir = DataDir::open(&settings.data_dir, &host)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let result = runtime.block_on(serve::serve(settings, &dir, host));
    runtime.shutdown_timeout(LAST_TASKS_TIME_MAX);
    result
}
