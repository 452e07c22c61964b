//! The metadata of a grid of one host, over a synced local store.
//!
//! Owns: [`LocalMetadata`]: the order of commands, and that each is durable before it is
//! answered. Does not own: the rules ([`State`]), the bytes (`values`), the store.
//!
//! ```text
//!   command ──► decide ──► write, synced ──► commit ──► answer
//!                 ▲                              │
//!                 └──── one command at a time ◄──┘
//! ```
//!
//! A command runs in a task of its own: a caller that goes away does not leave one half done.
//! Where a write fails it is not known whether it will be there after a restart. So it is
//! written again before any other command is decided, until it holds: what is in memory and
//! what is stored never go different ways.

mod values;

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use vpool_format::{Base, DiskId, Epoch, GridId, PoolId, SealedEnd, StreamUid};
use vpool_host::{Batch, Blocking, Durability, Entropy, LocalStore, Table, TableKind};

use crate::state::{Change, Command, Outcome, State};
use crate::{AdoptedDisk, DiskEntry, Error, Metadata, PoolEntry, Result, Streams};

/// The table that the metadata is kept in.
pub const TABLE: Table = Table {
    name: "meta",
    kind: TableKind::Durable,
};

/// Values read at once when the store is opened.
const SCAN_COUNT: usize = 1024;

/// The metadata of one host.
#[derive(Debug)]
pub struct LocalMetadata {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn LocalStore>,
    blocking: Blocking,
    /// What is durable.
    state: RwLock<State>,
    /// Held by the command that is under way; changes of which it is not known whether they
    /// are stored.
    doubtful: Arc<Mutex<Vec<Change>>>,
}

impl LocalMetadata {
    /// Opens the metadata in [`TABLE`] of `store`; makes a new grid's where there is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails; [`Error::Damaged`] if what it holds was not
    /// written by this program or has rotted.
    pub async fn open(
        store: Arc<dyn LocalStore>,
        blocking: Blocking,
        entropy: &dyn Entropy,
    ) -> Result<LocalMetadata> {
        let fresh = GridId(entropy.id());
        let from = Arc::clone(&store);
        let state = blocking.run(move || load(&*from, fresh)).await?;
        state.check()?;
        Ok(LocalMetadata {
            shared: Arc::new(Shared {
                store,
                blocking,
                state: RwLock::new(state),
                doubtful: Arc::default(),
            }),
        })
    }

    async fn run(&self, command: Command) -> Result<Outcome> {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move { shared.run(&command).await });
        match task.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is being shut down: this task ends at its next await.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Shared {
    async fn run(&self, command: &Command) -> Result<Outcome> {
        let mut doubtful = self.doubtful.lock().await;
        if !doubtful.is_empty() {
            self.write(&mut doubtful).await?;
        }
        let (outcome, changes) = self.state.read().decide(command)?;
        if !changes.is_empty() {
            *doubtful = changes;
            self.write(&mut doubtful).await?;
        }
        Ok(outcome)
    }

    /// Makes changes durable and then visible; they stay doubtful if that fails.
    async fn write(&self, changes: &mut Vec<Change>) -> Result<()> {
        let batch = values::batch(changes);
        let store = Arc::clone(&self.store);
        self.blocking
            .run(move || store.write(batch, Durability::Synced))
            .await
            .map_err(Error::Unavailable)?;
        let mut state = self.state.write();
        state.commit(changes.drain(..));
        debug_assert!(state.check().is_ok(), "{:?}", state.check());
        Ok(())
    }
}

/// Reads all that is stored; the grid's id is stored first, and `fresh` if there is none.
fn load(store: &dyn LocalStore, fresh: GridId) -> Result<State> {
    let grid = store
        .get(TABLE.name, values::GRID_KEY)
        .map_err(Error::Unavailable)?;
    let mut state = match &grid {
        Some(value) => State::new(values::decode_grid(value)?),
        None => State::new(fresh),
    };
    let mut from = Vec::new();
    let mut empty = true;
    loop {
        let pairs = store
            .scan(TABLE.name, &[], Some(&from), SCAN_COUNT)
            .map_err(Error::Unavailable)?;
        let Some((last, _)) = pairs.last() else {
            break;
        };
        // The smallest key after the last.
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in &pairs {
            empty = false;
            state.commit(values::decode(key, value)?);
        }
    }
    match (grid, empty) {
        (Some(_), _) => {}
        (None, false) => {
            let what = "the grid's id is gone, other values are there";
            return Err(Error::Damaged(what.to_owned()));
        }
        (None, true) => {
            let mut batch = Batch::default();
            batch.put(TABLE.name, values::GRID_KEY, values::encode_grid(fresh));
            store
                .write(batch, Durability::Synced)
                .map_err(Error::Unavailable)?;
        }
    }
    Ok(state)
}

#[async_trait]
impl Metadata for LocalMetadata {
    async fn grid(&self) -> Result<GridId> {
        Ok(self.shared.state.read().grid())
    }

    async fn pools(&self) -> Result<Vec<PoolEntry>> {
        Ok(self.shared.state.read().pools().cloned().collect())
    }

    async fn create_pool(&self, pool: PoolEntry) -> Result<()> {
        self.run(Command::CreatePool(pool)).await.map(drop)
    }

    async fn update_pool(&self, pool: PoolEntry) -> Result<()> {
        self.run(Command::UpdatePool(pool)).await.map(drop)
    }

    async fn delete_pool(&self, pool: PoolId) -> Result<()> {
        self.run(Command::DeletePool(pool)).await.map(drop)
    }

    async fn forget_pool(&self, pool: PoolId) -> Result<()> {
        self.run(Command::ForgetPool(pool)).await.map(drop)
    }

    async fn left(&self) -> Result<Vec<PoolId>> {
        Ok(self.shared.state.read().left().collect())
    }

    async fn swept(&self, pool: PoolId) -> Result<()> {
        self.run(Command::Swept(pool)).await.map(drop)
    }

    async fn disks(&self, pool: PoolId) -> Result<Vec<DiskEntry>> {
        Ok(self.shared.state.read().disks(pool)?.cloned().collect())
    }

    async fn create_disk(&self, disk: DiskEntry) -> Result<()> {
        self.run(Command::CreateDisk(disk)).await.map(drop)
    }

    async fn update_disk(&self, disk: DiskEntry) -> Result<()> {
        self.run(Command::UpdateDisk(disk)).await.map(drop)
    }

    async fn delete_disk(&self, disk: DiskId) -> Result<()> {
        self.run(Command::DeleteDisk(disk)).await.map(drop)
    }

    async fn streams(&self, disk: DiskId) -> Result<Streams> {
        self.shared.state.read().streams(disk)
    }

    async fn bump(&self, disk: DiskId, from: Epoch, uid: StreamUid) -> Result<Epoch> {
        match self.run(Command::Bump(disk, from, uid)).await? {
            Outcome::Epoch(epoch) => Ok(epoch),
            Outcome::Done => unreachable!("a bump answers with an epoch"),
        }
    }

    async fn adopt_pool(&self, pool: PoolEntry, disks: Vec<AdoptedDisk>) -> Result<()> {
        self.run(Command::AdoptPool(pool, disks)).await.map(drop)
    }

    async fn close(&self, disk: DiskId, end: SealedEnd) -> Result<()> {
        self.run(Command::Close(disk, end)).await.map(drop)
    }

    async fn rest(&self, disk: DiskId, end: SealedEnd) -> Result<()> {
        self.run(Command::Rest(disk, end)).await.map(drop)
    }

    async fn attached(&self, disk: DiskId, machine: String) -> Result<()> {
        self.run(Command::Attached(disk, machine)).await.map(drop)
    }

    async fn owe(&self, disk: DiskId, here: bool) -> Result<()> {
        self.run(Command::Owe(disk, here)).await.map(drop)
    }

    async fn told(&self, disk: DiskId, machine: String) -> Result<()> {
        self.run(Command::Told(disk, machine)).await.map(drop)
    }

    async fn recorded(&self, disk: DiskId, epoch: Epoch) -> Result<()> {
        self.run(Command::Recorded(disk, epoch)).await.map(drop)
    }

    async fn seal(&self, disk: DiskId, epoch: Epoch, base: Base) -> Result<()> {
        self.run(Command::Seal(disk, epoch, base)).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
