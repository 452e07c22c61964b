//! How keys are laid out as files.
//!
//! ```text
//! key  a/b/c   ▶  file  <root>/a/b/c+
//!                       <root>/+tmp/<owner>.<process>.<n>     being written
//! ```
//!
//! The `+`, which no key contains, keeps the object `a/b` apart from the directory of
//! `a/b/c`, and both from anything foreign (`lost+found`, `.nfs0001`, an rsync's leftovers).
//!
//! Owns: that layout, both ways, and the order of a directory's entries.
//! Does not own: touching any of them.

use crate::key::Key;
use crate::limits::FILE_SUFFIX_BYTES;

/// What ends the name of an object's file.
const SUFFIX: char = '+';
const _: () = assert!(SUFFIX.len_utf8() == FILE_SUFFIX_BYTES);

/// The directory of files being written. That it exists says: this is a vPool location.
pub(super) const TEMPORARY: &str = "+tmp";

/// Where an object's file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The directory below the root; empty: the root itself.
    pub(super) directory: &'a str,
    /// The file's name in it.
    pub(super) file: String,
}

impl<'a> Place<'a> {
    pub(super) fn of(key: &'a Key) -> Place<'a> {
        let (directory, last) = split(key.as_str());
        Place {
            directory,
            file: format!("{last}{SUFFIX}"),
        }
    }
}

/// Path of an object's file below the root.
pub(super) fn path_of(key: &Key) -> String {
    format!("{key}{SUFFIX}")
}

/// A path's directory (empty: the root) and last part.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// What an entry of a directory is to a listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// The last part of a key; of a directory, with a slash after it. Entries compared by
    /// this are in the order of the whole names: an object's name is never the beginning
    /// of `x/`, so the first byte that differs decides for all that a directory holds.
    pub(super) name: String,
}

impl Entry {
    /// What a file of this name is; `None`: nothing of ours.
    pub(super) fn of_file(file: &str) -> Option<Entry> {
        let name = file.strip_suffix(SUFFIX)?;
        is_part(name).then(|| Entry {
            name: name.to_owned(),
        })
    }

    /// What a directory of this name is; `None`: nothing of ours.
    pub(super) fn of_directory(directory: &str) -> Option<Entry> {
        is_part(directory).then(|| Entry {
            name: format!("{directory}/"),
        })
    }

    pub(super) fn is_directory(&self) -> bool {
        self.name.ends_with('/')
    }

    /// Its name in the file system.
    pub(super) fn file_name(&self) -> String {
        match self.name.strip_suffix('/') {
            Some(directory) => directory.to_owned(),
            None => format!("{}{SUFFIX}", self.name),
        }
    }
}

fn is_part(name: &str) -> bool {
    !name.contains('/') && Key::new(name).is_ok()
}

/// Whether a directory, `path` with its slash, can hold keys that start with `prefix` and
/// are greater than `after`.
pub(super) fn may_hold(path: &str, prefix: &str, after: Option<&str>) -> bool {
    let begins = path.starts_with(prefix) || prefix.starts_with(path);
    begins && after.is_none_or(|after| after < path || after.starts_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_files_map_both_ways() {
        let check = |key: &str, directory: &str, file: &str| {
            let key = Key::new(key).expect("a key");
            let place = Place::of(&key);
            assert_eq!((place.directory, place.file.as_str()), (directory, file));
            let entry = Entry::of_file(&place.file).expect("ours");
            assert_eq!(entry.file_name(), file);
            assert_eq!(split(key.as_str()).1, entry.name);
        };
        check("a", "", "a+");
        check("a/b", "a", "b+");
        check("a/b/c.d-e_f", "a/b", "c.d-e_f+");
    }

    #[test]
    fn foreign_names_are_nothing() {
        for name in [
            "lost+found",
            ".nfs0001",
            "A+",
            "+",
            "..+",
            "a",
            "a b+",
            TEMPORARY,
        ] {
            assert_eq!(Entry::of_file(name), None, "{name}");
        }
        for name in [
            "lost+found",
            "A",
            "a+",
            "..",
            TEMPORARY,
            "System Volume Information",
        ] {
            assert_eq!(Entry::of_directory(name), None, "{name}");
        }
    }

    #[test]
    fn directories_that_cannot_matter_are_skipped() {
        let check = |path: &str, prefix: &str, after: Option<&str>, expect: bool| {
            assert_eq!(
                may_hold(path, prefix, after),
                expect,
                "{path} {prefix} {after:?}"
            );
        };
        check("a/", "", None, true);
        check("a/", "a", None, true);
        check("a/", "a/b", None, true);
        check("a/", "b", None, false);
        check("ab/", "a", None, true);
        check("a/", "", Some("a"), true);
        check("a/", "", Some("a-"), true);
        check("a/", "", Some("a/b"), true);
        check("a/", "", Some("a0"), false);
        check("b/", "", Some("a0"), true);
    }
}
