//! What the oracle asks for next.
//!
//! Owns: the mix of requests, their places and lengths. Does not own: sending them.

use std::ops::Range;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use vpool_nbd_wire::{Command, CommandFlags};

/// Sectors of a block of the engine.
const BLOCK_SECTORS: u64 = 8;

/// Sectors of the part of the disk that is written again and again.
const HOT_SECTORS: u64 = (4 << 20) / 512;

/// Shares of the kinds of requests, in percent; the rest are writes.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Reads, checked at once.
    pub reads: u64,
    /// Trims of up to 1 MiB, and as many write-zeroes.
    pub trims: u64,
    /// Flushes.
    pub flushes: u64,
    /// Writes with FUA.
    pub fua: u64,
    /// Writes that are not aligned to blocks of 4 KiB.
    pub unaligned: u64,
    /// Requests to the part of 4 MiB that is written again and again.
    pub hot: u64,
    /// Between two requests; none for a writer that is as fast as it can.
    pub pause: Duration,
}

impl Default for Mix {
    fn default() -> Self {
        Mix {
            reads: 10,
            trims: 2,
            flushes: 2,
            fua: 3,
            unaligned: 20,
            hot: 25,
            pause: Duration::ZERO,
        }
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// What is asked.
    pub(crate) command: Command,
    /// FUA or nothing.
    pub(crate) flags: CommandFlags,
    /// The sectors, none for a flush.
    pub(crate) range: Range<u64>,
}

impl Ask {
    /// Whether it changes what it covers.
    pub(crate) fn changes(&self) -> bool {
        !matches!(self.command, Command::Read | Command::Flush)
    }

    /// Whether both may be in flight together: what one changes the other does not touch.
    pub(crate) fn is_apart_from(&self, other: &Ask) -> bool {
        let apart = self.range.end <= other.range.start || other.range.end <= self.range.start;
        apart || !(self.changes() || other.changes())
    }

    /// Its name in traces.
    pub(crate) fn name(&self) -> &'static str {
        match (self.command, self.flags.has(CommandFlags::FUA)) {
            (Command::Write, true) => "write+fua",
            (Command::Write, false) => "write",
            (Command::Trim, _) => "trim",
            (Command::WriteZeroes, _) => "zeroes",
            (Command::Read, _) => "read",
            _ => "flush",
        }
    }
}

impl Mix {
    /// Draws a request to a disk of `sectors`.
    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng, sectors: u64) -> Ask {
        let mut percent = below(rng, 100);
        let mut is = |share: u64| {
            let hit = percent < share;
            percent = percent.wrapping_sub(share);
            hit
        };
        let (command, bytes_max) = if is(self.reads) {
            (Command::Read, 64 << 10)
        } else if is(self.trims) {
            (Command::Trim, 1 << 20)
        } else if is(self.trims) {
            (Command::WriteZeroes, 1 << 20)
        } else if is(self.flushes) {
            return Ask {
                command: Command::Flush,
                flags: CommandFlags(0),
                range: 0..0,
            };
        } else {
            (Command::Write, 64 << 10)
        };
        let fua = command == Command::Write && below(rng, 100) < self.fua;
        // A trim of a part of a block promises nothing about that part.
        let whole_blocks = command == Command::Trim || below(rng, 100) >= self.unaligned;
        let unit = if whole_blocks { BLOCK_SECTORS } else { 1 };
        let hot = below(rng, 100) < self.hot;
        let within = if hot {
            HOT_SECTORS.min(sectors)
        } else {
            sectors
        };
        let units_max = (bytes_max / 512 / unit).min(within / unit);
        let length = unit * (1 + below(rng, units_max));
        let first = unit * below(rng, (within - length) / unit + 1);
        Ask {
            command,
            flags: CommandFlags(if fua { CommandFlags::FUA } else { 0 }),
            range: first..first + length,
        }
    }
}

/// A number from 0 below `end`. The bias is of no matter here.
pub(crate) fn below(rng: &mut ChaCha8Rng, end: u64) -> u64 {
    rng.next_u64() % end
}

#[cfg(test)]
mod tests {
    //! Requests stay on the disk and keep to their units.

    use super::{Ask, Mix};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    use vpool_nbd_wire::{Command, CommandFlags};

    #[test]
    fn drawn_within_the_disk() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for sectors in [8, 128, 4096, 524_288] {
            for _ in 0..5000 {
                let ask = Mix::default().draw(&mut rng, sectors);
                assert!(ask.range.end <= sectors, "{ask:?}");
                assert_eq!(ask.range.is_empty(), ask.command == Command::Flush);
                if ask.command == Command::Trim {
                    assert!(ask.range.start % 8 == 0 && ask.range.end % 8 == 0);
                }
            }
        }
    }

    #[test]
    fn apart() {
        let ask = |command, range| Ask {
            command,
            flags: CommandFlags(0),
            range,
        };
        let write = ask(Command::Write, 8..16);
        assert!(!write.is_apart_from(&ask(Command::Read, 15..17)));
        assert!(!write.is_apart_from(&ask(Command::Trim, 0..9)));
        assert!(write.is_apart_from(&ask(Command::Write, 16..17)));
        assert!(write.is_apart_from(&ask(Command::Flush, 0..0)));
        let read = ask(Command::Read, 8..16);
        assert!(read.is_apart_from(&ask(Command::Read, 8..16)));
    }
}
