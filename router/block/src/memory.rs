//! A disk in memory, for tests of exports: no durability, no promises kept over a restart.

use std::sync::RwLock;

use async_trait::async_trait;

use crate::{Accepted, BlockDevice, BlockError, ErrorKind, Extent, ExtentState, Limits, Write};

/// A disk of zeroes that keeps what is written in one vector.
#[derive(Debug)]
pub struct MemoryDisk {
    bytes: RwLock<Vec<u8>>,
}

impl MemoryDisk {
    /// A disk of `size` bytes, all zero.
    pub fn new(size: usize) -> Self {
        MemoryDisk {
            bytes: RwLock::new(vec![0; size]),
        }
    }

    fn range(&self, offset: u64, length: u64) -> Result<std::ops::Range<usize>, BlockError> {
        let size = self.size();
        match offset.checked_add(length) {
            Some(end) if end <= size => {
                let start = usize::try_from(offset).expect("within a vector");
                let end = usize::try_from(end).expect("within a vector");
                Ok(start..end)
            }
            _ => Err(BlockError::new(
                ErrorKind::Invalid,
                format!("{length} bytes at {offset} are beyond the disk's {size} bytes"),
            )),
        }
    }

    fn fill(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        let range = self.range(offset, length)?;
        self.bytes.write().expect("no panic holds it")[range].fill(0);
        Ok(())
    }
}

#[async_trait]
impl BlockDevice for MemoryDisk {
    fn size(&self) -> u64 {
        self.bytes.read().expect("no panic holds it").len() as u64
    }

    fn limits(&self) -> Limits {
        Limits {
            read_only: false,
            preferred_bytes: 4096,
        }
    }

    fn write_now(&self, writes: &[Write<'_>]) -> Accepted {
        for (index, write) in writes.iter().enumerate() {
            match self.range(write.offset, write.data.len() as u64) {
                Ok(range) => self.bytes.write().expect("no panic holds it")[range]
                    .copy_from_slice(write.data),
                Err(error) => {
                    return Accepted {
                        writes: index,
                        error: Some(error),
                    };
                }
            }
        }
        Accepted {
            writes: writes.len(),
            error: None,
        }
    }

    async fn writable(&self) -> Result<(), BlockError> {
        Ok(())
    }

    fn read_now(&self, offset: u64, buf: &mut [u8]) -> Option<Result<(), BlockError>> {
        Some(self.range(offset, buf.len() as u64).map(|range| {
            buf.copy_from_slice(&self.bytes.read().expect("no panic holds it")[range]);
        }))
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.read_now(offset, buf).expect("memory never waits")
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.fill(offset, length)
    }

    async fn write_zeroes(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.fill(offset, length)
    }

    async fn flush(&self) -> Result<(), BlockError> {
        Ok(())
    }

    async fn prefetch(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.range(offset, length).map(|_| ())
    }

    async fn extents(
        &self,
        offset: u64,
        length: u64,
        count_max: usize,
    ) -> Result<Vec<Extent>, BlockError> {
        let range = self.range(offset, length)?;
        let bytes = self.bytes.read().expect("no panic holds it");
        let mut found: Vec<Extent> = Vec::new();
        for piece in bytes[range].chunks(4096) {
            let state = match piece.iter().all(|byte| *byte == 0) {
                true => ExtentState::Hole,
                false => ExtentState::Data,
            };
            let length = piece.len() as u64;
            if let Some(last) = found.last_mut().filter(|last| last.state == state) {
                last.length += length;
            } else if found.len() == count_max {
                break;
            } else {
                found.push(Extent { length, state });
            }
        }
        Ok(found)
    }
}
