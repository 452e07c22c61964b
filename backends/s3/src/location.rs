//! Where a pool lies: `URL/BUCKET/PREFIX`.
//!
//! Owns: the written form, and what is allowed in it.
//! Does not own: whether there is anything (the store), who may go there (credentials).

use std::fmt;
use std::str::FromStr;

use vpool_http::place;
use vpool_object::{Error, ErrorKind, Result};

/// An endpoint, a bucket, and a prefix within it.
///
/// ```
/// let location: vpool_s3::Location = "http://127.0.0.1:18500/bucket/some/prefix".parse()?;
/// assert_eq!(location.endpoint(), "http://127.0.0.1:18500");
/// assert_eq!(location.bucket(), "bucket");
/// assert_eq!(location.prefix(), "some/prefix");
/// # Ok::<(), vpool_object::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    endpoint: String,
    bucket: String,
    prefix: String,
}

impl Location {
    /// `http://HOST[:PORT]` or `https://…`, without a path.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// What stands before every object's name, without a `/` at its end; may be empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether the way there is encrypted.
    pub fn is_https(&self) -> bool {
        self.endpoint.starts_with("https://")
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
        write!(f, "{}/{}", self.endpoint, self.bucket)?;
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
        let refuse = |why: &str| invalid(format!("{text:?} is no URL/BUCKET/PREFIX: {why}"));
        let (endpoint, path) = place::split(text).map_err(&refuse)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        check_bucket(bucket).map_err(&refuse)?;
        place::check_prefix(prefix).map_err(&refuse)?;
        Ok(Location {
            endpoint,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

fn invalid(context: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, context)
}

/// The rules of S3, and what Ceph allows beyond them: capitals, `_`, up to 255 bytes.
fn check_bucket(bucket: &str) -> std::result::Result<(), &'static str> {
    if bucket.is_empty() {
        return Err("the bucket is missing");
    }
    let byte_ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let dots_only = bucket.bytes().all(|b| b == b'.');
    if !(3..=255).contains(&bucket.len()) || !bucket.bytes().all(byte_ok) || dots_only {
        return Err("a bucket has 3 to 255 letters, digits, '.', '-' or '_'");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
