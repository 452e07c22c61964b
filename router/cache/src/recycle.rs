//! Emptying the oldest zone, and what of it is carried over to the next one.
//!
//! Owns: the second chance of chunks that were read, the bound on the index, forgetting zones.
//! Does not own: writing (`writer`).
//!
//! Invariant: every address in the index is recorded in a zone in use or in the open one, so
//! that recycling that zone forgets it. An address is carried over while its content is in any
//! zone. At most three quarters of a zone's bytes and half of its addresses are carried over, so
//! that each recycling makes room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use vpool_commit::Lap;
use vpool_seal::{ContentId, DataKey, KeyId};

use crate::limits::ADDRESSES_MAX;
use crate::rebuild;
use crate::ssd::Located;
use crate::writer::Writer;
use crate::zone::{Address, Entry, Use, ZoneIndex};

/// Data keys of which chunks were inserted lately, as long as somebody else holds them: the
/// cache keeps no key alive.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys(BTreeMap<[u8; 8], Weak<DataKey>>);

impl KnownKeys {
    pub(crate) fn add(&mut self, key: &Arc<DataKey>) {
        let known = self.0.entry(key.id().0).or_default();
        if known.strong_count() == 0 {
            *known = Arc::downgrade(key);
            // Rare: a disk's first insert. Others may have gone.
            self.0.retain(|_, known| known.strong_count() > 0);
        }
    }

    fn get(&self, id: KeyId) -> Option<Arc<DataKey>> {
        self.0.get(&id.0)?.upgrade()
    }
}

/// A chunk that goes on to the next zone.
#[derive(Debug)]
pub(crate) struct Survivor {
    pub(crate) content: ContentId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) data: Option<Arc<DataKey>>,
}

impl Writer {
    /// Empties the oldest zone; answers what is to be written again.
    pub(crate) async fn recycle(&mut self) -> (Vec<Survivor>, Vec<Address>) {
        let Some(zone) = self.used.pop_front() else {
            return (Vec::new(), Vec::new());
        };
        let (of, lap) = self.use_of(zone);
        let Some(index) = self.index_of(of).await else {
            self.forget_unknown(zone, lap);
            return (Vec::new(), Vec::new());
        };
        let survivors = self.survivors(zone, &index).await;
        let survive = survivors.iter().map(|survivor| survivor.content);
        let survive: BTreeSet<ContentId> = survive.collect();
        self.forget_places(zone, lap, &index);
        let carried = self.carry_over(&index, &survive);
        self.free.push_front(zone);
        self.sweep_after_loss();
        (survivors, carried)
    }

    /// Keeps the index within its bound by emptying zones, without carrying over.
    pub(crate) async fn bound_index(&mut self) {
        while self.ssd.state.lock().index.len() > self.ssd.index_entries_max {
            let Some(zone) = self.used.pop_front() else {
                return;
            };
            let (of, lap) = self.use_of(zone);
            match self.index_of(of).await {
                Some(index) => {
                    self.forget(zone, lap, &index);
                    self.free.push_back(zone);
                    self.sweep_after_loss();
                }
                None => self.forget_unknown(zone, lap),
            }
        }
    }

    /// Forgets a zone's places, and its addresses whose content is nowhere else.
    pub(crate) fn forget(&self, zone: u32, lap: Lap, index: &ZoneIndex) {
        self.forget_places(zone, lap, index);
        let state = &mut self.ssd.state.lock().index;
        for address in &index.addresses {
            if state.content_of(&address.key) == Some(address.content)
                && state.place(&address.content).is_none()
            {
                state.remove_address(&address.key);
            }
        }
    }

    fn use_of(&self, zone: u32) -> (Use, Lap) {
        let slot = usize::try_from(zone).expect("32 bits fit");
        let now = self.ssd.state.lock().zones[slot];
        let of = Use {
            zone,
            order: now.order,
            salt: now.salt,
        };
        (of, now.lap)
    }

    async fn index_of(&self, of: Use) -> Option<ZoneIndex> {
        let file = self.ssd.state.lock().file.clone()?;
        let layout = self.ssd.layout.clone();
        let read = move || rebuild::read_index(&layout, &*file, &of);
        self.ssd.host.blocking.run(read).await
    }

    /// The chunks that were read since they lie here, up to three quarters of a zone of them.
    async fn survivors(&self, zone: u32, index: &ZoneIndex) -> Vec<Survivor> {
        let mut room = self.ssd.layout.zone_len() / 4 * 3;
        let mut wanted: Vec<(Located, Option<Arc<DataKey>>)> = Vec::new();
        {
            let state = self.ssd.state.lock();
            for entry in &index.entries {
                let place = rebuild::place(zone, entry);
                if !state.index.was_read(&entry.content, place) || entry.stored_bytes() > room {
                    continue;
                }
                let Some(data) = self.data_key(entry) else {
                    continue;
                };
                if let Some(located) = self.ssd.locate_place(&state, entry.content, place) {
                    room -= entry.stored_bytes();
                    wanted.push((located, data));
                }
            }
        }
        if wanted.is_empty() {
            return Vec::new();
        }
        let read = move || {
            let survivor = |(located, data): (Located, Option<Arc<DataKey>>)| {
                let bytes = located.read_again(data.as_deref())?;
                let content = located.content;
                Some(Survivor {
                    content,
                    bytes,
                    data,
                })
            };
            wanted.into_iter().filter_map(survivor).collect()
        };
        self.ssd.host.blocking.run(read).await
    }

    /// The data key of an entry (`None` inside for a clear one), if it is at hand.
    fn data_key(&self, entry: &Entry) -> Option<Option<Arc<DataKey>>> {
        match entry.key {
            None => Some(None),
            Some(id) => self.known_keys.get(id).map(Some),
        }
    }

    fn forget_places(&self, zone: u32, lap: Lap, index: &ZoneIndex) {
        let state = &mut self.ssd.state.lock().index;
        for entry in &index.entries {
            state.drop_place(&entry.content, rebuild::place(zone, entry));
        }
        let slot = usize::try_from(zone).expect("32 bits fit");
        // Readers that have it pinned go on; it is begun anew only after the last of them.
        if self.ssd.pins.retire(slot, lap).is_none() {
            debug_assert!(false, "zone {zone} is in use but was never begun");
        }
    }

    /// The addresses whose content lives on; all others are forgotten.
    fn carry_over(&self, index: &ZoneIndex, survive: &BTreeSet<ContentId>) -> Vec<Address> {
        let state = &mut self.ssd.state.lock().index;
        let mut carried = Vec::new();
        for address in &index.addresses {
            if state.content_of(&address.key) != Some(address.content) {
                continue;
            }
            let lives =
                survive.contains(&address.content) || state.place(&address.content).is_some();
            if lives && carried.len() < ADDRESSES_MAX / 2 {
                carried.push(*address);
            } else {
                state.remove_address(&address.key);
            }
        }
        carried
    }

    /// Forgets a zone whose footer is lost: nobody knows any more which addresses it recorded,
    /// so the index is swept for as long as such addresses can become orphans.
    fn forget_unknown(&mut self, zone: u32, lap: Lap) {
        {
            let mut state = self.ssd.state.lock();
            state.index.drop_zone(zone);
            state.index.sweep(|_| false);
        }
        let slot = usize::try_from(zone).expect("32 bits fit");
        if self.ssd.pins.retire(slot, lap).is_none() {
            debug_assert!(false, "zone {zone} is in use but was never begun");
        }
        self.free.push_front(zone);
        self.ssd.counters.corrupt.add(1);
        self.sweeps = self.ssd.pins.count();
    }

    fn sweep_after_loss(&mut self) {
        if let Some(left) = self.sweeps.checked_sub(1) {
            self.sweeps = left;
            self.ssd.state.lock().index.sweep(|_| false);
        }
    }
}
