//! One value of each format, every field with bytes of its own, and what may be done to it.

mod bucket;
mod journal;
mod store;

use vpool_format::{Base, Epoch, Result, SealedEnd, SegmentNo, Seq, StreamUid, Tail, crc32c};

pub(crate) use bucket::claim;

/// The MAC of these tests: as the pool's, with a key of their own.
pub(crate) fn mac(bytes: &[u8]) -> [u8; 16] {
    let hash = blake3::keyed_hash(&[7; 32], bytes);
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// What protects the bytes of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing of its own: it lies inside what is protected.
    None,
    /// CRC-32C in the last 4 bytes.
    Crc,
    /// MAC in the last 16 bytes.
    Mac,
    /// MAC, then CRC-32C in the last 4 bytes.
    MacAndCrc,
}

impl Guard {
    /// Makes the guard of `bytes` right again: what a forger with the key, or a buggy writer,
    /// would have written.
    pub(crate) fn restore(self, bytes: &mut [u8]) {
        let (mac_bytes, crc_bytes) = match self {
            Guard::None => (0, 0),
            Guard::Crc => (0, 4),
            Guard::Mac => (16, 0),
            Guard::MacAndCrc => (16, 4),
        };
        let crc_at = bytes.len() - crc_bytes;
        let mac_at = crc_at - mac_bytes;
        if mac_bytes > 0 {
            let tag = mac(&bytes[..mac_at]);
            bytes[mac_at..crc_at].copy_from_slice(&tag);
        }
        if crc_bytes > 0 {
            let crc = crc32c(&bytes[..crc_at]);
            bytes[crc_at..].copy_from_slice(&crc.to_le_bytes());
        }
    }
}

type Recode = Box<dyn Fn(&[u8]) -> Result<Vec<u8>>>;
type IsValue = Box<dyn Fn(&[u8]) -> bool>;

/// A format with a sample of it.
pub(crate) struct Sample {
    /// The golden file's name, without version.
    pub(crate) name: &'static str,
    /// The sample's bytes.
    pub(crate) bytes: Vec<u8>,
    /// Reads bytes and writes what was read again.
    pub(crate) recode: Recode,
    /// Whether bytes decode to exactly the sample.
    pub(crate) is_value: IsValue,
    /// What protects it.
    pub(crate) guard: Guard,
}

fn sample<T: PartialEq + Clone + 'static>(
    name: &'static str,
    guard: Guard,
    value: T,
    encode: impl Fn(&T) -> Vec<u8> + 'static,
    decode: impl Fn(&[u8]) -> Result<T> + Clone + 'static,
) -> Sample {
    let bytes = encode(&value);
    let read = decode.clone();
    Sample {
        name,
        bytes,
        recode: Box::new(move |bytes| Ok(encode(&decode(bytes)?))),
        is_value: Box::new(move |bytes| read(bytes).as_ref() == Ok(&value)),
        guard,
    }
}

/// All formats.
pub(crate) fn all() -> Vec<Sample> {
    let mut all = journal::all();
    all.extend(store::all());
    all.extend(bucket::all());
    all
}

fn salt(first: u8) -> [u8; 32] {
    let mut next = first;
    std::array::from_fn(|_| {
        next = next.wrapping_add(1);
        next
    })
}

fn base() -> Base {
    let end = |number: u64| SealedEnd {
        uid: StreamUid(u128::from(number)),
        epoch: Epoch(number + 1),
        segment: SegmentNo(number + 2),
        seq: Seq(number + 3),
        checkpoint: number + 4,
    };
    let tail = |uid, first| Tail {
        uid: StreamUid(uid),
        first: Seq(first),
        last: Seq(first + 9),
    };
    Base {
        sealed: vec![end(0x40), end(0x50)],
        tails: vec![tail(0x50, 0x60), tail(0x51, 0x70)],
    }
}
