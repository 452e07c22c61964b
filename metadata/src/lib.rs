//! The metadata store: what the hosts have agreed on.
//!
//! Owns: [`Metadata`], the commands that the engine and the API give it; [`state`], what the
//! commands do; [`local`], its one-host form over a synced local store. Does not own: what
//! the commands are for (`vpool-engine`). A later form replicates the same commands by Raft.
//!
//! It is not in the data path: a vDisk costs it nothing between open and close.

pub mod local;
pub mod state;

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use vpool_format::bucket::DiskSettings;
use vpool_format::{Base, DiskId, Epoch, Generation, GridId, PoolId, SealedEnd, StreamUid};

/// Why a command was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such pool or disk.
    #[error("{0}")]
    NotFound(String),
    /// The name or id is taken, or the state is not the one that the command expects.
    #[error("{0}")]
    Conflict(String),
    /// The store is not able to answer now.
    #[error("the metadata store failed: {0}")]
    Unavailable(#[source] std::io::Error),
    /// The store holds what it should not.
    #[error("the metadata store is damaged: {0}")]
    Damaged(String),
}

/// The result of a command.
pub type Result<T> = std::result::Result<T, Error>;

/// Where a pool's objects are. Secrets are not part of it: they stay in the file named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory.
    Directory(String),
    /// A bucket and prefix of an S3 server.
    S3 {
        /// The server, as a URL.
        endpoint: String,
        /// The bucket.
        bucket: String,
        /// What all names start with; may be empty.
        prefix: String,
        /// The signing region.
        region: String,
        /// The file that holds the credentials.
        credentials_file: String,
        /// A file of CA certificates to trust, instead of the system's.
        ca_file: Option<String>,
        /// Bucket in the path (`true`) or in the host name.
        path_style: bool,
    },
    /// A container and prefix of a Swift store.
    Swift {
        /// How a token is asked for.
        auth: SwiftAuth,
        /// The auth service, up to its version.
        auth_url: String,
        /// The container.
        container: String,
        /// What all names start with; may be empty.
        prefix: String,
        /// The region of the catalog's entry, where one is chosen.
        region: Option<String>,
        /// Which of its URLs.
        interface: SwiftInterface,
        /// The file that holds the credentials.
        credentials_file: String,
        /// A file of CA certificates to trust, instead of the system's.
        ca_file: Option<String>,
    },
}

/// How a Swift store's token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwiftAuth {
    /// User and key in header fields.
    V1,
    /// Keystone.
    V3,
}

/// Which of a catalog's URLs of a Swift store is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwiftInterface {
    /// The one for everybody.
    Public,
    /// The one within the provider's network.
    Internal,
    /// The one for administrators.
    Admin,
}

/// A pool as the metadata knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolEntry {
    /// Its id.
    pub id: PoolId,
    /// Its name, unique in the grid.
    pub name: String,
    /// Where its objects are.
    pub location: Location,
    /// The generation of this grid's claim on the location.
    pub generation: Generation,
    /// The pool's key, wrapped by the grid key (as in the claim).
    pub wrapped_key: Vec<u8>,
}

/// A disk as the metadata knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskEntry {
    /// Its id.
    pub id: DiskId,
    /// The pool it lives on.
    pub pool: PoolId,
    /// Its name, unique in the pool.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The disk's data key, wrapped by the pool key; `None` for a clear disk.
    pub wrapped_key: Option<Vec<u8>>,
    /// The number of the newest descriptor; 0 = none yet.
    pub descriptor: u64,
    /// Whether that descriptor, which says what is here, is known to be in the bucket.
    pub described: bool,
    /// What was set since the disk was made.
    pub settings: DiskSettings,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
    /// It is being deleted: its tombstone is, or is about to be, in the bucket.
    pub deleting: bool,
}

/// What is agreed on about a disk's streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Streams {
    /// The newest epoch given out and its uid; `None` before the first open.
    pub current: Option<(Epoch, StreamUid)>,
    /// What the current stream starts from: the sealed ends of older streams, never computed
    /// again once they are here. `None` between `bump` and `seal`.
    pub base: Option<Base>,
    /// The base of the newest sealed stream and that stream, while `base` is `None`: what an
    /// opening that was interrupted between `bump` and `seal` starts over from.
    pub previous: Option<(Epoch, StreamUid, Base)>,
    /// Where the current stream ended, if it was closed in order: all of it is in the store.
    pub closed: Option<SealedEnd>,
    /// The newest epoch whose stream record is in the bucket; 0 = none.
    pub recorded: Epoch,
    /// The open stream ends here or later: all up to here is in the store, and the journal
    /// holds nothing of it.
    pub resting: Option<SealedEnd>,
    /// The other machines that have attached the disk since its stream was opened.
    pub clients: BTreeSet<String>,
    /// The machines of which acknowledged writes may be lost: the next flush of each fails.
    pub owed: BTreeSet<String>,
}

/// In [`Streams::owed`]: this host.
pub const THIS_HOST: &str = "";

/// In [`Streams::clients`] and [`Streams::owed`]: more machines than are kept apart.
pub const ANY_MACHINE: &str = "*";

/// Machines that are kept apart, for each disk.
pub const MACHINES_MAX: usize = 256;

/// A disk that was found in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedDisk {
    /// The disk.
    pub entry: DiskEntry,
    /// The newest stream that is recorded there: the next [`Metadata::bump`] goes on from it.
    pub newest: Option<(Epoch, StreamUid, Base)>,
}

/// The commands. Each is durable when it has been answered, and safe to repeat.
#[async_trait]
pub trait Metadata: Send + Sync + fmt::Debug {
    /// This grid's id, made at its first start.
    async fn grid(&self) -> Result<GridId>;

    /// All pools.
    async fn pools(&self) -> Result<Vec<PoolEntry>>;

    /// Adds a pool; its name and id must be free. Repeating the same entry is fine.
    async fn create_pool(&self, pool: PoolEntry) -> Result<()>;

    /// Replaces a pool's entry (same id).
    async fn update_pool(&self, pool: PoolEntry) -> Result<()>;

    /// All disks of a pool, by name.
    async fn disks(&self, pool: PoolId) -> Result<Vec<DiskEntry>>;

    /// Adds a disk; its name must be free in the pool, its id everywhere.
    async fn create_disk(&self, disk: DiskEntry) -> Result<()>;

    /// Replaces a disk's entry (same id; a changed name must be free).
    async fn update_disk(&self, disk: DiskEntry) -> Result<()>;

    /// Removes a pool without disks; absent is fine. [`Error::Conflict`] while it has any.
    async fn delete_pool(&self, pool: PoolId) -> Result<()>;

    /// Removes a pool with all its disks, at once; absent is fine.
    async fn forget_pool(&self, pool: PoolId) -> Result<()>;

    /// Pools that were removed, of which [`swept`](Self::swept) was not said yet: their ids are not
    /// given to pools again before.
    async fn left(&self) -> Result<Vec<PoolId>>;

    /// Records that nothing is left here of a pool that was removed.
    async fn swept(&self, pool: PoolId) -> Result<()>;

    /// Removes a disk and its streams; absent is fine.
    async fn delete_disk(&self, disk: DiskId) -> Result<()>;

    /// What is agreed on about a disk's streams.
    async fn streams(&self, disk: DiskId) -> Result<Streams>;

    /// Opens a new stream: makes `uid` the current one, with epoch `from + 1`, if `from` is
    /// still the current epoch (0 = none was ever given). Whoever holds an older epoch is
    /// fenced from here on. [`Error::Conflict`] if another opening came first.
    async fn bump(&self, disk: DiskId, from: Epoch, uid: StreamUid) -> Result<Epoch>;

    /// Adds a pool with the disks that were found in its bucket, all or none: name and id must
    /// be free.
    async fn adopt_pool(&self, pool: PoolEntry, disks: Vec<AdoptedDisk>) -> Result<()>;

    /// Records that the current stream `end.uid` was closed with everything in the store.
    /// [`Error::Conflict`] if it is not the current one.
    async fn close(&self, disk: DiskId, end: SealedEnd) -> Result<()>;

    /// Records that the open stream `end.uid` is in the store up to `end`, and that nothing up
    /// to there is in the journal any more. [`Error::Conflict`] if it is not the open one.
    async fn rest(&self, disk: DiskId, end: SealedEnd) -> Result<()>;

    /// Records that another machine has attached the disk.
    async fn attached(&self, disk: DiskId, machine: String) -> Result<()>;

    /// Records, after the journal was opened again and may have lost what was acknowledged in
    /// it, to whom that is owed: the machines of the disk's clients, and this host if `here`.
    async fn owe(&self, disk: DiskId, here: bool) -> Result<()>;

    /// Records that a machine has been told.
    async fn told(&self, disk: DiskId, machine: String) -> Result<()>;

    /// Records that the stream record of `epoch` is in the bucket.
    async fn recorded(&self, disk: DiskId, epoch: Epoch) -> Result<()>;

    /// Seals what came before: fixes the base of stream `epoch` and the ends in it, for
    /// ever. [`Error::Conflict`] if `epoch` is not the current one, or sealed otherwise.
    async fn seal(&self, disk: DiskId, epoch: Epoch, base: Base) -> Result<()>;
}
