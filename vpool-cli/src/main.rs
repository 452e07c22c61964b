//! `vpool`: what a person asks of a running `vpoold`.
//!
//! ```text
//! arguments ─▶ confirm ─▶ client ─ unix socket ─▶ vpoold
//!                           └─▶ output (table or JSON), exit code
//! ```
//!
//! Owns: the command line, its output and its exit codes. Does not own: anything that a
//! command does; that is the daemon's (`vpoold`), over the API (`vpool-api`).

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments on arguments are the command's help, in the notation of usages"
)]

mod arguments;
mod client;
mod confirm;
mod disks;
mod failure;
mod output;
mod pools;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Noun};
use client::Client;
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let client = Client::new(arguments.api)?;
    let output = Output::new(arguments.output);
    runtime.block_on(async {
        match arguments.noun {
            Noun::Pool(verb) => pools::run(&client, &output, verb).await,
            Noun::Disk(verb) => disks::run(&client, &output, verb).await,
            Noun::Version => output.version(&client).await,
        }
    })
}
