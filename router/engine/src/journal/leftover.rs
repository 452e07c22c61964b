//! Whose extents a journal holds that nobody has opened.
//!
//! Owns: a look that changes nothing. Does not own: what the extents hold ([`super::scan`]).

use std::io::ErrorKind;
use std::path::Path;

use vpool_format::{DiskId, PoolId};
use vpool_host::{Host, OpenMode};

use super::file::read_header;
use crate::error::{Result, io as io_error};
use crate::limits::{self, Tuning};

/// The disks of which it holds extents in use, each as often as there are; none where there is no
/// journal. Blocks: call it where that is allowed.
pub fn disks_in(host: &Host, pool: PoolId, path: &Path, tuning: &Tuning) -> Result<Vec<DiskId>> {
    let fail = |what: &str, error: &std::io::Error| {
        io_error(format_args!("journal {}: {what}", path.display()), error)
    };
    let file = match host.files.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail("open", &error)),
    };
    let extent_bytes = u64::from(tuning.extent_blocks) * limits::BLOCK as u64;
    let bytes = file.size().map_err(|error| fail("size", &error))?;
    let mut found = Vec::new();
    let mut blocks = [0u8; 2 * limits::BLOCK];
    for slot in 0..bytes / extent_bytes {
        file.read_at(&mut blocks, slot * extent_bytes)
            .map_err(|error| fail("read an extent's header", &error))?;
        let header = read_header(&blocks).filter(|header| header.pool == pool);
        found.extend(header.map(|header| header.disk));
    }
    Ok(found)
}
