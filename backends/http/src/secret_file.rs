//! Files that hold secrets.
//!
//! Owns: mode and size of the file, and wiping what was read. No error of it shows any of
//! the text, since a line that makes no sense may be the secret itself.
//! Does not own: what stands in the file (each store).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use vpool_object::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

use crate::limits::SECRET_BYTES_MAX;

/// Rights of group and others.
const FOREIGN_RIGHTS: u32 = 0o077;

/// Reads a regular file that nobody but its owner may read or change, and has `parse` make
/// something of its text. [`ErrorKind::Invalid`] naming the file where any of this fails.
pub fn read<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> std::result::Result<T, String>,
) -> Result<T> {
    let refuse = |why: &str| {
        Error::new(
            ErrorKind::Invalid,
            format!("credentials file {}: {why}", path.display()),
        )
    };
    let failed = |error: std::io::Error| refuse(&error.to_string()).with_source(error);

    let file = File::open(path).map_err(failed)?;
    // Of the open file, so that it cannot be exchanged between the check and the reading.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(refuse("it is no regular file"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & FOREIGN_RIGHTS != 0 {
        return Err(refuse(&format!(
            "its mode {mode:04o} lets others than its owner at the secret; chmod 600 it"
        )));
    }
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(refuse("it is too long for what it should hold"));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(SECRET_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    parse(&text).map_err(|why| refuse(&why))
}

#[cfg(test)]
mod tests {
    //! Which files are read, and that a refusal names the file and shows nothing of it.

    use std::fs::Permissions;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use vpool_object::ErrorKind;

    use super::read;

    fn file_with(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.as_file()
            .set_permissions(Permissions::from_mode(mode))
            .unwrap();
        file
    }

    fn whole(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    #[test]
    fn only_the_owner_may_read_the_file() {
        for mode in [0o600, 0o400] {
            let file = file_with("canary", mode);
            assert_eq!(read(file.path(), whole).unwrap(), "canary", "{mode:o}");
        }
        for mode in [0o644, 0o640, 0o604, 0o602, 0o620] {
            let file = file_with("canary", mode);
            let error = read(file.path(), whole).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("chmod 600"), "{error}");
            assert!(!format!("{error:?}").contains("canary"));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().join("absent"), dir.path().to_path_buf()] {
            let error = read(&path, whole).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(
                error.to_string().contains(&path.display().to_string()),
                "{error}"
            );
        }
        let long = file_with(&"#".repeat(100 << 10), 0o600);
        let error = read(long.path(), whole).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
        let file = file_with("x", 0o600);
        let error = read(file.path(), |_| Err::<(), _>("line 1 is odd".to_owned())).unwrap_err();
        assert!(error.to_string().contains("line 1 is odd"), "{error}");
    }
}
