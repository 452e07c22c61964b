//! The names of pools and disks: what is allowed, and `[POOL:]NAME`.
//!
//! Owns: the rules, as pure functions. Does not own: whether a name is taken.
//!
//! A disk's name may be a path, as it will be in the pool's directory tree; a pool's may
//! not. `:` parts the two, `@` is kept for snapshots.

use std::fmt;

use crate::limits::NAME_BYTES_MAX;

/// A name that is not allowed: what it is for, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} name {name:?} is not allowed: {reason}")]
pub struct BadName {
    what: &'static str,
    name: String,
    reason: Reason,
}

/// The rule that a name breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Empty,
    TooLong(usize),
    Control,
    Forbidden(char),
    Part,
    Slash,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Empty => f.write_str("it is empty"),
            Reason::TooLong(bytes) => {
                write!(
                    f,
                    "it has {bytes} bytes, {NAME_BYTES_MAX} at most are possible"
                )
            }
            Reason::Control => f.write_str("it holds a control character"),
            Reason::Forbidden(what) => write!(f, "it holds {what:?}"),
            Reason::Part => f.write_str("a part between slashes is empty, `.` or `..`"),
            Reason::Slash => f.write_str("it holds a slash"),
        }
    }
}

/// Refuses a disk's name (without its pool) that is not allowed: it has 1 to 255 bytes, no
/// control characters, no `:` or `@`, and no empty, `.` or `..` parts between slashes.
pub fn check_disk(name: &str) -> Result<(), BadName> {
    reason(name).map_or(Ok(()), |reason| Err(bad("disk", name, reason)))
}

/// Refuses a pool's name that is not allowed: as a disk's, and without slashes.
pub fn check_pool(name: &str) -> Result<(), BadName> {
    let slash = name.contains('/').then_some(Reason::Slash);
    reason(name)
        .or(slash)
        .map_or(Ok(()), |reason| Err(bad("pool", name, reason)))
}

fn reason(name: &str) -> Option<Reason> {
    if name.is_empty() {
        return Some(Reason::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Some(Reason::TooLong(name.len()));
    }
    if name.chars().any(char::is_control) {
        return Some(Reason::Control);
    }
    if let Some(forbidden) = name.chars().find(|c| matches!(c, ':' | '@')) {
        return Some(Reason::Forbidden(forbidden));
    }
    name.split('/')
        .any(|part| matches!(part, "" | "." | ".."))
        .then_some(Reason::Part)
}

/// `name` is cut to what a line of text can bear: it may be a megabyte of anything.
fn bad(what: &'static str, name: &str, reason: Reason) -> BadName {
    const SHOWN_CHARS_MAX: usize = 64;
    let mut shown: String = name.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    BadName {
        what,
        name: shown,
        reason,
    }
}

/// A disk as people name it: `[POOL:]NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskPath {
    /// The pool; `None` where it was left out because the name is unambiguous.
    pub pool: Option<String>,
    /// The disk's name in its pool.
    pub name: String,
}

impl std::str::FromStr for DiskPath {
    type Err = BadName;

    fn from_str(text: &str) -> Result<DiskPath, BadName> {
        let (pool, name) = match text.split_once(':') {
            Some((pool, name)) => (Some(pool), name),
            None => (None, text),
        };
        if let Some(pool) = pool {
            check_pool(pool)?;
        }
        check_disk(name)?;
        Ok(DiskPath {
            pool: pool.map(str::to_owned),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pool) = &self.pool {
            write!(f, "{pool}:")?;
        }
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    //! The rules, name by name; whatever passes can be told apart again.

    use super::{DiskPath, check_disk, check_pool};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn names_of_disks() {
        let longest = "x".repeat(255);
        for good in [
            "demo",
            "a",
            "vm/disk-0.raw",
            "Größe",
            "a b",
            "...",
            ".hidden",
            "a/.b",
            "-",
            "💾",
            "a\u{200b}b",
            &longest,
        ] {
            assert_eq!(check_disk(good), Ok(()), "{good:?}");
        }
        let long = "x".repeat(256);
        let long_in_bytes = "ö".repeat(128);
        for (bad, why) in [
            ("", "empty"),
            (&*long, "256 bytes"),
            (&long_in_bytes, "256 bytes"),
            ("a:b", "':'"),
            ("a@b", "'@'"),
            ("/a", "part"),
            ("a/", "part"),
            ("a//b", "part"),
            (".", "part"),
            ("..", "part"),
            ("a/../b", "part"),
            ("a/./b", "part"),
            ("/", "part"),
            ("a\nb", "control"),
            ("a\0b", "control"),
            ("a\u{7f}", "control"),
            ("a\u{85}", "control"),
            ("\u{1b}[31m", "control"),
        ] {
            let error = check_disk(bad).expect_err(bad).to_string();
            assert!(error.contains(why), "{bad:?}: {error}");
            assert!(!error.contains(char::is_control), "{error:?}");
            assert!(error.len() < 600, "{error}");
        }
    }

    #[test]
    fn names_of_pools() {
        for good in ["default", "Pool 1", "größer", "..."] {
            assert_eq!(check_pool(good), Ok(()), "{good:?}");
        }
        for bad in [
            "",
            "a/b",
            "a:b",
            "a@b",
            "..",
            ".",
            "/",
            "a\tb",
            &"p".repeat(256),
        ] {
            assert!(check_pool(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_of_disks() {
        let path = |text: &str| text.parse::<DiskPath>();
        let expect = |pool: Option<&str>, name: &str| {
            Ok(DiskPath {
                pool: pool.map(str::to_owned),
                name: name.to_owned(),
            })
        };
        assert_eq!(path("demo"), expect(None, "demo"));
        assert_eq!(path("default:demo"), expect(Some("default"), "demo"));
        assert_eq!(path("p:vm/a"), expect(Some("p"), "vm/a"));
        for bad in ["", ":", ":a", "a:", "a:b:c", "a/b:c", "a:b@c", "a:../b"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_allowed_reads_back(text in any::<String>()) {
            if let Ok(path) = text.parse::<DiskPath>() {
                prop_assert_eq!(path.to_string(), text);
                prop_assert!(check_disk(&path.name).is_ok());
            }
        }
    }
}
