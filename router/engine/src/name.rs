//! Names of disks and pools: what is allowed, and how `[POOL:]NAME` is read.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::error::{Error, ErrorKind, Result};

/// The longest name in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Checks a disk's or pool's name: 1 to 255 bytes of UTF-8 without control characters, `:` or
/// `@`; parts between `/` are not empty, `.` or `..`. A pool's name has no `/`.
pub fn check(what: &str, name: &str) -> Result<()> {
    let problem = if name.is_empty() {
        Some("is empty")
    } else if name.len() > NAME_BYTES_MAX {
        Some("is longer than 255 bytes")
    } else if name.chars().any(char::is_control) {
        Some("holds a control character")
    } else if name.contains([':', '@']) {
        Some("holds `:` or `@`, which separate pool, disk and snapshot")
    } else if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        Some("has an empty, `.` or `..` part between slashes")
    } else if what == "pool" && name.contains('/') {
        Some("holds a slash")
    } else {
        None
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(Error::new(
            ErrorKind::Invalid,
            format!("the {what} name {name:?} {problem}"),
        )),
    }
}

/// A name with something behind it, cut where it would be too long.
pub fn with_suffix(name: &str, suffix: &str) -> String {
    let keep = name.floor_char_boundary(NAME_BYTES_MAX.saturating_sub(suffix.len()));
    format!("{}{suffix}", &name[..keep])
}

/// A disk's `POOL:NAME` for errors: all who hold it see a new name at once.
#[derive(Clone)]
pub struct Label(Arc<RwLock<String>>);

impl Label {
    /// The label of a disk.
    pub fn new(pool: &str, disk: &str) -> Label {
        Label(Arc::new(RwLock::new(format!("{pool}:{disk}"))))
    }

    /// The disk has another name from now on.
    pub fn rename(&self, pool: &str, disk: &str) {
        *self.0.write() = format!("{pool}:{disk}");
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.read())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0.read(), f)
    }
}

/// Splits `[POOL:]NAME`.
pub fn split(name: &str) -> (Option<&str>, &str) {
    match name.split_once(':') {
        Some((pool, disk)) => (Some(pool), disk),
        None => (None, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "x".repeat(256);
        for good in ["a", "web/1", "Ünï", "a b", "...", &long[..255]] {
            assert!(check("disk", good).is_ok(), "{good}");
        }
        for bad in [
            "", "a:b", "a@b", "a//b", "/a", "a/", "a/../b", ".", "..", "a\nb", "\u{7f}", &long,
        ] {
            assert!(check("disk", bad).is_err(), "{bad}");
            assert!(check("pool", bad).is_err(), "{bad}");
        }
        assert!(check("pool", "a/b").is_err(), "a pool is no path");
    }
}
