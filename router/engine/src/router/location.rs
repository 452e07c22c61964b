//! Where a pool is, and by which way it is reached.
//!
//! Owns: that a store leads to the objects of a pool, changing the way while disks are open. Does not
//! own: the client that takes it (`vpoold`). A pool never moves: a copy of its objects elsewhere
//! has the same claim, and may be older.

use vpool_format::PoolId;
use vpool_metadata::{Location, PoolEntry};

use super::pools::describe;
use super::{Router, Store};
use crate::error::{Error, ErrorKind, Result};

impl Router {
    /// Looks at the claim there: it must be the one under which this router writes.
    pub async fn check_place(&self, entry: &PoolEntry, store: &Store) -> Result<()> {
        let place = describe(&entry.location);
        let bucket = self.bucket(store, &place);
        match bucket.claim().await? {
            Some((claim, tag))
                if claim.grid == self.grid
                    && claim.pool == entry.id
                    && claim.generation == entry.generation =>
            {
                bucket
                    .open_claim(&claim, &tag, &self.parts.grid_key)
                    .map(drop)
            }
            Some((claim, _)) if claim.grid == self.grid && claim.pool != entry.id => {
                Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "pool {}: {place} holds another pool, {}: nothing is written there",
                        entry.name, claim.name
                    ),
                ))
            }
            Some((claim, _)) => Err(Error::new(
                ErrorKind::Fenced,
                format!(
                    "pool {}: {place} was adopted by grid {} (generation {}): this router may \
                     not write there any more; remove the pool here, or adopt it back",
                    entry.name, claim.grid, claim.generation
                ),
            )),
            None => Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "pool {}: {place} holds no claim: it is not the place where the pool was \
                     made, or its objects are gone; mount or restore it",
                    entry.name
                ),
            )),
        }
    }

    /// Notes another way to the place of a pool, open or not. The caller has tried it out.
    pub async fn set_location(&self, pool: PoolId, location: Location) -> Result<PoolEntry> {
        let _turn = self.turn().await?;
        let pools = self.parts.metadata.pools().await?;
        let entry = pools.into_iter().find(|entry| entry.id == pool);
        let mut entry = entry.ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("there is no pool {pool} any more"),
            )
        })?;
        if describe(&entry.location) != describe(&location) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "pool {} is in {}, and does not move to {}",
                    entry.name,
                    describe(&entry.location),
                    describe(&location)
                ),
            ));
        }
        entry.location = location;
        self.parts.metadata.update_pool(entry.clone()).await?;
        if let Some(open) = self.pools.read().get(&pool) {
            open.location.lock().clone_from(&entry.location);
        }
        Ok(entry)
    }
}
