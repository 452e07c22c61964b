//! Writes a group's descriptor straight into the caller's block, without allocating.
//!
//! Owns: where each entry goes. Does not own: the layout, which stands in `group.rs`.

use super::group::{
    BLOCK_BYTES_U32, MAGIC, RECORD_BYTES, RECORDS_OFFSET, RecordHeader, VERSION, check_sequences,
    payload_entry_bytes,
};
use super::{CRC_OFFSET, crc32c, fits};
use crate::BLOCK_BYTES;
use crate::ids::Seq;

/// A descriptor being written: records are pushed; checksums (and tags) of the payload blocks
/// follow in payload order, before, after or between records.
#[derive(Debug)]
pub struct GroupEncoder<'a> {
    block: &'a mut [u8; BLOCK_BYTES],
    sealed: bool,
    durable: Seq,
    last_pushed: Seq,
    records: usize,
    payload_blocks: usize,
    checksums: usize,
    tags: usize,
}

impl<'a> GroupEncoder<'a> {
    /// Starts a descriptor in `block`, whatever that held. `check`: of the extent's use;
    /// `number`: of the group in its extent; `durable`: the log is known durable up to here;
    /// `wall_ms`: ms since 1970; `sealed`: of the extent's header.
    pub fn new(
        block: &'a mut [u8; BLOCK_BYTES],
        check: u64,
        number: u64,
        durable: Seq,
        wall_ms: u64,
        sealed: bool,
    ) -> Self {
        block.fill(0);
        block[0..4].copy_from_slice(&MAGIC);
        block[4..6].copy_from_slice(&VERSION.to_le_bytes());
        block[8..16].copy_from_slice(&check.to_le_bytes());
        block[16..24].copy_from_slice(&number.to_le_bytes());
        block[40..48].copy_from_slice(&durable.0.to_le_bytes());
        block[48..56].copy_from_slice(&wall_ms.to_le_bytes());
        GroupEncoder {
            block,
            sealed,
            durable,
            last_pushed: Seq(0),
            records: 0,
            payload_blocks: 0,
            checksums: 0,
            tags: 0,
        }
    }

    /// Whether one more record with `payload_bytes` of payload fits.
    pub const fn has_room(&self, payload_bytes: u32) -> bool {
        let blocks = payload_bytes.div_ceil(BLOCK_BYTES_U32) as usize;
        fits(self.records + 1, self.payload_blocks + blocks, self.sealed)
    }

    /// Records pushed so far.
    pub const fn records(&self) -> usize {
        self.records
    }

    /// Payload blocks of the records pushed so far.
    pub const fn payload_blocks(&self) -> usize {
        self.payload_blocks
    }

    /// Adds a record.
    ///
    /// # Panics
    /// Without [`has_room`](Self::has_room), below the sequence of the record before, or if
    /// the record's own fields disagree: bugs of the caller.
    pub fn push(&mut self, record: RecordHeader) {
        assert!(
            self.has_room(record.payload_bytes),
            "the group was checked for room"
        );
        assert!(
            record.seq >= self.last_pushed,
            "records come in the log's order"
        );
        if let Err(error) = record.check() {
            unreachable!("a record that recovery would refuse: {error}");
        }
        let offset = RECORDS_OFFSET + self.records * RECORD_BYTES;
        let place = self.block[offset..]
            .first_chunk_mut::<RECORD_BYTES>()
            .expect("room for the record was asserted");
        record.put(place);
        self.last_pushed = record.seq;
        self.records += 1;
        self.payload_blocks += record.payload_blocks() as usize;
    }

    /// Adds the CRC-32C of the next payload block, as it will be on disk.
    ///
    /// # Panics
    /// If the descriptor has no room for another payload block: a bug of the caller.
    pub fn checksum(&mut self, crc: u32) {
        let offset = self.entry_offset(self.checksums);
        self.block[offset..offset + 4].copy_from_slice(&crc.to_le_bytes());
        self.checksums += 1;
    }

    /// Adds the tag of the next payload block.
    ///
    /// # Panics
    /// If the extent is not sealed, or there is no room: bugs of the caller.
    pub fn tag(&mut self, tag: [u8; 16]) {
        assert!(self.sealed, "only groups of a sealed extent carry tags");
        let offset = self.entry_offset(self.tags) + 4;
        self.block[offset..offset + 16].copy_from_slice(&tag);
        self.tags += 1;
    }

    fn entry_offset(&self, index: usize) -> usize {
        assert!(
            fits(self.records, index + 1, self.sealed),
            "no more blocks than the group has"
        );
        CRC_OFFSET - payload_entry_bytes(self.sealed) * (index + 1)
    }

    /// Completes the descriptor and says how many blocks the group has, this one included.
    /// `first_seq`: the group's first sequence; `last_seq`: the log's position after it.
    ///
    /// # Panics
    /// If checksums or tags are missing or too many, or the sequences disagree: bugs of the
    /// caller, which recovery would take for damage.
    pub fn finish(self, first_seq: Seq, last_seq: Seq) -> u32 {
        assert_eq!(
            self.checksums, self.payload_blocks,
            "a checksum per payload block"
        );
        let tags = if self.sealed { self.payload_blocks } else { 0 };
        assert_eq!(self.tags, tags, "a tag per sealed payload block");
        assert!(
            self.last_pushed <= last_seq,
            "the group ends at or above its records"
        );
        if let Err(error) = check_sequences(first_seq, last_seq, self.durable) {
            unreachable!("a group that recovery would refuse: {error}");
        }
        let payload_blocks = u32::try_from(self.payload_blocks).expect("bounded by the capacity");
        let records = u16::try_from(self.records).expect("bounded by the capacity");
        // Without payload there is nothing sealed: one spelling for it.
        self.block[6] = u8::from(self.sealed && payload_blocks > 0);
        self.block[24..32].copy_from_slice(&first_seq.0.to_le_bytes());
        self.block[32..40].copy_from_slice(&last_seq.0.to_le_bytes());
        self.block[56..60].copy_from_slice(&payload_blocks.to_le_bytes());
        self.block[60..62].copy_from_slice(&records.to_le_bytes());
        let crc = crc32c(&self.block[..CRC_OFFSET]);
        self.block[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        1 + payload_blocks
    }
}
