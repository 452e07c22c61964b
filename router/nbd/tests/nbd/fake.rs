//! A disk that waits and fails when it is told to, and the server around it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;
use vpool_block::{
    Accepted, Attached, BlockDevice, BlockError, ErrorKind, ExportName, Exports, Extent,
    ExtentState, Limits as DiskLimits, MemoryDisk, Write,
};
use vpool_nbd::{Limits, Server};

/// What happened at the disk, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Write(u64),
    Discard(u64, u64),
    Zero(u64, u64),
    Flush,
    Prefetch(u64, u64),
}

/// How the disk behaves.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    /// Bytes that may be written before there is no room.
    pub(crate) room: usize,
    /// It says that there is room when there is none.
    pub(crate) false_hope: bool,
    /// Reads of this range have to wait, for as long as it is not empty.
    pub(crate) cold: Range<u64>,
    /// Flushes wait.
    pub(crate) hold_flush: bool,
    /// Requests that touch this byte fail so.
    pub(crate) broken: Option<(u64, ErrorKind)>,
    pub(crate) read_only: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            room: usize::MAX,
            false_hope: false,
            cold: 0..0,
            hold_flush: false,
            broken: None,
            read_only: false,
        }
    }
}

#[derive(Debug)]
pub(crate) struct FakeDisk {
    pub(crate) memory: MemoryDisk,
    pub(crate) behaviour: watch::Sender<Behaviour>,
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) batch_max: Mutex<usize>,
    /// Flushes that wait now, and the most that did.
    pub(crate) flushing: Mutex<(usize, usize)>,
}

impl FakeDisk {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(FakeDisk {
            memory: MemoryDisk::new(bytes),
            behaviour: watch::Sender::new(Behaviour::default()),
            events: Mutex::default(),
            batch_max: Mutex::default(),
            flushing: Mutex::default(),
        })
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        self.behaviour.send_modify(change);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    fn note(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn check(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        match self.behaviour.borrow().broken {
            Some((at, kind)) if (offset..offset + length.max(1)).contains(&at) => {
                Err(BlockError::new(kind, format!("the disk is broken at {at}")))
            }
            _ => Ok(()),
        }
    }

    async fn wait(&self, until: impl FnMut(&Behaviour) -> bool) {
        self.behaviour.subscribe().wait_for(until).await.unwrap();
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    !a.is_empty() && a.start < b.end && b.start < a.end
}

#[async_trait]
impl BlockDevice for FakeDisk {
    fn size(&self) -> u64 {
        self.memory.size()
    }

    fn limits(&self) -> DiskLimits {
        let read_only = self.behaviour.borrow().read_only;
        DiskLimits {
            read_only,
            preferred_bytes: 4096,
        }
    }

    fn write_now(&self, writes: &[Write<'_>]) -> Accepted {
        let mut batch_max = self.batch_max.lock().unwrap();
        *batch_max = writes.len().max(*batch_max);
        for (index, write) in writes.iter().enumerate() {
            if let Err(error) = self.check(write.offset, write.data.len() as u64) {
                return Accepted {
                    writes: index,
                    error: Some(error),
                };
            }
            let mut fits = false;
            self.behaviour.send_if_modified(|behaviour| {
                fits = behaviour.room >= write.data.len();
                if fits && behaviour.room != usize::MAX {
                    behaviour.room -= write.data.len();
                }
                false
            });
            if !fits {
                return Accepted {
                    writes: index,
                    error: None,
                };
            }
            self.memory.write_now(&[*write]);
            self.note(Event::Write(write.offset));
        }
        Accepted {
            writes: writes.len(),
            error: None,
        }
    }

    async fn writable(&self) -> Result<(), BlockError> {
        self.wait(|behaviour| behaviour.room > 0 || behaviour.false_hope)
            .await;
        Ok(())
    }

    fn read_now(&self, offset: u64, buf: &mut [u8]) -> Option<Result<(), BlockError>> {
        let range = offset..offset + buf.len() as u64;
        if overlap(&self.behaviour.borrow().cold, &range) {
            return None;
        }
        match self.check(offset, buf.len() as u64) {
            Ok(()) => self.memory.read_now(offset, buf),
            Err(error) => Some(Err(error)),
        }
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let range = offset..offset + buf.len() as u64;
        self.wait(|behaviour| !overlap(&behaviour.cold, &range))
            .await;
        self.check(offset, buf.len() as u64)?;
        self.memory.read(offset, buf).await
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.check(offset, length)?;
        self.note(Event::Discard(offset, length));
        self.memory.discard(offset, length).await
    }

    async fn write_zeroes(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.check(offset, length)?;
        self.note(Event::Zero(offset, length));
        self.memory.write_zeroes(offset, length).await
    }

    async fn flush(&self) -> Result<(), BlockError> {
        {
            let mut flushing = self.flushing.lock().unwrap();
            flushing.0 += 1;
            flushing.1 = flushing.1.max(flushing.0);
        }
        self.wait(|behaviour| !behaviour.hold_flush).await;
        self.flushing.lock().unwrap().0 -= 1;
        self.note(Event::Flush);
        Ok(())
    }

    async fn prefetch(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.note(Event::Prefetch(offset, length));
        Ok(())
    }

    async fn extents(
        &self,
        offset: u64,
        length: u64,
        count_max: usize,
    ) -> Result<Vec<Extent>, BlockError> {
        self.check(offset, length)?;
        if length > 1 << 40 {
            // A disk far larger than the memory behind it.
            return Ok(vec![Extent {
                length,
                state: ExtentState::Hole,
            }]);
        }
        self.memory.extents(offset, length, count_max).await
    }
}

/// Disks by name; counts how often they are opened.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) disks: HashMap<String, Attached>,
    pub(crate) attached: Mutex<Vec<String>>,
    /// How often they were listed.
    pub(crate) listed: Mutex<usize>,
}

#[async_trait]
impl Exports for Shelf {
    async fn list(&self) -> Vec<ExportName> {
        *self.listed.lock().unwrap() += 1;
        let mut names: Vec<_> = self.disks.keys().cloned().collect();
        names.sort();
        let line = |name| ExportName {
            name,
            description: "a disk".to_owned(),
        };
        names.into_iter().map(line).collect()
    }

    async fn attach(&self, name: &str, _remote: Option<&str>) -> Result<Attached, BlockError> {
        self.attached.lock().unwrap().push(name.to_owned());
        let disk = self.disks.get(name).cloned();
        disk.ok_or_else(|| BlockError::new(ErrorKind::NotFound, format!("no disk {name:?}")))
    }
}

/// A server of one fake disk, as the default export and as "d".
pub(crate) struct Fixture {
    pub(crate) disk: Arc<FakeDisk>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) server: Server,
    pub(crate) socket: PathBuf,
    pub(crate) _folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new(bytes: usize) -> Self {
        Self::with(FakeDisk::new(bytes), Limits::default())
    }

    pub(crate) fn with(disk: Arc<FakeDisk>, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("nbd.sock");
        let names = [String::new(), "d".to_owned()];
        let disks = names
            .into_iter()
            .map(|name| (name, disk.clone() as Attached))
            .collect();
        let shelf = Arc::new(Shelf {
            disks,
            attached: Mutex::default(),
            listed: Mutex::default(),
        });
        let server = Server::new(shelf.clone(), limits);
        server.listen_unix(&socket).unwrap();
        Fixture {
            disk,
            shelf,
            server,
            socket,
            _folder: folder,
        }
    }

    /// The address for real clients.
    pub(crate) fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.socket.display())
    }
}
