//! The block-device trait: all that an export knows of a vDisk.
//!
//! Owns: [`BlockDevice`], [`Exports`], their error kinds. Does not own: any protocol
//! (see `vpool-nbd`) and any storage (see `vpool-engine`).
//!
//! The contract (promise P1): a write is *acknowledged* when [`BlockDevice::write_now`]
//! has accepted it; it then outlives the process. [`BlockDevice::flush`] returns when
//! everything acknowledged before the call, on any connection, is durable. Every offset
//! and length is in bytes, and any alignment is allowed.

mod error;
mod memory;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use error::{BlockError, ErrorKind};
pub use memory::MemoryDisk;

/// One write of a batch: `data` goes to `offset` (bytes).
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// Where the first byte goes, in bytes from the start of the disk.
    pub offset: u64,
    /// What is written.
    pub data: &'a [u8],
}

/// How far [`BlockDevice::write_now`] came.
#[derive(Debug)]
pub struct Accepted {
    /// That many writes from the start of the batch are acknowledged.
    pub writes: usize,
    /// Why the next one was refused for good. `None` with `writes` below the batch's
    /// length means that there is no room now: wait on [`BlockDevice::writable`].
    pub error: Option<BlockError>,
}

/// What is known of a range without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtentState {
    /// Holds data.
    Data,
    /// Never written, or discarded: reads as zeroes and takes no space.
    Hole,
}

/// A run of bytes in one [`ExtentState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Length in bytes, never 0.
    pub length: u64,
    /// What the run is.
    pub state: ExtentState,
}

/// What a device promises about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Writes are refused.
    pub read_only: bool,
    /// The unit at which I/O is cheapest, in bytes.
    pub preferred_bytes: u32,
}

/// A disk as an export sees it. All methods may be called from many tasks at once;
/// overlapping requests take effect in one order, the same for every observer.
#[async_trait]
pub trait BlockDevice: Send + Sync + fmt::Debug {
    /// The current size in bytes. It may grow while the device is open.
    fn size(&self) -> u64;

    /// What the device promises about itself.
    fn limits(&self) -> Limits;

    /// Accepts, in order, as many of `writes` as fit without waiting.
    fn write_now(&self, writes: &[Write<'_>]) -> Accepted;

    /// Returns when [`write_now`](Self::write_now) may accept more, or with the error
    /// for which it never will.
    async fn writable(&self) -> Result<(), BlockError>;

    /// Fills `buf` from `offset` if that needs no waiting; `None` if it does.
    fn read_now(&self, offset: u64, buf: &mut [u8]) -> Option<Result<(), BlockError>>;

    /// Fills `buf` from `offset`.
    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError>;

    /// Makes the range read as zeroes and gives its space back.
    async fn discard(&self, offset: u64, length: u64) -> Result<(), BlockError>;

    /// Makes the range read as zeroes. As fast as [`discard`](Self::discard) at any length.
    async fn write_zeroes(&self, offset: u64, length: u64) -> Result<(), BlockError>;

    /// Returns when everything acknowledged before the call is durable.
    async fn flush(&self) -> Result<(), BlockError>;

    /// The client takes leave in order: it has had the answer to everything that it asked.
    fn left(&self) {}

    /// Fetches the range into the cache; trouble is not an error of the disk's.
    async fn prefetch(&self, offset: u64, length: u64) -> Result<(), BlockError>;

    /// The extents of the range, from its start, at most `count_max` of them; they may
    /// end before the range does, never after.
    async fn extents(
        &self,
        offset: u64,
        length: u64,
        count_max: usize,
    ) -> Result<Vec<Extent>, BlockError>;

    /// Accepts one write, waiting for room where there is none.
    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), BlockError> {
        loop {
            let accepted = self.write_now(&[Write { offset, data }]);
            match accepted {
                Accepted { writes: 1.., .. } => return Ok(()),
                Accepted {
                    error: Some(error), ..
                } => return Err(error),
                Accepted { error: None, .. } => self.writable().await?,
            }
        }
    }
}

/// An open export: the device, kept from being deleted while the value lives.
pub type Attached = Arc<dyn BlockDevice>;

/// One line of the list of exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportName {
    /// The name clients ask for.
    pub name: String,
    /// A line for people, may be empty.
    pub description: String,
}

/// The disks that a router exports, by name.
#[async_trait]
pub trait Exports: Send + Sync + fmt::Debug {
    /// All exports that this client may see.
    async fn list(&self) -> Vec<ExportName>;

    /// Opens an export for one client. The empty name is the default export.
    /// `remote` names the client's machine where it is not this one.
    async fn attach(&self, name: &str, remote: Option<&str>) -> Result<Attached, BlockError>;
}
