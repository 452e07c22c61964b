//! The command line.
//!
//! Owns: nouns and flags that hold for all of them. Does not own: the verbs of pools (`pool.rs`),
//! disks (`disk.rs`) and images (`image.rs`), what they share (`shared.rs`), what any of them does.

pub(crate) mod disk;
pub(crate) mod image;
pub(crate) mod pool;
pub(crate) mod shared;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::output::Format;
use disk::{DiskVerb, Named};
use pool::PoolVerb;
use shared::{Change, TaskIds, Waiting};

/// Exit codes, at the end of the help.
const ABOUT_ALL: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not permitted, 5 taken or in use,
6 not done in the time given (it goes on), 7 done for some of the names only, 8 the daemon is
not reachable, 130 interrupted.

The daemon is found by --api, --profile, VPOOL_API, VPOOL_PROFILE, the profile `default` in
$XDG_CONFIG_HOME/vpool/config.toml (else ~/.config/vpool/config.toml), or unix:/run/vpool/api.sock:

  [profiles.lab]
  api = \"http://127.0.0.1:7480\"      # or unix:PATH
  token_file = \"/home/me/lab.token\"
  [profiles.far]
  api = \"https://node1.example:7480\"
  tls_ca = \"/home/me/vpool-ca.pem\"
  tls_certificate = \"/home/me/me.pem\"
  tls_key = \"/home/me/me.key\"";

/// Manages the pools and disks of a vPool storage router.
#[derive(Debug, Parser)]
#[command(name = "vpool", version, after_help = ABOUT_ALL, infer_subcommands = false)]
pub(crate) struct Arguments {
    /// What holds for every noun.
    #[command(flatten)]
    pub(crate) global: Global,

    /// What it is about.
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

/// What holds for every noun.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where the daemon answers: unix:PATH, http://127.0.0.1:PORT with a token, or
    /// https://HOST:PORT with a certificate
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        conflicts_with = "profile"
    )]
    pub(crate) api: Option<String>,

    /// The daemon of this profile in the configuration file
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// The file with the token for an http:// address
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Send the token to an http:// address of another host, where others may read it on the way
    #[arg(long, global = true)]
    pub(crate) insecure: bool,

    /// The file with the certificates that sign the daemon's, for an https:// address
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// The file with this client's certificate
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// The file with the key to it
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// How to print results
    #[arg(short, long, global = true, value_enum, value_name = "FORM", default_value_t = Format::Table)]
    pub(crate) output: Format,

    /// Print these columns only, in this order (table, wide, csv)
    #[arg(long, global = true, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) columns: Option<Vec<String>>,

    /// Print sizes as numbers of bytes
    #[arg(long, global = true)]
    pub(crate) bytes: bool,
}

/// What a command is about.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Pools: named places for disks, each on one object store location
    #[command(subcommand, after_help = "Example:\n  vpool pool list")]
    Pool(PoolVerb),
    /// Disks, named [POOL:]NAME; POOL may be left out while NAME is unambiguous
    #[command(subcommand, after_help = "Example:\n  vpool disk list -o wide")]
    Disk(DiskVerb),
    /// Long work that goes on or has ended
    #[command(
        subcommand,
        after_help = "Example:\n  vpool task list --filter state=running"
    )]
    Task(TaskVerb),
    /// Print what happened; with -f also what happens
    #[command(after_help = "Example:\n  vpool events -f -o json | jq .object")]
    Events {
        /// Go on with what happens, until interrupted
        #[arg(short, long)]
        follow: bool,
        /// Begin after this event; by default with the oldest one kept, or with -f with what
        /// comes next
        #[arg(long, value_name = "ID")]
        since: Option<u64>,
    },
    /// Show what clients do with each disk, as it happens; q ends it
    #[command(after_help = "Example:\n  vpool top --once -o csv")]
    Top {
        /// Print one sample and end
        #[arg(long)]
        once: bool,
        /// Seconds between two samples
        #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
        interval: u64,
    },
    /// Measure a disk with fio; a disk that holds data is only read
    #[command(after_help = "Example:\n  vpool bench vm1 --mode randread --seconds 10")]
    Bench(Bench),
    /// Look for what is wrong here, and say what to do about it
    #[command(after_help = "Example:\n  vpool doctor || vpool events")]
    Doctor,
    /// Write one file for those who help from afar: no keys, passwords or data are in it
    #[command(after_help = "Example:\n  vpool support-bundle vpool-support.json")]
    SupportBundle {
        /// A file that is not there yet, or - for the standard output
        #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Print the completions for a shell
    #[command(after_help = "Example:\n  . <(vpool completion bash)")]
    Completion {
        /// The shell
        #[arg(value_parser = shell, value_name = "bash|zsh|fish")]
        shell: Shell,
    },
    /// Versions of this command and of the daemon
    #[command(after_help = "Example:\n  vpool version -o json")]
    Version,
    /// Write the manual pages
    #[command(hide = true, after_help = "Example:\n  vpool man target/man")]
    Man {
        /// An existing directory
        directory: PathBuf,
    },
}

/// What can be done with tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskVerb {
    /// List tasks
    #[command(after_help = "Example:\n  vpool task list --sort=-id -o csv")]
    List(shared::Query),
    /// Show tasks
    #[command(after_help = "Example:\n  vpool task show 7")]
    Show(TaskIds),
    /// Return when a task has ended; fails if the task did
    #[command(after_help = "Example:\n  vpool task watch 7 --timeout 60")]
    Watch {
        /// Its number
        id: u64,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// End tasks before they are done
    #[command(after_help = "Example:\n  vpool task cancel 7")]
    Cancel {
        #[command(flatten)]
        tasks: TaskIds,
        #[command(flatten)]
        change: Change,
    },
}

/// A measurement.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// The disk.
    #[command(flatten)]
    pub(crate) named: Named,
    /// What is done; writes need a disk that was never written
    #[arg(long, default_value = "randread", value_parser = ["read", "randread", "write", "randwrite"])]
    pub(crate) mode: String,
    /// For how long
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// The part of the disk, from its start; at most all of it
    #[arg(long, default_value = "1G", value_name = "SIZE", value_parser = vpool_api::size::parse)]
    pub(crate) span: u64,
    /// Bytes of a request: 4K at random, 1M in order
    #[arg(long, value_name = "SIZE", value_parser = block_size)]
    pub(crate) block_size: Option<u64>,
    /// Requests in flight
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) depth: u32,
}

fn shell(text: &str) -> Result<Shell, String> {
    match text {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        _ => Err("bash, zsh or fish".to_owned()),
    }
}

fn block_size(text: &str) -> Result<u64, String> {
    let bytes = vpool_api::size::parse(text).map_err(|error| error.to_string())?;
    match bytes.is_multiple_of(512) && (512..=16 << 20).contains(&bytes) {
        true => Ok(bytes),
        false => Err("a multiple of 512, up to 16M".to_owned()),
    }
}

#[cfg(test)]
mod tests;
