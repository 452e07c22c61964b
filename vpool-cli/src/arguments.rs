//! The command line.
//!
//! Owns: nouns, verbs, flags and their help. Does not own: what they do.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vpool_api::names::DiskPath;
use vpool_api::{names, size};

/// Exit codes, at the end of the help.
const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not permitted,
5 taken or in use, 8 the daemon is not reachable.

The daemon is found by --api, else VPOOL_API, else unix:/run/vpool/api.sock.";

/// Manages the pools and disks of a vPool storage router.
#[derive(Debug, Parser)]
#[command(name = "vpool", version, after_help = EXIT_CODES, infer_subcommands = false)]
pub(crate) struct Arguments {
    /// Where the daemon answers: unix:PATH
    #[arg(long, global = true, value_name = "unix:PATH")]
    pub(crate) api: Option<String>,

    /// How to print results
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,

    /// What it is about.
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: what the API answers
    Json,
}

/// What a command is about.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Pools: named places for disks, each on one object store location
    #[command(subcommand)]
    Pool(PoolVerb),
    /// Disks, named [POOL:]NAME; POOL may be left out while NAME is unambiguous
    #[command(subcommand)]
    Disk(DiskVerb),
    /// Versions of this command and of the daemon
    Version,
}

/// What can be done with pools.
#[derive(Debug, Subcommand)]
pub(crate) enum PoolVerb {
    /// Make a pool on a location that holds none; the store is tried out first
    Create {
        /// The new pool's name
        #[arg(value_parser = pool_name)]
        name: String,
        #[command(flatten)]
        location: Location,
    },
    /// List all pools
    List,
    /// Show one pool
    Show {
        /// The pool
        #[arg(value_parser = pool_name)]
        name: String,
    },
    /// Return when all that was written before is in the store
    Sync {
        /// The pool
        #[arg(value_parser = pool_name)]
        name: String,
    },
    /// Take over a location that holds a pool, with all its disks
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
    },
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
    #[arg(long, value_enum, requires = "swift")]
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
    #[arg(long, value_enum, requires = "swift")]
    pub(crate) interface: Option<Interface>,

    /// CA certificates (PEM) to trust in place of the system's
    #[arg(long, value_name = "FILE", requires = "remote")]
    pub(crate) ca_file: Option<PathBuf>,

    /// The bucket stands in the host name instead of the path
    #[arg(long, requires = "s3")]
    pub(crate) virtual_host: bool,

    /// A directory of the daemon's host, or a NAS mounted there; it must exist
    #[arg(long, value_name = "DIR", conflicts_with = "remote")]
    pub(crate) fs: Option<PathBuf>,
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

/// What can be done with disks.
#[derive(Debug, Subcommand)]
pub(crate) enum DiskVerb {
    /// Make a disk; it costs nothing until it is written
    Create {
        /// [POOL:]NAME
        #[arg(value_name = "NAME", value_parser = disk_path)]
        disk: DiskPath,
        /// Its size: bytes, or a number with K, M, G or T; a multiple of 512, up to 64T
        #[arg(long, value_parser = disk_size)]
        size: u64,
        /// Its pool; may be left out where there is only one
        #[arg(long, value_parser = pool_name)]
        pool: Option<String>,
        /// Seal its data with a key of its own
        #[arg(long)]
        encrypt: bool,
    },
    /// List disks
    List {
        /// Of this pool only
        #[arg(long, value_parser = pool_name)]
        pool: Option<String>,
    },
    /// Show one disk
    Show(Named),
    /// Return when all that was written before is in the store
    Sync(Named),
    /// Delete a disk that no client uses, with all its data
    Delete {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        consent: Consent,
    },
    /// Go on with a disk whose journal is damaged
    Repair {
        #[command(flatten)]
        named: Named,
        /// Roll the disk back to before what its error names as lost
        #[arg(long, required = true)]
        accept_loss: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Print how QEMU and libvirt attach a disk
    Attach(Named),
}

/// One disk.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// [POOL:]NAME
    #[arg(value_name = "NAME", value_parser = disk_path)]
    pub(crate) disk: DiskPath,
}

/// For what cannot be undone.
#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Do not ask; needed where there is no terminal
    #[arg(long)]
    pub(crate) yes: bool,
}

fn pool_name(text: &str) -> Result<String, names::BadName> {
    names::check_pool(text).map(|()| text.to_owned())
}

fn disk_path(text: &str) -> Result<DiskPath, names::BadName> {
    text.parse()
}

fn disk_size(text: &str) -> Result<u64, size::BadSize> {
    let bytes = size::parse(text)?;
    size::check_disk(bytes).map(|()| bytes)
}

#[cfg(test)]
mod tests {
    //! What is accepted and refused before the daemon is asked.

    use super::Arguments;
    use clap::{CommandFactory, Parser};

    fn accepts(line: &str) -> bool {
        Arguments::try_parse_from(line.split(' ')).is_ok()
    }

    #[test]
    fn the_command_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn command_lines() {
        for good in [
            "vpool pool create main --fs /srv/pool",
            "vpool pool create main --s3 http://h/b/p --credentials-file k",
            "vpool pool create main --s3 http://h/b --credentials-file k --region r --ca-file c",
            "vpool pool create main --s3 http://h/b --credentials-file k --virtual-host",
            "vpool pool create main --swift http://h/auth/v1.0/c/p --auth v1 --credentials-file k",
            "vpool pool create main --swift http://h/v3/c --auth v3 --credentials-file k \
             --region r --interface internal --ca-file c",
            "vpool pool adopt --swift http://h/v3/c --auth v3 --credentials-file k --yes",
            "vpool pool list -o json",
            "vpool -o json --api unix:/x pool show main",
            "vpool pool sync main",
            "vpool pool adopt --fs /srv/pool",
            "vpool pool adopt main --fs /srv/pool --take-over --yes",
            "vpool disk create vm/a --size 40G --pool main --encrypt",
            "vpool disk create main:vm/a --size 512",
            "vpool disk create a --size 64T",
            "vpool disk list --pool main",
            "vpool disk show main:a",
            "vpool disk sync a",
            "vpool disk delete a --yes",
            "vpool disk repair a --accept-loss",
            "vpool disk attach a",
            "vpool version",
        ] {
            assert!(accepts(good), "{good}");
        }
        for bad in [
            "vpool",
            "vpool pool",
            "vpool pool create main",
            "vpool pool create main --s3 http://h/b",
            "vpool pool create main --credentials-file k",
            "vpool pool create main --fs /x --s3 http://h/b --credentials-file k",
            "vpool pool create main --fs /x --region r",
            "vpool pool create main --fs /x --interface public",
            "vpool pool create main --swift http://h/v3/c --auth v3",
            "vpool pool create main --swift http://h/v3/c --credentials-file k",
            "vpool pool create main --swift http://h/v3/c --auth v2 --credentials-file k",
            "vpool pool create main --auth v3 --credentials-file k",
            "vpool pool create main --swift http://h/v3/c --auth v3 --credentials-file k --fs /x",
            "vpool pool create main --s3 http://h/b --swift http://h/v3/c --auth v3 --credentials-file k",
            "vpool pool create main --s3 http://h/b --credentials-file k --auth v3",
            "vpool pool create main --swift http://h/v3/c --auth v3 --credentials-file k --virtual-host",
            "vpool pool create a/b --fs /x",
            "vpool pool list -o yaml",
            "vpool disk create a",
            "vpool disk create a --size 0",
            "vpool disk create a --size 65T",
            "vpool disk create a --size 513",
            "vpool disk create a --size 10GB",
            "vpool disk create a:b:c --size 1G",
            "vpool disk create a@b --size 1G",
            "vpool disk create ../a --size 1G",
            "vpool disk repair a",
        ] {
            assert!(!accepts(bad), "{bad}");
        }
    }
}
