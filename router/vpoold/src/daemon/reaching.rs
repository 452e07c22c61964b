//! How pools are reached: changed while their disks go on.
//!
//! Owns: trying the new way out before it is taken, for pools that are open and for those that are
//! not because the old way has ended. Does not own: noting it (`vpool-engine`), the client
//! (`stores.rs`).

use vpool_api::{Code, DryRun, Pool, Problem, SetPool};
use vpool_format::PoolId;
use vpool_metadata::PoolEntry;

use super::show::no_pool;
use super::{CLAIMS, Daemon, of_engine, of_store};
use crate::location;
use crate::stores::{Purpose, Store};

impl Daemon {
    /// Reaches a pool by other credentials, certificates or names from now on.
    pub(crate) async fn set_pool(&self, name: &str, request: &SetPool) -> Result<Pool, Problem> {
        let id = self.known_pool(name)?.id;
        let _turn = self.turn(id).await;
        let (wanted, store) = self.try_way(name, request).await?;
        match self.probe_store(&store).await {
            // A full store is reached all the same, and must be to be emptied.
            Err(problem) if problem.code == Code::NoSpace => {
                tracing::warn!(pool = name, %problem, "the store is full");
            }
            probed => drop(probed?),
        }
        let set = self.router.set_location(id, wanted.location).await;
        let entry = set.map_err(|error| of_engine(&error))?;
        let open = self.stores.lock().get(&id).cloned();
        match open {
            Some(open) => open.exchange(&store),
            // What else keeps it from opening is kept with it, and shown.
            None => drop(self.open_in_turn(entry).await),
        }
        tracing::info!(
            pool = name,
            "its store is reached in another way from now on"
        );
        self.pool(name)
    }

    /// What that would do: the new way is tried, by reading alone.
    pub(crate) async fn plan_set_pool(
        &self,
        name: &str,
        request: &SetPool,
    ) -> Result<DryRun, Problem> {
        let id = self.known_pool(name)?.id;
        let _turn = self.turn(id).await;
        self.try_way(name, request).await?;
        let detail = "its store is reached in the new way, which leads to it";
        let plan = DryRun::one("set", format!("pool {name}"), detail);
        Ok(plan.with_note("whether it may be written is tried out when it is set, not now"))
    }

    /// A store that leads to the pool's objects in the way that is asked for.
    async fn try_way(&self, name: &str, request: &SetPool) -> Result<(PoolEntry, Store), Problem> {
        let mut wanted = self.known_pool(name)?;
        wanted.location = location::changed(&wanted.location, request)?;
        let store = self
            .store(&wanted.location, Purpose::Use)
            .await
            .map_err(|error| of_store(&error))?;
        // The engine waits for stores that refuse; a person wants to know why they do.
        let listed = store.decorated().list(CLAIMS, None, 1).await;
        listed.map_err(|error| of_store(&error))?;
        let checked = self.router.check_place(&wanted, &store.decorated()).await;
        checked.map_err(|error| of_engine(&error))?;
        Ok((wanted, store))
    }

    /// A pool of the metadata, open or not.
    pub(super) fn known_pool(&self, name: &str) -> Result<PoolEntry, Problem> {
        if let Some(closed) = self.closed_pool(name) {
            return Ok(closed.entry);
        }
        let pools = self.router.pools().into_iter();
        let found = pools.map(|pool| pool.entry).find(|one| one.name == name);
        found.ok_or_else(|| no_pool(name))
    }

    /// Waits until nobody else opens, sets or forgets the pool.
    pub(super) async fn turn(&self, id: PoolId) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = self.turns.lock().entry(id).or_default().clone();
        turn.lock_owned().await
    }
}
