//! A vDisk as exports see it.

use std::sync::Arc;

use async_trait::async_trait;
use vpool_block::{Accepted, BlockDevice, BlockError, Extent, ExtentState, Limits, Write};
use vpool_format::journal::RecordKind;

use super::VDisk;
use super::owed::Told;
use crate::journal::Change;
use crate::limits::BLOCK_U32;

/// One attachment: while it lives the disk is not deleted or closed.
#[derive(Debug, Clone)]
pub struct Device {
    disk: Arc<VDisk>,
    read_only: bool,
    told: Arc<Told>,
    attachment: Arc<crate::router::Attachment>,
    wrote: crate::planted::Wrote,
}

impl Device {
    /// A device on an open disk, for the client that is counted by `attachment`.
    pub fn new(
        disk: Arc<VDisk>,
        read_only: bool,
        attachment: Arc<crate::router::Attachment>,
    ) -> Self {
        Device {
            disk,
            read_only,
            told: Arc::default(),
            attachment,
            wrote: Default::default(),
        }
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<VDisk> {
        &self.disk
    }

    async fn clear(&self, kind: RecordKind, offset: u64, length: u64) -> Result<(), BlockError> {
        self.disk.check_range(offset, length)?;
        if length == 0 {
            return Ok(());
        }
        self.wrote.note();
        Ok(self
            .disk
            .log_all(Change {
                kind,
                offset,
                length,
                payload: &[],
            })
            .await?)
    }
}

#[async_trait]
impl BlockDevice for Device {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn limits(&self) -> Limits {
        Limits {
            read_only: self.read_only,
            preferred_bytes: BLOCK_U32,
        }
    }

    fn write_now(&self, writes: &[Write<'_>]) -> Accepted {
        self.wrote.note();
        self.disk.accept(writes)
    }

    async fn writable(&self) -> Result<(), BlockError> {
        Ok(self.disk.wait_for_room().await?)
    }

    async fn write(&self, offset: u64, data: &[u8]) -> Result<(), BlockError> {
        self.disk.check_range(offset, data.len() as u64)?;
        if data.is_empty() {
            return Ok(());
        }
        let length = data.len() as u64;
        let change = Change {
            kind: RecordKind::Write,
            offset,
            length,
            payload: data,
        };
        self.wrote.note();
        Ok(self.disk.log_all(change).await?)
    }

    fn read_now(&self, offset: u64, buf: &mut [u8]) -> Option<Result<(), BlockError>> {
        self.disk
            .try_read(offset, buf)
            .map(|read| read.map_err(Into::into))
    }

    async fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        Ok(self.disk.read_all(offset, buf).await?)
    }

    async fn discard(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.clear(RecordKind::Discard, offset, length).await
    }

    async fn write_zeroes(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.clear(RecordKind::WriteZeroes, offset, length).await
    }

    async fn flush(&self) -> Result<(), BlockError> {
        self.disk
            .tell_what_is_owed(self.attachment.machine(), &self.told)?;
        if self.wrote.must_flush() {
            self.disk.make_durable().await?;
        }
        Ok(())
    }

    fn left(&self) {
        self.disk.left(self.attachment.machine(), &self.told);
    }

    async fn prefetch(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.disk.check_range(offset, length)?;
        self.disk.read_ahead(offset..offset + length);
        Ok(())
    }

    async fn extents(
        &self,
        offset: u64,
        length: u64,
        count_max: usize,
    ) -> Result<Vec<Extent>, BlockError> {
        self.disk.check_range(offset, length)?;
        let found = self
            .disk
            .extents_of(offset..offset + length, count_max)
            .await?;
        let extents = found.into_iter().map(|(length, data)| Extent {
            length,
            state: if data {
                ExtentState::Data
            } else {
                ExtentState::Hole
            },
        });
        Ok(extents.collect())
    }
}
