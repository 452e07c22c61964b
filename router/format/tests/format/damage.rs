//! Damage is noticed (P7): truncation at every byte, every single bit, and bytes that were
//! protected rightly but make no sense.

use crate::samples::{self, Guard, Sample};

/// Refused, or read as what would be written exactly so: nothing in between.
fn refused_or_canonical(sample: &Sample, bytes: &[u8], what: &str) {
    if let Ok(again) = (sample.recode)(bytes) {
        assert_eq!(
            again, bytes,
            "{}: {what}: two spellings of one value",
            sample.name
        );
    }
}

fn flips(sample: &Sample) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..sample.bytes.len() * 8).map(|bit| {
        let mut bytes = sample.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        (bit, bytes)
    })
}

#[test]
fn truncation_at_every_byte_is_refused() {
    for sample in samples::all() {
        for length in 0..sample.bytes.len() {
            let cut = &sample.bytes[..length];
            assert!((sample.recode)(cut).is_err(), "{} at {length}", sample.name);
        }
    }
}

#[test]
fn more_bytes_than_there_should_be_are_refused() {
    for sample in samples::all() {
        let mut longer = sample.bytes.clone();
        longer.push(0);
        assert!((sample.recode)(&longer).is_err(), "{}", sample.name);
    }
}

#[test]
fn every_flipped_bit_of_what_is_guarded_is_refused() {
    for sample in samples::all()
        .iter()
        .filter(|sample| sample.guard != Guard::None)
    {
        for (bit, bytes) in flips(sample) {
            assert!(
                (sample.recode)(&bytes).is_err(),
                "{} bit {bit}",
                sample.name
            );
        }
    }
}

/// A bug of a writer, or a forger with the key: the guard is right, the fields are not.
#[test]
fn every_flipped_bit_under_a_right_guard_is_refused_or_canonical() {
    for sample in samples::all() {
        for (bit, mut bytes) in flips(&sample) {
            sample.guard.restore(&mut bytes);
            refused_or_canonical(&sample, &bytes, &format!("bit {bit}"));
        }
    }
}

#[test]
fn truncation_under_a_right_guard_is_refused() {
    for sample in samples::all()
        .iter()
        .filter(|sample| sample.guard != Guard::None)
    {
        for length in 20..sample.bytes.len() {
            let mut bytes = sample.bytes[..length].to_vec();
            sample.guard.restore(&mut bytes);
            assert!(
                (sample.recode)(&bytes).is_err(),
                "{} at {length}",
                sample.name
            );
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_refused_or_canonical(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..5000),
    ) {
        for sample in samples::all() {
            refused_or_canonical(&sample, &bytes, "any bytes");
        }
    }

    /// Several bytes at once, so that fields are wrong together.
    #[test]
    fn overwritten_bytes_under_a_right_guard_are_refused_or_canonical(
        changes in proptest::collection::vec(
            (proptest::num::usize::ANY, proptest::num::u8::ANY), 1..6,
        ),
    ) {
        for sample in samples::all() {
            let mut bytes = sample.bytes.clone();
            for (place, value) in &changes {
                // Most of a block is unused: half of the changes go where the fields are.
                let range = if place % 2 == 0 { bytes.len() } else { bytes.len().min(256) };
                bytes[place / 2 % range] = *value;
            }
            sample.guard.restore(&mut bytes);
            refused_or_canonical(&sample, &bytes, &format!("{changes:?}"));
        }
    }
}
