//! The verbs of pools.
//!
//! Owns: their flags and help. Does not own: what they do (`pools.rs`).

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::shared::{Change, Consent, Query, Waiting, pool_name};

/// What can be done with pools.
#[derive(Debug, Subcommand)]
pub(crate) enum PoolVerb {
    /// Make a pool on a location that holds none; the store is tried out first
    #[command(after_help = "Example:\n  vpool pool create nas --fs /mnt/nas/vpool")]
    Create {
        /// The new pool's name
        #[arg(value_parser = pool_name)]
        name: String,
        #[command(flatten)]
        location: Location,
        #[command(flatten)]
        change: Change,
    },
    /// List all pools
    #[command(after_help = "Example:\n  vpool pool list --columns name,not_shipped --bytes")]
    List(Query),
    /// Show pools
    #[command(after_help = "Example:\n  vpool pool show nas")]
    Show(PoolNames),
    /// Try a pool's store out again, and say what it can do
    #[command(after_help = "Example:\n  vpool pool probe nas")]
    Probe(PoolNames),
    /// Return when all that was written before is in the store
    #[command(after_help = "Example:\n  vpool pool sync nas --timeout 600")]
    Sync {
        #[command(flatten)]
        pools: PoolNames,
        #[command(flatten)]
        waiting: Waiting,
        #[command(flatten)]
        change: Change,
    },
    /// Forget pools that have no disks; their objects stay in the store
    #[command(after_help = "Example:\n  vpool pool delete nas --dry-run")]
    Delete {
        #[command(flatten)]
        pools: PoolNames,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        change: Change,
    },
    /// Take over a location that holds a pool, with all its disks
    #[command(after_help = "Example:\n  vpool pool adopt --fs /mnt/nas/vpool")]
    Adopt {
        /// The pool's name here; by default the one it had
        #[arg(value_parser = pool_name)]
        name: Option<String>,
        #[command(flatten)]
        location: Location,
        /// The old grid is gone for certain, although it was heard of lately
        #[arg(long)]
        take_over: bool,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        change: Change,
    },
}

/// Some pools.
#[derive(Debug, Args)]
pub(crate) struct PoolNames {
    /// The pools
    #[arg(required = true, value_name = "NAME", value_parser = pool_name)]
    pub(crate) names: Vec<String>,
}

/// Where a pool is.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Location {
    /// A bucket, or a prefix in one, of an S3 server: http[s]://HOST[:PORT]/BUCKET[/PREFIX]
    #[arg(long, value_name = "URL/BUCKET/PREFIX", requires = "credentials_file")]
    pub(crate) s3: Option<String>,

    /// The file with access_key=… and secret_key=…, readable by the daemon alone
    #[arg(long, value_name = "FILE", requires = "s3")]
    pub(crate) credentials_file: Option<PathBuf>,

    /// The region to sign for
    #[arg(long, requires = "s3")]
    pub(crate) region: Option<String>,

    /// CA certificates (PEM) to trust in place of the system's
    #[arg(long, value_name = "FILE", requires = "s3")]
    pub(crate) ca_file: Option<PathBuf>,

    /// The bucket stands in the host name instead of the path
    #[arg(long, requires = "s3")]
    pub(crate) virtual_host: bool,

    /// A directory of the daemon's host, or a NAS mounted there; it must exist
    #[arg(long, value_name = "DIR", conflicts_with = "s3")]
    pub(crate) fs: Option<PathBuf>,
}
