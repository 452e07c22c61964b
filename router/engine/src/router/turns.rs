//! Whose turn it is to change pools and disks.
//!
//! Owns: one change of the set of pools at a time, one change of the disks of a pool at a time, and
//! that none begins once the router is being shut down. Does not own: the changes.
//!
//! Order of locks: the router's turn, a pool's turn, `Slot::opened`. Pools do not wait for each
//! other: a store that does not answer delays the changes of its own pool only.

use std::sync::Arc;

use tokio::sync::{MutexGuard, OwnedMutexGuard};

use super::{OpenPool, Router, Slot};
use crate::error::{Error, ErrorKind, Result};

/// A disk that it is the holder's turn to change, with its pool.
#[derive(Debug)]
pub(super) struct DiskTurn {
    pub(super) open: Arc<OpenPool>,
    pub(super) slot: Arc<Slot>,
    _turn: OwnedMutexGuard<()>,
}

impl Router {
    /// Waits for its turn to change the set of pools.
    pub(super) async fn turn(&self) -> Result<MutexGuard<'_, ()>> {
        let turn = self.turn.lock().await;
        self.check_not_closing()?;
        Ok(turn)
    }

    /// Waits for its turn to change disks of a pool.
    pub(super) async fn pool_turn(&self, open: &Arc<OpenPool>) -> Result<OwnedMutexGuard<()>> {
        let turn = open.turn.clone().lock_owned().await;
        self.check_open(open)?;
        Ok(turn)
    }

    pub(super) fn check_open(&self, open: &Arc<OpenPool>) -> Result<()> {
        self.check_not_closing()?;
        match self.pools.read().get(&open.entry.id) {
            Some(now) if Arc::ptr_eq(now, open) => Ok(()),
            _ => Err(Error::new(
                ErrorKind::NotFound,
                format!("pool {} was deleted", open.entry.name),
            )),
        }
    }

    /// Waits for its turn to change a disk, which `find` looks for.
    pub(super) async fn disk_turn(
        &self,
        find: impl Fn(&Router) -> Result<(Arc<OpenPool>, Arc<Slot>)>,
    ) -> Result<DiskTurn> {
        loop {
            let (waited_for, _) = find(self)?;
            let turn = self.pool_turn(&waited_for).await?;
            // It may have got another name, or gone, before this turn.
            let (open, slot) = find(self)?;
            if Arc::ptr_eq(&open, &waited_for) {
                return Ok(DiskTurn {
                    open,
                    slot,
                    _turn: turn,
                });
            }
        }
    }

    pub(super) fn check_not_closing(&self) -> Result<()> {
        match *self.closing.borrow() {
            false => Ok(()),
            true => Err(Error::new(
                ErrorKind::ShuttingDown,
                "the router is being shut down",
            )),
        }
    }
}
