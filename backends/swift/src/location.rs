//! Where a pool lies: `AUTHURL/CONTAINER/PREFIX`.
//!
//! Owns: the written form, and what is allowed in it.
//! Does not own: whether there is anything (the store), who may go there (credentials).
//!
//! The auth URL ends at its version, the first part of the path that is one: `v1`, `v1.0`
//! or `1.0` for auth v1, `v3` for Keystone.

use std::fmt;
use std::str::FromStr;

use vpool_http::place;
use vpool_object::{Error, ErrorKind, Result};

use crate::limits::CONTAINER_BYTES_MAX;

/// How a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthVersion {
    /// User and key in header fields: Swift's tempauth, Ceph.
    V1,
    /// Keystone: user, password and project; the storage URL is in its catalog.
    V3,
}

impl AuthVersion {
    fn of(part: &str) -> Option<AuthVersion> {
        match part {
            "v1" | "v1.0" | "1.0" => Some(AuthVersion::V1),
            "v3" => Some(AuthVersion::V3),
            _ => None,
        }
    }
}

impl fmt::Display for AuthVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthVersion::V1 => "v1",
            AuthVersion::V3 => "v3",
        })
    }
}

/// An auth service, a container, and a prefix within it.
///
/// ```
/// let location: vpool_swift::Location = "http://127.0.0.1:8080/auth/v1.0/disks/some/prefix".parse()?;
/// assert_eq!(location.auth_url(), "http://127.0.0.1:8080/auth/v1.0");
/// assert_eq!(location.container(), "disks");
/// assert_eq!(location.prefix(), "some/prefix");
/// # Ok::<(), vpool_object::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    auth_url: String,
    auth: AuthVersion,
    container: String,
    prefix: String,
}

impl Location {
    /// The auth service, up to its version: `https://keystone.example:5000/v3`.
    pub fn auth_url(&self) -> &str {
        &self.auth_url
    }

    /// Which of the two it is.
    pub fn auth(&self) -> AuthVersion {
        self.auth
    }

    /// The container's name.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// What stands before every object's name, without a `/` at its end; may be empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether the way to the auth service is encrypted.
    pub fn is_https(&self) -> bool {
        self.auth_url.starts_with("https://")
    }

    /// The prefix as it stands before a name: empty, or ending in `/`.
    pub(crate) fn root(&self) -> String {
        if self.prefix.is_empty() {
            return String::new();
        }
        format!("{}/", self.prefix)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.auth_url, self.container)?;
        if self.prefix.is_empty() {
            return Ok(());
        }
        write!(f, "/{}", self.prefix)
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Location> {
        // Not shown in errors before this: someone may have written a password there.
        if text.contains('@') {
            return Err(invalid(
                "a URL holds no user or password: they go into a credentials file",
            ));
        }
        let refuse = |why: &str| invalid(format!("{text:?} is no AUTHURL/CONTAINER/PREFIX: {why}"));
        let (origin, path) = place::split(text).map_err(&refuse)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let parts: Vec<&str> = path.split('/').collect();
        let versions = parts.iter().map(|part| AuthVersion::of(part));
        let found = versions.enumerate().find_map(|(at, v)| Some((at, v?)));
        let (at, auth) = found.ok_or_else(|| {
            refuse("the auth URL must end in its version, as /auth/v1.0 or /v3 do")
        })?;
        let (before, behind) = parts.split_at(at + 1);
        if !before.iter().all(|part| is_path_part(part)) {
            return Err(refuse("the path of the auth URL holds what no path does"));
        }
        let (container, prefix) = behind.split_first().unwrap_or((&"", &[]));
        check_container(container).map_err(&refuse)?;
        let prefix = prefix.join("/");
        place::check_prefix(&prefix).map_err(&refuse)?;
        Ok(Location {
            auth_url: format!("{origin}/{}", before.join("/")),
            auth,
            container: (*container).to_owned(),
            prefix,
        })
    }
}

fn invalid(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, context)
}

fn is_path_part(part: &str) -> bool {
    let byte_ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~');
    !matches!(part, "" | "." | "..") && part.bytes().all(byte_ok)
}

/// Swift takes almost anything; these need no quoting anywhere.
fn check_container(container: &str) -> std::result::Result<(), &'static str> {
    if container.is_empty() {
        return Err("the container is missing");
    }
    if container.len() > CONTAINER_BYTES_MAX || !is_path_part(container) {
        return Err("a container has up to 256 letters, digits, '.', '-', '_' or '~'");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
