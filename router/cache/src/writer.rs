//! The task that fills zones and recycles them.
//!
//! Owns: [`Writer`]: the queue's end, the zone being filled, the order of zones, what happens
//! after a failed write. Does not own: reads, the format, the choice of what in a zone is carried
//! over (`recycle`).
//!
//! ```text
//! queue ─▶ known content? ─yes─▶ address only
//!            │ no                     │
//!            ▼                        ▼
//!          open zone: buffer ─▶ one big write ─▶ index ─▶ … full: footer, next zone
//! ```
//!
//! Nothing is synced: a zone that a power cut tore does not verify, and is empty.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use vpool_host::{Aligned, File};
use vpool_seal::{ContentId, DataKey, DiskKeys, TAG_BYTES};

use crate::ChunkKey;
use crate::limits::{FULL_ZONES, LARGEST_BYTES, RETRY_AFTER, WRITE_BYTES, WRITE_IDLE};
use crate::open_zone::OpenZone;
use crate::rebuild;
use crate::recycle::{KnownKeys, Survivor};
use crate::ssd::{Ssd, ZoneState};
use crate::zone::{Address, Use};

/// What is sent to the writer.
#[derive(Debug)]
pub(crate) enum Message {
    /// A chunk to be kept.
    Chunk(Chunk),
    /// Write all there is, with a footer, and answer.
    Finish(oneshot::Sender<()>),
}

/// A chunk on its way to the SSD.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) key: ChunkKey,
    pub(crate) bytes: Bytes,
    pub(crate) content: ContentId,
    pub(crate) keys: DiskKeys,
}

/// The task's state.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) ssd: Arc<Ssd>,
    queue: mpsc::Receiver<Message>,
    file: Option<Arc<dyn File>>,
    open: Option<OpenZone>,
    /// The buffer of the zone before, for the next one.
    spare: Option<Aligned>,
    /// Zones in use, oldest first.
    pub(crate) used: VecDeque<u32>,
    /// All others but the open one.
    pub(crate) free: VecDeque<u32>,
    next_order: u64,
    pub(crate) known_keys: KnownKeys,
    /// After ENOSPC: so many more zones are recycled before one is taken where the file may
    /// have a hole.
    full: usize,
    /// Whether the last write failed; it is logged once.
    failing: bool,
    /// How many more recyclings sweep the index, after a footer was lost.
    pub(crate) sweeps: usize,
}

impl Writer {
    pub(crate) fn new(ssd: Arc<Ssd>, queue: mpsc::Receiver<Message>) -> Writer {
        Writer {
            ssd,
            queue,
            file: None,
            open: None,
            spare: None,
            used: VecDeque::new(),
            free: VecDeque::new(),
            next_order: 1,
            known_keys: KnownKeys::default(),
            full: 0,
            failing: false,
            sweeps: 0,
        }
    }

    /// Works until the cache is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            match self.serve().await {
                Ok(()) => return,
                Err(error) => self.fail(&error),
            }
            if !self.rest().await {
                return;
            }
        }
    }

    /// Takes what comes; `Ok` when nothing more can come.
    async fn serve(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.start().await?;
        }
        self.ssd.taking.store(true, Ordering::Relaxed);
        loop {
            let news = self.open.as_ref().is_some_and(OpenZone::has_news);
            let message = if news {
                match timeout(WRITE_IDLE, self.queue.recv()).await {
                    Ok(message) => message,
                    Err(_) => {
                        self.write_out().await?;
                        continue;
                    }
                }
            } else {
                self.queue.recv().await
            };
            match message {
                Some(Message::Chunk(chunk)) => {
                    self.unqueue(&chunk);
                    let key = chunk.key;
                    let taken = self.take(chunk).await;
                    if !self.open.as_ref().is_some_and(|open| open.has_newest(&key)) {
                        self.ssd.arrived(&key);
                    }
                    taken?;
                }
                Some(Message::Finish(done)) => {
                    let result = self.finish_zone().await;
                    answer(done);
                    result?;
                }
                None => return self.finish_zone().await,
            }
        }
    }

    /// Opens the file and finds what is in it.
    async fn start(&mut self) -> io::Result<()> {
        let file = rebuild::open(&self.ssd).await?;
        self.ssd.state.lock().file = Some(file.clone());
        let found = rebuild::rebuild(&self.ssd, &file).await;
        self.used = found.used.into();
        self.free = found.free.into();
        self.next_order = found.next_order.max(1);
        self.file = Some(file);
        Ok(())
    }

    /// Turns the layer off for a while. What the open zone held is forgotten.
    fn fail(&mut self, error: &io::Error) {
        self.ssd.taking.store(false, Ordering::Relaxed);
        self.ssd.counters.write_errors.add(1);
        if error.kind() == io::ErrorKind::StorageFull {
            self.full = FULL_ZONES;
        }
        if let Some(open) = self.open.take() {
            for address in &open.index.addresses {
                self.ssd.arrived(&address.key);
            }
            self.forget(open.of.zone, open.lap(), &open.index);
            self.free.push_back(open.of.zone);
        }
        if !std::mem::replace(&mut self.failing, true) {
            let path = self.ssd.path.display();
            tracing::warn!(%path, %error, "cannot write the SSD cache; going on without it");
        }
    }

    /// Lets some time pass, dropping what comes. `false` if nothing more can come.
    async fn rest(&mut self) -> bool {
        let end = Instant::now() + RETRY_AFTER;
        loop {
            match timeout_at(end, self.queue.recv()).await {
                Err(_) => return true,
                Ok(None) => return false,
                Ok(Some(Message::Finish(done))) => answer(done),
                Ok(Some(Message::Chunk(chunk))) => {
                    self.unqueue(&chunk);
                    self.ssd.arrived(&chunk.key);
                    self.ssd.counters.dropped.add(1);
                }
            }
        }
    }

    fn unqueue(&self, chunk: &Chunk) {
        let bytes = chunk.bytes.len();
        self.ssd.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Keeps a chunk, or only its address where its content is here already.
    async fn take(&mut self, chunk: Chunk) -> io::Result<()> {
        let data = chunk.keys.data.as_deref();
        if let Some(data) = &chunk.keys.data {
            self.known_keys.add(data);
        }
        let address = Address {
            key: chunk.key,
            content: chunk.content,
        };
        let (here, recorded) = {
            let index = &self.ssd.state.lock().index;
            let recorded = index.content_of(&chunk.key) == Some(chunk.content);
            (index.place(&chunk.content).is_some(), recorded)
        };
        let waits = |open: &OpenZone| open.waits(&chunk.content);
        if here || self.open.as_ref().is_some_and(waits) {
            if !recorded {
                self.ssd.counters.deduplicated.add(1);
                if let Some(open) = self.room(0, 1).await? {
                    open.record(address);
                }
            }
            return Ok(());
        }
        if self
            .keep(chunk.content, &chunk.bytes, data, &[address])
            .await?
        {
            self.ssd.counters.inserted.add(1);
        } else {
            self.ssd.counters.dropped.add(1);
        }
        Ok(())
    }

    /// Adds a content with its addresses to the open zone; `false` if there is none.
    async fn keep(
        &mut self,
        content: ContentId,
        bytes: &[u8],
        data: Option<&DataKey>,
        addresses: &[Address],
    ) -> io::Result<bool> {
        let stored = bytes.len() + if data.is_some() { TAG_BYTES } else { 0 };
        let Some(open) = self.room(stored, addresses.len()).await? else {
            return Ok(false);
        };
        open.add(content, bytes, data);
        for address in addresses {
            open.record(*address);
        }
        if open.buffer.len() >= WRITE_BYTES {
            self.write_out().await?;
        }
        Ok(true)
    }

    /// The open zone, with room for what is to come; `None` if every zone is being read.
    async fn room(
        &mut self,
        entry_bytes: usize,
        addresses: usize,
    ) -> io::Result<Option<&mut OpenZone>> {
        let fits = move |open: &OpenZone| open.fits(entry_bytes, addresses);
        if !self.open.as_ref().is_some_and(fits) {
            self.finish_zone().await?;
            self.begin_zone().await;
        }
        Ok(self.open.as_mut().filter(|open| fits(open)))
    }

    /// Begins the next zone, with what is carried over from a recycled one.
    async fn begin_zone(&mut self) {
        let mut survivors = Vec::new();
        let mut carried = Vec::new();
        let recycle_first = self.full > 0 && !self.used.is_empty();
        self.full = self.full.saturating_sub(1);
        if recycle_first || !self.open_free() {
            (survivors, carried) = self.recycle().await;
            if !self.open_free() {
                for address in carried {
                    self.ssd.remove(&address.key);
                }
                return;
            }
        }
        let Some(open) = &mut self.open else {
            return;
        };
        // What is carried over leaves room for one chunk at least, so that this ends.
        for Survivor {
            content,
            bytes,
            data,
        } in survivors
        {
            if open.fits(bytes.len() + TAG_BYTES + LARGEST_BYTES, 1) {
                open.add(content, &bytes, data.as_deref());
                self.ssd.counters.carried_over.add(1);
            }
        }
        for address in carried {
            if open.fits(LARGEST_BYTES, 2) {
                open.record(address);
            } else {
                self.ssd.remove(&address.key);
            }
        }
    }

    /// Begins a free zone that nobody reads any more; `false` if there is none.
    fn open_free(&mut self) -> bool {
        for _ in 0..self.free.len() {
            let Some(zone) = self.free.pop_front() else {
                break;
            };
            let slot = usize::try_from(zone).expect("32 bits fit");
            let Some(pin) = self.ssd.pins.open(slot) else {
                self.free.push_back(zone);
                continue;
            };
            let salt = self.ssd.host.entropy.array();
            let of = Use {
                zone,
                order: self.next_order,
                salt,
            };
            self.next_order += 1;
            let now = ZoneState {
                lap: pin.lap(),
                order: of.order,
                salt,
            };
            self.ssd.state.lock().zones[slot] = now;
            let buffer = self.spare.take();
            let buffer =
                buffer.unwrap_or_else(|| Aligned::with_capacity(WRITE_BYTES + LARGEST_BYTES));
            self.open = Some(OpenZone::new(&self.ssd.layout, of, pin, buffer));
            return true;
        }
        false
    }

    /// Writes what has been gathered, then lets readers find it.
    async fn write_out(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        let buffer = std::mem::take(&mut open.buffer);
        let (zone, at) = (open.of.zone, open.written);
        let buffer = self.write(zone, at, buffer).await?;
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        {
            let index = &mut self.ssd.state.lock().index;
            let (entries, addresses) = open.published;
            for entry in &open.index.entries[entries..] {
                index.put_content(entry.content, rebuild::place(zone, entry));
            }
            for address in &open.index.addresses[addresses..] {
                index.put_address(address.key, &address.content);
            }
        }
        for address in &open.index.addresses[open.published.1..] {
            self.ssd.arrived(&address.key);
        }
        open.publish(buffer);
        self.failing = false;
        self.bound_index().await;
        Ok(())
    }

    /// Writes the rest of the open zone and its footer.
    async fn finish_zone(&mut self) -> io::Result<()> {
        self.write_out().await?;
        let Some(open) = &self.open else {
            return Ok(());
        };
        let zone = open.of.zone;
        let encoded = self.ssd.layout.footer(&open.of, &open.index);
        let at = self.ssd.layout.zone_len() - encoded.len();
        let mut footer = Aligned::with_capacity(encoded.len());
        footer.extend_from_slice(&encoded);
        self.write(zone, at, footer).await?;
        self.spare = self.open.take().map(|open| open.buffer);
        self.used.push_back(zone);
        Ok(())
    }

    /// One write into a zone; answers the buffer.
    async fn write(&self, zone: u32, at: usize, buffer: Aligned) -> io::Result<Aligned> {
        if buffer.is_empty() {
            return Ok(buffer);
        }
        let Some(file) = self.file.clone() else {
            return Err(io::Error::other("the cache file is not open"));
        };
        let start = u64::from(zone) * u64::from(self.ssd.layout.zone_bytes);
        let offset = start + u64::try_from(at).expect("a zone has at most 4 MiB");
        let length = u64::try_from(buffer.len()).expect("a zone has at most 4 MiB");
        let work = move || {
            // Past the page cache: what is here is not in memory because it is not read often.
            file.write_past_cache_at(&buffer, offset)?;
            // What went through it all the same: no great heap of dirty pages gathers, which the
            // journal's syncs would feel.
            file.start_writeout(offset, length)?;
            Ok(buffer)
        };
        self.ssd.host.blocking.run(work).await
    }
}

/// Tells a waiter that it is done; it may have gone.
fn answer(done: oneshot::Sender<()>) {
    if done.send(()).is_err() {
        tracing::trace!("nobody waits for the cache to be written any more");
    }
}
