//! One sector that names itself.
//!
//! ```text
//! magic 8 │ disk 8 │ LBA 8 │ seq 8 │ writer 4 │ filler 472 │ crc32c 4      little-endian
//! ```
//!
//! Owns: this layout, the filler. Does not own: which version belongs where (`model.rs`).
//!
//! Even versions have a filler that compresses, odd ones one that does not.

/// Length of a sector in bytes.
pub(crate) const SECTOR_BYTES: usize = 512;

const MAGIC: [u8; 8] = *b"vPoracle";
const FILLER: std::ops::Range<usize> = 36..508;

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Author {
    /// The disk.
    pub(crate) disk: u64,
    /// The writer.
    pub(crate) writer: u32,
}

/// What a sector turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// All zeroes.
    Zeroes,
    /// A whole sector of this author and place, of version `seq` (from 1).
    Version(u64),
    /// A whole sector, but of another disk, place or writer.
    Foreign {
        /// Its disk.
        disk: u64,
        /// Its place.
        lba: u64,
        /// Its writer.
        writer: u32,
    },
    /// Anything else.
    Garbage,
}

/// Fills `sector` (512 bytes) with version `seq` of place `lba`.
pub(crate) fn fill(author: Author, lba: u64, seq: u64, sector: &mut [u8]) {
    sector[..8].copy_from_slice(&MAGIC);
    sector[8..16].copy_from_slice(&author.disk.to_le_bytes());
    sector[16..24].copy_from_slice(&lba.to_le_bytes());
    sector[24..32].copy_from_slice(&seq.to_le_bytes());
    sector[32..36].copy_from_slice(&author.writer.to_le_bytes());
    // xorshift64*; the state is never 0.
    let mut state = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ lba.wrapping_add(1) << 1 | 1;
    for word in sector[FILLER].chunks_mut(8) {
        if seq % 2 == 1 {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
        }
        let bytes = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
        word.copy_from_slice(&bytes[..word.len()]);
    }
    let crc = crc_fast::crc32_iscsi(&sector[..FILLER.end]);
    sector[FILLER.end..SECTOR_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// Says what `sector` (512 bytes), read at place `lba`, is.
pub(crate) fn identify(author: Author, lba: u64, sector: &[u8]) -> Content {
    let u64_at = |at: usize| {
        let bytes = sector[at..].first_chunk().expect("a sector is longer");
        u64::from_le_bytes(*bytes)
    };
    let u32_at = |at: usize| {
        let bytes = sector[at..].first_chunk().expect("a sector is longer");
        u32::from_le_bytes(*bytes)
    };
    if sector[..8] != MAGIC {
        return match sector.iter().all(|byte| *byte == 0) {
            true => Content::Zeroes,
            false => Content::Garbage,
        };
    }
    if u32_at(FILLER.end) != crc_fast::crc32_iscsi(&sector[..FILLER.end]) {
        return Content::Garbage;
    }
    let (disk, place, seq, writer) = (u64_at(8), u64_at(16), u64_at(24), u32_at(32));
    match (disk, place, writer) == (author.disk, lba, author.writer) {
        true => Content::Version(seq),
        false => Content::Foreign {
            disk,
            lba: place,
            writer,
        },
    }
}

#[cfg(test)]
mod tests {
    //! A sector is known again, and any change of it is noticed.

    use super::{Author, Content, SECTOR_BYTES, fill, identify};

    const AUTHOR: Author = Author { disk: 7, writer: 3 };

    #[test]
    fn identified() {
        for seq in [1, 2, u64::MAX] {
            let mut sector = [0; SECTOR_BYTES];
            assert_eq!(identify(AUTHOR, 9, &sector), Content::Zeroes);
            fill(AUTHOR, 9, seq, &mut sector);
            assert_eq!(identify(AUTHOR, 9, &sector), Content::Version(seq));
            let foreign = Content::Foreign {
                disk: 7,
                lba: 9,
                writer: 3,
            };
            assert_eq!(identify(AUTHOR, 10, &sector), foreign);
            let other = Author { disk: 8, ..AUTHOR };
            assert_eq!(identify(other, 9, &sector), foreign);
            for at in 0..SECTOR_BYTES {
                sector[at] ^= 1;
                assert_eq!(identify(AUTHOR, 9, &sector), Content::Garbage, "{at}");
                sector[at] ^= 1;
            }
        }
    }
}
