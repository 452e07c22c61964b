//! An initramfs: a cpio archive in the form that the kernel reads ("newc", uncompressed).
//!
//! Owns: its bytes. Does not own: what is in it (`guest.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;

const MAGIC: &str = "070701";
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const LAST: &str = "TRAILER!!!";

/// An archive under way.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    directories: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    /// Adds a file of this machine; a link is followed.
    pub(crate) fn add_file(
        &mut self,
        name: &str,
        from: &Path,
        executable: bool,
    ) -> anyhow::Result<()> {
        let bytes = fs::read(from).with_context(|| format!("read {}", from.display()))?;
        self.add(name, &bytes, executable)
    }

    /// Adds a file, and the directories that it needs.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8], executable: bool) -> anyhow::Result<()> {
        let above = Path::new(name)
            .ancestors()
            .skip(1)
            .filter(|path| *path != Path::new(""));
        let mut above: Vec<_> = above
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        // The outermost first: the kernel makes them in the archive's order.
        above.reverse();
        for directory in above {
            if self.directories.insert(directory.clone()) {
                self.entry(&directory, DIRECTORY, &[])?;
            }
        }
        self.entry(name, if executable { PROGRAM } else { FILE }, bytes)
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(LAST, 0, &[]).expect("its name is short");
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
        let length = u32::try_from(bytes.len()).context("a file of an initramfs")?;
        let name_length = u32::try_from(name.len() + 1).context("a name")?;
        self.entries += 1;
        // ino, mode, uid, gid, links, mtime, length, device (4), name's length, checksum
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            length,
            0,
            0,
            0,
            0,
            name_length,
            0,
        ];
        self.bytes.extend_from_slice(MAGIC.as_bytes());
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(bytes);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    //! Names, lengths and padding stand where the format wants them.

    use super::Archive;

    #[test]
    fn a_file_and_its_directory() {
        let mut archive = Archive::default();
        archive.add("bin/x", b"hello", true).unwrap();
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        let at = |what: &str| text.find(what).unwrap();
        assert!(at("bin\0") < at("bin/x\0") && at("bin/x\0") < at("TRAILER!!!\0"));
        assert!(at("hello") > at("bin/x\0") && at("hello").is_multiple_of(4));
        assert_eq!(bytes.len() % 4, 0);
        // Header of 110 bytes and "bin" with its 0; then the file's header.
        assert_eq!(&bytes[116..122], b"070701");
        assert_eq!(&bytes[116 + 6 + 6 * 8..][..8], b"00000005");
    }
}
