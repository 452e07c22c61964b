//! The bucket's own record: claim, descriptors, stream records; and what adoption finds there.
//!
//! Owns: claiming a location, writing and finding descriptors, finding the newest stream of a
//! disk. Does not own: metadata. A listing only finds disks when the metadata is gone; all else
//! is asked for by name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use vpool_format::bucket::{Claim, Descriptor, StreamRecord};
use vpool_format::names::Name;
use vpool_format::segment::{SEGMENT_HEADER_BYTES_MAX, SegmentHeader};
use vpool_format::{DiskId, Epoch, Generation, GridId, SegmentNo, StreamUid};
use vpool_host::Host;
use vpool_metadata::DiskEntry;
use vpool_object::{ErrorKind as StoreKind, Key, ObjectStore};
use vpool_seal::{GridKey, PoolKey, PoolSecrets};

use crate::chunks::{object_key, with_patience};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::mac;

const PATIENCE: Duration = Duration::from_secs(30);

/// A location as this router sees it.
#[derive(Debug)]
pub struct Bucket<'a> {
    /// The store.
    pub store: &'a Arc<dyn ObjectStore>,
    /// The host.
    pub host: &'a Host,
    /// How long the store may answer 404 for what is there.
    pub lag: Duration,
    /// What errors call the place.
    pub place: &'a str,
}

impl Bucket<'_> {
    async fn get(&self, key: &Key) -> Result<Option<bytes::Bytes>> {
        match with_patience(PATIENCE, || self.store.get(key)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == StoreKind::NotFound => Ok(None),
            Err(error) => {
                Err(Error::from(error).during(format_args!("{}: read {key}", self.place)))
            }
        }
    }

    async fn exists(&self, key: &Key) -> Result<bool> {
        match with_patience(PATIENCE, || self.store.head(key)).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == StoreKind::NotFound => Ok(false),
            Err(error) => {
                Err(Error::from(error).during(format_args!("{}: look for {key}", self.place)))
            }
        }
    }

    /// The newest claim, if the location is claimed.
    pub async fn claim(&self) -> Result<Option<(Claim, [u8; 16])>> {
        let mut newest = None;
        let mut generation = Generation(1);
        loop {
            let key = object_key(&Name::Claim { generation })?;
            let Some(bytes) = self.get(&key).await? else {
                return Ok(newest);
            };
            let (claim, tag) = Claim::decode(&bytes).map_err(|error| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "{}: the claim {key} is damaged ({error}): restore it",
                        self.place
                    ),
                )
            })?;
            newest = Some((claim, tag));
            generation = Generation(generation.0 + 1);
        }
    }

    /// Claims the location under a generation that nobody has: the one name that may be raced
    /// for, so it is read back after the store's lag.
    pub async fn put_claim(&self, claim: &Claim, secrets: &PoolSecrets) -> Result<()> {
        let key = object_key(&Name::Claim {
            generation: claim.generation,
        })?;
        let bytes = claim.encode(&|bytes| mac::claim(secrets, bytes));
        match with_patience(PATIENCE, || self.store.put(&key, bytes.clone().into())).await {
            Ok(()) => {}
            Err(error) if error.kind() == StoreKind::Conflict => {}
            Err(error) => {
                return Err(Error::from(error).during(format_args!("claim {}", self.place)));
            }
        }
        tokio::time::sleep(self.lag).await;
        match self.claim().await? {
            Some((there, _)) if there.nonce == claim.nonce => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{} was claimed by another router at the same moment",
                    self.place
                ),
            )),
        }
    }

    /// Opens a claim's pool key, and proves that it is the right one before anything is written.
    pub fn open_claim(
        &self,
        claim: &Claim,
        tag: &[u8; 16],
        grid_key: &GridKey,
    ) -> Result<Arc<PoolSecrets>> {
        let wrong = |why: &dyn std::fmt::Display| {
            Error::new(
                ErrorKind::Conflict,
                format!(
                    "{} belongs to pool {} of grid {}, whose key this is not ({why}): give the key \
                     file of the grid that made it",
                    self.place, claim.name, claim.grid
                ),
            )
        };
        let key: PoolKey = grid_key
            .unwrap(&claim.wrapped_pool_key, claim.pool)
            .map_err(|error| wrong(&error))?;
        if !key.fits(&claim.key_check) {
            return Err(wrong(&"its check value differs"));
        }
        let secrets = key.secrets(claim.pool);
        claim
            .verify(tag, &|bytes| mac::claim(&secrets, bytes))
            .map_err(|error| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!("{}: the claim was altered: {error}", self.place),
                )
            })?;
        Ok(secrets)
    }

    /// The error for a location that somebody has claimed.
    pub fn claimed(&self, claim: &Claim, grid: GridId) -> Error {
        let whose = if claim.grid == grid {
            "this grid"
        } else {
            "another grid"
        };
        Error::new(
            ErrorKind::Conflict,
            format!(
                "{} already holds pool {} of {whose} ({}): use `vpool pool adopt` to bring its \
                 disks here, or choose an empty prefix",
                self.place, claim.name, claim.grid
            ),
        )
    }

    /// Writes a disk's descriptor under its next number.
    pub async fn put_descriptor(
        &self,
        secrets: &PoolSecrets,
        entry: &DiskEntry,
        deleted: bool,
    ) -> Result<()> {
        let descriptor = Descriptor {
            pool: entry.pool,
            disk: entry.id,
            number: entry.descriptor,
            name: entry.name.clone(),
            size: entry.size,
            deleted,
            parent: None,
            wrapped_key: entry.wrapped_key.clone(),
            created_ms: entry.created_ms,
            // The same bytes whenever it is repeated: the name is used once (P3).
            wall_ms: entry.created_ms,
            settings: entry.settings.to_descriptor(),
        };
        let bytes = descriptor.encode(&|bytes| mac::descriptor(secrets, bytes));
        let key = object_key(&Name::Descriptor {
            disk: entry.id,
            number: entry.descriptor,
        })?;
        with_patience(PATIENCE, || self.store.put(&key, bytes.clone().into()))
            .await
            .map_err(|error| {
                Error::from(error)
                    .during(format_args!("write the descriptor of disk {}", entry.name))
            })
    }

    /// All disks that have objects here. The listing is repeated until it is stable.
    pub async fn list_disks(&self) -> Result<BTreeSet<DiskId>> {
        let mut before = None;
        loop {
            let mut disks = BTreeSet::new();
            let mut after: Option<Key> = None;
            loop {
                let page = with_patience(PATIENCE, || {
                    self.store.list(Name::DISKS, after.as_ref(), 1000)
                })
                .await
                .map_err(|error| Error::from(error).during(format_args!("list {}", self.place)))?;
                for object in &page.objects {
                    match Name::parse(object.key.as_str()) {
                        Some(
                            Name::Descriptor { disk, .. }
                            | Name::Stream { disk, .. }
                            | Name::Segment { disk, .. }
                            | Name::Checkpoint { disk, .. },
                        ) => {
                            disks.insert(disk);
                        }
                        Some(Name::Claim { .. } | Name::Pool { .. }) | None => {}
                    }
                }
                after = page.objects.last().map(|object| object.key.clone());
                if !page.more || after.is_none() {
                    break;
                }
            }
            if before.as_ref() == Some(&disks) {
                return Ok(disks);
            }
            before = Some(disks);
            tokio::time::sleep(self.lag).await;
        }
    }

    /// The last of objects that are numbered from 1 on without a gap, found by doubling and
    /// bisection; 0 if there is none.
    async fn last_present(&self, key: impl Fn(u64) -> Result<Key>) -> Result<u64> {
        let (mut present, mut absent) = (0, 1);
        while self.exists(&key(absent)?).await? {
            (present, absent) = (absent, absent * 2);
        }
        while absent - present > 1 {
            let middle = present + (absent - present) / 2;
            match self.exists(&key(middle)?).await? {
                true => present = middle,
                false => absent = middle,
            }
        }
        Ok(present)
    }

    /// The newest descriptor of a disk.
    pub async fn descriptor(
        &self,
        secrets: &PoolSecrets,
        disk: DiskId,
    ) -> Result<Option<Descriptor>> {
        let key = |number| object_key(&Name::Descriptor { disk, number });
        let mut newest = self.last_present(key).await?;
        if newest == 0 {
            // A creation that was given up before its first descriptor landed has its tombstone
            // all the same, as number 2.
            newest = 2;
        }
        let key = key(newest)?;
        let Some(bytes) = self.get(&key).await? else {
            return Ok(None);
        };
        let descriptor = Descriptor::decode(&bytes, &|bytes| mac::descriptor(secrets, bytes))
            .map_err(|error| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!("{}: {key} is damaged ({error}): restore it", self.place),
                )
            })?;
        if (descriptor.disk, descriptor.number) != (disk, newest) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{}: {key} is descriptor {} of disk {}",
                    self.place, descriptor.number, descriptor.disk
                ),
            ));
        }
        Ok(Some(descriptor))
    }

    /// The wall-clock label of a stream's newest segment, in ms since 1970; 0 if it has none.
    /// A label for people, so a gap does not matter.
    pub async fn newest_segment_ms(
        &self,
        secrets: &PoolSecrets,
        (disk, epoch, uid): (DiskId, Epoch, StreamUid),
    ) -> Result<u64> {
        let key = |number| {
            object_key(&Name::Segment {
                disk,
                epoch,
                uid,
                segment: SegmentNo(number),
            })
        };
        let newest = self.last_present(key).await?;
        if newest == 0 {
            return Ok(0);
        }
        let key = key(newest)?;
        let header = read_segment_header(self.store, secrets, &key).await;
        let header = header.map_err(|error| error.during(self.place))?;
        Ok(header.wall_ms)
    }

    /// The newest stream record of a disk in a generation, above an epoch: epochs are asked for one by one,
    /// past as many absent ones as openings may leave behind.
    pub async fn newest_stream(
        &self,
        secrets: &PoolSecrets,
        disk: DiskId,
        generation: Generation,
        above: Epoch,
    ) -> Result<Option<StreamRecord>> {
        let mut newest: Option<StreamRecord> = None;
        let mut from = above.0 + 1;
        loop {
            let epochs: Vec<u64> = (from..from + limits::ABSENT_EPOCHS).collect();
            let mut found = None;
            for some in epochs.chunks(32) {
                let keys = some
                    .iter()
                    .map(|epoch| {
                        object_key(&Name::Stream {
                            disk,
                            generation,
                            epoch: Epoch(*epoch),
                        })
                    })
                    .collect::<Result<Vec<_>>>()?;
                let got = futures::future::join_all(keys.iter().map(|key| self.get(key))).await;
                for (key, bytes) in keys.iter().zip(got) {
                    let Some(bytes) = bytes? else { continue };
                    let record =
                        StreamRecord::decode(&bytes, &|bytes| mac::stream_record(secrets, bytes))
                            .map_err(|error| {
                            Error::new(
                                ErrorKind::Corrupt,
                                format!("{}: {key} is damaged ({error})", self.place),
                            )
                        })?;
                    if record.disk != disk
                        || record.generation != generation
                        || !key.as_str().ends_with(&format!("{:016x}", record.epoch.0))
                    {
                        return Err(Error::new(
                            ErrorKind::Corrupt,
                            format!("{}: {key} belongs elsewhere", self.place),
                        ));
                    }
                    found = Some(record);
                }
            }
            match found {
                Some(record) => {
                    from = record.epoch.0 + 1;
                    newest = Some(record);
                }
                None => return Ok(newest),
            }
        }
    }
}

/// The header at the front of a segment that is there.
pub async fn read_segment_header(
    store: &Arc<dyn ObjectStore>,
    secrets: &PoolSecrets,
    key: &Key,
) -> Result<SegmentHeader> {
    let read = |error: vpool_object::Error| Error::from(error).during(format_args!("read {key}"));
    let bytes = with_patience(PATIENCE, || store.head(key))
        .await
        .map_err(read)?;
    let wanted = bytes.min(SEGMENT_HEADER_BYTES_MAX as u64);
    let front = with_patience(PATIENCE, || store.get_range(key, 0..wanted))
        .await
        .map_err(read)?;
    match SegmentHeader::decode_front(&front, &|bytes| mac::segment_header(secrets, bytes)) {
        Ok((header, _)) => Ok(header),
        Err(error) => Err(Error::new(
            ErrorKind::Corrupt,
            format!("the header of {key} is damaged ({error}): restore it"),
        )),
    }
}
