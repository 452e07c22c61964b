//! The first bytes of an image: its format, and whether it names other files.
//!
//! Owns: both, as pure functions of bytes that anybody may have made. Does not own: everything
//! else about formats; that is QEMU's.
//!
//! ```text
//! qcow2   0 magic 4 │ 4 version 4 │ 8 offset of the backing file's name 8 │ … │ 72 features 8
//! vmdk    0 magic 4 │ 4 version 4 │ 8 flags 4 │ 12 capacity 8 │ … │ 512 descriptor
//! ```
//! The layouts are those of QEMU's `docs/interop/qcow2.rst` (big-endian) and `block/vmdk.c`
//! (little-endian).

use crate::arguments::image::ImageFormat;

const QCOW2: &[u8] = b"QFI\xfb";
const VMDK_SPARSE: &[u8] = b"KDMV";
const VMDK_OLD: &[u8] = b"COWD";
const VMDK_TEXT: &[u8] = b"# Disk DescriptorFile";

/// Where a sparse VMDK's descriptor begins, and how much of it QEMU looks at.
const VMDK_TEXT_AT: usize = 512;
const VMDK_TEXT_BYTES: usize = 20 * 512;

/// All that is looked at.
pub(super) const HEAD_BYTES: usize = VMDK_TEXT_AT + VMDK_TEXT_BYTES;

/// The incompatible feature of a qcow2 that has its data elsewhere.
const EXTERNAL_DATA: u64 = 1 << 2;

/// The format that the image has by its first bytes; raw is what has none of the others'.
pub(super) fn detect(head: &[u8]) -> ImageFormat {
    let begins = |magic: &[u8]| head.starts_with(magic);
    if begins(QCOW2) {
        ImageFormat::Qcow2
    } else if begins(VMDK_SPARSE) || begins(VMDK_OLD) || begins(VMDK_TEXT) {
        ImageFormat::Vmdk
    } else {
        ImageFormat::Raw
    }
}

/// Refuses an image that is more than one file, or may be; the error says how. What cannot be
/// told is left to QEMU, which refuses what is not the format that it was told.
pub(super) fn check_alone(head: &[u8], format: ImageFormat) -> Result<(), &'static str> {
    match format {
        ImageFormat::Raw => Ok(()),
        ImageFormat::Qcow2 if big_endian(head, 8) != Some(0) => Err("it has a backing file"),
        ImageFormat::Qcow2 => match version(head) {
            // Version 2 has no features; QEMU knows no others.
            Some(2) => Ok(()),
            _ => match big_endian(head, 72) {
                Some(features) if features & EXTERNAL_DATA == 0 => Ok(()),
                _ => Err("it has its data in another file"),
            },
        },
        ImageFormat::Vmdk => {
            let capacity = head.get(12..20).and_then(|bytes| bytes.first_chunk());
            // Without a capacity QEMU takes the descriptor's word for where the data is.
            if !head.starts_with(VMDK_SPARSE) || capacity.is_none_or(|bytes| *bytes == [0; 8]) {
                return Err("it has its data in other files");
            }
            let text = head.get(VMDK_TEXT_AT..).unwrap_or_default();
            let name = b"parentFileNameHint";
            match text.windows(name.len()).any(|window| window == name) {
                true => Err("it has a parent"),
                false => Ok(()),
            }
        }
    }
}

fn version(head: &[u8]) -> Option<u32> {
    head.get(4..8)?
        .first_chunk()
        .copied()
        .map(u32::from_be_bytes)
}

fn big_endian(head: &[u8], at: usize) -> Option<u64> {
    head.get(at..at + 8)?
        .first_chunk()
        .copied()
        .map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    //! Headers good, hostile and cut off.

    use super::{HEAD_BYTES, check_alone, detect};
    use crate::arguments::image::ImageFormat::{Qcow2, Raw, Vmdk};

    fn qcow2(version: u8, backing: u8, features: u8) -> Vec<u8> {
        let mut head = vec![0; 104];
        head[..4].copy_from_slice(b"QFI\xfb");
        head[7] = version;
        head[15] = backing;
        head[79] = features;
        head
    }

    fn vmdk(capacity: u8, text: &str) -> Vec<u8> {
        let mut head = vec![0; HEAD_BYTES];
        head[..4].copy_from_slice(b"KDMV");
        head[12] = capacity;
        head[512..512 + text.len()].copy_from_slice(text.as_bytes());
        head
    }

    #[test]
    fn formats_by_their_first_bytes() {
        assert_eq!(detect(&qcow2(3, 0, 0)), Qcow2);
        assert_eq!(detect(&vmdk(1, "")), Vmdk);
        assert_eq!(detect(b"COWD"), Vmdk);
        assert_eq!(detect(b"# Disk DescriptorFile\nversion=1\n"), Vmdk);
        for raw in [&b""[..], b"QF", b"\x7fELF", &[0; 512]] {
            assert_eq!(detect(raw), Raw);
        }
    }

    #[test]
    fn images_that_stand_alone() {
        for (head, format) in [
            (qcow2(2, 0, 0xff), Qcow2),
            (qcow2(3, 0, 0b1011), Qcow2),
            (vmdk(1, "# Disk DescriptorFile\nparentCID=ffffffff\n"), Vmdk),
            (Vec::new(), Raw),
            (qcow2(3, 1, 4), Raw),
        ] {
            assert_eq!(check_alone(&head, format), Ok(()), "{format:?}");
        }
    }

    #[test]
    fn images_that_name_other_files() {
        for (head, format) in [
            (qcow2(2, 1, 0), Qcow2),
            (qcow2(3, 1, 0), Qcow2),
            (qcow2(3, 0, 0b100), Qcow2),
            (vmdk(0, "RW 1 FLAT \"/etc/passwd\" 0"), Vmdk),
            (vmdk(1, "x\nparentFileNameHint=\"/etc/passwd\""), Vmdk),
            (
                b"# Disk DescriptorFile\nRW 1 FLAT \"/etc/passwd\" 0".to_vec(),
                Vmdk,
            ),
            (b"COWD".to_vec(), Vmdk),
        ] {
            assert!(check_alone(&head, format).is_err(), "{format:?} {head:?}");
        }
    }

    #[test]
    fn headers_that_end_early_are_no_panic() {
        for whole in [qcow2(3, 0, 0), vmdk(1, "# Disk"), vec![0xff; HEAD_BYTES]] {
            for end in 0..whole.len().min(600) {
                for format in [Raw, Qcow2, Vmdk] {
                    let _either = check_alone(&whole[..end], format);
                }
                let _any = detect(&whole[..end]);
            }
        }
        assert!(
            check_alone(&qcow2(3, 0, 0)[..72], Qcow2).is_err(),
            "no features to see"
        );
    }
}
