//! Object names: at most 200 bytes of `[a-z0-9/._-]`, the intersection of what stores take.
//!
//! Owns: the rule and its check. Does not own: how names are built (`vpool-format`).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// The longest name in bytes. Some stores fail above 255 bytes per part of a name.
pub const KEY_BYTES_MAX: usize = 200;

/// A checked object name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Checks `name`: not empty, of the allowed bytes, no empty, `.` or `..` part.
    pub fn new(name: impl Into<String>) -> Result<Key> {
        let name = name.into();
        let parts_ok = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let bytes_ok = name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-'));
        if name.len() > KEY_BYTES_MAX || !parts_ok || !bytes_ok {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{name:?} is no object name"),
            ));
        }
        Ok(Key(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// So that sorted maps of keys can be searched by a name or prefix.
impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
