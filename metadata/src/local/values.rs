//! The bytes of the metadata in the local store.
//!
//! Keys: a letter, then the id as 16 bytes, big-endian: `g` the grid, `p` a pool, `d` a disk,
//! `s` a disk's streams, `x` a pool that is gone and may have left files. Every value, little-endian:
//!
//! | bytes | field |
//! | --- | --- |
//! | 2 | version: 1; of disks, of streams, and of pools on Swift, 2 |
//! | 2 | zero |
//! | … | fields, below |
//! | 4 | CRC-32C over the key and all before |
//!
//! | value | fields (`blob` = length 4, bytes; `[…]` = flag 1, and if it is 1 what follows) |
//! | --- | --- |
//! | grid | id 16 |
//! | pool | name blob, generation 8, wrapped key blob, location (`location`) |
//! | pool that is gone | none |
//! | disk | pool 16, size 8, descriptor 8, created 8, name blob, [wrapped key blob]; from version 2 on: described 1, settings blob |
//! | streams | [epoch 8, uid 16], [base], [epoch 8, uid 16, base], [end], recorded 8; from version 2 on: [resting end], clients, owed (count 4, blobs, ascending) |
//! | end | uid 16, epoch 8, segment 8, seq 8, checkpoint 8 |
//! | base | count 4 of ends, count 4 of tails (uid 16, first 8, last 8) |

mod location;

use std::collections::BTreeSet;

use vpool_format::bucket::DiskSettings;
use vpool_format::{
    Base, DiskId, Epoch, Generation, GridId, PoolId, SealedEnd, SegmentNo, Seq, StreamUid, Tail,
    crc32c,
};
use vpool_host::Batch;

use super::TABLE;
use crate::state::Change;
use crate::{DiskEntry, Error, PoolEntry, Result, Streams};

const VERSION: u16 = 1;
const STREAMS_VERSION: u16 = 2;
const DISK_VERSION: u16 = 2;
/// In a disk's descriptor number: the disk is being deleted.
const DELETING: u64 = 1 << 63;
const HEADER_BYTES: usize = 4;
const CRC_BYTES: usize = 4;

/// Where the grid's id is.
pub(super) const GRID_KEY: &[u8] = b"g";

/// What stores the changes.
pub(super) fn batch(changes: &[Change]) -> Batch {
    let mut batch = Batch::default();
    for change in changes {
        match change {
            Change::Pool(pool) => {
                let key = key(b'p', pool.id.0);
                let version = location::version(&pool.location);
                let value = sealed_as(version, &key, |to| put_pool(to, pool));
                batch.put(TABLE.name, key, value);
            }
            Change::Disk(disk) => {
                let key = key(b'd', disk.id.0);
                let value = sealed_as(DISK_VERSION, &key, |to| put_disk(to, disk));
                batch.put(TABLE.name, key, value);
            }
            Change::Streams(disk, streams) => {
                let key = key(b's', disk.0);
                let value = sealed_as(STREAMS_VERSION, &key, |to| put_streams(to, streams));
                batch.put(TABLE.name, key, value);
            }
            Change::Gone(disk) => {
                batch.delete(TABLE.name, key(b'd', disk.0));
                batch.delete(TABLE.name, key(b's', disk.0));
            }
            Change::PoolGone(pool) => batch.delete(TABLE.name, key(b'p', pool.0)),
            Change::Left(pool) => {
                let key = key(b'x', pool.0);
                let value = sealed(&key, |_| {});
                batch.put(TABLE.name, key, value);
            }
            Change::Swept(pool) => batch.delete(TABLE.name, key(b'x', pool.0)),
        }
    }
    batch
}

/// What a stored pair says; `None` for the grid's id, which is no change.
///
/// # Errors
/// [`Error::Damaged`] if it says nothing that this program has written.
pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Option<Change>> {
    let mut from = opened(key, value)?;
    let (kind, id) = match key.split_first() {
        Some((kind, id)) => (*kind, id),
        None => return Err(damaged(key, "an empty key")),
    };
    if key == GRID_KEY {
        return Ok(None);
    }
    let id = u128::from_be_bytes(
        id.try_into()
            .map_err(|_| damaged(key, "a key of the wrong length"))?,
    );
    let change = match kind {
        b'p' => Change::Pool(take_pool(&mut from, PoolId(id))?),
        b'd' => Change::Disk(take_disk(&mut from, DiskId(id))?),
        b'x' => Change::Left(PoolId(id)),
        b's' => Change::Streams(DiskId(id), take_streams(&mut from)?),
        _ => return Err(damaged(key, "a key of no known kind")),
    };
    from.finish()?;
    Ok(Some(change))
}

pub(super) fn encode_grid(grid: GridId) -> Vec<u8> {
    sealed(GRID_KEY, |to| put_u128(to, grid.0))
}

/// # Errors
/// [`Error::Damaged`].
pub(super) fn decode_grid(value: &[u8]) -> Result<GridId> {
    let mut from = opened(GRID_KEY, value)?;
    let grid = GridId(from.u128()?);
    from.finish()?;
    Ok(grid)
}

fn key(kind: u8, id: u128) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&id.to_be_bytes());
    key
}

fn sealed(key: &[u8], fields: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    sealed_as(VERSION, key, fields)
}

fn sealed_as(version: u16, key: &[u8], fields: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut to = version.to_le_bytes().to_vec();
    to.extend_from_slice(&[0; 2]);
    fields(&mut to);
    let crc = checksum(key, &to);
    to.extend_from_slice(&crc.to_le_bytes());
    to
}

/// Over the key too: a value that ended up under another key is damage.
fn checksum(key: &[u8], before: &[u8]) -> u32 {
    crc32c(&[key, before].concat())
}

fn opened<'a>(key: &'a [u8], value: &'a [u8]) -> Result<Reader<'a>> {
    let (before, crc) = value
        .split_last_chunk::<CRC_BYTES>()
        .filter(|(before, _)| before.len() >= HEADER_BYTES)
        .ok_or_else(|| damaged(key, "a value that is too short"))?;
    if checksum(key, before).to_le_bytes() != *crc {
        return Err(damaged(key, "a wrong checksum"));
    }
    let mut from = Reader {
        key,
        rest: before,
        version: 0,
    };
    from.version = u16::from_le_bytes(from.array()?);
    let newest = match key.first() {
        Some(b's') => STREAMS_VERSION,
        Some(b'd') => DISK_VERSION,
        Some(b'p') => location::SWIFT_VERSION,
        _ => VERSION,
    };
    if !(VERSION..=newest).contains(&from.version) || from.array::<2>()? != [0; 2] {
        let what = format!("version {}, not {VERSION} to {newest}", from.version);
        return Err(damaged(key, &what));
    }
    Ok(from)
}

fn damaged(key: &[u8], what: &str) -> Error {
    Error::Damaged(format!("key {}: {what}", key.escape_ascii()))
}

fn put_u64(to: &mut Vec<u8>, value: u64) {
    to.extend_from_slice(&value.to_le_bytes());
}

fn put_u128(to: &mut Vec<u8>, value: u128) {
    to.extend_from_slice(&value.to_le_bytes());
}

fn put_count(to: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("what is counted is in memory and under 4 Gi");
    to.extend_from_slice(&count.to_le_bytes());
}

fn put_blob(to: &mut Vec<u8>, bytes: &[u8]) {
    put_count(to, bytes.len());
    to.extend_from_slice(bytes);
}

fn put_option<T>(to: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    to.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(to, value);
    }
}

fn put_pool(to: &mut Vec<u8>, pool: &PoolEntry) {
    put_blob(to, pool.name.as_bytes());
    put_u64(to, pool.generation.0);
    put_blob(to, &pool.wrapped_key);
    location::put(to, &pool.location);
}

fn put_disk(to: &mut Vec<u8>, disk: &DiskEntry) {
    put_u128(to, disk.pool.0);
    put_u64(to, disk.size);
    put_u64(
        to,
        disk.descriptor | if disk.deleting { DELETING } else { 0 },
    );
    put_u64(to, disk.created_ms);
    put_blob(to, disk.name.as_bytes());
    put_option(to, disk.wrapped_key.as_ref(), |to, key| put_blob(to, key));
    to.push(u8::from(disk.described));
    put_blob(to, &disk.settings.to_descriptor());
}

fn put_streams(to: &mut Vec<u8>, streams: &Streams) {
    put_option(to, streams.current, |to, (epoch, uid)| {
        put_u64(to, epoch.0);
        put_u128(to, uid.0);
    });
    put_option(to, streams.base.as_ref(), put_base);
    put_option(to, streams.previous.as_ref(), |to, (epoch, uid, base)| {
        put_u64(to, epoch.0);
        put_u128(to, uid.0);
        put_base(to, base);
    });
    put_option(to, streams.closed.as_ref(), put_end);
    put_u64(to, streams.recorded.0);
    put_option(to, streams.resting.as_ref(), put_end);
    for machines in [&streams.clients, &streams.owed] {
        put_count(to, machines.len());
        for machine in machines {
            put_blob(to, machine.as_bytes());
        }
    }
}

fn put_end(to: &mut Vec<u8>, end: &SealedEnd) {
    put_u128(to, end.uid.0);
    put_u64(to, end.epoch.0);
    put_u64(to, end.segment.0);
    put_u64(to, end.seq.0);
    put_u64(to, end.checkpoint);
}

fn put_base(to: &mut Vec<u8>, base: &Base) {
    put_count(to, base.sealed.len());
    for end in &base.sealed {
        put_end(to, end);
    }
    put_count(to, base.tails.len());
    for tail in &base.tails {
        put_u128(to, tail.uid.0);
        put_u64(to, tail.first.0);
        put_u64(to, tail.last.0);
    }
}

fn take_pool(from: &mut Reader<'_>, id: PoolId) -> Result<PoolEntry> {
    let name = from.text()?;
    let generation = Generation(from.u64()?);
    let wrapped_key = from.blob()?.to_vec();
    let location = location::take(from)?;
    Ok(PoolEntry {
        id,
        name,
        location,
        generation,
        wrapped_key,
    })
}

fn take_disk(from: &mut Reader<'_>, id: DiskId) -> Result<DiskEntry> {
    let (pool, size) = (PoolId(from.u128()?), from.u64()?);
    let numbered = from.u64()?;
    let descriptor = numbered & !DELETING;
    let mut disk = DiskEntry {
        id,
        pool,
        size,
        descriptor,
        described: descriptor > 0,
        deleting: numbered & DELETING != 0,
        created_ms: from.u64()?,
        name: from.text()?,
        wrapped_key: from.option(|from| Ok(from.blob()?.to_vec()))?,
        settings: DiskSettings::default(),
    };
    if from.version >= DISK_VERSION {
        disk.described = from.flag()?;
        let settings = from.blob()?.to_vec();
        disk.settings = DiskSettings::of_descriptor(&settings)
            .map_err(|error| from.damaged(&error.to_string()))?;
        if disk.settings.to_descriptor() != settings {
            return Err(from.damaged("settings spelled otherwise"));
        }
    }
    Ok(disk)
}

fn take_streams(from: &mut Reader<'_>) -> Result<Streams> {
    let mut streams = Streams {
        current: from.option(|from| Ok((Epoch(from.u64()?), StreamUid(from.u128()?))))?,
        base: from.option(take_base)?,
        previous: from.option(|from| {
            let (epoch, uid) = (Epoch(from.u64()?), StreamUid(from.u128()?));
            Ok((epoch, uid, take_base(from)?))
        })?,
        closed: from.option(take_end)?,
        recorded: Epoch(from.u64()?),
        ..Streams::default()
    };
    if from.version >= STREAMS_VERSION {
        streams.resting = from.option(take_end)?;
        streams.clients = take_machines(from)?;
        streams.owed = take_machines(from)?;
    }
    Ok(streams)
}

/// In the order in which they are written, so that equal values are equal bytes.
fn take_machines(from: &mut Reader<'_>) -> Result<BTreeSet<String>> {
    let mut machines = BTreeSet::new();
    for _ in 0..from.count()? {
        let machine = from.text()?;
        if machines.last().is_some_and(|last| *last >= machine) {
            return Err(from.damaged("machines out of order"));
        }
        machines.insert(machine);
    }
    Ok(machines)
}

fn take_end(from: &mut Reader<'_>) -> Result<SealedEnd> {
    Ok(SealedEnd {
        uid: StreamUid(from.u128()?),
        epoch: Epoch(from.u64()?),
        segment: SegmentNo(from.u64()?),
        seq: Seq(from.u64()?),
        checkpoint: from.u64()?,
    })
}

fn take_base(from: &mut Reader<'_>) -> Result<Base> {
    // Collected one by one: a count that lies ends at the end of the bytes, and allocates
    // nothing before.
    let sealed = (0..from.count()?)
        .map(|_| take_end(from))
        .collect::<Result<_>>()?;
    let tails = (0..from.count()?)
        .map(|_| {
            Ok(Tail {
                uid: StreamUid(from.u128()?),
                first: Seq(from.u64()?),
                last: Seq(from.u64()?),
            })
        })
        .collect::<Result<_>>()?;
    Ok(Base { sealed, tails })
}

/// Takes fields from the front; running out is damage.
struct Reader<'a> {
    key: &'a [u8],
    rest: &'a [u8],
    version: u16,
}

impl Reader<'_> {
    fn damaged(&self, what: &str) -> Error {
        damaged(self.key, what)
    }

    fn bytes(&mut self, count: usize) -> Result<&[u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| self.damaged("fields that end early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn u128(&mut self) -> Result<u128> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    fn flag(&mut self) -> Result<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(self.damaged("a flag that is neither 0 nor 1")),
        }
    }

    fn count(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn blob(&mut self) -> Result<&[u8]> {
        let count = self.count()?;
        self.bytes(usize::try_from(count).unwrap_or(usize::MAX))
    }

    fn text(&mut self) -> Result<String> {
        let bytes = self.blob()?.to_vec();
        String::from_utf8(bytes).map_err(|_| self.damaged("text that is not UTF-8"))
    }

    fn option<T>(&mut self, take: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        match self.flag()? {
            true => take(self).map(Some),
            false => Ok(None),
        }
    }

    fn finish(self) -> Result<()> {
        match self.rest {
            [] => Ok(()),
            _ => Err(self.damaged("more bytes than fields")),
        }
    }
}

#[cfg(test)]
mod tests;
