//! Compressing chunks where that helps, and decompressing them within a bound.
//!
//! Owns: [`Compressor`], [`Backoff`], [`Decompressor`]. Does not own: sealing, which comes
//! after compression and before decompression.
//!
//! Trying costs more than anything else that the packer does, so data that will not shrink is
//! recognised early: by the spread of a few hundred sampled bytes, and by what became of the
//! chunks before it on the same disk.

use std::fmt;

use vpool_format::segment::Codec;
use zstd::bulk;
use zstd::zstd_safe::CParameter;

use crate::{Damaged, RAW_BYTES_MAX};

/// zstd's level; the ratio of higher ones is not worth their time on 32 KiB (`seal_speed`).
const LEVEL: i32 = 1;
/// Compression must save at least one part in this many, or the chunk is stored as it is: what
/// saves less costs more CPU than it is worth (OpenZFS draws the same line, `zio_compress.c`).
const SAVING: usize = 8;
/// Bytes looked at to tell random data: this many runs of this many.
const SAMPLE_RUNS: usize = 16;
const SAMPLE_RUN_BYTES: usize = 32;
/// A chunk that saves one part in this many shows that the data is worth trying again. Of those
/// that save less it takes so many in a row to halve how many chunks go untried: data at the
/// border would else be tried, mostly in vain, all the time.
const GOOD_SAVING: usize = 4;
const FAIR_IN_A_ROW: u8 = 2;
/// After a failure on random-looking data, how many more random-looking chunks go untried.
const SKIP_RANDOM: u8 = 15;
/// After `n` failures in a row, 2ⁿ − 1 chunks go untried, up to 2⁵ − 1.
const FAILURES_MAX: u8 = 5;

/// What is remembered of a disk's recent chunks: keep one per disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    /// Chunks tried in vain since the last that shrank.
    failures: u8,
    /// Those that saved a little, since then.
    fair: u8,
    /// Chunks still to be stored untried.
    skip: u8,
    /// Random-looking chunks still to be stored untried.
    skip_random: u8,
}

/// What became of a chunk that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    Good,
    Fair,
    Vain,
}

impl Backoff {
    /// Whether to try the next chunk.
    pub(crate) fn tries(&mut self, looks_random: bool) -> bool {
        let skip = if looks_random {
            &mut self.skip_random
        } else {
            &mut self.skip
        };
        match skip.checked_sub(1) {
            Some(left) => {
                *skip = left;
                false
            }
            None => true,
        }
    }

    fn learn(&mut self, looks_random: bool, result: Tried) {
        if result == Tried::Good {
            *self = Backoff::default();
        } else if result == Tried::Fair {
            self.fair += 1;
            if self.fair == FAIR_IN_A_ROW {
                self.fair = 0;
                self.failures = self.failures.saturating_sub(1);
            }
            self.skip = (1 << self.failures) - 1;
        } else if looks_random {
            self.skip_random = SKIP_RANDOM;
        } else {
            self.fair = 0;
            self.failures = (self.failures + 1).min(FAILURES_MAX);
            self.skip = (1 << self.failures) - 1;
        }
    }
}

/// Compresses chunks. One per worker: it holds zstd's tables and a buffer, under 1 MiB.
pub struct Compressor {
    zstd: bulk::Compressor<'static>,
    out: Box<[u8]>,
}

impl Compressor {
    /// A new one.
    pub fn new() -> Compressor {
        let mut zstd = bulk::Compressor::new(LEVEL).expect("level 1 exists");
        // Every byte is verified by a tag already, and no dictionary is used.
        for parameter in [
            CParameter::ChecksumFlag(false),
            CParameter::DictIdFlag(false),
        ] {
            zstd.set_parameter(parameter)
                .expect("both flags are as old as zstd 1.4");
        }
        Compressor {
            zstd,
            out: vec![0; RAW_BYTES_MAX].into(),
        }
    }

    /// What to store for `raw` (at most [`RAW_BYTES_MAX`] bytes): a zstd frame if that saves at
    /// least an eighth, otherwise `raw` itself. A function of `raw` and `backoff` alone.
    pub fn compress<'a>(&'a mut self, backoff: &mut Backoff, raw: &'a [u8]) -> (Codec, &'a [u8]) {
        assert!(raw.len() <= RAW_BYTES_MAX, "longer than any chunk");
        let looks_random = looks_random(raw);
        if !backoff.tries(looks_random) {
            return (Codec::Raw, raw);
        }
        // Given no more room than is worth having, zstd fails early.
        let room = raw.len() - raw.len().div_ceil(SAVING);
        let frame = self.zstd.compress_to_buffer(raw, &mut self.out[..room]);
        let tried = match &frame {
            Ok(bytes) if *bytes <= raw.len() - raw.len() / GOOD_SAVING => Tried::Good,
            Ok(_) => Tried::Fair,
            Err(_) => Tried::Vain,
        };
        backoff.learn(looks_random, tried);
        match frame {
            Ok(bytes) => (Codec::Zstd, &self.out[..bytes]),
            Err(_) => (Codec::Raw, raw),
        }
    }
}

/// Whether the bytes of a sample are spread as evenly as those of encrypted or compressed data.
pub(crate) fn looks_random(raw: &[u8]) -> bool {
    const SAMPLE: usize = SAMPLE_RUNS * SAMPLE_RUN_BYTES;
    // Of n random bytes, the sum over all values of their count squared is n + n (n-1) / 256 on
    // average, 1,534 for 512, with a deviation of 45. Text gives 10,000 and more.
    const RANDOM_MAX: u32 = 1_760;
    if raw.len() < SAMPLE {
        return false;
    }
    let mut counts = [0u32; 256];
    for run in raw.chunks_exact(raw.len() / SAMPLE_RUNS).take(SAMPLE_RUNS) {
        for byte in &run[..SAMPLE_RUN_BYTES] {
            counts[usize::from(*byte)] += 1;
        }
    }
    counts.iter().map(|count| count * count).sum::<u32>() <= RANDOM_MAX
}

impl Default for Compressor {
    fn default() -> Compressor {
        Compressor::new()
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compressor")
    }
}

/// Decompresses chunks. One per worker.
pub struct Decompressor(bulk::Decompressor<'static>);

impl Decompressor {
    /// A new one.
    pub fn new() -> Decompressor {
        Decompressor(bulk::Decompressor::new().expect("a context without dictionary"))
    }

    /// Appends the `raw_bytes` bytes (at most [`RAW_BYTES_MAX`]) that `stored` was made of. If
    /// they are not exactly that many, or `stored` is not one whole frame, it is damaged and
    /// nothing is appended.
    pub fn decompress(
        &mut self,
        stored: &[u8],
        raw_bytes: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), Damaged> {
        let damaged = Damaged {
            what: "compressed chunk",
        };
        let raw_bytes = usize::try_from(raw_bytes).map_err(|_| damaged)?;
        if raw_bytes > RAW_BYTES_MAX {
            return Err(damaged);
        }
        let start = out.len();
        out.resize(start + raw_bytes, 0);
        match self.0.decompress_to_buffer(stored, &mut out[start..]) {
            Ok(bytes) if bytes == raw_bytes => Ok(()),
            _ => {
                out.truncate(start);
                Err(damaged)
            }
        }
    }
}

impl Default for Decompressor {
    fn default() -> Decompressor {
        Decompressor::new()
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompressor")
    }
}
