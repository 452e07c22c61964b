//! The verbs of pools.
//!
//! Owns: their flags and help. Does not own: what they do (`pools.rs`).

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::shared::{Change, Consent, Query, Waiting, pool_name, yes_or_no};

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
    /// Reach a pool with other credentials or certificates; its disks go on meanwhile
    #[command(
        after_help = "Example:\n  vpool pool set cloud --credentials-file /etc/vpool/new.keys"
    )]
    Set {
        /// The pool
        #[arg(value_parser = pool_name)]
        name: String,
        #[command(flatten)]
        way: Way,
        #[command(flatten)]
        change: Change,
    },
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
        /// With their disks, which need not be open: for a store that is gone
        #[arg(long)]
        forget: bool,
        /// And with writes that are in the journal alone
        #[arg(long, requires = "forget")]
        accept_loss: bool,
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
    #[arg(
        long,
        value_name = "URL/BUCKET/PREFIX",
        requires = "credentials_file",
        group = "remote"
    )]
    pub(crate) s3: Option<String>,

    /// A container, or a prefix in one, of a Swift store. The auth URL ends in its version,
    /// as …/auth/v1.0 or …/v3 do
    #[arg(
        long,
        value_name = "AUTHURL/CONTAINER/PREFIX",
        requires = "credentials_file",
        requires = "auth",
        group = "remote"
    )]
    pub(crate) swift: Option<String>,

    /// The kind of Swift's auth service: v1 (user and key) or v3 (Keystone)
    #[arg(long, value_enum, requires = "swift", conflicts_with = "s3")]
    pub(crate) auth: Option<Auth>,

    /// A file that the daemon alone may read. S3: access_key=… and secret_key=…; Swift with
    /// auth v1: user=… and key=…; with v3: user=…, password=…, project=…, and user_domain=…,
    /// project_domain=… where they are not Default
    #[arg(long, value_name = "FILE", requires = "remote")]
    pub(crate) credentials_file: Option<PathBuf>,

    /// The region to sign for; of Swift the one to take from Keystone's catalog
    #[arg(long, requires = "remote")]
    pub(crate) region: Option<String>,

    /// Which of the URLs in Keystone's catalog to use [default: public]
    #[arg(long, value_enum, requires = "swift", conflicts_with = "s3")]
    pub(crate) interface: Option<Interface>,

    /// CA certificates (PEM) to trust in place of the system's
    #[arg(long, value_name = "FILE", requires = "remote")]
    pub(crate) ca_file: Option<PathBuf>,

    /// The bucket stands in the host name instead of the path
    #[arg(long, requires = "s3", conflicts_with = "swift")]
    pub(crate) virtual_host: bool,

    /// A directory of the daemon's host, or a NAS mounted there; it must exist
    #[arg(long, value_name = "DIR", conflicts_with = "remote")]
    pub(crate) fs: Option<PathBuf>,
}

/// How a pool is reached; what is left out stays as it is.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Way {
    /// A file with other credentials, or the same one, to have it read again
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials_file: Option<PathBuf>,

    /// The region to sign for; of Swift the one to take from Keystone's catalog; '' for the default
    #[arg(long)]
    pub(crate) region: Option<String>,

    /// CA certificates (PEM) to trust; '' for the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Whether the bucket stands in the host name (S3)
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
    pub(crate) virtual_host: Option<bool>,

    /// Which of the URLs in Keystone's catalog to use (Swift)
    #[arg(long, value_enum)]
    pub(crate) interface: Option<Interface>,
}

/// The kind of an auth service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Auth {
    /// User and key: Swift's tempauth, Ceph
    V1,
    /// Keystone
    V3,
}

/// Which of a catalog's URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Interface {
    /// The one for everybody
    Public,
    /// The one within the provider's network
    Internal,
    /// The one for administrators
    Admin,
}
