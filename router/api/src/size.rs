//! Sizes as people write them: bytes, or K, M, G, T for powers of 1024.
//!
//! Owns: reading and writing them, and which sizes a disk may have.
//! Does not own: the sizes themselves.

use crate::limits::{DISK_BYTES_MAX, SECTOR_BYTES};

/// A size that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSize {
    /// Not a number with a unit that is known.
    #[error("{0:?} is no size: write bytes, or a whole number with K, M, G or T (powers of 1024)")]
    Text(String),
    /// More than a number of 64 bits holds.
    #[error("{0:?} is more than can be counted")]
    TooLarge(String),
    /// A disk of no bytes.
    #[error("a disk of size 0 holds nothing: the smallest has {SECTOR_BYTES} bytes")]
    Zero,
    /// Not whole sectors.
    #[error("{0} bytes is not a multiple of {SECTOR_BYTES}")]
    NotSectors(u64),
    /// A disk beyond the largest.
    #[error("{} is larger than a disk can be: 64T at most", format(*.0))]
    OverMax(u64),
}

/// Reads a size: `512`, `64K`, `10GiB`. Decimal units (`KB`) are refused, not guessed.
pub fn parse(text: &str) -> Result<u64, BadSize> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").unwrap_or(&unit) {
        "" | "b" if !unit.ends_with("ib") => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(BadSize::Text(shown(text))),
    };
    if number.is_empty() {
        return Err(BadSize::Text(shown(text)));
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| BadSize::TooLarge(shown(text)))
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Refuses sizes that a disk cannot have.
pub fn check_disk(bytes: u64) -> Result<(), BadSize> {
    match bytes {
        0 => Err(BadSize::Zero),
        bytes if bytes > DISK_BYTES_MAX => Err(BadSize::OverMax(bytes)),
        bytes if !bytes.is_multiple_of(SECTOR_BYTES) => Err(BadSize::NotSectors(bytes)),
        _ => Ok(()),
    }
}

/// A size for people: exact where it is a whole number of a unit, else with one decimal.
pub fn format(bytes: u64) -> String {
    const UNITS: [(u32, char); 4] = [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    let Some((shift, unit)) = UNITS.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return bytes.to_string();
    };
    let whole = bytes >> shift;
    if whole << shift == bytes {
        return format!("{whole}{unit}");
    }
    // In 128 bits, so that nothing is lost at the top.
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{}{unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    //! What is read, refused and written.

    use super::{BadSize, check_disk, format, parse};

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("1k", 1 << 10),
            ("64K", 64 << 10),
            ("3MiB", 3 << 20),
            ("40G", 40 << 30),
            ("40 gib", 40 << 30),
            (" 64T ", 64 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "", "G", "-1", "1.5G", "1KB", "10 GB", "1X", "0x10", "1G2", "ib", "1ib", "٣",
        ] {
            assert!(
                matches!(parse(text), Err(BadSize::Text(_))),
                "{text:?}: {:?}",
                parse(text)
            );
        }
        for text in [
            "18446744073709551616",
            "16777216T",
            "99999999999999999999999",
        ] {
            assert!(matches!(parse(text), Err(BadSize::TooLarge(_))), "{text:?}");
        }
    }

    #[test]
    fn sizes_of_disks() {
        for good in [512, 1 << 20, 40 << 30, 64 << 40, (64 << 40) - 512] {
            assert_eq!(check_disk(good), Ok(()), "{good}");
        }
        assert_eq!(check_disk(0), Err(BadSize::Zero));
        assert_eq!(check_disk(513), Err(BadSize::NotSectors(513)));
        assert_eq!(
            check_disk((64 << 40) + 512),
            Err(BadSize::OverMax((64 << 40) + 512))
        );
        assert_eq!(check_disk(u64::MAX), Err(BadSize::OverMax(u64::MAX)));
    }

    #[test]
    fn sizes_are_written() {
        for (bytes, text) in [
            (0, "0"),
            (512, "512"),
            (1024, "1K"),
            (1536, "1.5K"),
            (10 << 30, "10G"),
            ((10 << 30) + 1, "10.0G"),
            (64 << 40, "64T"),
            (u64::MAX, "16777215.9T"),
        ] {
            assert_eq!(format(bytes), text, "{bytes}");
        }
    }
}
