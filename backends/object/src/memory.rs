//! A store in memory: deterministic, cheap, and open to tampering by tests.
//!
//! Owns: the objects, the record of names used against promise P3, the capacity.
//! Does not own: faults of the way to the store ([`faults`](crate::faults)).

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::ops::{Bound, Range};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use crate::conditional::{Conditional, Etag, EtagForm, Outcome};
use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::{Listed, ObjectStore, Page, Tail, ranges};

/// A store in memory. Nothing in it waits, so it needs no runtime of a certain kind.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Bytes>,
    /// The sum of their lengths.
    bytes: u64,
    bytes_max: Option<u64>,
    /// Digests of what deleted names held, to notice a name used again (P3).
    deleted: BTreeMap<Key, u64>,
    reused: Vec<Key>,
}

impl State {
    fn set(&mut self, key: Key, body: Bytes) -> Option<Bytes> {
        self.bytes += body.len() as u64;
        let old = self.objects.insert(key, body);
        self.bytes -= old.as_ref().map_or(0, |old| old.len() as u64);
        old
    }

    fn unset(&mut self, key: &Key) -> Option<Bytes> {
        let old = self.objects.remove(key)?;
        self.bytes -= old.len() as u64;
        Some(old)
    }

    fn put(&mut self, key: &Key, body: Bytes) -> Result<()> {
        match self.objects.get(key) {
            Some(old) if *old == body => return Ok(()),
            Some(_) => {
                self.reused.push(key.clone());
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("put {key}: the name holds other bytes"),
                ));
            }
            None => {}
        }
        if self
            .bytes_max
            .is_some_and(|max| self.bytes + body.len() as u64 > max)
        {
            return Err(Error::new(
                ErrorKind::NoSpace,
                format!("put {key}: the store is full"),
            ));
        }
        // A put that was repeated on its way may come after the deletion: same bytes, fine.
        if self
            .deleted
            .get(key)
            .is_some_and(|old| *old != digest(&body))
        {
            self.reused.push(key.clone());
        }
        self.set(key.clone(), body);
        Ok(())
    }

    fn delete(&mut self, key: &Key) {
        if let Some(old) = self.unset(key) {
            self.deleted.insert(key.clone(), digest(&old));
        }
    }
}

/// The same in every run: the hasher's keys are fixed.
fn digest(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

fn not_found(operation: &str, key: &Key) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("{operation} {key}: no such object"),
    )
}

impl MemoryStore {
    /// An empty store without a limit of size.
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// Sets how many bytes of bodies fit; a put beyond that is refused with
    /// [`ErrorKind::NoSpace`]. `None` lifts the limit.
    pub fn set_bytes_max(&self, bytes_max: Option<u64>) {
        self.state.lock().bytes_max = bytes_max;
    }

    /// All objects. Bodies are shared, not copied.
    pub fn snapshot(&self) -> BTreeMap<Key, Bytes> {
        self.state.lock().objects.clone()
    }

    /// Makes the store hold exactly `snapshot`, as a store would that was set back to an
    /// older state. What is known of names deleted since then stays known.
    pub fn restore(&self, snapshot: BTreeMap<Key, Bytes>) {
        let mut state = self.state.lock();
        state.bytes = snapshot.values().map(|body| body.len() as u64).sum();
        state.objects = snapshot;
    }

    /// How many objects there are.
    pub fn object_count(&self) -> usize {
        self.state.lock().objects.len()
    }

    /// The sum of the objects' lengths.
    pub fn byte_count(&self) -> u64 {
        self.state.lock().bytes
    }

    /// What a name holds, without a request.
    pub fn peek(&self, key: &Key) -> Option<Bytes> {
        self.state.lock().objects.get(key).cloned()
    }

    /// Every name that was put with other bytes than it held, or held before it was
    /// deleted, in the order in which that happened. Promise P3 says: none.
    pub fn reused_names(&self) -> Vec<Key> {
        self.state.lock().reused.clone()
    }

    /// Inverts one bit, counted from the first byte's lowest. `false` where there is no
    /// such object or bit.
    pub fn flip_bit(&self, key: &Key, bit: u64) -> bool {
        self.edit(key, |body| {
            let Some(byte) = usize::try_from(bit / 8).ok().and_then(|i| body.get_mut(i)) else {
                return false;
            };
            *byte ^= 1 << (bit % 8);
            true
        })
    }

    /// Cuts an object to its first `length` bytes. `false` where there is no such object
    /// or it is not longer than that.
    pub fn truncate(&self, key: &Key, length: usize) -> bool {
        self.edit(key, |body| {
            let longer = body.len() > length;
            body.truncate(length);
            longer
        })
    }

    /// Appends bytes to an object. `false` where there is no such object.
    pub fn extend(&self, key: &Key, bytes: &[u8]) -> bool {
        self.edit(key, |body| {
            body.extend_from_slice(bytes);
            true
        })
    }

    /// Exchanges what two names hold. `false` where one of them holds nothing.
    pub fn swap(&self, a: &Key, b: &Key) -> bool {
        let mut state = self.state.lock();
        let (Some(body_a), Some(body_b)) =
            (state.objects.get(a).cloned(), state.objects.get(b).cloned())
        else {
            return false;
        };
        state.objects.insert(a.clone(), body_b);
        state.objects.insert(b.clone(), body_a);
        true
    }

    /// Makes a name hold `body` whatever it held, and answers what that was. Not counted
    /// as a name used again.
    pub fn replace(&self, key: &Key, body: impl Into<Bytes>) -> Option<Bytes> {
        self.state.lock().set(key.clone(), body.into())
    }

    /// Loses an object, and answers what it held. Not remembered as a deletion.
    pub fn lose(&self, key: &Key) -> Option<Bytes> {
        self.state.lock().unset(key)
    }

    fn edit(&self, key: &Key, change: impl FnOnce(&mut BytesMut) -> bool) -> bool {
        let mut state = self.state.lock();
        let Some(old) = state.objects.get(key) else {
            return false;
        };
        // A copy: readers that hold the old body keep it as it was.
        let mut body = BytesMut::from(&old[..]);
        let changed = change(&mut body);
        state.set(key.clone(), body.freeze());
        changed
    }

    fn body(&self, operation: &str, key: &Key) -> Result<Bytes> {
        self.peek(key).ok_or_else(|| not_found(operation, key))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        write!(
            f,
            "MemoryStore({} objects, {} bytes)",
            state.objects.len(),
            state.bytes
        )
    }
}

#[async_trait]
impl ObjectStore for MemoryStore {
    async fn put(&self, key: &Key, body: Bytes) -> Result<()> {
        self.state.lock().put(key, body)
    }

    async fn get(&self, key: &Key) -> Result<Bytes> {
        self.body("get", key)
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes> {
        ranges::slice(key, &self.body("get", key)?, &range)
    }

    async fn get_tail(&self, key: &Key, length: u64) -> Result<Tail> {
        Ok(ranges::tail(&self.body("get", key)?, length))
    }

    async fn head(&self, key: &Key) -> Result<u64> {
        Ok(self.body("head", key)?.len() as u64)
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, count_max: usize) -> Result<Page> {
        let state = self.state.lock();
        let start = match after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
            _ => Bound::Included(prefix),
        };
        let mut found = state
            .objects
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.as_str().starts_with(prefix));
        let objects = found
            .by_ref()
            .take(count_max)
            .map(|(key, body)| Listed {
                key: key.clone(),
                bytes: body.len() as u64,
            })
            .collect();
        Ok(Page {
            objects,
            more: found.next().is_some(),
        })
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.state.lock().delete(key);
        Ok(())
    }

    async fn delete_many(&self, keys: &[Key]) -> Vec<Result<()>> {
        let mut state = self.state.lock();
        keys.iter()
            .map(|key| {
                state.delete(key);
                Ok(())
            })
            .collect()
    }

    fn conditional(&self) -> Option<&dyn Conditional> {
        Some(self)
    }
}

#[async_trait]
impl Conditional for MemoryStore {
    async fn put_if_absent(&self, key: &Key, body: Bytes) -> Result<Outcome> {
        let mut state = self.state.lock();
        if state.objects.contains_key(key) {
            return Ok(Outcome::Refused);
        }
        state.put(key, body)?;
        Ok(Outcome::Applied)
    }

    async fn put_if_match(
        &self,
        key: &Key,
        body: Bytes,
        etag: &Etag,
        _form: EtagForm,
    ) -> Result<Outcome> {
        let mut state = self.state.lock();
        let current = state
            .objects
            .get(key)
            .map(|old| format!("{:016x}", digest(old)));
        if current.as_deref() != Some(etag.as_str()) {
            return Ok(Outcome::Refused);
        }
        // Asked for by name, so not a name used again by accident.
        state.set(key.clone(), body);
        Ok(Outcome::Applied)
    }

    async fn etag(&self, key: &Key) -> Result<Etag> {
        let body = self.body("head", key)?;
        Ok(Etag::new(&format!("{:016x}", digest(&body))))
    }

    async fn put_with_trailer(&self, key: &Key, body: Bytes) -> Result<Outcome> {
        self.state.lock().put(key, body)?;
        Ok(Outcome::Applied)
    }
}

#[cfg(test)]
mod tests;
