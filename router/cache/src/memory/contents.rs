//! Equal contents of several addresses in memory once.
//!
//! Owns: [`Contents`]. Does not own: which addresses there are. Contents are taken for equal
//! when their id *and* all their bytes are: a wrong id can cost memory, never bytes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use parking_lot::Mutex;
use vpool_seal::ContentId;

use super::shard::Value;
use crate::key::MixBuilder;

const PARTS: usize = 16;

/// What each content's bytes are, and how many addresses share them.
#[derive(Debug, Default)]
pub(super) struct Contents {
    parts: [Mutex<Part>; PARTS],
}

type Part = HashMap<ContentId, Shared, MixBuilder>;

#[derive(Debug)]
struct Shared {
    bytes: Bytes,
    addresses: usize,
}

impl Contents {
    /// The value to keep for `bytes`, and how many bytes that adds.
    pub(super) fn share(&self, bytes: Bytes, content: Option<ContentId>) -> (Value, usize) {
        let length = bytes.len();
        let Some(id) = content else {
            let value = Value {
                bytes,
                shared: None,
            };
            return (value, length);
        };
        match self.part(&id).lock().entry(id) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                if known.bytes != bytes {
                    let value = Value {
                        bytes,
                        shared: None,
                    };
                    return (value, length);
                }
                known.addresses += 1;
                let bytes = known.bytes.clone();
                let value = Value {
                    bytes,
                    shared: Some(id),
                };
                (value, 0)
            }
            Entry::Vacant(vacant) => {
                vacant.insert(Shared {
                    bytes: bytes.clone(),
                    addresses: 1,
                });
                let value = Value {
                    bytes,
                    shared: Some(id),
                };
                (value, length)
            }
        }
    }

    /// Ends one address's share. Answers how many bytes nobody holds any more.
    pub(super) fn release(&self, value: Value) -> usize {
        let Some(id) = value.shared else {
            return value.bytes.len();
        };
        let mut part = self.part(&id).lock();
        let Entry::Occupied(mut known) = part.entry(id) else {
            unreachable!("a shared content stays until its last address goes");
        };
        known.get_mut().addresses -= 1;
        if known.get().addresses > 0 {
            return 0;
        }
        known.remove();
        value.bytes.len()
    }

    fn part(&self, id: &ContentId) -> &Mutex<Part> {
        &self.parts[usize::from(id[15]) % PARTS]
    }
}
