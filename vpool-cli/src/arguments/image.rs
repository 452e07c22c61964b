//! The flags of `disk import` and `disk export`.
//!
//! Owns: them and their help. Does not own: what they do (`images`).

use clap::{Args, ValueEnum};
use vpool_api::names::DiskPath;

use super::shared::{Change, disk_path, disk_size, pool_name};

/// The format of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageFormat {
    /// The bytes of the disk, one after the other
    Raw,
    /// QEMU's
    Qcow2,
    /// VMware's, in one file
    Vmdk,
}

impl ImageFormat {
    /// As QEMU calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ImageFormat::Raw => "raw",
            ImageFormat::Qcow2 => "qcow2",
            ImageFormat::Vmdk => "vmdk",
        }
    }
}

/// `disk import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The new disk: [POOL:]NAME
    #[arg(value_name = "NAME", value_parser = disk_path)]
    pub(crate) disk: DiskPath,
    /// A file, `-` for the standard input, or nbd://HOST[:PORT]/EXPORT,
    /// nbd+unix:///EXPORT?socket=PATH
    #[arg(value_name = "FILE|-|URI")]
    pub(crate) source: String,
    /// The image's format; by default found out from its first bytes
    #[arg(long, value_enum)]
    pub(crate) format: Option<ImageFormat>,
    /// The disk's pool; may be left out where there is only one
    #[arg(long, value_parser = pool_name)]
    pub(crate) pool: Option<String>,
    /// Seal its data with a key of its own
    #[arg(long)]
    pub(crate) encrypt: bool,
    /// The disk's size; by default the image's
    #[arg(long, value_parser = disk_size)]
    pub(crate) size: Option<u64>,
    /// Compare the disk with the image before it gets its name
    #[arg(long)]
    pub(crate) compare: bool,
    /// Do not read the disk again to print its checksum
    #[arg(long)]
    pub(crate) no_checksum: bool,
    /// The image may name other files of this host as parts of it. Only for images that you made
    /// yourself: such a name can be that of any file
    #[arg(long)]
    pub(crate) allow_backing: bool,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// `disk export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The disk: [POOL:]NAME
    #[arg(value_name = "NAME", value_parser = disk_path)]
    pub(crate) disk: DiskPath,
    /// A file that is not there yet, or `-` for the standard output
    #[arg(value_name = "FILE|-")]
    pub(crate) target: String,
    /// The image's format
    #[arg(long, value_enum, default_value_t = ImageFormat::Raw)]
    pub(crate) format: ImageFormat,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Compare the image with the disk before it gets its name
    #[arg(long)]
    pub(crate) compare: bool,
    /// Do not read the disk again to print its checksum
    #[arg(long)]
    pub(crate) no_checksum: bool,
}
