//! `vpool`: what a person asks of a running `vpoold`.
//!
//! ```text
//! arguments ─▶ config ─▶ client ─ unix socket, or loopback with a token ─▶ vpoold
//!     └─▶ pools, disks, tasks, events, top, bench, doctor, support ─▶ output, exit code
//!              └─▶ images ─ NBD ─▶ vpoold
//! ```
//!
//! Owns: the command line, its output and its exit codes. Does not own: anything that a
//! command does; that is the daemon's (`vpoold`), over the API (`vpool-api`). Image data alone
//! goes over NBD.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments on arguments are the command's help, in the notation of usages"
)]

mod arguments;
mod bench;
mod client;
mod config;
mod confirm;
mod disks;
mod doctor;
mod events;
mod failure;
mod generate;
mod images;
mod output;
mod pools;
mod progress;
mod several;
mod signals;
mod support;
mod tasks;
mod top;
mod version;

use std::process::ExitCode;

use clap::Parser;

use arguments::disk::DiskVerb;
use arguments::{Arguments, Global, Noun};
use client::Client;
use config::{Chosen, Opens, Target};
use failure::Failure;
use output::Output;
use signals::interruptible;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Failure::failed(format!("cannot start: {error}")).report(),
    };
    let result = runtime.block_on(run(arguments));
    // A thread that still reads the standard input or a terminal is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Global {
        api,
        profile,
        token_file,
        insecure,
        tls_ca,
        tls_certificate,
        tls_key,
        output,
        columns,
        bytes,
    } = arguments.global;
    let output = Output {
        format: output,
        columns,
        raw: bytes,
    };
    let client = || {
        let chosen = Chosen {
            api,
            profile,
            opens: Opens {
                token_file,
                insecure,
                tls_ca,
                tls_certificate,
                tls_key,
            },
        };
        Target::find(chosen).map(Client::new)
    };
    match arguments.noun {
        // These tidy up after a signal by themselves.
        Noun::Disk(verb @ (DiskVerb::Import(_) | DiskVerb::Export(_))) => {
            disks::run(&client()?, &output, verb).await
        }
        Noun::Completion { shell } => generate::completion(shell),
        Noun::Man { directory } => generate::man(&directory),
        noun => interruptible(answer(&client()?, &output, noun)).await,
    }
}

async fn answer(client: &Client, output: &Output, noun: Noun) -> Result<(), Failure> {
    match noun {
        Noun::Pool(verb) => pools::run(client, output, verb).await,
        Noun::Disk(verb) => disks::run(client, output, verb).await,
        Noun::Task(verb) => tasks::run(client, output, verb).await,
        Noun::Events { follow, since } => events::run(client, output, follow, since).await,
        Noun::Top { once, interval } => top::run(client, output, once, interval).await,
        Noun::Bench(bench) => bench::run(client, output, bench).await,
        Noun::Doctor => doctor::run(client, output).await,
        Noun::SupportBundle { file } => support::run(client, &file).await,
        Noun::Version => version::run(client, output).await,
        Noun::Completion { shell } => generate::completion(shell),
        Noun::Man { directory } => generate::man(&directory),
    }
}
