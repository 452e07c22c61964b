//! `grid.key`: made at the first start, and never again.
//!
//! Owns: the file. Does not own: its text (`vpool-seal`), what it opens.
//!
//! A key that is missing where something was sealed with it is never replaced by a new one:
//! that would end with everything unreadable and the error far from its cause.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};
use vpool_host::Host;
use vpool_seal::GridKey;

use crate::data_dir::DataDir;

/// The file's name in the data directory.
const NAME: &str = "grid.key";

/// What can only be read with the key.
const SEALED: [&str; 3] = ["objects", "meta", "journal"];

/// A key file is one line: more than this is another file.
const FILE_BYTES_MAX: u64 = 4096;

/// Reads the key; makes it where the directory is new.
pub(crate) fn read_or_create(dir: &DataDir, host: &Host) -> anyhow::Result<GridKey> {
    let path = dir.join(NAME);
    match File::open(&path) {
        Ok(file) => read(&file, &path),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            for name in SEALED {
                if dir.holds_something(name)? {
                    bail!(
                        "{} is missing, but {} holds what was made with it and can only be \
                         read with it: put the key back from a backup. To begin anew, use \
                         another data directory",
                        path.display(),
                        dir.join(name).display()
                    );
                }
            }
            create(dir, &path, host)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn read(file: &File, path: &Path) -> anyhow::Result<GridKey> {
    let shown = path.display();
    let metadata = file
        .metadata()
        .with_context(|| format!("cannot read {shown}"))?;
    if metadata.len() > FILE_BYTES_MAX {
        bail!("{shown} has {} bytes: it is no key file", metadata.len());
    }
    if metadata.mode() & 0o077 != 0 {
        tracing::warn!(path = %shown, "others than its owner may read the key: chmod 600 it");
    }
    let text = std::io::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    GridKey::parse(&text).with_context(|| format!("cannot use {shown}"))
}

/// Whole and durable under its name, or not there.
fn create(dir: &DataDir, path: &Path, host: &Host) -> anyhow::Result<GridKey> {
    let key = GridKey::generate(&mut |bytes| host.entropy.fill(bytes));
    dir.create_file(NAME, &key.to_text(), host)
        .with_context(|| format!("cannot make the key {}", path.display()))?;
    tracing::warn!(
        path = %path.display(),
        "a new grid key was made: keep a copy elsewhere, without it nothing can be read"
    );
    Ok(key)
}

#[cfg(test)]
mod tests {
    //! Made once; never made anew where something was sealed; damage is named.

    use super::{NAME, read_or_create};
    use crate::data_dir::DataDir;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use vpool_host::Host;

    fn world() -> (tempfile::TempDir, DataDir, Host) {
        let dir = tempfile::tempdir().expect("a directory");
        let host = Host::real();
        let data_dir = DataDir::open(dir.path(), &host).expect("a new directory");
        (dir, data_dir, host)
    }

    #[test]
    fn it_is_made_once_and_private() {
        let (_dir, data_dir, host) = world();
        let key = read_or_create(&data_dir, &host).expect("a new key");
        let mode = fs::metadata(data_dir.join(NAME))
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        data_dir.private("objects", &host).expect("a directory");
        fs::write(data_dir.join("objects/x"), "x").expect("a file");
        assert_eq!(
            read_or_create(&data_dir, &host).expect("the same").id(),
            key.id()
        );
    }

    #[test]
    fn a_missing_key_is_not_replaced() {
        for name in ["objects", "meta", "journal"] {
            let (_dir, data_dir, host) = world();
            read_or_create(&data_dir, &host).expect("a new key");
            data_dir.private(name, &host).expect("a directory");
            fs::write(data_dir.join(name).join("x"), "x").expect("a file");
            fs::remove_file(data_dir.join(NAME)).expect("it was there");
            let error = read_or_create(&data_dir, &host)
                .expect_err("it is missing")
                .to_string();
            assert!(
                error.contains("from a backup") && error.contains(name),
                "{error}"
            );
            assert!(!data_dir.join(NAME).exists());
        }
    }

    #[test]
    fn a_damaged_key_is_named() {
        let (_dir, data_dir, host) = world();
        read_or_create(&data_dir, &host).expect("a new key");
        let path = data_dir.join(NAME);
        let good = fs::read_to_string(&path).expect("text");
        let mut flipped = good.clone();
        flipped.replace_range(20..21, if &good[20..21] == "0" { "1" } else { "0" });
        for (text, why) in [
            (flipped.as_str(), "damaged"),
            ("", "empty"),
            (&good[..40], "damaged"),
            ("-----BEGIN RSA PRIVATE KEY-----", "no grid key"),
            (&"x".repeat(5000), "no key file"),
        ] {
            fs::write(&path, text).expect("it is writable");
            let error = format!("{:#}", read_or_create(&data_dir, &host).expect_err(text));
            assert!(error.contains(why) && error.contains(NAME), "{error}");
        }
    }

    #[test]
    fn a_draft_from_a_crash_is_no_key() {
        let (_dir, data_dir, host) = world();
        fs::write(data_dir.join("grid.key.new"), "vpool-grid-key-1 00").expect("a file");
        read_or_create(&data_dir, &host).expect("a new key");
    }
}
