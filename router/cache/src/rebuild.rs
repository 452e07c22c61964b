//! Finding what an earlier run left in the cache file.
//!
//! Owns: opening the file, reading headers and footers, filling the index. Does not own: the
//! entries' bytes, which verify when they are read. Whatever does not verify here is an empty
//! zone: a missing, foreign, torn or rotten cache is an empty cache.

use std::io;
use std::sync::Arc;

use vpool_host::{File, OpenMode};

use crate::index::Place;
use crate::limits::BLOCK_BYTES;
use crate::ssd::{Ssd, ZoneState};
use crate::zone::{Block, Entry, Layout, Use, ZoneIndex};

/// Zones looked at in one piece of blocking work.
const ZONES_AT_ONCE: usize = 32;

/// What a rebuild found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Zones in use, oldest first.
    pub(crate) used: Vec<u32>,
    /// All others, ascending.
    pub(crate) free: Vec<u32>,
    /// Greater than the order of every zone in use.
    pub(crate) next_order: u64,
}

/// Opens the file, made where absent, with room for all zones.
pub(crate) async fn open(ssd: &Arc<Ssd>) -> io::Result<Arc<dyn File>> {
    let (files, path) = (ssd.host.files.clone(), ssd.path.clone());
    let zones = u64::try_from(ssd.pins.count()).expect("at most 2^24");
    let bytes = zones * u64::from(ssd.layout.zone_bytes);
    let open = move || {
        if let Some(parent) = path.parent() {
            files.create_dir_all(parent)?;
        }
        let file = files.open(&path, OpenMode::Create)?;
        if file.size()? != bytes {
            file.set_size(bytes)?;
        }
        Ok(file)
    };
    ssd.host.blocking.run(open).await
}

/// Reads what is there into the index, the newest zones first, until the index is full.
pub(crate) async fn rebuild(ssd: &Arc<Ssd>, file: &Arc<dyn File>) -> Found {
    let zones = u32::try_from(ssd.pins.count()).expect("at most 2^24");
    let mut uses = Vec::new();
    for batch in (0..zones).collect::<Vec<_>>().chunks(ZONES_AT_ONCE) {
        let (batch, layout, file) = (batch.to_vec(), ssd.layout.clone(), file.clone());
        let headers = move || {
            let header = |zone: u32| read_header(&layout, &*file, zone);
            batch.into_iter().filter_map(header).collect::<Vec<_>>()
        };
        uses.extend(ssd.host.blocking.run(headers).await);
    }
    uses.sort_by_key(|of| std::cmp::Reverse((of.order, of.zone)));
    let mut found = Found::default();
    for batch in uses.chunks(ZONES_AT_ONCE) {
        let (batch, layout, file) = (batch.to_vec(), ssd.layout.clone(), file.clone());
        let indexes = move || {
            let read = |of: Use| Some((of, read_index(&layout, &*file, &of)?));
            batch.into_iter().filter_map(read).collect::<Vec<_>>()
        };
        for (of, index) in ssd.host.blocking.run(indexes).await {
            if take_zone(ssd, &of, &index) {
                found.used.push(of.zone);
                found.next_order = found.next_order.max(of.order + 1);
            }
        }
    }
    // Addresses whose contents are in no zone that was found.
    ssd.state.lock().index.sweep(|_| false);
    found.used.reverse();
    let mut used = found.used.clone();
    used.sort_unstable();
    found.free = (0..zones)
        .filter(|zone| used.binary_search(zone).is_err())
        .collect();
    found
}

/// Adds a zone to the index; what newer zones hold already stays theirs.
fn take_zone(ssd: &Ssd, of: &Use, zone_index: &ZoneIndex) -> bool {
    let mut state = ssd.state.lock();
    let slot = usize::try_from(of.zone).expect("32 bits fit");
    let adds = zone_index.entries.len() + zone_index.addresses.len();
    if state.index.len() + adds > ssd.index_entries_max {
        return false;
    }
    let Some(pin) = ssd.pins.open(slot) else {
        return false;
    };
    state.zones[slot] = ZoneState {
        lap: pin.lap(),
        order: of.order,
        salt: of.salt,
    };
    for entry in &zone_index.entries {
        if state.index.place(&entry.content).is_none() {
            state
                .index
                .put_content(entry.content, place(of.zone, entry));
        }
    }
    for address in &zone_index.addresses {
        if state.index.content_of(&address.key).is_none() {
            state.index.put_address_ahead(address.key, &address.content);
        }
    }
    true
}

/// Where an entry of a zone lies.
pub(crate) fn place(zone: u32, entry: &Entry) -> Place {
    Place {
        zone,
        offset: entry.offset,
        blocks: entry.blocks,
        sealed: entry.key.is_some(),
    }
}

fn read_header(layout: &Layout, file: &dyn File, zone: u32) -> Option<Use> {
    let mut block: Block = [0; BLOCK_BYTES];
    let start = u64::from(zone) * u64::from(layout.zone_bytes);
    file.read_at(&mut block, start).ok()?;
    let of = layout.parse_header(zone, &block)?;
    (of.order < u64::MAX).then_some(of)
}

/// The index of a use of a zone, if its footer is there and verifies.
pub(crate) fn read_index(layout: &Layout, file: &dyn File, of: &Use) -> Option<ZoneIndex> {
    let mut block: Block = [0; BLOCK_BYTES];
    let start = u64::from(of.zone) * u64::from(layout.zone_bytes);
    let end = start + u64::from(layout.zone_bytes - 4096);
    file.read_at(&mut block, end).ok()?;
    let footer = layout.parse_footer(of.zone, &block)?;
    if footer.of != *of {
        return None;
    }
    let mut index = vec![0; footer.index_bytes()];
    let length = u64::try_from(index.len()).expect("shorter than a zone");
    file.read_at(&mut index, end - length).ok()?;
    layout.parse_index(&footer, &index)
}
