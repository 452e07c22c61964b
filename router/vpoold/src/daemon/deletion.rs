//! Pools that go: deleted when they have no disks, forgotten with them when their store is gone.
//!
//! Owns: what may go, in which words; the plans. Does not own: what is removed (`vpool-engine`). In
//! no case is anything removed from a store.

use vpool_api::{Code, DryRun, Problem};
use vpool_metadata::PoolEntry;

use super::{Daemon, of_engine};
use crate::location;

/// How a pool is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Going {
    /// It has no disks.
    Empty,
    /// With its disks.
    WithDisks {
        /// And with what the journal alone holds of them.
        accept_loss: bool,
    },
}

impl Daemon {
    /// Deletes a pool here; its objects stay.
    pub(crate) async fn delete_pool(&self, name: &str, going: Going) -> Result<(), Problem> {
        let id = self.known_pool(name)?.id;
        let _turn = self.turn(id).await;
        // It may have been opened or forgotten meanwhile.
        let entry = self.known_pool(name)?;
        let deleted = match going {
            Going::Empty if self.closed_pool(name).is_none() => self.router.delete_pool(name).await,
            Going::Empty => {
                self.refuse_disks(&entry).await?;
                self.router.forget_pool(&entry, false).await
            }
            Going::WithDisks { accept_loss } => self.router.forget_pool(&entry, accept_loss).await,
        };
        deleted.map_err(|error| of_engine(&error))?;
        self.stores.lock().remove(&id);
        self.closed.lock().remove(&id);
        Ok(())
    }

    /// What that would do.
    pub(crate) async fn plan_delete_pool(
        &self,
        name: &str,
        going: Going,
    ) -> Result<DryRun, Problem> {
        let entry = self.known_pool(name)?;
        if going == Going::Empty {
            self.refuse_disks(&entry).await?;
        }
        let disks = self.disk_names(&entry).await?;
        let unshipped = self.router.unshipped(&entry).await;
        let unshipped = unshipped.map_err(|error| of_engine(&error))?;
        let accepted = going == Going::WithDisks { accept_loss: true };
        if !unshipped.is_empty() && !accepted {
            let disks = unshipped.join(", ");
            let detail = format!(
                "pool {name}: the journal may hold writes that are not in the store, of {disks}"
            );
            return Err(Problem::new(Code::Conflict, detail).with_hint(
                "bring the store back, so that they are shipped, or accept their loss",
            ));
        }
        let detail = match disks.as_slice() {
            [] => "it is forgotten here".to_owned(),
            disks => format!("it is forgotten here with its disks {}", disks.join(", ")),
        };
        let plan = DryRun::one("delete", format!("pool {name}"), detail);
        let place = location::place(&entry.location);
        let plan = plan.with_note(format!(
            "its objects stay in {place}: `vpool pool adopt` brings back what was shipped"
        ));
        Ok(match unshipped.as_slice() {
            [] => plan,
            disks => plan.with_note(format!(
                "what the journal alone holds is lost, of {}",
                disks.join(", ")
            )),
        })
    }

    async fn refuse_disks(&self, entry: &PoolEntry) -> Result<(), Problem> {
        let count = self.disk_names(entry).await?.len();
        if count == 0 {
            return Ok(());
        }
        let detail = format!("pool {} has {count} disk(s)", entry.name);
        let hint = match self.closed_pool(&entry.name) {
            None => "delete them first",
            Some(_) => {
                "it is not open: open it and delete them, or have it forgotten with them \
                 (`vpool pool delete --forget`)"
            }
        };
        Err(Problem::new(Code::Conflict, detail).with_hint(hint))
    }

    /// The disks that the metadata knows of a pool, which need not be open.
    async fn disk_names(&self, entry: &PoolEntry) -> Result<Vec<String>, Problem> {
        let disks = self.router.known_disks(entry.id).await;
        disks.map_err(|error| of_engine(&error))
    }
}
