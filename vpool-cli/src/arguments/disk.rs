//! The verbs of disks.
//!
//! Owns: their flags and help. Does not own: what they do (`disks.rs`), images (`image.rs`).

use clap::{Args, Subcommand};
use vpool_api::names::DiskPath;

use super::image::{Export, Import};
use super::shared::{
    Change, Consent, Query, Waiting, disk_name, disk_path, disk_size, pool_name, yes_or_no,
};

/// What can be done with disks.
#[derive(Debug, Subcommand)]
pub(crate) enum DiskVerb {
    /// Make a disk; it costs nothing until it is written
    #[command(after_help = "Example:\n  vpool disk create vm1 --size 40G --encrypt")]
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
        #[command(flatten)]
        change: Change,
    },
    /// List disks
    #[command(
        after_help = "Example:\n  vpool disk list --filter name~vm/ --sort=-size_bytes -o csv"
    )]
    List {
        /// Of this pool only
        #[arg(long, value_parser = pool_name)]
        pool: Option<String>,
        #[command(flatten)]
        query: Query,
    },
    /// Show disks
    #[command(after_help = "Example:\n  vpool disk show vm1 -o yaml")]
    Show(DiskNames),
    /// Change what is said of a disk, or whether it may be written
    #[command(
        after_help = "Example:\n  vpool disk set vm1 --read-only yes --description 'old mail server'"
    )]
    Set {
        #[command(flatten)]
        named: Named,
        /// What people say about it; an empty text removes it
        #[arg(long, required_unless_present = "read_only")]
        description: Option<String>,
        /// Whether writes are refused
        #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
        read_only: Option<bool>,
        #[command(flatten)]
        change: Change,
    },
    /// Give a disk another size; clients that are attached may have to connect again
    #[command(after_help = "Example:\n  vpool disk resize vm1 80G")]
    Resize {
        #[command(flatten)]
        named: Named,
        /// The new size
        #[arg(value_parser = disk_size)]
        size: u64,
        /// It may be smaller than before: what lies beyond is lost
        #[arg(long)]
        shrink: bool,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        change: Change,
    },
    /// Give a disk another name in its pool
    #[command(after_help = "Example:\n  vpool disk rename vm1 old/vm1")]
    Rename {
        #[command(flatten)]
        named: Named,
        /// The new name, without a pool
        #[arg(value_parser = disk_name)]
        new: String,
        #[command(flatten)]
        change: Change,
    },
    /// Return when all that was written before is in the store
    #[command(after_help = "Example:\n  vpool disk sync vm1 vm2 --no-wait")]
    Sync {
        #[command(flatten)]
        disks: DiskNames,
        #[command(flatten)]
        waiting: Waiting,
        #[command(flatten)]
        change: Change,
    },
    /// Make a disk from an image: raw, qcow2 or vmdk
    #[command(after_help = "Example:\n  vpool disk import vm1 debian.qcow2 --compare")]
    Import(Import),
    /// Write a disk into an image: raw, qcow2 or vmdk
    #[command(after_help = "Example:\n  vpool disk export vm1 vm1.qcow2 --format qcow2")]
    Export(Export),
    /// Print how QEMU and libvirt attach a disk
    #[command(after_help = "Example:\n  vpool disk attach vm1")]
    Attach(Named),
    /// Go on with a disk whose journal is damaged
    #[command(after_help = "Example:\n  vpool disk repair vm1 --accept-loss")]
    Repair {
        #[command(flatten)]
        named: Named,
        /// Roll the disk back to before what its error names as lost
        #[arg(long, required = true)]
        accept_loss: bool,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        change: Change,
    },
    /// Delete disks that no client uses, with all their data
    #[command(after_help = "Example:\n  vpool disk delete vm1 vm2 --yes")]
    Delete {
        #[command(flatten)]
        disks: DiskNames,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        change: Change,
    },
}

/// One disk.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// [POOL:]NAME
    #[arg(value_name = "NAME", value_parser = disk_path)]
    pub(crate) disk: DiskPath,
}

/// Some disks.
#[derive(Debug, Args)]
pub(crate) struct DiskNames {
    /// [POOL:]NAME of each
    #[arg(required = true, value_name = "NAME", value_parser = disk_path)]
    pub(crate) disks: Vec<DiskPath>,
}
