//! The names of objects.
//!
//! Owns: how a name is spelt and read back from a listing; that no two things share one (P3).
//! Does not own: the pool's prefix, and listing.
//!
//! ```text
//! claim/{generation}
//! pool/{number}
//! disk/{disk}/descriptor/{number}
//! disk/{disk}/stream/{generation}-{epoch}
//! disk/{disk}/{epoch}-{uid}/segment/{segment}
//! disk/{disk}/{epoch}-{uid}/checkpoint/{number}
//! ```
//!
//! Numbers are 16, ids 32 lower-case hexadecimal digits, so that names sort as numbers do.

use std::fmt;

use crate::ids::{DiskId, Epoch, Generation, SegmentNo, StreamUid};

#[cfg(test)]
mod tests;

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 200;

/// The name of an object, under the pool's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// A grid's claim on the location.
    Claim {
        /// The claim's generation.
        generation: Generation,
    },
    /// A pool record: a change of the pool's own settings.
    Pool {
        /// The record's number.
        number: u64,
    },
    /// A vDisk's descriptor.
    Descriptor {
        /// The vDisk.
        disk: DiskId,
        /// The descriptor's number.
        number: u64,
    },
    /// The record of a stream (uid, base), found by the epoch that opened it.
    Stream {
        /// The vDisk.
        disk: DiskId,
        /// The claim under which it was opened.
        generation: Generation,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A segment of a stream.
    Segment {
        /// The vDisk.
        disk: DiskId,
        /// The stream's epoch.
        epoch: Epoch,
        /// The stream.
        uid: StreamUid,
        /// The segment's number.
        segment: SegmentNo,
    },
    /// A checkpoint of a stream.
    Checkpoint {
        /// The vDisk.
        disk: DiskId,
        /// The stream's epoch.
        epoch: Epoch,
        /// The stream.
        uid: StreamUid,
        /// The checkpoint's number.
        number: u64,
    },
}

impl Name {
    /// What all claims start with.
    pub const CLAIMS: &'static str = "claim/";

    /// What all pool records start with.
    pub const POOLS: &'static str = "pool/";

    /// What everything of all vDisks starts with.
    pub const DISKS: &'static str = "disk/";

    /// What everything of one vDisk starts with.
    pub fn of_disk(disk: DiskId) -> String {
        format!("disk/{disk}/")
    }

    /// What all descriptors of one vDisk start with.
    pub fn descriptors(disk: DiskId) -> String {
        format!("disk/{disk}/descriptor/")
    }

    /// What all stream records of one vDisk start with.
    pub fn streams(disk: DiskId) -> String {
        format!("disk/{disk}/stream/")
    }

    /// What all segments of one stream start with.
    pub fn segments(disk: DiskId, epoch: Epoch, uid: StreamUid) -> String {
        format!("disk/{disk}/{:016x}-{uid}/segment/", epoch.0)
    }

    /// What all checkpoints of one stream start with.
    pub fn checkpoints(disk: DiskId, epoch: Epoch, uid: StreamUid) -> String {
        format!("disk/{disk}/{:016x}-{uid}/checkpoint/", epoch.0)
    }

    /// Reads a name back. `None` for whatever this grammar does not write: such an object is
    /// not ours to judge.
    pub fn parse(name: &str) -> Option<Name> {
        let mut parts = name.split('/');
        let found = match (
            parts.next()?,
            parts.next()?,
            parts.next(),
            parts.next(),
            parts.next(),
        ) {
            ("claim", last, None, None, None) => Name::Claim {
                generation: Generation(number(last)?),
            },
            ("pool", last, None, None, None) => Name::Pool {
                number: number(last)?,
            },
            ("disk", disk, Some(third), Some(fourth), fifth) => {
                Self::parse_of_disk(DiskId(id(disk)?), third, fourth, fifth)?
            }
            _ => return None,
        };
        parts.next().is_none().then_some(found)
    }

    fn parse_of_disk(disk: DiskId, third: &str, fourth: &str, fifth: Option<&str>) -> Option<Name> {
        Some(match (third, fourth, fifth) {
            ("descriptor", last, None) => Name::Descriptor {
                disk,
                number: number(last)?,
            },
            ("stream", last, None) => {
                let (generation, epoch) = last.split_once('-')?;
                let generation = Generation(number(generation)?);
                Name::Stream {
                    disk,
                    generation,
                    epoch: Epoch(number(epoch)?),
                }
            }
            (stream, kind, Some(last)) => {
                let (epoch, uid) = stream.split_once('-')?;
                let (epoch, uid) = (Epoch(number(epoch)?), StreamUid(id(uid)?));
                let last = number(last)?;
                match kind {
                    "segment" => Name::Segment {
                        disk,
                        epoch,
                        uid,
                        segment: SegmentNo(last),
                    },
                    "checkpoint" => Name::Checkpoint {
                        disk,
                        epoch,
                        uid,
                        number: last,
                    },
                    _ => return None,
                }
            }
            _ => return None,
        })
    }
}

/// Exactly 16 lower-case hexadecimal digits.
fn number(digits: &str) -> Option<u64> {
    is_hex(digits, 16)
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}

/// Exactly 32 lower-case hexadecimal digits.
fn id(digits: &str) -> Option<u128> {
    is_hex(digits, 32)
        .then(|| u128::from_str_radix(digits, 16).ok())
        .flatten()
}

fn is_hex(digits: &str, count: usize) -> bool {
    digits.len() == count
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Name::Claim { generation } => write!(f, "claim/{:016x}", generation.0),
            Name::Pool { number } => write!(f, "pool/{number:016x}"),
            Name::Descriptor { disk, number } => {
                write!(f, "disk/{disk}/descriptor/{number:016x}")
            }
            Name::Stream {
                disk,
                generation,
                epoch,
            } => {
                write!(
                    f,
                    "disk/{disk}/stream/{:016x}-{:016x}",
                    generation.0, epoch.0
                )
            }
            #[cfg(feature = "planted")]
            Name::Segment { disk, segment, .. } if crate::planted::is_on("names-without-epoch") => {
                write!(f, "disk/{disk}/segment/{:016x}", segment.0)
            }
            Name::Segment {
                disk,
                epoch,
                uid,
                segment,
            } => {
                write!(
                    f,
                    "disk/{disk}/{:016x}-{uid}/segment/{:016x}",
                    epoch.0, segment.0
                )
            }
            Name::Checkpoint {
                disk,
                epoch,
                uid,
                number,
            } => {
                write!(
                    f,
                    "disk/{disk}/{:016x}-{uid}/checkpoint/{number:016x}",
                    epoch.0
                )
            }
        }
    }
}
