//! Bodies past the page cache.
//!
//! Owns: reading and writing whole blocks of a file so. Does not own: when a body is durable
//! (`write`), what is left at a body's end.
//!
//! A segment is read back seldom, and what is read is kept by the caches above: in the page cache
//! it would only cost memory, and CPU that clients need (rows "write 1M" and "read 1M, cold" of
//! `make bench`).

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// Bodies of this size or more are written so, and ranges read.
pub(super) const BYTES_MIN: usize = 1 << 20;
/// Bytes of one write, and what place, length and memory are a multiple of.
const WRITE_BYTES: usize = 1 << 20;
const ALIGN: usize = 4096;

/// Writes as much of the front of a body as whole blocks make, and answers how much; 0 on a file
/// system that does not do that.
pub(super) fn write(file: &File, body: &[u8]) -> io::Result<usize> {
    let mut to = file;
    let flags = fcntl_getfl(file)?;
    if fcntl_setfl(file, flags | OFlags::DIRECT).is_err() {
        return Ok(0);
    }
    let mut copy = Vec::new();
    let whole = body.len() - body.len() % ALIGN;
    let mut written = 0;
    while written < whole {
        let piece = &body[written..whole.min(written + WRITE_BYTES)];
        let aligned = if piece.as_ptr().addr().is_multiple_of(ALIGN) {
            piece
        } else {
            copy_aligned(&mut copy, piece)
        };
        match to.write(aligned) {
            Ok(0) => break,
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Allowed to ask for, but not to do: as ever then.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => break,
            Err(error) => return Err(error),
        }
        if !written.is_multiple_of(ALIGN) {
            // The file system is about to be full; the rest says so.
            break;
        }
    }
    fcntl_setfl(file, flags)?;
    Ok(written)
}

/// A copy at an aligned place of a buffer.
fn copy_aligned<'a>(buffer: &'a mut Vec<u8>, bytes: &[u8]) -> &'a [u8] {
    buffer.clear();
    buffer.reserve_exact(WRITE_BYTES + ALIGN);
    let padding = buffer.as_ptr().align_offset(ALIGN);
    buffer.resize(padding, 0);
    buffer.extend_from_slice(bytes);
    &buffer[padding..]
}

/// Reads a range of a file that is opened for this alone; it is short where the file ends before.
/// `None` on a file system that does not do that, with the file as it was.
pub(super) fn read(file: &File, range: &Range<u64>) -> io::Result<Option<Bytes>> {
    let flags = fcntl_getfl(file)?;
    if fcntl_setfl(file, flags | OFlags::DIRECT).is_err() {
        return Ok(None);
    }
    let align = ALIGN as u64;
    let (start, end) = (
        range.start / align * align,
        range.end.next_multiple_of(align),
    );
    let too_long = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    let length = usize::try_from(end - start).map_err(too_long)?;
    // Fresh zeroes cost nothing before they are written to.
    let mut buffer = vec![0; length + ALIGN];
    let padding = buffer.as_ptr().align_offset(ALIGN);
    let mut done = 0;
    while done < length {
        let rest = &mut buffer[padding + done..padding + length];
        match file.read_at(rest, start + done as u64) {
            Ok(0) => break,
            Ok(bytes) => done += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                fcntl_setfl(file, flags)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        if !done.is_multiple_of(ALIGN) {
            // The file's last block.
            break;
        }
    }
    let skip = usize::try_from(range.start - start).expect("within a block");
    let wanted = usize::try_from(range.end - start).expect("within the buffer");
    let from = padding + skip.min(done);
    let to = padding + wanted.min(done);
    Ok(Some(Bytes::from(buffer).slice(from..to)))
}
