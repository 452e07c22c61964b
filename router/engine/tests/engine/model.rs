//! The oracle: every sector says who wrote it, and the whole disk must be one prefix of the log.
//!
//! The simulation runs on one thread, so the order in which operations complete is the order
//! of the log, and the check is exact: there must be a count `k` of operations, not below what the
//! crash may not lose, such that the disk holds precisely the first `k`.

pub const SECTOR: usize = 512;

/// One accepted change: sectors `first..first + count`; stamp 0 = zeroes.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    pub first: u64,
    pub count: u64,
    pub stamp: u64,
}

pub struct Model {
    pub disk: u64,
    pub sectors: u64,
    /// The operations of all lives that count, in the order of the log.
    pub ops: Vec<Op>,
    /// So many are flushed.
    pub flushed: usize,
    /// So many are in the store.
    pub shipped: usize,
    next_stamp: u64,
}

/// The bytes of a sector: self-describing, different in every sector and operation.
pub fn sector_bytes(disk: u64, sector: u64, stamp: u64) -> [u8; SECTOR] {
    let mut bytes = [0u8; SECTOR];
    if stamp == 0 {
        return bytes;
    }
    bytes[..8].copy_from_slice(&disk.to_le_bytes());
    bytes[8..16].copy_from_slice(&sector.to_le_bytes());
    bytes[16..24].copy_from_slice(&stamp.to_le_bytes());
    let mut x = disk ^ sector.rotate_left(20) ^ stamp.rotate_left(40) ^ 0x9e37_79b9_7f4a_7c15;
    // Half of the sectors compress, half do not.
    if stamp.is_multiple_of(2) {
        for chunk in bytes[24..].chunks_mut(8) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let length = chunk.len();
            chunk.copy_from_slice(&x.to_le_bytes()[..length]);
        }
    }
    bytes
}

impl Model {
    pub fn new(disk: u64, bytes: u64) -> Model {
        Model {
            disk,
            sectors: bytes / SECTOR as u64,
            ops: Vec::new(),
            flushed: 0,
            shipped: 0,
            next_stamp: 1,
        }
    }

    pub fn stamp(&mut self) -> u64 {
        self.next_stamp += 1;
        self.next_stamp
    }

    pub fn payload(&self, first: u64, count: u64, stamp: u64) -> Vec<u8> {
        (first..first + count)
            .flat_map(|sector| sector_bytes(self.disk, sector, stamp))
            .collect()
    }

    fn apply(state: &mut [u64], op: &Op) {
        for sector in op.first..op.first + op.count {
            state[sector as usize] = op.stamp;
        }
    }

    pub fn state(&self, ops: usize) -> Vec<u64> {
        let mut state = vec![0u64; self.sectors as usize];
        for op in &self.ops[..ops] {
            Self::apply(&mut state, op);
        }
        state
    }

    /// Checks bytes read while the router lives: never older than the last acknowledged.
    pub fn check_live(&self, first: u64, bytes: &[u8]) {
        let state = self.state(self.ops.len());
        for (index, sector) in bytes.chunks(SECTOR).enumerate() {
            let at = first + index as u64;
            let expect = sector_bytes(self.disk, at, state[at as usize]);
            assert!(
                sector == expect,
                "sector {at}: read stamp {}, the newest is {}",
                stamp_of(sector),
                state[at as usize]
            );
        }
    }

    /// Checks a whole image after a restart, and forgets what is lost. `at_least`: operations
    /// that the crash may not have lost.
    pub fn check_prefix(&mut self, image: &[u8], at_least: usize) {
        let found: Vec<u64> = image
            .chunks(SECTOR)
            .enumerate()
            .map(|(at, sector)| {
                let stamp = stamp_of(sector);
                assert!(
                    sector == sector_bytes(self.disk, at as u64, stamp),
                    "sector {at} is torn, corrupt, or of another place"
                );
                stamp
            })
            .collect();
        let mut state = self.state(at_least);
        let mut wrong = state.iter().zip(&found).filter(|(a, b)| a != b).count();
        for kept in at_least..=self.ops.len() {
            if wrong == 0 {
                self.ops.truncate(kept);
                self.flushed = self.flushed.min(kept);
                self.shipped = self.shipped.min(kept);
                return;
            }
            if let Some(op) = self.ops.get(kept).copied() {
                for sector in op.first..op.first + op.count {
                    // A large write is several records, in order: the log may end within it.
                    if wrong == 0 && sector > op.first {
                        self.ops.truncate(kept);
                        self.ops.push(Op {
                            count: sector - op.first,
                            ..op
                        });
                        self.flushed = self.flushed.min(kept);
                        self.shipped = self.shipped.min(kept);
                        return;
                    }
                    let at = sector as usize;
                    wrong -= usize::from(state[at] != found[at]);
                    state[at] = op.stamp;
                    wrong += usize::from(state[at] != found[at]);
                }
            }
        }
        let full = self.state(self.ops.len());
        let first = (0..found.len()).find(|at| found[*at] != full[*at]);
        panic!(
            "the disk is no prefix of its log of {} operations that holds at least {at_least}; first \
             difference to the whole log at sector {first:?}: found {:?}, wanted {:?}",
            self.ops.len(),
            first.map(|at| found[at]),
            first.map(|at| full[at]),
        );
    }
}

fn stamp_of(sector: &[u8]) -> u64 {
    u64::from_le_bytes(sector[16..24].try_into().expect("eight bytes"))
}
