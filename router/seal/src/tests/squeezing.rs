//! Compression: round trips, bounds, damage, and not wasting time on what will not shrink.

use proptest::prelude::*;
use vpool_format::segment::Codec;

use super::random;
use crate::{Backoff, Compressor, Decompressor};

/// Words in an order of their own: shrinks to about a third.
fn text(seed: u64, length: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "grid ",
        "storage ",
        "router ",
        "segment ",
        "journal ",
        "epoch ",
        "warehouse ",
        "door ",
    ];
    let picks = random(seed, length);
    let words = picks
        .iter()
        .flat_map(|pick| WORDS[usize::from(*pick % 8)].bytes());
    words.take(length).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_compressed_comes_back(
        seed: u64,
        length in 0usize..=65536,
        noise in 0usize..=65536,
    ) {
        // Text with noise from some point on.
        let mut raw = text(seed, length);
        let noise = noise.min(length);
        raw[length - noise..].copy_from_slice(&random(seed, noise));
        let mut compressor = Compressor::new();
        let (codec, stored) = compressor.compress(&mut Backoff::default(), &raw);
        let raw_bytes = u32::try_from(length).expect("short");
        match codec {
            Codec::Raw => prop_assert_eq!(stored, &raw[..]),
            Codec::Zstd => {
                prop_assert!(stored.len() + length.div_ceil(8) <= length);
                let mut out = vec![1, 2, 3];
                Decompressor::new().decompress(stored, raw_bytes, &mut out).expect("is whole");
                prop_assert_eq!(&out[3..], &raw[..]);
            }
        }
    }

    #[test]
    fn any_bytes_decompress_to_the_length_or_to_nothing(
        stored in prop::collection::vec(any::<u8>(), 0..300),
        frame: bool,
        raw_bytes in 0u32..70_000,
    ) {
        let magic: &[u8] = if frame { &[0x28, 0xb5, 0x2f, 0xfd] } else { &[] };
        let stored = [magic, &stored].concat();
        let mut out = vec![9];
        let result = Decompressor::new().decompress(&stored, raw_bytes, &mut out);
        let grown = if result.is_ok() { usize::try_from(raw_bytes).expect("fits") } else { 0 };
        prop_assert_eq!(out.len(), 1 + grown);
    }
}

#[test]
fn a_wrong_length_is_damage() {
    let raw = text(1, 32768);
    let mut compressor = Compressor::new();
    let (codec, stored) = compressor.compress(&mut Backoff::default(), &raw);
    assert_eq!(codec, Codec::Zstd);
    let mut decompressor = Decompressor::new();
    let mut out = Vec::new();
    for raw_bytes in [0, 1, 32767, 32769, 65536, 65537, u32::MAX] {
        assert!(
            decompressor
                .decompress(stored, raw_bytes, &mut out)
                .is_err(),
            "{raw_bytes}"
        );
    }
    for length in 0..stored.len() {
        assert!(
            decompressor
                .decompress(&stored[..length], 32768, &mut out)
                .is_err()
        );
    }
    // Two frames, or a frame and something: more than was stored.
    let doubled = [stored, stored].concat();
    assert!(decompressor.decompress(&doubled, 32768, &mut out).is_err());
    assert!(out.is_empty());
}

/// How many of `chunks` were tried (or shrank), by what the backoff remembers.
fn tried(backoff: &mut Backoff, chunks: impl Iterator<Item = Vec<u8>>) -> (usize, usize) {
    let mut compressor = Compressor::new();
    let mut tried = 0;
    let mut shrank = 0;
    for chunk in chunks {
        let will_try = {
            let mut copy = *backoff;
            copy.tries(crate::compress::looks_random(&chunk))
        };
        tried += usize::from(will_try);
        let (codec, _) = compressor.compress(backoff, &chunk);
        shrank += usize::from(codec == Codec::Zstd);
    }
    (tried, shrank)
}

#[test]
fn random_data_is_hardly_tried_and_text_always() {
    let mut backoff = Backoff::default();
    let (tries, shrank) = tried(&mut backoff, (0..160).map(|seed| random(seed, 32768)));
    assert_eq!((tries, shrank), (10, 0));
    // Text among it shrinks at once, and what looks random is given another chance.
    assert_eq!(
        tried(&mut backoff, (0..20).map(|seed| text(seed, 32768))),
        (20, 20)
    );
    assert_eq!(
        tried(&mut backoff, (0..1).map(|seed| random(seed, 4096))),
        (1, 0)
    );
}

#[test]
fn data_that_only_looks_as_if_it_shrank_is_given_up() {
    // Seven random bits in each byte: zstd's entropy stage saves an eighth, but of floats or
    // of 7.8 bits it saves too little. Here: values of 250 of 256.
    let skewed = |seed| {
        let mut bytes = random(seed, 32768);
        for byte in &mut bytes {
            *byte = if *byte % 16 == 0 { 0 } else { *byte };
        }
        bytes
    };
    let mut backoff = Backoff::default();
    let (tries, shrank) = tried(&mut backoff, (0..200).map(skewed));
    assert_eq!(shrank, 0);
    assert!(tries < 15, "{tries}");
    let (tries, shrank) = tried(&mut backoff, (0..64).map(|seed| text(seed, 32768)));
    assert!(tries >= 32 && tries == shrank, "{tries} {shrank}");
}

#[test]
fn data_at_the_border_is_mostly_left_alone_and_what_saves_a_little_is_found_again() {
    // Noise, with so many zeroes at the end of each chunk.
    let chunk = |seed, zeroes: usize| {
        let mut bytes = random(seed, 32768);
        bytes[32768 - zeroes..].fill(0);
        bytes
    };
    let mut backoff = Backoff::default();
    // Every fifth saves a sixth, the rest too little; none looks random.
    let mixed = (0..800).map(|seed| chunk(seed, if seed % 5 == 0 { 5461 } else { 3700 }));
    let (tries, _) = tried(&mut backoff, mixed);
    assert!(tries < 200, "{tries} of 800");
    // All of them do.
    let fair = (0..1000).map(|seed| chunk(seed, 5461));
    let (_, shrank) = tried(&mut backoff, fair);
    assert!(shrank > 850, "{shrank} of 1000");
}
