//! Adoption: bringing back, from bucket and key alone, every disk that had been shipped.

use std::collections::BTreeSet;
use std::sync::Arc;

use vpool_format::bucket::{Claim, Descriptor, DiskSettings};
use vpool_format::names::Name;
use vpool_format::{Base, DiskId, Epoch, Generation, StreamUid};
use vpool_metadata::{AdoptedDisk, DiskEntry, Location, PoolEntry};
use vpool_seal::PoolSecrets;

use super::pools::describe;
use super::{Router, Store};
use crate::bucket::Bucket;
use crate::error::{Error, ErrorKind, Result};
use crate::name;

/// What was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The pool's name here.
    pub pool: String,
    /// The disks, by name.
    pub disks: Vec<String>,
}

/// Objects younger than this mean that the old grid may be alive.
const YOUNG_MS: u64 = 10 * 60 * 1000;

/// Disks that are looked at together.
const DISKS_AT_ONCE: usize = 16;

impl Router {
    /// Takes over a location. `take_over` says that its old grid is known to be gone.
    pub async fn adopt_pool(
        self: &Arc<Self>,
        pool_name: Option<&str>,
        location: Location,
        store: Store,
        take_over: bool,
    ) -> Result<Adopted> {
        let _turn = self.turn().await?;
        let place = describe(&location);
        let bucket = self.bucket(&store, &place);
        let Some((claim, tag)) = bucket.claim().await? else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{place} holds no pool: check bucket and prefix"),
            ));
        };
        let secrets = bucket.open_claim(&claim, &tag, &self.parts.grid_key)?;
        let pool_name = pool_name.unwrap_or(&claim.name).to_owned();
        name::check("pool", &pool_name)?;
        self.check_pool_name_free(&pool_name)?;
        if self.pools.read().contains_key(&claim.pool) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("pool {} at {place} is open here already", claim.name),
            ));
        }
        let known = self.parts.metadata.pools().await?;
        if let Some(other) = known
            .iter()
            .find(|pool| pool.name == pool_name && pool.id != claim.pool)
        {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "there is a pool {pool_name:?} already ({}): give the adopted one another name",
                    other.id
                ),
            ));
        }
        // What this host holds of it and the bucket does not would be forgotten.
        let ours = known.iter().any(|pool| {
            pool.id == claim.pool && claim.grid == self.grid && pool.generation == claim.generation
        });
        if ours && !take_over {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "pool {} at {place} is this grid's already: mend what keeps it from opening \
                     (`vpool pool list`), then restart vpoold; or take it over, if what only this \
                     host holds of it may be lost",
                    claim.name
                ),
            ));
        }
        let mut found = find_disks(&bucket, &secrets, claim.generation).await?;
        keep_names_apart(&mut found);
        let mut newest_ms = claim.created_ms;
        if claim.grid != self.grid && !take_over {
            newest_ms = newest_ms.max(newest_label_ms(&bucket, &secrets, &found).await?);
        }
        let age_ms = self.parts.host.clock.wall_ms().saturating_sub(newest_ms);
        if claim.grid != self.grid && age_ms < YOUNG_MS && !take_over {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{place} was in use by grid {} {} s ago: make sure that its routers are gone, \
                     then repeat with --take-over",
                    claim.grid,
                    age_ms / 1000
                ),
            ));
        }
        let mut disks: Vec<String> = found.iter().map(|(d, _)| d.name.clone()).collect();
        let adopted = found
            .into_iter()
            .map(|(descriptor, newest)| {
                let entry = disk_entry(&descriptor)?;
                Ok(AdoptedDisk { entry, newest })
            })
            .collect::<Result<Vec<_>>>()?;
        let claim = self
            .claim_again(&bucket, claim, &pool_name, &secrets)
            .await?;
        let entry = PoolEntry {
            id: claim.pool,
            name: pool_name.clone(),
            location,
            generation: claim.generation,
            wrapped_key: claim.wrapped_pool_key,
        };
        self.sweep(entry.id).await;
        // All at once: what is interrupted before is begun anew, above the claim just written.
        self.parts
            .metadata
            .adopt_pool(entry.clone(), adopted)
            .await?;
        self.assemble_pool(entry, store.clone(), secrets, true)
            .await?;
        // What only the old journal held is gone: it is said, and the disks go on from the store.
        for disk in &disks {
            self.repair_disk(&format!("{pool_name}:{disk}"), true)
                .await?;
        }
        disks.sort();
        Ok(Adopted {
            pool: pool_name,
            disks,
        })
    }
}

impl Router {
    /// Writes this grid's claim on a location, one generation above the present one.
    async fn claim_again(
        &self,
        bucket: &Bucket<'_>,
        old: Claim,
        pool_name: &str,
        secrets: &PoolSecrets,
    ) -> Result<Claim> {
        let claim = Claim {
            grid: self.grid,
            generation: Generation(old.generation.0 + 1),
            name: pool_name.to_owned(),
            created_ms: self.parts.host.clock.wall_ms(),
            nonce: self.parts.host.entropy.id(),
            ..old
        };
        bucket.put_claim(&claim, secrets).await?;
        Ok(claim)
    }
}

/// Two disks with one name (a creation that was given up, and its second try) both come back: the
/// one that was never opened gets its id behind its name.
fn keep_names_apart(found: &mut [(Descriptor, Newest)]) {
    let mut names = BTreeSet::new();
    found.sort_by_key(|(descriptor, newest)| (newest.is_none(), descriptor.disk));
    for (descriptor, _) in found {
        if !names.insert(descriptor.name.clone()) {
            let id = format!(" ({})", descriptor.disk);
            descriptor.name = name::with_suffix(&descriptor.name, &id);
            names.insert(descriptor.name.clone());
        }
    }
}

type Newest = Option<(Epoch, StreamUid, Base)>;

async fn label_ms(
    bucket: &Bucket<'_>,
    secrets: &Arc<PoolSecrets>,
    (descriptor, newest): &(Descriptor, Newest),
) -> Result<u64> {
    let segment_ms = match newest {
        None => 0,
        Some((epoch, uid, _)) => {
            let stream = (descriptor.disk, *epoch, *uid);
            bucket.newest_segment_ms(secrets, stream).await?
        }
    };
    Ok(segment_ms.max(descriptor.wall_ms))
}

/// The newest wall-clock label that the disks' objects carry, in ms since 1970.
async fn newest_label_ms(
    bucket: &Bucket<'_>,
    secrets: &Arc<PoolSecrets>,
    found: &[(Descriptor, Newest)],
) -> Result<u64> {
    let mut newest_ms = 0;
    for some in found.chunks(DISKS_AT_ONCE) {
        let mut labels = Vec::with_capacity(some.len());
        for found in some {
            labels.push(label_ms(bucket, secrets, found));
        }
        for label in futures::future::join_all(labels).await {
            newest_ms = newest_ms.max(label?);
        }
    }
    Ok(newest_ms)
}

async fn find_disks(
    bucket: &Bucket<'_>,
    secrets: &Arc<PoolSecrets>,
    generation: Generation,
) -> Result<Vec<(Descriptor, Newest)>> {
    let disks: Vec<DiskId> = bucket.list_disks().await?.into_iter().collect();
    let mut all = Vec::new();
    for some in disks.chunks(DISKS_AT_ONCE) {
        let mut finds = Vec::with_capacity(some.len());
        for disk in some {
            finds.push(find_disk(bucket, secrets, generation, *disk));
        }
        for found in futures::future::join_all(finds).await {
            all.extend(found?);
        }
    }
    Ok(all)
}

/// A disk as the bucket has it; `None` if it was deleted.
async fn find_disk(
    bucket: &Bucket<'_>,
    secrets: &Arc<PoolSecrets>,
    generation: Generation,
    disk: DiskId,
) -> Result<Option<(Descriptor, Newest)>> {
    let Some(descriptor) = bucket.descriptor(secrets, disk).await? else {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "{}: there are objects of disk {disk}, but not its descriptor: restore it, or \
                 move the objects under {} away; nothing was adopted",
                bucket.place,
                Name::of_disk(disk)
            ),
        ));
    };
    if descriptor.deleted {
        return Ok(None);
    }
    let mut newest = None;
    // Epochs go on over adoptions: each generation's are looked for above those before it.
    let mut above = Epoch(0);
    for generation in (1..=generation.0).map(Generation) {
        let streams = bucket.newest_stream(secrets, disk, generation, above);
        if let Some(record) = streams.await? {
            above = record.epoch;
            newest = Some((record.epoch, record.uid, record.base));
        }
    }
    Ok(Some((descriptor, newest)))
}

fn disk_entry(descriptor: &Descriptor) -> Result<DiskEntry> {
    let settings = DiskSettings::of_descriptor(&descriptor.settings).map_err(|error| {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "disk {}: the settings in its descriptor cannot be read ({error}): a newer vpoold \
                 may have written them",
                descriptor.name
            ),
        )
    })?;
    Ok(DiskEntry {
        id: descriptor.disk,
        pool: descriptor.pool,
        name: descriptor.name.clone(),
        size: descriptor.size,
        wrapped_key: descriptor.wrapped_key.clone(),
        descriptor: descriptor.number,
        described: true,
        settings,
        created_ms: descriptor.created_ms,
        deleting: false,
    })
}
